#include "src/vector/segment.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "src/base/size.h"
#include "src/vector/refine.h"
#include "src/vector/segment_impl.h"

/* ---- life ---- */

static uint32_t cells_of(const struct codebook *codebook)
{
    uint32_t cells = codebook != NULL ? codebook_info(codebook)->cells : 0;

    return cells > 0 ? cells : 1;
}

static struct segment_cell *new_cells(uint32_t count)
{
    struct segment_cell *cells = malloc(count * sizeof *cells);

    for (uint32_t i = 0; cells != NULL && i < count; i++)
        cells[i] = (struct segment_cell){ .newest = SEGMENT_NONE };
    return cells;
}

struct segment *segment_new(const struct segment_options *options)
{
    struct segment *segment = calloc(1, sizeof *segment);
    size_t d = options->dimension;

    assert(d >= 1 && d <= VECTOR_MAX_DIMENSION);
    assert(options->codebook == NULL || codebook_info(options->codebook)->dimension == d);
    if (segment == NULL)
        return NULL;
    atomic_init(&segment->references, 1);
    pthread_mutex_init(&segment->lock, NULL);
    segment->dimension = d;
    segment->refine = options->refine;
    segment->row_bytes = refine_row_bytes(options->refine, d);
    segment->full_codes = (struct segment_slabs){
        .unit_bytes = CODEBOOK_CODE_BYTES * SEGMENT_GROUP,
        .most_bytes = SEGMENT_SLABS_LARGE_PAGE,
    };
    segment->other_codes = (struct segment_slabs){
        .unit_bytes = CODEBOOK_CODE_BYTES * SEGMENT_WORD,
        .most_bytes = SEGMENT_SLABS_LARGE_PAGE / 8,
    };
    segment->row_blocks = (struct segment_slabs){
        .unit_bytes = SEGMENT_WORD * segment->row_bytes,
        .most_bytes = SEGMENT_SLABS_LARGE_PAGE,
    };
    segment->row_budget = size_min(options->row_budget_bytes, SIZE_MAX / 2);
    segment->codebook = options->codebook != NULL ? codebook_ref(options->codebook) : NULL;
    segment->cell_count = cells_of(options->codebook);
    segment->free_index = SEGMENT_NONE;
    segment->cells = new_cells(segment->cell_count);
    if (segment->cells == NULL) {
        segment_unref(segment);
        return NULL;
    }
    return segment;
}

struct segment *segment_ref(struct segment *segment)
{
    atomic_fetch_add_explicit(&segment->references, 1, memory_order_relaxed);
    return segment;
}

/* Unlocking destroys what was retired, as there is no reader. */
static void drop_all_groups(struct segment *segment)
{
    uint32_t groups = atomic_load(&segment->groups);

    segment_lock(segment);
    for (uint32_t i = 0; i < groups; i++)
        if (segment->directory[i].group != NULL) {
            segment->directory[i].group->live = 0;
            segment_drop_group(segment, i);
        }
    segment_unlock(segment);
}

void segment_unref(struct segment *segment)
{
    if (segment == NULL ||
        atomic_fetch_sub_explicit(&segment->references, 1, memory_order_acq_rel) > 1)
        return;
    drop_all_groups(segment);
    segment_slabs_deinit(&segment->full_codes);
    segment_slabs_deinit(&segment->other_codes);
    segment_slabs_deinit(&segment->row_blocks);
    free(segment->directory);
    free(segment->cells);
    id_map_deinit(&segment->map);
    codebook_unref(segment->codebook);
    if (segment->mapping != NULL)
        munmap(segment->mapping, segment->mapping_bytes);
    pthread_mutex_destroy(&segment->lock);
    free(segment);
}

struct codebook *segment_codebook(const struct segment *segment)
{
    return segment->codebook;
}

/* ---- finding; all under the lock from here on ---- */

struct wanted {
    const struct segment *segment;
    struct segment_id id;
};

static struct segment_id id_at(const struct segment *segment, uint32_t position)
{
    return segment_group_id(segment_entry_at(segment, position)->group, position % SEGMENT_GROUP);
}

