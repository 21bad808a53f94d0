#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/vector/kernel.h"
#include "src/vector/refine.h"
#include "src/vector/segment_impl.h"
#include "src/vector/shortlist.h"
#include "src/vector/topk.h"

enum {
    BATCH = 16,       /* queries that scan a group while it is in the cache */
    POLL_GROUPS = 16, /* between two looks at the cancel callback: some 5 us per query */
};

struct search_query {
    union {
        struct codebook_query codes;
        struct refine_query row;
    };
    struct topk best;           /* of rows while scanning, of codes at the end */
    struct shortlist shortlist; /* of codes while scanning */
};

struct search {
    struct segment *segment;
    struct segment_snapshot snapshot;
    size_t capacity; /* of each query's collector */
    segment_cancelled cancelled;
    void *context;
    struct search_query *queries;       /* [BATCH] */
    struct topk_entry *entries;         /* [BATCH][capacity] */
    struct shortlist_entry *shortlists; /* [BATCH][shortlist_capacity(capacity)]; codes only */
    struct arena *arena;
};

static void offer(struct search_query *query, const struct segment_group *group, size_t place,
                  float score, uint64_t value)
{
    struct topk_entry entry = {
        .score = score,
        .id_length = group->id_lengths[place],
        .id = group->ids[place],
        .value = value,
    };

    topk_offer(&query->best, &entry);
}

static void offer_code(struct search *search, struct search_query *query,
                       const struct shortlist_entry *entry)
{
    const struct segment_group *group =
        search->snapshot.view->groups[entry->position / SEGMENT_GROUP];

    offer(query, group, entry->position % SEGMENT_GROUP,
          codebook_query_approximate(&query->codes, entry->sum),
          (uint64_t)entry->position << 16 | entry->sum);
}

static void reset_best(struct search *search, size_t i)
{
    topk_init(&search->queries[i].best, search->entries + i * search->capacity, search->capacity);
}

/* The best of the shortlist, ties decided by id. */
static void collect_codes(struct search *search, size_t i)
{
    struct search_query *query = &search->queries[i];

    reset_best(search, i);
    shortlist_prune(&query->shortlist);
    for (size_t j = 0; j < query->shortlist.count; j++)
        offer_code(search, query, &query->shortlist.entries[j]);
}

/* For the rare data where ties alone fill the shortlist: keeps exactly the best. */
static void decide_ties(struct search *search, size_t i)
{
    struct search_query *query = &search->queries[i];
    struct shortlist *list = &query->shortlist;

    collect_codes(search, i);
    list->count = 0;
    for (size_t j = 0; j < query->best.count; j++) {
        uint64_t value = query->best.entries[j].value;
        shortlist_push(list, (uint32_t)(value >> 16), (uint16_t)value);
    }
}

static void make_room(struct search *search, size_t i)
{
    struct shortlist *list = &search->queries[i].shortlist;

    if (shortlist_has_room(list))
        return;
    shortlist_prune(list);
    if (!shortlist_has_room(list))
        decide_ties(search, i);
}

static void scan_codes(struct search *search, size_t i, size_t group, const uint8_t *codes,
                       const uint64_t *valid)
{
    struct search_query *query = &search->queries[i];
    uint16_t sums[SEGMENT_GROUP] __attribute__((aligned(64)));
    uint64_t pass[SEGMENT_GROUP_WORDS];

    make_room(search, i);
    vector_kernel()->scan_group(query->codes.table[0], codes, CODEBOOK_PARTS,
                                query->shortlist.least_sum, sums, pass);
    for (size_t word = 0; word < SEGMENT_GROUP_WORDS; word++)
        for (uint64_t places = pass[word] & valid[word]; places != 0; places &= places - 1) {
            size_t place = 64 * word + (size_t)__builtin_ctzll(places);
            shortlist_push(&query->shortlist, (uint32_t)(group * SEGMENT_GROUP + place),
                           sums[place]);
        }
}

static void scan_rows(struct search_query *query, const struct segment_group *group,
                      const uint8_t *rows, size_t row_bytes, const uint64_t *valid)
{
    for (size_t word = 0; word < SEGMENT_GROUP_WORDS; word++)
        for (uint64_t places = valid[word]; places != 0; places &= places - 1) {
            size_t place = 64 * word + (size_t)__builtin_ctzll(places);
            float score = refine_score(&query->row, rows + place * row_bytes);
            if (topk_wants(&query->best, score))
                offer(query, group, place, score, 0);
        }
}

static void scan_group(struct search *search, size_t index, size_t count)
{
    const struct segment_group *group = search->snapshot.view->groups[index];
    const uint64_t *valid = search->snapshot.valid[index];
    const uint8_t *vectors;

    if (group == NULL || (valid[0] | valid[1] | valid[2] | valid[3]) == 0)
        return;
    vectors = segment_snapshot_vectors(&search->snapshot, index);
    for (size_t i = 0; i < count; i++) {
        if (search->segment->codebook != NULL)
            scan_codes(search, i, index, vectors, valid);
        else
            scan_rows(&search->queries[i], group, vectors, search->segment->vector_bytes, valid);
    }
}

