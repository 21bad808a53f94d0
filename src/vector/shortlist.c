#include "src/vector/shortlist.h"

#include <string.h>

/* The sum of the R-th best of more than R. */
static uint16_t cut(const struct shortlist *list)
{
    uint32_t histogram[SHORTLIST_MAX_SUM + 1];
    uint16_t sum = SHORTLIST_MAX_SUM;
    size_t seen;

    memset(histogram, 0, sizeof histogram);
    for (size_t i = 0; i < list->count; i++)
        histogram[list->entries[i].sum]++;
    for (seen = histogram[sum]; seen < list->wanted; seen += histogram[sum])
        sum--;
    return sum;
}

void shortlist_prune(struct shortlist *list)
{
    size_t kept = 0;

    if (list->count <= list->wanted)
        return;
    list->least_sum = cut(list);
    for (size_t i = 0; i < list->count; i++)
        if (list->entries[i].sum >= list->least_sum)
            list->entries[kept++] = list->entries[i];
    list->count = kept;
}
