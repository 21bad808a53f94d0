#include "src/vector/segment.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "src/base/size.h"
#include "src/vector/refine.h"
#include "src/vector/segment_impl.h"

enum { ID_BLOCK_BYTES = 2048, FIRST_GROUPS = 16, MAX_GROUPS = (1 << 24) - 1 };

struct segment_id_block {
    struct segment_id_block *next;
    size_t used;
    uint8_t bytes[ID_BLOCK_BYTES];
};

/* ---- groups ---- */

static uint8_t *allocate_vectors(const struct segment *segment)
{
    return aligned_alloc(64, segment_group_bytes(segment));
}

size_t segment_group_bytes(const struct segment *segment)
{
    return SEGMENT_GROUP * segment->vector_bytes; /* a multiple of 64, since 256 is */
}

static struct segment_group *group_new(const struct segment *segment, uint8_t *mapped)
{
    struct segment_group *group = calloc(1, sizeof *group);

    if (group == NULL)
        return NULL;
    group->references = 1;
    group->bytes = sizeof *group;
    group->owns_vectors = mapped == NULL;
    group->vectors = mapped != NULL ? mapped : allocate_vectors(segment);
    if (group->vectors == NULL) {
        free(group);
        return NULL;
    }
    if (group->owns_vectors)
        group->bytes += segment_group_bytes(segment);
    return group;
}

static void group_unref(struct segment_group *group)
{
    if (group == NULL || --group->references > 0)
        return;
    while (group->id_blocks != NULL) {
        struct segment_id_block *next = group->id_blocks->next;
        free(group->id_blocks);
        group->id_blocks = next;
    }
    if (group->owns_vectors)
        free(group->vectors);
    free(group);
}

/* Room for an id that lives as long as the group. */
static uint8_t *group_reserve_id(struct segment_group *group, size_t length)
{
    struct segment_id_block *block = group->id_blocks;

    if (block == NULL || ID_BLOCK_BYTES - block->used < length) {
        block = malloc(sizeof *block);
        if (block == NULL)
            return NULL;
        block->next = group->id_blocks;
        block->used = 0;
        group->id_blocks = block;
        group->bytes += sizeof *block;
    }
    return block->bytes + block->used;
}

/* ---- views ---- */

static struct segment_view *view_new(size_t capacity)
{
    struct segment_view *view = malloc(sizeof *view + capacity * sizeof view->groups[0]);

    if (view == NULL)
        return NULL;
    view->references = 1;
    view->count = 0;
    view->capacity = capacity;
    return view;
}

static void view_unref(struct segment_view *view)
{
    if (view == NULL || --view->references > 0)
        return;
    for (size_t i = 0; i < view->count; i++)
        group_unref(view->groups[i]);
    free(view);
}

static struct segment_view *view_copy(const struct segment_view *view, size_t capacity)
{
    struct segment_view *copy = view_new(capacity);

    if (copy == NULL)
        return NULL;
    copy->count = view->count;
    for (size_t i = 0; i < view->count; i++) {
        copy->groups[i] = view->groups[i];
        if (copy->groups[i] != NULL)
            copy->groups[i]->references++;
    }
    return copy;
}

static bool grow_valid(struct segment *segment, size_t capacity)
{
    void *grown = realloc(segment->valid, capacity * sizeof segment->valid[0]);

    if (grown != NULL)
        segment->valid = grown;
    return grown != NULL;
}

/* After it segment->view is the segment's alone and has room for @count groups. */
static bool make_view_writable(struct segment *segment, size_t count)
{
    struct segment_view *view = segment->view;
    size_t capacity = count <= view->capacity ? view->capacity : 2 * view->capacity;
    struct segment_view *copy;

    if (view->references == 1 && capacity == view->capacity)
        return true;
    if (capacity > view->capacity && !grow_valid(segment, capacity))
        return false;
    copy = view_copy(view, capacity);
    if (copy == NULL)
        return false;
    view_unref(view);
    segment->view = copy;
    return true;
}

/* ---- life ---- */

struct segment *segment_new(size_t d, struct codebook *codebook)
{
    struct segment *segment = calloc(1, sizeof *segment);

