#ifndef SUTRA_VECTOR_SHORTLIST_H
#define SUTRA_VECTOR_SHORTLIST_H

/**
 * The codes of a scan that may still be among its best R: sums and places only, so that a scan
 * touches no ids until it is over. Pushing is cheap; now and then all but the best R are dropped
 * and the least sum that still matters rises: the first time after the first group already, for
 * whatever passes the threshold costs more than the scan of its group. What ties with the R-th is
 * kept, for the caller to decide by id.
 *
 * Memory is the caller's; one thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHORTLIST_STEP = 256, /* pushed at most between two looks at shortlist_is_full() */
    SHORTLIST_LANES = 8,  /* that are compared at once */
};

struct shortlist {
    uint16_t *sums;   /* [shortlist_capacity(wanted)], 16-byte aligned; each < 2^15 */
    uint32_t *places; /* as many; the caller's numbers */
    size_t count;
    size_t wanted;      /* R, at least 1 */
    uint16_t least_sum; /* nothing below it can be among the best R */
};

/* How many are too many: each pruning looks at all of them. */
static inline size_t shortlist_limit(size_t wanted)
{
    return 2 * wanted + 64;
}

/** Entries to allocate for R = @wanted. */
static inline size_t shortlist_capacity(size_t wanted)
{
    return (shortlist_limit(wanted) + SHORTLIST_STEP) / SHORTLIST_LANES * SHORTLIST_LANES +
           2 * SHORTLIST_LANES;
}

static inline bool shortlist_is_full(const struct shortlist *list)
{
    return list->count > shortlist_limit(list->wanted);
}

/** @sum >= least_sum; not more than SHORTLIST_STEP after it was not full. */
static inline void shortlist_push(struct shortlist *list, uint32_t place, uint16_t sum)
{
    list->sums[list->count] = sum;
    list->places[list->count++] = place;
}

/** Drops what is worse than the R-th best. With many ties it may still be full after it. */
void shortlist_prune(struct shortlist *list);

#endif