static bool is_wanted(const void *context, uint32_t position)
{
    const struct wanted *wanted = context;

    return segment_same_id(id_at(wanted->segment, position), wanted->id);
}

uint32_t segment_position(const struct segment *segment, uint64_t hash, struct segment_id id)
{
    struct wanted wanted = { segment, id };

    return id_map_find(&segment->map, hash, is_wanted, &wanted);
}

/* Each step waits for memory that the step before it has asked for. */
void segment_hashes(const void *context, const uint32_t *positions, size_t n, uint64_t *ret_hashes)
{
    const struct segment *segment = context;

    for (size_t i = 0; i < n; i++)
        __builtin_prefetch(segment_word_at(segment, positions[i]));
    for (size_t i = 0; i < n; i++) {
        const struct segment_word *word = segment_word_at(segment, positions[i]);
        __builtin_prefetch(atomic_load(&word->ids) + 2 * (positions[i] % SEGMENT_WORD));
    }
    for (size_t i = 0; i < n; i++)
        __builtin_prefetch(id_at(segment, positions[i]).data);
    for (size_t i = 0; i < n; i++) {
        struct segment_id id = id_at(segment, positions[i]);
        ret_hashes[i] = id_map_hash(id.data, id.length);
    }
}

/* ---- writing ---- */

struct vector {
    struct segment_id id;
    uint64_t hash;
    const uint8_t *code; /* NULL without a codebook */
    const uint8_t *row;  /* NULL: not at hand */
    uint32_t cell;
};

static void dissolve(struct segment *segment, uint32_t index);

/* Not the group that is being filled; but if nothing in that one lives, it goes, too. */
static void dissolve_if_sparse(struct segment *segment, uint32_t index)
{
    const struct segment_group *group = segment->directory[index].group;

    if (group->live == 0)
        segment_drop_group(segment, index);
    else if (index != segment->cells[group->cell].newest && group->live < SEGMENT_GROUP / 2)
        dissolve(segment, index);
}

/* The group of a cell that has a free place. The one before it may dissolve into it, so positions
 * may change. */
static struct segment_entry *open_group(struct segment *segment, uint32_t cell)
{
    uint32_t newest = segment->cells[cell].newest;
    uint32_t added;

    if (newest != SEGMENT_NONE && segment->directory[newest].used < SEGMENT_GROUP)
        return &segment->directory[newest];
    added = segment_add_group(segment, cell, 1, NULL);
    if (added == SEGMENT_NONE)
        return NULL;
    if (newest != SEGMENT_NONE)
        dissolve_if_sparse(segment, newest);
    return &segment->directory[segment->cells[cell].newest];
}

void segment_count_place(struct segment *segment, struct segment_entry *entry, uint32_t place)
{
    entry->valid[place / SEGMENT_WORD] |= (uint64_t)1 << (place % SEGMENT_WORD);
    entry->group->live++;
    segment->cells[entry->group->cell].live++;
    segment->generation++;
}

static void kill_place(struct segment *segment, uint32_t position)
{
    struct segment_entry *entry = segment_entry_at(segment, position);
    size_t place = position % SEGMENT_GROUP;

    entry->valid[place / SEGMENT_WORD] &= ~((uint64_t)1 << (place % SEGMENT_WORD));
    entry->group->live--;
    segment->cells[entry->group->cell].live--;
    segment->rows -= segment_group_row(segment, entry->group, place) != NULL;
}

/* Where the vector is then; ID_MAP_NONE, and nothing happened, without memory. */
static uint32_t append(struct segment *segment, const struct vector *vector)
{
    struct segment_entry *entry = open_group(segment, vector->cell);
    uint32_t place;

    if (entry == NULL)
        return ID_MAP_NONE;
    if (!segment_reserve_place(segment, entry, vector->id.length, vector->row != NULL)) {
        if (entry->group->live == 0)
            segment_drop_group(segment, entry->index);
        return ID_MAP_NONE;
    }
    place = segment_fill_place(segment, entry, vector->id.data, vector->id.length, vector->code,
                               vector->row);
    segment_count_place(segment, entry, place);
    return entry->index * SEGMENT_GROUP + place;
}

