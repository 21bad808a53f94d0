#ifndef SUTRA_VECTOR_SHORTLIST_H
#define SUTRA_VECTOR_SHORTLIST_H

/**
 * The codes of a scan that may still be among its best R: sums and positions only, so that a scan
 * touches no ids until it is over. Pushing is cheap; now and then, when it has filled up, all but
 * the best R are dropped and the least sum that still matters rises. What ties with the R-th is
 * kept, for the caller to decide by id.
 *
 * Memory is the caller's; one thread at a time.
 */

#include <stddef.h>
#include <stdint.h>

enum {
    SHORTLIST_STEP = 256,     /* pushed at most between two looks at shortlist_has_room() */
    SHORTLIST_MAX_SUM = 6143, /* 48 parts of at most 127 */
};

struct shortlist_entry {
    uint32_t position;
    uint16_t sum;
};

struct shortlist {
    struct shortlist_entry *entries;
    size_t capacity;
    size_t count;
    size_t wanted;      /* R */
    uint16_t least_sum; /* nothing below it can be among the best R */
};

/** Entries to allocate for R = @wanted. */
static inline size_t shortlist_capacity(size_t wanted)
{
    return 3 * wanted + 3 * SHORTLIST_STEP;
}

static inline int shortlist_has_room(const struct shortlist *list)
{
    return list->capacity - list->count >= SHORTLIST_STEP;
}

/** @sum >= least_sum. */
static inline void shortlist_push(struct shortlist *list, uint32_t position, uint16_t sum)
{
    list->entries[list->count++] = (struct shortlist_entry){ position, sum };
}

/** Drops what is worse than the R-th best. With many ties there may still be no room after it. */
void shortlist_prune(struct shortlist *list);

#endif
