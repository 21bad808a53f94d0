#include <math.h>
#include <stdlib.h>

#include "src/base/size.h"
#include "src/vector/refine.h"
#include "src/vector/segment_impl.h"

/*
 * Many ids at once. What an id leads to lies anywhere in memory, so each step is made for a block
 * of ids before the next one, and asks for the memory that the next one will read.
 */

enum { BLOCK = 256, ROWS_AHEAD = 4 };

struct located {
    struct segment_entry entry; /* group NULL: the id is not there */
    size_t place;
    const uint8_t *row; /* NULL: not at hand */
};

struct block {
    struct segment *segment;
    const struct segment_id *ids;
    size_t n;
    uint64_t hashes[BLOCK];
    uint32_t positions[BLOCK]; /* ID_MAP_NONE: not there */
};

/* ---- from ids to positions ---- */

static void hash_ids(struct block *block, const struct segment_id *ids, size_t n)
{
    block->ids = ids;
    block->n = n;
    for (size_t i = 0; i < n; i++)
        block->hashes[i] = id_map_hash(ids[i].data, ids[i].length);
}

static const struct segment_group *group_at(const struct block *block, uint32_t position)
{
    return segment_entry_at(block->segment, position)->group;
}

static void prefetch_offset(const struct block *block, uint32_t position)
{
    size_t place = position % SEGMENT_GROUP;
    const uint8_t *ids = atomic_load_explicit(&group_at(block, position)->ids[place / SEGMENT_WORD],
                                              memory_order_relaxed);

    __builtin_prefetch(ids + 2 * (place % SEGMENT_WORD));
}

/* Under the lock: positions that are right or ID_MAP_NONE for most ids, and the memory that tells
 * which. */
static void prefetch_positions(struct block *block)
{
    const struct segment *segment = block->segment;
    uint32_t *guesses = block->positions;

    for (size_t i = 0; i < block->n; i++)
        id_map_prefetch(&segment->map, block->hashes[i]);
    for (size_t i = 0; i < block->n; i++) {
        guesses[i] = id_map_guess(&segment->map, block->hashes[i]);
        if (guesses[i] != ID_MAP_NONE)
            __builtin_prefetch(segment_entry_at(segment, guesses[i]));
    }
    for (size_t i = 0; i < block->n; i++)
        if (guesses[i] != ID_MAP_NONE)
            __builtin_prefetch(&group_at(block, guesses[i])->ids);
    for (size_t i = 0; i < block->n; i++)
        if (guesses[i] != ID_MAP_NONE)
            prefetch_offset(block, guesses[i]);
    for (size_t i = 0; i < block->n; i++)
        if (guesses[i] != ID_MAP_NONE)
            __builtin_prefetch(
                segment_group_id(group_at(block, guesses[i]), guesses[i] % SEGMENT_GROUP).data);
}

