#ifndef SUTRA_VECTOR_TOPK_H
#define SUTRA_VECTOR_TOPK_H

/**
 * The best R of a stream of scored ids, in a total order: higher score first, equal scores by id
 * (bytes ascending as memcmp has it, then shorter first). So the result depends neither on the
 * order of offers nor on how they were split and merged.
 *
 * A heap in the caller's storage with the worst kept entry at its root. Ids are borrowed: they must
 * live as long as the collector, and are looked at only when scores tie. Scores must not be NaN; an
 * id should be offered once. One thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct topk_entry {
    float score;
    uint32_t id_length;
    const uint8_t *id;
    uint64_t value; /* the caller's: a position, an index */
};

struct topk {
    struct topk_entry *entries; /* a heap until topk_sort() */
    size_t capacity;
    size_t count;
};

/** @storage [capacity], capacity >= 1. */
void topk_init(struct topk *topk, struct topk_entry *storage, size_t capacity);

/** False if an entry of this score cannot be kept; a cheap test to make before gathering the rest.
 */
static inline bool topk_wants(const struct topk *topk, float score)
{
    return topk->count < topk->capacity || score >= topk->entries[0].score;
}

/** Keeps @entry if it is among the best so far. O(log capacity). */
void topk_offer(struct topk *topk, const struct topk_entry *entry);

/** Sorts entries[0 .. count) best first. Only topk_init() may follow. */
void topk_sort(struct topk *topk);

/** < 0 if @a comes before (is better than) @b, 0 if same score and id, > 0 if behind. */
int topk_compare(const struct topk_entry *a, const struct topk_entry *b);

#endif
