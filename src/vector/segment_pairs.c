#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/vector/refine.h"
#include "src/vector/segment_impl.h"

/*
 * Many ids at once. What an id leads to lies anywhere in memory, so each step is made for a block
 * of ids before the next one, and asks for the memory that the next one will read.
 */

enum { BLOCK = 256, ROWS_AHEAD = 32, CODES_AHEAD = 2, LINE = 64 };

/* The ids of a block, and what is known of them so far. */
struct block {
    const struct segment *segment;
    const struct segment_id *ids;
    size_t n;
    uint64_t hashes[BLOCK];
    uint32_t positions[BLOCK]; /* ID_MAP_NONE: not there */
    const struct segment_group *groups[BLOCK];
    const uint8_t *stored[BLOCK]; /* the length of the id at the position, and the id */
};

/* The row or the first part of the code of each id. */
struct located {
    const uint8_t *at[BLOCK]; /* NULL: the id is not there, or its row not at hand */
    uint32_t stride[BLOCK];   /* from one part of the code to the next */
};

/* ---- from ids to positions ---- */

static void hash_ids(struct block *block, const struct segment_id *ids, size_t n)
{
    block->ids = ids;
    block->n = n;
    for (size_t i = 0; i < n; i++)
        block->hashes[i] = id_map_hash(ids[i].data, ids[i].length);
}

static void prefetch_entries(const struct block *block)
{
    for (size_t i = 0; i < block->n; i++)
        if (block->positions[i] != ID_MAP_NONE)
            __builtin_prefetch(segment_entry_at(block->segment, block->positions[i]));
}

static void prefetch_groups(struct block *block)
{
    for (size_t i = 0; i < block->n; i++) {
        uint32_t position = block->positions[i];
        if (position == ID_MAP_NONE)
            continue;
        block->groups[i] = segment_entry_at(block->segment, position)->group;
        __builtin_prefetch(&block->groups[i]->ids);
    }
}

static void prefetch_offsets(struct block *block)
{
    for (size_t i = 0; i < block->n; i++) {
        size_t place = block->positions[i] % SEGMENT_GROUP;
        if (block->positions[i] == ID_MAP_NONE)
            continue;
        block->stored[i] = atomic_load_explicit(&block->groups[i]->ids[place / SEGMENT_WORD],
                                                memory_order_relaxed);
        __builtin_prefetch(block->stored[i] + 2 * (place % SEGMENT_WORD));
    }
}

static void prefetch_ids(struct block *block)
{
    for (size_t i = 0; i < block->n; i++) {
        uint16_t offset;
        if (block->positions[i] == ID_MAP_NONE)
            continue;
        memcpy(&offset, block->stored[i] + 2 * (block->positions[i] % SEGMENT_WORD), sizeof offset);
        block->stored[i] += offset;
        __builtin_prefetch(block->stored[i]);
    }
}

static bool is_right(const struct block *block, size_t i)
{
    struct segment_id id;

    if (block->positions[i] == ID_MAP_NONE)
        return false;
    id = (struct segment_id){ block->stored[i] + 1, *block->stored[i] };
    return segment_same_id(id, block->ids[i]);
}

/* Under the lock. Nearly all positions are right at the first guess. How many are there. */
static size_t find_positions(struct block *block)
{
    size_t found = 0;

    id_map_guess_all(&block->segment->map, block->hashes, block->n, block->positions);
    prefetch_entries(block);
    prefetch_groups(block);
    prefetch_offsets(block);
    prefetch_ids(block);
    for (size_t i = 0; i < block->n; i++) {
        if (!is_right(block, i))
            block->positions[i] = segment_position(block->segment, block->hashes[i], block->ids[i]);
        found += block->positions[i] != ID_MAP_NONE;
    }
    return found;
}