/* Under the lock. How many are there. */
static size_t find_positions(struct block *block)
{
    size_t found = 0;

    prefetch_positions(block);
    for (size_t i = 0; i < block->n; i++) {
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

/* Under the lock. */
static void locate(struct block *block, struct located *ret)
{
    const struct segment *segment = block->segment;

    find_positions(block);
    for (size_t i = 0; i < block->n; i++) {
        uint32_t position = block->positions[i];
        ret[i].entry.group = NULL;
        ret[i].row = NULL;
        if (position == ID_MAP_NONE)
            continue;
        ret[i].entry = *segment_entry_at(segment, position);
        ret[i].place = position % SEGMENT_GROUP;
        ret[i].row = segment_group_row(segment, ret[i].entry.group, ret[i].place);
    }
}

static void prefetch_row(const struct segment *segment, const struct located *located)
{
    if (located->row != NULL)
        segment_prefetch(located->row, segment->row_bytes);
}

static void prefetch_code(const struct located *located)
{
    for (size_t part = 0; located->entry.group != NULL && part < CODEBOOK_PARTS; part++)
        __builtin_prefetch(located->entry.codes + part * SEGMENT_WORD * located->entry.words +
                           located->place);
}

static void prefetch_vector(const struct segment *segment, const struct located *located,
                            enum segment_measure measure)
{
    if (measure == SEGMENT_BY_ROW)
        prefetch_row(segment, located);
    else
        prefetch_code(located);
}

/* ---- pairs ---- */

struct pairs {
    struct block blocks[2];
    struct located located[2][BLOCK];
};

static float similarity_by_code(const struct segment *segment, const struct located *a,
                                const struct located *b)
{
    uint8_t codes[2][CODEBOOK_CODE_BYTES];

    if (a->entry.group == NULL || b->entry.group == NULL)
        return NAN;
    segment_entry_code(&a->entry, a->place, codes[0]);
    segment_entry_code(&b->entry, b->place, codes[1]);
    return codebook_similarity(segment->codebook, codes[0], codes[1]);
}

static float similarity(const struct segment *segment, const struct located *a,
                        const struct located *b, enum segment_measure measure)
{
    if (measure == SEGMENT_BY_CODE)
        return similarity_by_code(segment, a, b);
    if (a->row == NULL || b->row == NULL)
        return NAN;
    return refine_similarity(segment->refine, a->row, b->row, segment->dimension);
}

static void compare_located(const struct segment *segment, const struct pairs *pairs, size_t n,
                            enum segment_measure measure, float *ret)
{
    for (size_t i = 0; i < n + ROWS_AHEAD; i++) {
        if (i < n) {
            prefetch_vector(segment, &pairs->located[0][i], measure);
            prefetch_vector(segment, &pairs->located[1][i], measure);
        }
        if (i >= ROWS_AHEAD) {
            size_t j = i - ROWS_AHEAD;
            ret[j] = similarity(segment, &pairs->located[0][j], &pairs->located[1][j], measure);
        }
    }
}

static void compare_block(struct segment *segment, struct pairs *pairs, const struct segment_id *a,
                          const struct segment_id *b, size_t n, enum segment_measure measure,
                          float *ret)
{
    struct segment_reader reader;

    hash_ids(&pairs->blocks[0], a, n);
    hash_ids(&pairs->blocks[1], b, n);
    segment_lock_as_reader(segment);
    locate(&pairs->blocks[0], pairs->located[0]);
    locate(&pairs->blocks[1], pairs->located[1]);
    segment_enter(segment, &reader);
    segment_unlock(segment);
    compare_located(segment, pairs, n, measure, ret);
    segment_leave(segment, &reader);
}

enum status_code segment_pairs(struct segment *segment, const struct segment_id *a,
                               const struct segment_id *b, size_t n, enum segment_measure measure,
                               float *ret_similarities, struct status *st)
{
    struct pairs *pairs = aligned_alloc(64, sizeof *pairs);

    if (pairs == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to compare");
    pairs->blocks[0].segment = pairs->blocks[1].segment = segment;
    for (size_t i = 0; i < n; i += BLOCK)
        compare_block(segment, pairs, a + i, b + i, size_min(n - i, BLOCK), measure,
                      ret_similarities + i);
    free(pairs);
    return STATUS_OK;
}

/* ---- one query ---- */

struct scores {
    struct block block;
    struct located located[BLOCK];
    union {
        struct codebook_query codes;
        struct refine_query row;
    };
};

static float score(const struct scores *scores, const struct located *located,
                   enum segment_measure measure)
{
    uint8_t code[CODEBOOK_CODE_BYTES];

    if (measure == SEGMENT_BY_ROW)
        return located->row != NULL ? refine_score(&scores->row, located->row) : NAN;
    if (located->entry.group == NULL)
        return NAN;
    segment_entry_code(&located->entry, located->place, code);
    return codebook_query_score(&scores->codes, code);
}

static void score_located(const struct segment *segment, const struct scores *scores, size_t n,
                          enum segment_measure measure, float *ret)
{
    for (size_t i = 0; i < n + ROWS_AHEAD; i++) {
        if (i < n)
            prefetch_vector(segment, &scores->located[i], measure);
        if (i >= ROWS_AHEAD)
            ret[i - ROWS_AHEAD] = score(scores, &scores->located[i - ROWS_AHEAD], measure);
    }
}

static void score_block(struct segment *segment, struct scores *scores,
                        const struct segment_id *ids, size_t n, enum segment_measure measure,
                        float *ret)
{
    struct segment_reader reader;

    hash_ids(&scores->block, ids, n);
    segment_lock_as_reader(segment);
    locate(&scores->block, scores->located);
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
