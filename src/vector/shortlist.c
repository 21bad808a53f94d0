#include "src/vector/shortlist.h"

#include <string.h>

enum { MAX_SUM = 48 * 127, CHUNK = 1 << 14 };

typedef int16_t lanes __attribute__((vector_size(2 * SHORTLIST_LANES)));

/* Of @n sums, at most as many as a lane can count. */
static size_t count_chunk(const lanes *sums, size_t n, int16_t least)
{
    lanes threshold = (lanes){ 0 } + least;
    lanes counts = { 0 };
    size_t total = 0;

    for (size_t i = 0; i < n; i++)
        counts -= sums[i] >= threshold;
    for (size_t lane = 0; lane < SHORTLIST_LANES; lane++)
        total += (size_t)counts[lane];
    return total;
}

/* How many reach @least, which is more than the zeros behind the last one. */
static size_t count_from(const struct shortlist *list, uint16_t least)
{
    const lanes *sums = (const lanes *)(const void *)list->sums;
    size_t left = (list->count + SHORTLIST_LANES - 1) / SHORTLIST_LANES;
    size_t total = 0;

    for (; left > CHUNK; left -= CHUNK, sums += CHUNK)
        total += count_chunk(sums, CHUNK, (int16_t)least);
    return total + count_chunk(sums, left, (int16_t)least);
}

/* The sum of the R-th, of more than R. Counting some ten times without a branch takes less time
 * than one histogram. */
static uint16_t least_of_best(const struct shortlist *list)
{
    uint16_t low = list->least_sum; /* reached by R at least */
    uint16_t high = MAX_SUM + 1;    /* by less */

    memset(list->sums + list->count, 0, SHORTLIST_LANES * sizeof list->sums[0]);
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        if (count_from(list, middle) >= list->wanted)
            low = middle;
        else
            high = middle;
    }
    return low;
}

void shortlist_prune(struct shortlist *list)
{
    size_t kept = 0;

    if (list->count <= list->wanted)
        return;
    list->least_sum = least_of_best(list);
    for (size_t i = 0; i < list->count; i++) {
        uint16_t sum = list->sums[i];
        list->sums[kept] = sum;
        list->places[kept] = list->places[i];
        kept += sum >= list->least_sum;
    }
    list->count = kept;
}