    assert(d >= 1 && d <= VECTOR_MAX_DIMENSION);
    assert(codebook == NULL || codebook_info(codebook)->dimension == d);
    if (segment == NULL)
        return NULL;
    atomic_init(&segment->references, 1);
    pthread_mutex_init(&segment->lock, NULL);
    segment->dimension = d;
    segment->vector_bytes = codebook != NULL ? (size_t)CODEBOOK_CODE_BYTES : refine_row_bytes(d);
    segment->codebook = codebook != NULL ? codebook_ref(codebook) : NULL;
    segment->view = view_new(FIRST_GROUPS);
    if (segment->view == NULL || !grow_valid(segment, FIRST_GROUPS)) {
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

void segment_unref(struct segment *segment)
{
    if (segment == NULL ||
        atomic_fetch_sub_explicit(&segment->references, 1, memory_order_acq_rel) > 1)
        return;
    view_unref(segment->view);
    free(segment->valid);
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

/* ---- finding ---- */

struct wanted_id {
    const struct segment *segment;
    const void *id;
    size_t length;
};

static struct segment_group *group_of(const struct segment *segment, uint32_t position)
{
    return segment->view->groups[position / SEGMENT_GROUP];
}

static bool same_id(const void *context, uint32_t position)
{
    const struct wanted_id *wanted = context;
    const struct segment_group *group = group_of(wanted->segment, position);
    size_t place = position % SEGMENT_GROUP;

    return group->id_lengths[place] == wanted->length &&
           memcmp(group->ids[place], wanted->id, wanted->length) == 0;
}

static struct id_map_slot *find(const struct segment *segment, const void *id, size_t length)
{
    struct wanted_id wanted = { segment, id, length };

    return id_map_find(&segment->map, id_map_hash(id, length), same_id, &wanted);
}

/* ---- writing; all under the lock ---- */

static void dissolve(struct segment *segment, size_t index);

static bool is_full(const struct segment *segment)
{
    return segment->view->count == 0 || segment->view->groups[segment->tail]->used == SEGMENT_GROUP;
}

static void dissolve_if_sparse(struct segment *segment, size_t index)
{
    if (index != segment->tail && segment->view->groups[index]->live < SEGMENT_GROUP / 2)
        dissolve(segment, index);
}

static size_t free_index(const struct segment *segment)
{
    size_t i = segment->first_free;

    while (i < segment->view->count && segment->view->groups[i] != NULL)
        i++;
    return i;
}

struct segment_group *segment_add_group(struct segment *segment, uint8_t *vectors)
{
    size_t index = free_index(segment);
    struct segment_group *group;

    if (index >= MAX_GROUPS || !make_view_writable(segment, index + 1))
        return NULL;
    group = group_new(segment, vectors);
    if (group == NULL)
        return NULL;
    segment->view->groups[index] = group;
    segment->view->count = size_max(segment->view->count, index + 1);
    memset(segment->valid[index], 0, sizeof segment->valid[index]);
    segment->first_free = index + 1;
    segment->tail = index;
    return group;
}

/* A tail with a free place. The old one may dissolve into it, so positions may change. */
static bool reserve_place(struct segment *segment)
{
    bool first = segment->view->count == 0;
    size_t old_tail = segment->tail;

    if (!is_full(segment))
        return true;
    if (segment_add_group(segment, NULL) == NULL)
        return false;
    if (!first)
        dissolve_if_sparse(segment, old_tail);
    return true;
}

static void write_code(uint8_t *vectors, size_t place, const uint8_t *code, size_t stride)
{
    for (size_t p = 0; p < CODEBOOK_PARTS; p++)
        vectors[p * SEGMENT_GROUP + place] = code[p * stride];
}

/* @stride between the bytes of a code: 1, or 256 inside a group. */
static void write_vector(const struct segment *segment, struct segment_group *group, size_t place,
                         const uint8_t *vector, size_t stride)
{
    if (segment->codebook != NULL)
        write_code(group->vectors, place, vector, stride);
    else
        memcpy(group->vectors + place * segment->vector_bytes, vector, segment->vector_bytes);
}

static void set_valid(struct segment *segment, uint32_t position)
{
    segment->valid[position / SEGMENT_GROUP][position % SEGMENT_GROUP / 64] |= (uint64_t)1
                                                                               << (position % 64);
    group_of(segment, position)->live++;
}

static void clear_valid(struct segment *segment, uint32_t position)
{
    segment->valid[position / SEGMENT_GROUP][position % SEGMENT_GROUP / 64] &=
        ~((uint64_t)1 << (position % 64));
    group_of(segment, position)->live--;
}

static bool is_valid(const struct segment *segment, uint32_t position)
{
    return segment->valid[position / SEGMENT_GROUP][position % SEGMENT_GROUP / 64] >>
               (position % 64) &
           1;
}

/* Takes the tail's next place, which must be free. */
static uint32_t take_place(struct segment *segment, const uint8_t *id, uint8_t id_length)
{
    struct segment_group *group = segment->view->groups[segment->tail];
    uint32_t place = group->used++;
    uint32_t position = (uint32_t)(segment->tail * SEGMENT_GROUP) + place;

    group->ids[place] = id;
    group->id_lengths[place] = id_length;
    set_valid(segment, position);
    return position;
}

/* False, and nothing happened, without memory. The place is free and reserved. */
static bool append(struct segment *segment, const void *id, size_t id_length, const uint8_t *vector,
                   size_t stride, uint32_t *ret_position)
{
    struct segment_group *group = segment->view->groups[segment->tail];
    uint8_t *kept_id = group_reserve_id(group, id_length);

    if (kept_id == NULL)
        return false;
    memcpy(kept_id, id, id_length);
    group->id_blocks->used += id_length;
    write_vector(segment, group, group->used, vector, stride);
    *ret_position = take_place(segment, kept_id, (uint8_t)id_length);
    return true;
}

static const uint8_t *vector_at(const struct segment *segment, uint32_t position)
{
    size_t place = position % SEGMENT_GROUP;

    return group_of(segment, position)->vectors +
           (segment->codebook != NULL ? place : place * segment->vector_bytes);
}

static bool move_to_tail(struct segment *segment, uint32_t position)
{
    const struct segment_group *group = group_of(segment, position);
    const uint8_t *id = group->ids[position % SEGMENT_GROUP];
    size_t id_length = group->id_lengths[position % SEGMENT_GROUP];
    uint32_t moved;

    if (!reserve_place(segment) ||
        !append(segment, id, id_length, vector_at(segment, position), SEGMENT_GROUP, &moved))
        return false;
    clear_valid(segment, position);
    id_map_at(&segment->map, id_map_hash(id, id_length), position)->position = moved;
    return true;
}

/*
 * Moves the living members of a sealed group to the tail and frees its index. Without memory it
 * stops halfway, which is as valid a state. A full tail may dissolve on the way: at most 127
 * members move into an empty group then, so it goes no deeper.
 */
static void dissolve(struct segment *segment, size_t index)
{
    for (uint32_t place = 0; place < SEGMENT_GROUP; place++) {
        uint32_t position = (uint32_t)(index * SEGMENT_GROUP) + place;
        if (is_valid(segment, position) && !move_to_tail(segment, position))
            return;
    }
    if (!make_view_writable(segment, segment->view->count))
        return;
    group_unref(segment->view->groups[index]);
    segment->view->groups[index] = NULL;
    segment->first_free = size_min(segment->first_free, index);
}

static void retire(struct segment *segment, uint32_t position)
{
    clear_valid(segment, position);
    dissolve_if_sparse(segment, position / SEGMENT_GROUP);
}

static enum status_code put(struct segment *segment, const void *id, size_t id_length,
                            const uint8_t *vector, struct status *st)
{
    struct id_map_slot *slot;
    uint32_t position;
    uint32_t old;

    if (!id_map_reserve(&segment->map, segment->map.count + 1) || !reserve_place(segment) ||
        !append(segment, id, id_length, vector, 1, &position))
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for another vector");
    slot = find(segment, id, id_length);
    if (slot == NULL) {
        id_map_insert(&segment->map, id_map_hash(id, id_length), position);
        return STATUS_OK;
    }
    old = slot->position;
    slot->position = position;
    retire(segment, old);
    return STATUS_OK;
}

enum status_code segment_put(struct segment *segment, const void *id, size_t id_length,
                             const uint8_t *refine_row, const uint8_t *code, struct status *st)
{
    const uint8_t *vector = segment->codebook != NULL ? code : refine_row;

    assert(vector != NULL);
    if (id_length < 1 || id_length > SEGMENT_MAX_ID_BYTES)
        return status_set(st, STATUS_INVALID_ARGUMENT, "id of %zu bytes; 1 to %d are allowed",
                          id_length, SEGMENT_MAX_ID_BYTES);
    if (segment->codebook == NULL &&
        !refine_row_valid(vector, segment->vector_bytes, segment->dimension))
        return status_set(st, STATUS_INVALID_ARGUMENT, "refinement row without a finite scale");
    pthread_mutex_lock(&segment->lock);
    put(segment, id, id_length, vector, st);
    pthread_mutex_unlock(&segment->lock);
    return st->code;
}

static bool remove_locked(struct segment *segment, const void *id, size_t id_length)
{
    struct id_map_slot *slot = find(segment, id, id_length);
    uint32_t position;

    if (slot == NULL)
        return false;
    position = slot->position;
    id_map_erase(&segment->map, slot);
    retire(segment, position);
    return true;
}

bool segment_remove(struct segment *segment, const void *id, size_t id_length)
{
    bool removed;

    pthread_mutex_lock(&segment->lock);
    removed = remove_locked(segment, id, id_length);
    pthread_mutex_unlock(&segment->lock);
    return removed;
}

bool segment_adopt_id(struct segment *segment, const uint8_t *id, uint8_t id_length)
{
    uint32_t position;

    if (find(segment, id, id_length) != NULL)
        return false;
    position = take_place(segment, id, id_length);
    id_map_insert(&segment->map, id_map_hash(id, id_length), position);
    return true;
}

/* ---- asking ---- */

bool segment_contains(struct segment *segment, const void *id, size_t id_length)
{
    bool found;

    pthread_mutex_lock(&segment->lock);
    found = find(segment, id, id_length) != NULL;
    pthread_mutex_unlock(&segment->lock);
    return found;
}

size_t segment_count(struct segment *segment)
{
    size_t count;

    pthread_mutex_lock(&segment->lock);
    count = segment->map.count;
    pthread_mutex_unlock(&segment->lock);
    return count;
}

size_t segment_memory_bytes(struct segment *segment)
{
    size_t bytes = sizeof *segment + segment->mapping_bytes;

    pthread_mutex_lock(&segment->lock);
    bytes += segment->map.capacity * sizeof segment->map.slots[0];
    bytes += segment->view->capacity * (sizeof segment->valid[0] + sizeof segment->view->groups[0]);
    for (size_t i = 0; i < segment->view->count; i++)
        if (segment->view->groups[i] != NULL)
            bytes += segment->view->groups[i]->bytes;
    pthread_mutex_unlock(&segment->lock);
    return bytes;
}

/* ---- snapshots ---- */

static bool copy_state(struct segment *segment, struct segment_snapshot *ret)
{
    struct segment_view *view = segment->view;

    ret->live = segment->map.count;
    ret->tail = segment->tail;
    ret->valid = malloc(size_max(view->count, 1) * sizeof ret->valid[0]);
    if (ret->valid == NULL)
        return false;
    memcpy(ret->valid, segment->valid, view->count * sizeof ret->valid[0]);
    if (segment->codebook != NULL && !is_full(segment)) {
        ret->tail_codes = allocate_vectors(segment);
        if (ret->tail_codes == NULL)
            return false;
        memcpy(ret->tail_codes, view->groups[ret->tail]->vectors, segment_group_bytes(segment));
    }
    ret->view = view;
    view->references++;
    return true;
}

static void snapshot_deinit(struct segment_snapshot *snapshot)
{
    free(snapshot->valid);
    free(snapshot->tail_codes);
    *snapshot = (struct segment_snapshot){ 0 };
}

bool segment_snapshot_take(struct segment *segment, struct segment_snapshot *ret)
{
    struct segment_snapshot snapshot = { 0 };
    bool ok;

    pthread_mutex_lock(&segment->lock);
    ok = copy_state(segment, &snapshot);
    pthread_mutex_unlock(&segment->lock);
    if (ok)
        *ret = snapshot;
    else
        snapshot_deinit(&snapshot);
    return ok;
}

void segment_snapshot_release(struct segment *segment, struct segment_snapshot *snapshot)
{
    pthread_mutex_lock(&segment->lock);
    view_unref(snapshot->view);
    pthread_mutex_unlock(&segment->lock);
    snapshot_deinit(snapshot);
}

const uint8_t *segment_snapshot_vectors(const struct segment_snapshot *snapshot, size_t group)
{
    if (snapshot->tail_codes != NULL && group == snapshot->tail)
        return snapshot->tail_codes;
    return snapshot->view->groups[group]->vectors;
}