static enum status_code scan_all(struct search *search, size_t count, struct status *st)
{
    for (size_t i = 0; i < search->snapshot.view->count; i++) {
        if (i % POLL_GROUPS == 0 && search->cancelled != NULL && search->cancelled(search->context))
            return status_set(st, STATUS_CANCELLED, "search was cancelled");
        scan_group(search, i, count);
    }
    return STATUS_OK;
}

static void prepare_query(struct search *search, size_t i, const float *unit)
{
    struct search_query *query = &search->queries[i];
    size_t d = search->segment->dimension;

    if (search->segment->codebook != NULL)
        codebook_query_init(&query->codes, search->segment->codebook, unit);
    else
        refine_query_init(&query->row, unit, d);
    query->shortlist = (struct shortlist){
        .entries = search->shortlists + i * shortlist_capacity(search->capacity),
        .capacity = shortlist_capacity(search->capacity),
        .wanted = search->capacity,
    };
    reset_best(search, i);
}

static size_t total_id_bytes(const struct topk *best)
{
    size_t total = 0;

    for (size_t i = 0; i < best->count; i++)
        total += best->entries[i].id_length;
    return total;
}

static enum status_code copy_hits(struct topk *best, struct arena *arena, struct segment_hits *ret,
                                  struct status *st)
{
    struct segment_hit *hits = arena_calloc(arena, best->count, sizeof *hits);
    uint8_t *ids = arena_alloc(arena, total_id_bytes(best));

    if (hits == NULL || ids == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no room for %zu hits", best->count);
    topk_sort(best);
    for (size_t i = 0; i < best->count; i++) {
        const struct topk_entry *entry = &best->entries[i];
        memcpy(ids, entry->id, entry->id_length);
        hits[i] = (struct segment_hit){ entry->score, entry->id_length, ids };
        ids += entry->id_length;
    }
    *ret = (struct segment_hits){ hits, best->count };
    return STATUS_OK;
}

static enum status_code search_batch(struct search *search, const float *queries, size_t count,
                                     struct segment_hits *ret_hits, struct status *st)
{
    for (size_t i = 0; i < count; i++)
        prepare_query(search, i, queries + i * search->segment->dimension);
    if (scan_all(search, count, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < count && search->segment->codebook != NULL; i++)
        collect_codes(search, i);
    for (size_t i = 0; i < count; i++)
        if (copy_hits(&search->queries[i].best, search->arena, &ret_hits[i], st) != STATUS_OK)
            return st->code;
    return STATUS_OK;
}

static enum status_code allocate_scratch(struct search *search, size_t nq, size_t r,
                                         struct status *st)
{
    size_t batch = size_min(nq, BATCH);

    search->capacity = size_max(size_min(r, search->snapshot.live), 1); /* so far from overflow */
    search->queries = aligned_alloc(64, batch * sizeof *search->queries);
    search->entries = malloc(batch * search->capacity * sizeof *search->entries);
    search->shortlists =
        malloc(batch * shortlist_capacity(search->capacity) * sizeof *search->shortlists);
    if (search->queries == NULL || search->entries == NULL || search->shortlists == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to search for %zu", r);
    return STATUS_OK;
}

static enum status_code search_all(struct search *search, const float *queries, size_t nq, size_t r,
                                   struct segment_hits *ret_hits, struct status *st)
{
    size_t d = search->segment->dimension;

    if (allocate_scratch(search, nq, r, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < nq; i += BATCH)
        if (search_batch(search, queries + i * d, size_min(nq - i, BATCH), ret_hits + i, st) !=
            STATUS_OK)
            return st->code;
    return STATUS_OK;
}

enum status_code segment_search(struct segment *segment, const float *queries, size_t nq, size_t r,
                                segment_cancelled cancelled, void *context, struct arena *arena,
                                struct segment_hits *ret_hits, struct status *st)
{
    struct search search = {
        .segment = segment,
        .cancelled = cancelled,
        .context = context,
        .arena = arena,
    };
    struct segment_hits *hits = arena_calloc(arena, nq, sizeof *hits);

    if (hits == NULL || !segment_snapshot_take(segment, &search.snapshot))
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to search");
    if (r == 0 || nq == 0 || search_all(&search, queries, nq, r, hits, st) == STATUS_OK)
        memcpy(ret_hits, hits, nq * sizeof *hits);
    segment_snapshot_release(segment, &search.snapshot);
    free(search.queries);
    free(search.entries);
    free(search.shortlists);
    return st->code;
}
