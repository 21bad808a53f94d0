#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/vector/refine.h"
#include "src/vector/segment_search.h"

enum { ROWS_AHEAD = 8 };

/* ---- the best R by code ---- */

static struct topk_entry entry_of(const struct segment_searching *searching, float score,
                                  uint32_t place, uint64_t value)
{
    struct segment_id id = segment_searching_id(searching, place);

    return (struct topk_entry){ score, (uint32_t)id.length, id.data, value };
}

/* Puts those above the least sum first, in place. How many there are. */
static size_t partition(struct shortlist *list)
{
    size_t above = 0;

    for (size_t i = 0; i < list->count; i++) {
        uint32_t place = list->places[i];
        uint16_t sum = list->sums[i];
        if (sum == list->least_sum)
            continue;
        list->places[i] = list->places[above];
        list->sums[i] = list->sums[above];
        list->places[above] = place;
        list->sums[above++] = sum;
    }
    return above;
}

void segment_settle(const struct segment_searching *searching, struct shortlist *list,
                    struct topk_entry *storage)
{
    struct topk ties;
    size_t above;

    shortlist_prune(list);
    if (list->count <= list->wanted)
        return;
    above = partition(list);
    topk_init(&ties, storage, list->wanted - above);
    for (size_t i = above; i < list->count; i++) {
        struct topk_entry entry = entry_of(searching, 0, list->places[i], list->places[i]);
        topk_offer(&ties, &entry);
    }
    list->count = above;
    for (size_t i = 0; i < ties.count; i++)
        shortlist_push(list, (uint32_t)ties.entries[i].value, list->least_sum);
}

/* ---- rows ---- */

/* A query's candidates by code. */
struct ranking {
    const struct segment_searching *searching;
    const struct codebook_query *codes;
    const struct shortlist *list;
    const uint8_t **rows; /* [list->count]; NULL: not at hand */
    float *refined;
    struct topk_entry *storage;
};

static const struct segment_entry *candidate_entry(const struct ranking *ranking, size_t i)
{
    return segment_searching_entry(ranking->searching, ranking->list->places[i]);
}

static size_t candidate_place(const struct ranking *ranking, size_t i)
{
    return ranking->list->places[i] % SEGMENT_GROUP;
}

static void prefetch_groups(const struct ranking *ranking)
{
    for (size_t i = 0; i < ranking->list->count; i++) {
        const struct segment_group *group = candidate_entry(ranking, i)->group;
        size_t word = candidate_place(ranking, i) / SEGMENT_WORD;
        __builtin_prefetch(&group->words[word]);
    }
}

static void fetch_row(const struct ranking *ranking, size_t i)
{
    const struct segment *segment = ranking->searching->segment;
    const uint8_t *row =
        segment_group_row(segment, candidate_entry(ranking, i)->group, candidate_place(ranking, i));

    ranking->rows[i] = row;
    if (row != NULL)
        segment_prefetch(row, segment->row_bytes);
}

static void refine(const struct ranking *ranking, const float *unit)
{
    const struct segment_searching *searching = ranking->searching;
    struct refine_query *query = searching->rows;
    size_t count = ranking->list->count;

    prefetch_groups(ranking);
    refine_query_init(query, searching->segment->refine, unit, searching->segment->dimension);
    for (size_t i = 0; i < size_min(ROWS_AHEAD, count); i++)
        fetch_row(ranking, i);
    for (size_t i = 0; i < count; i++) {
        if (i + ROWS_AHEAD < count)
            fetch_row(ranking, i + ROWS_AHEAD);
        ranking->refined[i] =
            ranking->rows[i] != NULL ? refine_score(query, ranking->rows[i]) : NAN;
    }
}

static void leave_unrefined(const struct ranking *ranking)
{
    for (size_t i = 0; i < ranking->list->count; i++)
        ranking->refined[i] = NAN;
}

/* ---- the best k ---- */

/* Candidates are chosen twice, among those with a row and among those without, the latter or, where
 * all are wanted, everything by the estimate. */
enum choice { BY_ROW, BY_CODE_WITHOUT_ROW, BY_CODE };

static bool is_eligible(const struct ranking *ranking, size_t i, enum choice choice)
{
    return choice == BY_CODE || isnan(ranking->refined[i]) == (choice == BY_CODE_WITHOUT_ROW);
}

static float approximate(const struct ranking *ranking, size_t i)
{
    return codebook_query_approximate(ranking->codes, ranking->list->sums[i]);
}

static float key(const struct ranking *ranking, size_t i, enum choice choice)
{
    return choice == BY_ROW ? ranking->refined[i] : approximate(ranking, i);
}

/* The k-th best key, or less: so that ids need to be read of those alone that reach it. */
static float find_cut(const struct ranking *ranking, enum choice choice, size_t k,
                      struct topk_entry *storage)
{
    struct topk best;

    topk_init(&best, storage, k);
    for (size_t i = 0; i < ranking->list->count; i++)
        if (is_eligible(ranking, i, choice)) {
            struct topk_entry entry = { .score = key(ranking, i, choice) };
            if (best.count < k || entry.score > best.entries[0].score)
                topk_offer(&best, &entry);
        }
    return best.count == k ? best.entries[0].score : -INFINITY;
}