size_t segment_find(struct segment *segment, const struct segment_id *ids, size_t n,
                    bool *ret_found)
{
    struct block block = { .segment = segment };
    size_t found = 0;

    for (size_t i = 0; i < n; i += BLOCK) {
        hash_ids(&block, ids + i, size_min(n - i, BLOCK));
        segment_lock_as_reader(segment);
        found += find_positions(&block);
        segment_unlock(segment);
        for (size_t j = 0; j < block.n; j++)
            ret_found[i + j] = block.positions[j] != ID_MAP_NONE;
    }
    return found;
}

/* ---- from positions to vectors ---- */

/* Under the lock, both. */
static void locate_rows(const struct block *block, struct located *ret)
{
    for (size_t i = 0; i < block->n; i++) {
        uint32_t position = block->positions[i];
        ret->at[i] = position != ID_MAP_NONE
                         ? segment_group_row(block->segment,
                                             segment_entry_at(block->segment, position)->group,
                                             position % SEGMENT_GROUP)
                         : NULL;
    }
}

static void locate_codes(const struct block *block, struct located *ret)
{
    for (size_t i = 0; i < block->n; i++) {
        uint32_t position = block->positions[i];
        const struct segment_entry *entry;
        ret->at[i] = NULL;
        if (position == ID_MAP_NONE)
            continue;
        entry = segment_entry_at(block->segment, position);
        ret->at[i] = entry->codes + position % SEGMENT_GROUP;
        ret->stride[i] = (uint32_t)SEGMENT_WORD * entry->words;
    }
}

static void locate(struct block *block, enum segment_measure measure, struct located *ret)
{
    find_positions(block);
    if (measure == SEGMENT_BY_ROW)
        locate_rows(block, ret);
    else
        locate_codes(block, ret);
}

/*
 * So many rows ahead that they would crowd the first cache: the second one is near enough. A row
 * that begins late in a line may end in one that is not asked for; to ask twice for the last line
 * of all others costs more.
 */
static void prefetch_row(const struct segment *segment, const struct located *located, size_t i)
{
    const uint8_t *row = located->at[i];
    size_t bytes = segment->row_bytes;

    for (size_t offset = 0; row != NULL && offset < bytes; offset += LINE)
        __builtin_prefetch(row + offset, 0, 2);
}

static void prefetch_code(const struct located *located, size_t i)
{
    const uint8_t *at = located->at[i];
    size_t stride = located->stride[i];

    for (size_t part = 0; at != NULL && part < CODEBOOK_PARTS; part++)
        __builtin_prefetch(at + part * stride);
}

static void gather_code(const struct located *located, size_t i,
                        uint8_t ret_code[CODEBOOK_CODE_BYTES])
{
    const uint8_t *at = located->at[i];
    size_t stride = located->stride[i];

    for (size_t part = 0; part < CODEBOOK_PARTS; part++)
        ret_code[part] = at[part * stride];
}

static size_t ahead(enum segment_measure measure)
{
    return measure == SEGMENT_BY_ROW ? ROWS_AHEAD : CODES_AHEAD;
}

static void prefetch_vector(const struct segment *segment, const struct located *located, size_t i,
                            enum segment_measure measure)
{
    if (measure == SEGMENT_BY_ROW)
        prefetch_row(segment, located, i);
    else
        prefetch_code(located, i);
}

/* ---- pairs ---- */

struct pairs {
    struct block block;
    struct located located[2];
};

static float similarity_by_code(const struct segment *segment, const struct located located[2],
                                size_t i)
{
    uint8_t codes[2][CODEBOOK_CODE_BYTES];

    gather_code(&located[0], i, codes[0]);
    gather_code(&located[1], i, codes[1]);
    return codebook_similarity(segment->codebook, codes[0], codes[1]);
}

static float similarity(const struct segment *segment, const struct located located[2], size_t i,
                        enum segment_measure measure)
{
    const uint8_t *a = located[0].at[i];
    const uint8_t *b = located[1].at[i];

    if (a == NULL || b == NULL)
        return NAN;
    return measure == SEGMENT_BY_ROW ? refine_similarity(segment->refine, a, b, segment->dimension)
                                     : similarity_by_code(segment, located, i);
}