static bool move(struct segment *segment, uint32_t position, uint64_t hash)
{
    const struct segment_entry *entry = segment_entry_at(segment, position);
    size_t place = position % SEGMENT_GROUP;
    uint8_t code[CODEBOOK_CODE_BYTES];
    struct vector vector = {
        .id = id_at(segment, position),
        .code = code,
        .row = segment_group_row(segment, entry->group, place),
        .cell = entry->group->cell,
    };
    uint32_t moved;

    if (segment->codebook != NULL)
        segment_entry_code(entry, place, code);
    moved = append(segment, &vector);
    if (moved == ID_MAP_NONE)
        return false;
    id_map_move(&segment->map, hash, position, moved);
    kill_place(segment, position);
    return true;
}

static size_t living(const struct segment *segment, uint32_t index, uint32_t *ret_positions)
{
    size_t n = 0;

    for (uint32_t place = 0; place < SEGMENT_GROUP; place++)
        if (segment_place_lives(&segment->directory[index], place))
            ret_positions[n++] = index * SEGMENT_GROUP + place;
    return n;
}

static bool move_all(struct segment *segment, uint32_t index)
{
    uint32_t positions[SEGMENT_GROUP];
    uint64_t hashes[SEGMENT_GROUP];
    size_t n = living(segment, index, positions);

    segment_hashes(segment, positions, n, hashes);
    for (size_t i = 0; i < n; i++)
        id_map_prefetch(&segment->map, hashes[i]);
    for (size_t i = 0; i < n; i++)
        if (!move(segment, positions[i], hashes[i]))
            return false;
    return true;
}

/*
 * Moves the living members of a sealed group to the newest of its cell. Without memory it stops
 * halfway, which is as valid a state. A full one may dissolve on the way: at most 127 members move
 * into an empty group then, so it goes no deeper. Rows at hand stay so, in the room that the group
 * leaves.
 */
static void dissolve(struct segment *segment, uint32_t index)
{
    size_t row_bytes = segment_group_row_bytes(segment, segment->directory[index].group);

    segment->row_allowance += row_bytes;
    if (move_all(segment, index))
        segment_drop_group(segment, index);
    segment->row_allowance -= row_bytes;
}

static void retire(struct segment *segment, uint32_t position)
{
    kill_place(segment, position);
    dissolve_if_sparse(segment, position / SEGMENT_GROUP);
}

/* What a put will read and write lies anywhere in memory: all of it is asked for before the first
 * of it is used, as far as addresses are known. */
static void prefetch_place(const struct segment *segment, const struct vector *vector)
{
    uint32_t newest = segment->cells[vector->cell].newest;

    id_map_prefetch_insert(&segment->map, vector->hash);
    if (newest == SEGMENT_NONE)
        return;
    __builtin_prefetch(segment->directory[newest].group->words, 1);
    __builtin_prefetch(&segment->directory[newest].group->live, 1);
    if (segment->codebook != NULL)
        segment_prefetch_code(&segment->directory[newest]);
}

/* Where the vector most likely was before. */
static void prefetch_old(const struct segment *segment, const struct vector *vector)
{
    uint32_t guess = id_map_guess(&segment->map, vector->hash, ID_MAP_NONE);

    if (guess != ID_MAP_NONE)
        __builtin_prefetch(segment_word_at(segment, guess));
}

static enum status_code put(struct segment *segment, const struct vector *vector, struct status *st)
{
    uint32_t position = ID_MAP_NONE;
    uint32_t old;

    prefetch_place(segment, vector);
    if (id_map_prepare(&segment->map, vector->hash, segment_hashes, segment)) {
        prefetch_old(segment, vector);
        position = append(segment, vector);
    }
    if (position == ID_MAP_NONE)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for another vector");
    old = segment_position(segment, vector->hash, vector->id);
    if (old == ID_MAP_NONE) {
        id_map_insert(&segment->map, vector->hash, position);
        return STATUS_OK;
    }
    id_map_move(&segment->map, vector->hash, old, position);
    retire(segment, old);
    return STATUS_OK;
}

