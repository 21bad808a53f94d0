#include "src/vector/shortlist.h"

#include <string.h>

/* A histogram of all sums would take longer to clear and to walk than the entries take to count:
 * first by 64 sums, then within those where the R-th is. */
enum { COARSE = 64, COARSE_BUCKETS = (SHORTLIST_MAX_SUM + 1) / COARSE };

/* The highest bucket from which on there are at least *@wanted; less what lies above it. */
static size_t cut(const uint32_t *histogram, size_t top, size_t *wanted)
{
    while (histogram[top] < *wanted)
        *wanted -= histogram[top--];
    return top;
}

static uint16_t sum_of_rank(const struct shortlist *list, size_t rank)
{
    uint32_t coarse[COARSE_BUCKETS] = { 0 };
    uint32_t fine[COARSE] = { 0 };
    size_t bucket;

    for (size_t i = 0; i < list->count; i++)
        coarse[list->entries[i].sum / COARSE]++;
    bucket = cut(coarse, COARSE_BUCKETS - 1, &rank);
    for (size_t i = 0; i < list->count; i++)
        if (list->entries[i].sum / COARSE == bucket)
            fine[list->entries[i].sum % COARSE]++;
    return (uint16_t)(bucket * COARSE + cut(fine, COARSE - 1, &rank));
}

void shortlist_prune(struct shortlist *list)
{
    size_t kept = 0;

    if (list->count <= list->wanted)
        return;
    list->least_sum = sum_of_rank(list, list->wanted);
    for (size_t i = 0; i < list->count; i++) {
        list->entries[kept] = list->entries[i];
        kept += list->entries[i].sum >= list->least_sum;
    }
    list->count = kept;
}