static void compare_located(const struct segment *segment, const struct located located[2],
                            size_t n, enum segment_measure measure, float *ret)
{
    size_t lead = ahead(measure);

    for (size_t i = 0; i < n + lead; i++) {
        if (i < n) {
            prefetch_vector(segment, &located[0], i, measure);
            prefetch_vector(segment, &located[1], i, measure);
        }
        if (i >= lead)
            ret[i - lead] = similarity(segment, located, i - lead, measure);
    }
}

static void compare_block(struct segment *segment, struct pairs *pairs, const struct segment_id *a,
                          const struct segment_id *b, size_t n, enum segment_measure measure,
                          float *ret)
{
    struct segment_reader reader;

    hash_ids(&pairs->block, a, n);
    segment_lock_as_reader(segment);
    locate(&pairs->block, measure, &pairs->located[0]);
    hash_ids(&pairs->block, b, n);
    locate(&pairs->block, measure, &pairs->located[1]);
    segment_enter(segment, &reader);
    segment_unlock(segment);
    compare_located(segment, pairs->located, n, measure, ret);
    segment_leave(segment, &reader);
}

enum status_code segment_pairs(struct segment *segment, const struct segment_id *a,
                               const struct segment_id *b, size_t n, enum segment_measure measure,
                               float *ret_similarities, struct status *st)
{
    struct pairs *pairs = malloc(sizeof *pairs);

    if (pairs == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to compare");
    pairs->block.segment = segment;
    for (size_t i = 0; i < n; i += BLOCK)
        compare_block(segment, pairs, a + i, b + i, size_min(n - i, BLOCK), measure,
                      ret_similarities + i);
    free(pairs);
    return STATUS_OK;
}

/* ---- one query ---- */

struct scores {
    struct block block;
    struct located located;
    union {
        struct codebook_query codes;
        struct refine_query row;
    };
};

static float score(const struct scores *scores, size_t i, enum segment_measure measure)
{
    const uint8_t *at = scores->located.at[i];
    uint8_t code[CODEBOOK_CODE_BYTES];

    if (at == NULL)
        return NAN;
    if (measure == SEGMENT_BY_ROW)
        return refine_score(&scores->row, at);
    gather_code(&scores->located, i, code);
    return codebook_query_score(&scores->codes, code);
}

static void score_located(const struct segment *segment, const struct scores *scores, size_t n,
                          enum segment_measure measure, float *ret)
{
    size_t lead = ahead(measure);

    for (size_t i = 0; i < n + lead; i++) {
        if (i < n)
            prefetch_vector(segment, &scores->located, i, measure);
        if (i >= lead)
            ret[i - lead] = score(scores, i - lead, measure);
    }
}

static void score_block(struct segment *segment, struct scores *scores,
                        const struct segment_id *ids, size_t n, enum segment_measure measure,
                        float *ret)
{
    struct segment_reader reader;

    hash_ids(&scores->block, ids, n);
    segment_lock_as_reader(segment);
    locate(&scores->block, measure, &scores->located);
    segment_enter(segment, &reader);
    segment_unlock(segment);
    score_located(segment, scores, n, measure, ret);
    segment_leave(segment, &reader);
}

enum status_code segment_score(struct segment *segment, const float *query,
                               const struct segment_id *ids, size_t n, enum segment_measure measure,
                               float *ret_similarities, struct status *st)
{
    struct scores *scores = aligned_alloc(64, sizeof *scores);

    if (scores == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to compare");
    scores->block.segment = segment;
    if (measure == SEGMENT_BY_ROW)
        refine_query_init(&scores->row, segment->refine, query, segment->dimension);
    else
        codebook_query_init(&scores->codes, segment->codebook, query);
    for (size_t i = 0; i < n; i += BLOCK)
        score_block(segment, scores, ids + i, size_min(n - i, BLOCK), measure,
                    ret_similarities + i);
    free(scores);
    return STATUS_OK;
}
