#ifndef SUTRA_VECTOR_SEGMENT_BULK_H
#define SUTRA_VECTOR_SEGMENT_BULK_H

/**
 * Many ids at once: segment_bulk.c finds what they lead to, segment_pairs.c and segment_score.c
 * compare it. What an id leads to lies anywhere in memory, so each step is made for a block of ids
 * before the next one, and asks for the memory that the next one will read. Nobody else includes
 * this.
 */

#include "src/vector/segment_impl.h"

enum { BULK_LINE = 64, BULK_BLOCK = 512, BULK_ROWS_AHEAD = 40, BULK_CODES_AHEAD = 2 };

/** The ids of a block, and what is known of them so far. */
struct bulk_block {
    const struct segment *segment;
    const struct segment_id *ids;
    size_t n;
    uint64_t hashes[BULK_BLOCK];
    uint32_t positions[BULK_BLOCK]; /* ID_MAP_NONE: not there */
    uint16_t indices[BULK_BLOCK];   /* [unchecked], of positions that are only guessed */
    size_t unchecked;
    const struct segment_word *words[BULK_BLOCK]; /* of the positions */
    const uint8_t *ids_there[BULK_BLOCK];
};

/** The row or the first part of the code of each id. */
struct bulk_located {
    const uint8_t *at[BULK_BLOCK]; /* NULL: the id is not there, or its row not at hand */
    uint32_t stride[BULK_BLOCK];   /* from one part of the code to the next */
};

/** The next ids to find, at most BULK_BLOCK. */
void bulk_hash(struct bulk_block *block, const struct segment_id *ids, size_t n);

/** Under the lock: the positions. */
void bulk_find(struct bulk_block *block);

/** Under the lock: the positions and what is to be compared there. */
void bulk_locate(struct bulk_block *block, enum segment_measure measure, struct bulk_located *ret);

/** Finds and locates the next @n ids, and lets @reader look at them; till segment_leave(). */
void bulk_enter(struct segment *segment, struct bulk_block *block, const struct segment_id *ids,
                size_t n, enum segment_measure measure, struct bulk_located *ret,
                struct segment_reader *reader);

/* ---- asking for memory ahead; inlined, since the loops around it are limited by how many
 * instructions the processor can look ahead ---- */

/* Into the second cache: more lines can be on their way to it than to the first, and it has room
 * for the rows that are asked for ahead. */
static inline void bulk_ask_for(const void *memory)
{
    __builtin_prefetch(memory, 0, 2);
}

/* A row that begins late in a line may end in one that is not asked for; to ask twice for the last
 * line of all others costs more. */
static inline void bulk_prefetch_row(const struct segment *segment,
                                     const struct bulk_located *located, size_t i)
{
    const uint8_t *row = located->at[i];
    size_t bytes = segment->row_bytes;

    for (size_t offset = 0; row != NULL && offset < bytes; offset += BULK_LINE)
        bulk_ask_for(row + offset);
}

static inline void bulk_prefetch_code(const struct bulk_located *located, size_t i)
{
    const uint8_t *at = located->at[i];
    size_t stride = located->stride[i];

    for (size_t part = 0; at != NULL && part < CODEBOOK_PARTS; part++)
        __builtin_prefetch(at + part * stride);
}

/** Asks for the memory of one; what gathers its code or reads its row will touch. */
static inline void bulk_prefetch(const struct segment *segment, const struct bulk_located *located,
                                 size_t i, enum segment_measure measure)
{
    if (measure == SEGMENT_BY_ROW)
        bulk_prefetch_row(segment, located, i);
    else
        bulk_prefetch_code(located, i);
}

/**
 * By code: what segment_score() does, where there are groups and several ids for each.
 * RESOURCE_EXHAUSTED without memory.
 */
enum status_code bulk_score_groups(struct segment *segment, const struct codebook_query *query,
                                   const struct segment_id *ids, size_t n, float *ret_scores,
                                   struct status *st);

#endif