static enum status_code check(const struct segment *segment, const struct vector *vector,
                              struct status *st)
{
    if (vector->id.length < 1 || vector->id.length > SEGMENT_MAX_ID_BYTES)
        return status_set(st, STATUS_INVALID_ARGUMENT, "id of %zu bytes; 1 to %d are allowed",
                          vector->id.length, SEGMENT_MAX_ID_BYTES);
    if (vector->cell >= segment->cell_count)
        return status_set(st, STATUS_INVALID_ARGUMENT, "cell %u of %u", vector->cell,
                          segment->cell_count);
    if (segment->codebook == NULL &&
        !refine_row_valid(segment->refine, vector->row, segment->row_bytes, segment->dimension))
        return status_set(st, STATUS_INVALID_ARGUMENT, "refinement row that is not finite");
    return STATUS_OK;
}

enum status_code segment_put(struct segment *segment, const void *id, size_t id_length,
                             const uint8_t *row, const uint8_t *code, uint32_t cell,
                             struct status *st)
{
    struct vector vector = {
        .id = { id, id_length },
        .code = segment->codebook != NULL ? code : NULL,
        .row = row,
        .cell = segment->codebook != NULL ? cell : 0,
    };

    assert(segment->codebook != NULL ? code != NULL : row != NULL);
    if (check(segment, &vector, st) != STATUS_OK)
        return st->code;
    vector.hash = id_map_hash(id, id_length);
    segment_lock(segment);
    put(segment, &vector, st);
    segment_unlock(segment);
    return st->code;
}

static bool put_row(struct segment *segment, uint32_t position, const uint8_t *row)
{
    struct segment_group *group = segment_entry_at(segment, position)->group;
    size_t place = position % SEGMENT_GROUP;

    if (segment_group_row(segment, group, place) != NULL)
        return true;
    if (!segment_reserve_row(segment, group, place))
        return false;
    segment_fill_row(segment, group, place, row);
    return true;
}

bool segment_put_row(struct segment *segment, const void *id, size_t id_length, const uint8_t *row)
{
    uint64_t hash = id_map_hash(id, id_length);
    uint32_t position;
    bool ok;

    segment_lock(segment);
    position = segment_position(segment, hash, (struct segment_id){ id, id_length });
    ok = position != ID_MAP_NONE && put_row(segment, position, row);
    segment_unlock(segment);
    return ok;
}

bool segment_remove(struct segment *segment, const void *id, size_t id_length)
{
    uint64_t hash = id_map_hash(id, id_length);
    uint32_t position;

    segment_lock(segment);
    position = segment_position(segment, hash, (struct segment_id){ id, id_length });
    if (position != ID_MAP_NONE) {
        id_map_erase(&segment->map, hash, position);
        retire(segment, position);
    }
    segment_unlock(segment);
    return position != ID_MAP_NONE;
}

/* ---- asking ---- */

struct segment_stats segment_stats(struct segment *segment)
{
    struct segment_stats stats = { 0 };

    segment_lock_as_reader(segment);
    stats.count = segment->map.count;
    stats.rows = segment->rows;
    stats.memory_bytes = sizeof *segment + segment->mapping_bytes + segment->block_bytes +
                         segment->full_codes.bytes + segment->other_codes.bytes +
                         segment->row_blocks.bytes + id_map_bytes(&segment->map) +
                         segment->cell_count * sizeof segment->cells[0] +
                         segment->capacity * sizeof segment->directory[0];
    stats.row_bytes = segment->row_blocks_bytes;
    stats.groups = atomic_load(&segment->groups) - segment->free_groups;
    segment_unlock(segment);
    return stats;
}

void segment_cell_sizes(struct segment *segment, uint64_t *ret_sizes)
{
    uint32_t cells = segment->codebook != NULL ? codebook_info(segment->codebook)->cells : 0;

    segment_lock_as_reader(segment);
    for (uint32_t i = 0; i < cells; i++)
        ret_sizes[i] = segment->cells[i].live;
    segment_unlock(segment);
}
