#include "src/cluster/ranking.h"

static int compare_ids(const struct candidate *a, const struct candidate *b)
{
    return concept_id_compare((const char *)a->id, a->id_length, (const char *)b->id, b->id_length);
}

static bool precedes(const struct candidate *a, const struct candidate *b)
{
    return a->approximate > b->approximate ||
           (a->approximate == b->approximate && compare_ids(a, b) < 0);
}

/* The list with the best of what is left, NULL when nothing is. False if a list that was cut has
 * come to its end: what follows in it might be better. */
static bool find_next(struct ranking_list *lists, size_t n, struct ranking_list **ret)
{
    struct ranking_list *best = NULL;

    for (size_t i = 0; i < n; i++) {
        if (lists[i].count == 0 && lists[i].cut)
            return false;
        if (lists[i].count > 0 && (best == NULL || precedes(lists[i].candidates, best->candidates)))
            best = &lists[i];
    }
    *ret = best;
    return true;
}

static const struct candidate *take(struct ranking_list *list)
{
    list->count--;
    return list->candidates++;
}

static bool is_own(const struct ranking_rule *rule, const struct candidate *candidate)
{
    const struct concept_id *own = rule->own;

    return own->data != NULL &&
           concept_id_compare((const char *)candidate->id, candidate->id_length, own->data,
                              own->length) == 0;
}

static void offer(struct topk *best, const struct candidate *candidate)
{
    const struct topk_entry entry = { .score = candidate->refined,
                                      .id = candidate->id,
                                      .id_length = candidate->id_length,
                                      .value = (uintptr_t)candidate };

    if (topk_wants(best, candidate->refined))
        topk_offer(best, &entry);
}

static void tell(struct topk *best, struct ranking *ret)
{
    topk_sort(best);
    ret->count = best->count;
    for (size_t i = 0; i < best->count; i++)
        ret->candidates[i] = *(const struct candidate *)(uintptr_t)best->entries[i].value;
}

bool ranking_merge(const struct ranking_rule *rule, struct ranking_list *lists, size_t n,
                   struct topk_entry *scratch, struct ranking *ret)
{
    struct ranking_list *list;
    struct topk best;
    size_t taken = 0;

    topk_init(&best, scratch, rule->k);
    while (taken < rule->rerank) {
        const struct candidate *candidate;
        if (!find_next(lists, n, &list))
            return false;
        if (list == NULL)
            break;
        candidate = take(list);
        if (is_own(rule, candidate))
            continue;
        offer(&best, candidate);
        taken++;
    }
    tell(&best, ret);
    return true;
}
