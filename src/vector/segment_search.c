#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/vector/kernel.h"
#include "src/vector/refine.h"
#include "src/vector/segment_impl.h"
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
    struct topk best;
    uint16_t least_sum; /* that still matters; codes only */
};

struct search {
    struct segment *segment;
    struct segment_snapshot snapshot;
    size_t capacity; /* of each query's collector */
    segment_cancelled cancelled;
    void *context;
    struct search_query *queries; /* [BATCH] */
    struct topk_entry *entries;   /* [BATCH][capacity] */
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

/* Sums order as scores do, so the collector's worst sum is the threshold for the next group. */
static void offer_codes(struct search_query *query, const struct segment_group *group, size_t base,
                        uint64_t places, const uint16_t *sums)
{
    for (; places != 0; places &= places - 1) {
        size_t place = base + (size_t)__builtin_ctzll(places);
        uint16_t sum = sums[place];
        if (sum < query->least_sum)
            continue;
        offer(query, group, place, codebook_query_approximate(&query->codes, sum), sum);
        if (query->best.count == query->best.capacity)
            query->least_sum = (uint16_t)query->best.entries[0].value;
    }
}

static void scan_codes(struct search_query *query, const struct segment_group *group,
                       const uint8_t *codes, const uint64_t *valid)
{
    uint16_t sums[SEGMENT_GROUP] __attribute__((aligned(64)));
    uint64_t pass[SEGMENT_GROUP_WORDS];

    vector_kernel()->scan_group(query->codes.table[0], codes, CODEBOOK_PARTS, query->least_sum,
                                sums, pass);
    for (size_t word = 0; word < SEGMENT_GROUP_WORDS; word++)
        offer_codes(query, group, 64 * word, pass[word] & valid[word], sums);
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
            scan_codes(&search->queries[i], group, vectors, valid);
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
    topk_init(&query->best, search->entries + i * search->capacity, search->capacity);
    query->least_sum = 0;
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
    for (size_t i = 0; i < count; i++)
        if (copy_hits(&search->queries[i].best, search->arena, &ret_hits[i], st) != STATUS_OK)
            return st->code;
    return STATUS_OK;
}

static enum status_code allocate_scratch(struct search *search, size_t nq, size_t r,
                                         struct status *st)
{
    size_t batch = size_min(nq, BATCH);
    size_t entries;

    search->capacity = size_max(size_min(r, search->snapshot.live), 1);
    search->queries = aligned_alloc(64, batch * sizeof *search->queries);
    if (size_mul(search->capacity, batch, &entries))
        search->entries = calloc(entries, sizeof *search->entries);
    if (search->queries == NULL || search->entries == NULL)
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
    return st->code;
}
