#ifndef SUTRA_VECTOR_SEGMENT_SEARCH_H
#define SUTRA_VECTOR_SEGMENT_SEARCH_H

/**
 * A search on its way: segment_search.c prepares queries, takes the snapshot and goes over its
 * groups, segment_scan.c looks into them, segment_rank.c makes hits of what was found. Nobody else
 * includes this.
 *
 * A place is 256 * number of the snapshot's entry + place in the group.
 */

#include "src/vector/segment_impl.h"
#include "src/vector/shortlist.h"
#include "src/vector/topk.h"

enum {
    SEGMENT_BATCH = KERNEL_BATCH, /* queries that share a snapshot; their tables fit the L2 cache */
    SEGMENT_ROWS_BATCH = 8,       /* without a codebook */
};

struct segment_searching {
    struct segment *segment;
    const struct segment_search *options;
    struct arena *arena;
    size_t queries;               /* of this batch */
    size_t wanted;                /* R, but not more than there is */
    struct codebook_query *codes; /* [batch]; NULL without a codebook */
    uint8_t *batch_tables;        /* theirs, interleaved; NULL until they are wanted */
    struct refine_query *rows; /* [batch] without a codebook, else [1], for one after the other */
    struct segment_snapshot snapshot;
    struct shortlist lists[SEGMENT_BATCH]; /* of codes */
    struct topk best[SEGMENT_BATCH];       /* of rows, without a codebook */
    size_t scanned_codes[SEGMENT_BATCH];
    size_t scanned_cells[SEGMENT_BATCH]; /* 0: all */
};

static inline const struct segment_entry *
segment_searching_entry(const struct segment_searching *searching, uint32_t place)
{
    return &searching->snapshot.entries[place / SEGMENT_GROUP];
}

static inline struct segment_id segment_searching_id(const struct segment_searching *searching,
                                                     uint32_t place)
{
    return segment_group_id(segment_searching_entry(searching, place)->group,
                            place % SEGMENT_GROUP);
}

/** Looks for @query among the entries [first, first + count) of the snapshot. @again: another query
 * was just looked for there, so that they are in the cache. */
void segment_scan(struct segment_searching *searching, size_t query, size_t first, size_t count,
                  bool again);

/** The same for all of @queries, a bit each, at once: by their codes, whose batch_tables are there.
 */
void segment_scan_batch(struct segment_searching *searching, uint64_t queries, size_t first,
                        size_t count);

/**
 * The hits of @query, @unit [d], from what was found, in the arena.
 * RESOURCE_EXHAUSTED without memory.
 */
enum status_code segment_rank(struct segment_searching *searching, size_t query, const float *unit,
                              struct segment_hits *ret, struct status *st);

/** Cuts a shortlist down to its best R, ties decided by id. @storage [wanted] is overwritten. */
void segment_settle(const struct segment_searching *searching, struct shortlist *list,
                    struct topk_entry *storage);

#endif
