#include "src/vector/topk.h"

#include <assert.h>
#include <string.h>

static int compare_ids(const struct topk_entry *a, const struct topk_entry *b)
{
    uint32_t shorter = a->id_length < b->id_length ? a->id_length : b->id_length;
    int order = shorter > 0 ? memcmp(a->id, b->id, shorter) : 0;

    if (order != 0)
        return order;
    return (a->id_length > b->id_length) - (a->id_length < b->id_length);
}

int topk_compare(const struct topk_entry *a, const struct topk_entry *b)
{
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return compare_ids(a, b);
}

void topk_init(struct topk *topk, struct topk_entry *storage, size_t capacity)
{
    assert(capacity >= 1);
    *topk = (struct topk){ .entries = storage, .capacity = capacity };
}

static bool worse(const struct topk_entry *a, const struct topk_entry *b)
{
    return topk_compare(a, b) > 0;
}

static void sift_up(struct topk_entry *heap, size_t i, const struct topk_entry *entry)
{
    while (i > 0 && worse(entry, &heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = *entry;
}

static void sift_down(struct topk_entry *heap, size_t count, const struct topk_entry *entry)
{
    size_t i = 0;
    size_t child;

    while ((child = 2 * i + 1) < count) {
        if (child + 1 < count && worse(&heap[child + 1], &heap[child]))
            child++;
        if (!worse(&heap[child], entry))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = *entry;
}

void topk_offer(struct topk *topk, const struct topk_entry *entry)
{
    if (topk->count < topk->capacity)
        sift_up(topk->entries, topk->count++, entry);
    else if (worse(&topk->entries[0], entry))
        sift_down(topk->entries, topk->count, entry);
}

/* The rest of a heapsort: the worst goes to the end, again and again. */
void topk_sort(struct topk *topk)
{
    for (size_t left = topk->count; left > 1; left--) {
        struct topk_entry last = topk->entries[left - 1];
        topk->entries[left - 1] = topk->entries[0];
        sift_down(topk->entries, left - 1, &last);
    }
}