static void prefetch_id(const struct ranking *ranking, size_t i)
{
    size_t place = candidate_place(ranking, i);
    const struct segment_group *group = candidate_entry(ranking, i)->group;
    const uint8_t *ids =
        atomic_load_explicit(&group->words[place / SEGMENT_WORD].ids, memory_order_acquire);

    __builtin_prefetch(ids + 2 * (place % SEGMENT_WORD));
}

/* The best @k of the eligible, sorted, into the ranking's storage from @storage on. How many. */
static size_t choose(const struct ranking *ranking, enum choice choice, size_t k,
                     struct topk_entry *storage)
{
    size_t count = ranking->list->count;
    struct topk best;
    float cut;

    if (k == 0)
        return 0;
    cut = k < count ? find_cut(ranking, choice, k, storage) : -INFINITY;
    for (size_t i = 0; i < count; i++)
        if (is_eligible(ranking, i, choice) && key(ranking, i, choice) >= cut)
            prefetch_id(ranking, i);
    topk_init(&best, storage, k);
    for (size_t i = 0; i < count; i++)
        if (is_eligible(ranking, i, choice) && key(ranking, i, choice) >= cut) {
            struct topk_entry entry =
                entry_of(ranking->searching, key(ranking, i, choice), ranking->list->places[i], i);
            topk_offer(&best, &entry);
        }
    topk_sort(&best);
    return best.count;
}

static size_t choose_all(const struct ranking *ranking, size_t k)
{
    struct topk_entry *storage = ranking->storage;
    size_t with_row;

    if (k == 0)
        return choose(ranking, BY_CODE, ranking->list->count, storage);
    k = size_min(k, ranking->list->count);
    with_row = choose(ranking, BY_ROW, k, storage);
    return with_row + choose(ranking, BY_CODE_WITHOUT_ROW, k - with_row, storage + with_row);
}

/* ---- hits ---- */

static size_t total_id_bytes(const struct topk_entry *entries, size_t count)
{
    size_t total = 0;

    for (size_t i = 0; i < count; i++)
        total += entries[i].id_length;
    return total;
}

/* Hits with their ids copied, and no scores yet. */
static enum status_code copy_ids(const struct topk_entry *entries, size_t count,
                                 struct arena *arena, struct segment_hits *ret, struct status *st)
{
    struct segment_hit *hits = arena_calloc(arena, count, sizeof *hits);
    uint8_t *ids = arena_alloc(arena, total_id_bytes(entries, count));

    if (hits == NULL || ids == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no room for %zu hits", count);
    for (size_t i = 0; i < count; i++) {
        memcpy(ids, entries[i].id, entries[i].id_length);
        hits[i].id = ids;
        hits[i].id_length = entries[i].id_length;
        ids += entries[i].id_length;
    }
    *ret = (struct segment_hits){ .hits = hits, .count = count };
    return STATUS_OK;
}

static enum status_code rank_codes(struct segment_searching *searching, size_t query,
                                   const float *unit, struct ranking *ranking,
                                   struct segment_hits *ret, struct status *st)
{
    size_t count;

    segment_settle(searching, &searching->lists[query], ranking->storage);
    if (searching->options->codes_only)
        leave_unrefined(ranking);
    else
        refine(ranking, unit);
    count = choose_all(ranking, searching->options->k);
    if (copy_ids(ranking->storage, count, searching->arena, ret, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < count; i++) {
        size_t candidate = (size_t)ranking->storage[i].value;
        ret->hits[i].approximate = approximate(ranking, candidate);
        ret->hits[i].refined = ranking->refined[candidate];
    }
    return STATUS_OK;
}

static enum status_code rank_rows(struct segment_searching *searching, size_t query,
                                  struct segment_hits *ret, struct status *st)
{
    const struct segment_search *options = searching->options;
    struct topk *best = &searching->best[query];

    topk_sort(best);
    if (options->k > 0)
        best->count = size_min(best->count, options->k);
    if (copy_ids(best->entries, best->count, searching->arena, ret, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < best->count; i++) {
        ret->hits[i].approximate = best->entries[i].score;
        ret->hits[i].refined = options->codes_only ? NAN : best->entries[i].score;
    }
    return STATUS_OK;
}

enum status_code segment_rank(struct segment_searching *searching, size_t query, const float *unit,
                              struct segment_hits *ret, struct status *st)
{
    size_t room = shortlist_capacity(searching->wanted);
    struct ranking ranking = { .searching = searching };

    if (searching->codes == NULL)
        return rank_rows(searching, query, ret, st);
    ranking.codes = &searching->codes[query];
    ranking.list = &searching->lists[query];
    ranking.storage = searching->best[query].entries;
    ranking.rows = malloc(room * (sizeof *ranking.rows + sizeof *ranking.refined));
    if (ranking.rows == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to refine");
    ranking.refined = (float *)(void *)(ranking.rows + room);
    rank_codes(searching, query, unit, &ranking, ret, st);
    free(ranking.rows);
    return st->code;
}
