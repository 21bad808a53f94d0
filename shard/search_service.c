/*
 * Candidates, this shard's part of a search.
 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shard/op.h"
#include "src/base/size.h"
#include "src/vector/refine.h"
#include "src/vector/topk.h"

/* A request and what its queries come to. */
struct search {
    struct op *op;
    const Sutra__Internal__V1__CandidatesRequest *request;
    const float *queries; /* [n][LIMIT_DIMENSION] */
    size_t n;
    Sutra__Internal__V1__CandidatesResponse *reply;
};

/* ---- The reply ---- */

static enum status_code make_reply(struct search *search, struct status *st)
{
    struct op *op = search->op;
    Sutra__Internal__V1__CandidatesResponse *reply = op_new(op, sizeof *reply, st);

    if (reply == NULL)
        return st->code;
    sutra__internal__v1__candidates_response__init(reply);
    reply->settings = op_new(op, sizeof *reply->settings, st);
    reply->counts = arena_calloc(&op->arena, search->n, sizeof *reply->counts);
    reply->cut = arena_calloc(&op->arena, search->n, sizeof *reply->cut);
    if (reply->settings == NULL || reply->counts == NULL || reply->cut == NULL)
        return limit_call_memory(st);
    sutra__v1__search_settings__init(reply->settings);
    op->message = &reply->base;
    search->reply = reply;
    return STATUS_OK;
}

/* Columns for at most so many candidates, of all queries together. */
static enum status_code make_columns(struct search *search, size_t candidates, size_t id_bytes,
                                     struct status *st)
{
    struct arena *arena = &search->op->arena;
    Sutra__Internal__V1__CandidatesResponse *reply = search->reply;

    reply->ids.data = arena_alloc(arena, id_bytes);
    reply->id_lengths.data = arena_alloc(arena, candidates);
    reply->approximate = arena_calloc(arena, candidates, sizeof *reply->approximate);
    reply->refined = arena_calloc(arena, candidates, sizeof *reply->refined);
    if (reply->ids.data == NULL || reply->id_lengths.data == NULL || reply->approximate == NULL ||
        reply->refined == NULL)
        return limit_call_memory(st);
    return STATUS_OK;
}

static void add_candidate(Sutra__Internal__V1__CandidatesResponse *reply, const void *id,
                          size_t id_length, float approximate, float refined)
{
    memcpy(reply->ids.data + reply->ids.len, id, id_length);
    reply->ids.len += id_length;
    reply->id_lengths.data[reply->id_lengths.len++] = (uint8_t)id_length;
    reply->approximate[reply->n_approximate++] = approximate;
    reply->refined[reply->n_refined++] = refined;
}

/* The candidates of a query are those that were added since the one before. */
static void end_query(Sutra__Internal__V1__CandidatesResponse *reply, size_t before, bool cut)
{
    reply->counts[reply->n_counts++] = (uint32_t)(reply->id_lengths.len - before);
    reply->cut[reply->n_cut++] = cut;
}

/* ---- Settings ---- */

/* Candidates of all queries of a request together, where it does not say itself how many: what a
 * reply, and the memory of a call, have room for. */
enum { MOST_CANDIDATES = 200000 };

/* For more results than the calibration looked at, as many times more candidates, as far as there
 * is room for them; at least k. Depends on the request alone, so it is the same on every shard. */
static uint32_t scale_rerank(uint32_t rerank, const Sutra__Internal__V1__CandidatesRequest *request)
{
    uint32_t k = request->k > CALIBRATION_K ? request->k : CALIBRATION_K;
    uint64_t most = MOST_CANDIDATES / (request->query_count > 0 ? request->query_count : 1);
    uint64_t scaled = (uint64_t)rerank * k / CALIBRATION_K;

    scaled = scaled < most ? scaled : most;
    scaled = scaled < LIMIT_RERANK ? scaled : LIMIT_RERANK;
    return scaled > request->k ? (uint32_t)scaled : request->k;
}

static void choose_settings(const Sutra__Internal__V1__CandidatesRequest *request,
                            const struct calibration *calibration,
                            Sutra__V1__SearchSettings *settings)
{
    float target = request->recall_target > 0 ? request->recall_target : DEFAULT_RECALL_TARGET;
    const struct calibration_setting *chosen = calibration_choose(calibration, target);

    settings->rerank = scale_rerank(chosen == NULL ? DEFAULT_RERANK : chosen->rerank, request);
    settings->cell_reach = chosen == NULL ? 0 : chosen->reach;
    settings->expected_recall = chosen == NULL ? 0 : chosen->recall;
}

/* What the request comes to with the codebook of @segment. */
static void settle(const struct search *search, struct segment *segment)
{
    const Sutra__Internal__V1__CandidatesRequest *request = search->request;
    Sutra__V1__SearchSettings *settings = search->reply->settings;
    struct codebook *codebook = segment_codebook(segment);
    struct calibration calibration;

    if (codebook == NULL) {
        settings->rerank = request->rerank > 0 ? request->rerank : request->k;
        settings->expected_recall = 1;
        return;
    }
    settings->codebook_version = codebook_info(codebook)->version;
    settings->cells = codebook_info(codebook)->cells;
    calibration = index_calibration(search->op->shard->index, settings->codebook_version);
    if (request->rerank == 0 && request->nprobe == 0 && request->cell_reach == 0) {
        choose_settings(request, &calibration, settings);
        return;
    }
    settings->rerank =
        request->rerank > 0 ? request->rerank : scale_rerank(DEFAULT_RERANK, request);
    settings->cell_reach = request->cell_reach;
    settings->nprobe = request->nprobe < settings->cells ? request->nprobe : 0;
    if (settings->cell_reach == 0 && settings->nprobe == 0)
        settings->expected_recall = calibration_expect(&calibration, settings->rerank);
}

/* How many of the best @r of all shards a shard with @slots slots holds at most: where an id lives
 * is as good as random, so their number is binomial. Five standard deviations above the mean, and
 * two for the skew where there are few: exceeded by less than one query in 100,000. */
static size_t likely_share(size_t r, uint32_t slots)
{
    float share = (float)slots / SLOT_COUNT;
    float mean = share * (float)r;

    if (slots == 0 || slots >= SLOT_COUNT)
        return r;
    return size_min(r, (size_t)(mean + 5 * sqrtf(mean * (1 - share))) + 2);
}

/* What looking for the queries came to. */
static void count_scanned(const struct search *search, const struct segment_hits *hits)
{
    Sutra__Internal__V1__CandidatesResponse *reply = search->reply;
    size_t n = search->n;
    uint64_t cells = 0;

    for (size_t q = 0; q < n; q++) {
        reply->scanned_codes += hits[q].scanned_codes;
        cells += hits[q].scanned_cells;
    }
    reply->settings->nprobe = cells > 0 ? (uint32_t)((cells + n - 1) / n) : reply->settings->cells;
}

/* ---- By codes, then by refinement vectors ---- */

/* Hits whose row is not in memory, and where their scores go. */
struct unread {
    struct arena arena; /* of one query */
    struct refine_query query;
    struct concept_id *ids;
    struct segment_hit **hits;
    size_t count;
};

static size_t count_unread(const struct segment_hits *hits)
{
    size_t count = 0;

    for (size_t i = 0; i < hits->count; i++)
        count += isnan(hits->hits[i].refined) != 0;
    return count;
}

static enum status_code find_unread(struct unread *unread, const struct segment_hits *hits,
                                    size_t count, struct status *st)
{
    arena_reset(&unread->arena);
    unread->count = 0;
    unread->ids = arena_calloc(&unread->arena, count, sizeof *unread->ids);
    unread->hits = arena_calloc(&unread->arena, count, sizeof(struct segment_hit *));
    if (unread->ids == NULL || unread->hits == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < hits->count; i++) {
        struct segment_hit *hit = &hits->hits[i];
        if (!isnan(hit->refined))
            continue;
        unread->ids[unread->count] = concept_id_trusted((const char *)hit->id, hit->id_length);
        unread->hits[unread->count++] = hit;
    }
    return STATUS_OK;
}

/* Scores the hits of one query from the disk. */
static enum status_code read_and_refine(struct op *op, struct unread *unread,
                                        const struct segment_hits *hits, size_t count,
                                        const float *query, struct status *st)
{
    struct index *index = op->shard->index;
    struct store_vector *vectors;

    if (find_unread(unread, hits, count, st) != STATUS_OK)
        return st->code;
    vectors = arena_calloc(&unread->arena, count, sizeof *vectors);
    if (vectors == NULL)
        return limit_call_memory(st);
    if (index_get_vectors(index, unread->ids, count, &unread->arena, vectors, st) != STATUS_OK)
        return st->code;
    refine_query_init(&unread->query, index_rows(index).format, query, LIMIT_DIMENSION);
    for (size_t i = 0; i < count; i++)
        if (vectors[i].refinement != NULL)
            unread->hits[i]->refined = refine_score(&unread->query, vectors[i].refinement);
    return STATUS_OK;
}

/* By codes alone where there is nothing finer. */
static enum status_code refine_unread(struct op *op, struct unread *unread,
                                      struct segment_hits *hits, const float *query,
                                      struct status *st)
{
    size_t count = count_unread(hits);

    if (count == 0)
        return STATUS_OK;
    if (index_rows(op->shard->index).kept)
        return read_and_refine(op, unread, hits, count, query, st);
    for (size_t i = 0; i < hits->count; i++)
        hits->hits[i].refined = hits->hits[i].approximate;
    return STATUS_OK;
}

/* A concept that was deleted since the scan has no vector any more and is no candidate. */
static void add_hits(const struct segment_hits *hits, bool cut,
                     Sutra__Internal__V1__CandidatesResponse *reply)
{
    size_t before = reply->id_lengths.len;

    for (size_t i = 0; i < hits->count; i++) {
        const struct segment_hit *hit = &hits->hits[i];
        if (!isnan(hit->refined))
            add_candidate(reply, hit->id, hit->id_length, hit->approximate, hit->refined);
    }
    end_query(reply, before, cut);
}

static enum status_code make_columns_for(struct search *search, const struct segment_hits *hits,
                                         struct status *st)
{
    size_t candidates = 0;
    size_t id_bytes = 0;

    for (size_t q = 0; q < search->n; q++) {
        candidates += hits[q].count;
        for (size_t i = 0; i < hits[q].count; i++)
            id_bytes += hits[q].hits[i].id_length;
    }
    return make_columns(search, candidates, id_bytes, st);
}

/* @wanted were looked for; none is left out unless @fewer than there may be. */
static enum status_code add_all_hits(struct search *search, struct segment_hits *hits,
                                     size_t wanted, bool fewer, struct status *st)
{
    struct unread unread;

    if (make_columns_for(search, hits, st) != STATUS_OK)
        return st->code;
    arena_init(&unread.arena, LIMIT_CALL_ARENA_BYTES);
    for (size_t q = 0; q < search->n && st->code == STATUS_OK; q++)
        if (refine_unread(search->op, &unread, &hits[q], search->queries + q * LIMIT_DIMENSION,
                          st) == STATUS_OK)
            add_hits(&hits[q], fewer && hits[q].count == wanted, search->reply);
    arena_deinit(&unread.arena);
    return st->code;
}

static enum status_code search_segment(struct search *search, struct segment *segment,
                                       struct status *st)
{
    const Sutra__V1__SearchSettings *settings = search->reply->settings;
    size_t r = settings->rerank + search->request->extra;
    const struct segment_search options = {
        .r = likely_share(r, search->request->slots),
        .reach = settings->cell_reach,
        .nprobe = settings->nprobe,
        .cancelled = op_cancelled,
        .context = search->op,
    };
    struct segment_hits *hits = arena_calloc(&search->op->arena, search->n, sizeof *hits);

    if (hits == NULL)
        return limit_call_memory(st);
    if (segment_search(segment, search->queries, search->n, &options, &search->op->arena, hits,
                       st) != STATUS_OK)
        return st->code;
    count_scanned(search, hits);
    return add_all_hits(search, hits, options.r, options.r < r, st);
}

/* ---- By all refinement vectors ---- */

/* An exact search over the store: one collector per query, ids copied where they are kept. */
struct exact_scan {
    struct op *op;
    size_t n;
    struct refine_query *queries; /* [n] */
    struct topk *best;            /* [n] */
    uint64_t seen;
    struct status st;
};

enum { POLL_EVERY = 256 };

static bool offer(struct exact_scan *scan, size_t q, const struct concept_id *id, float score)
{
    struct topk_entry entry = { .score = score, .id_length = (uint32_t)id->length };

    if (!topk_wants(&scan->best[q], score))
        return true;
    entry.id = arena_copy(&scan->op->arena, id->data, id->length);
    if (entry.id == NULL)
        return limit_call_memory(&scan->st) == STATUS_OK;
    topk_offer(&scan->best[q], &entry);
    return true;
}

static bool scan_one(void *context, const struct concept_id *id, const struct store_vector *vector)
{
    struct exact_scan *scan = context;
    struct store_vector complete = *vector;
    uint8_t scratch[ROW_MAX_BYTES];

    if (++scan->seen % POLL_EVERY == 0 && op_cancelled(scan->op))
        return status_set(&scan->st, STATUS_CANCELLED, "cancelled") == STATUS_OK;
    if (index_complete(scan->op->shard->index, id, &complete, scratch, &scan->st) != STATUS_OK)
        return false;
    for (size_t q = 0; q < scan->n; q++)
        if (!offer(scan, q, id, refine_score(&scan->queries[q], complete.refinement)))
            return false;
    return true;
}

static bool prepare_scan(struct exact_scan *scan, const float *queries, size_t r)
{
    struct arena *arena = &scan->op->arena;

    scan->queries = arena_calloc(arena, scan->n, sizeof *scan->queries);
    scan->best = arena_calloc(arena, scan->n, sizeof *scan->best);
    if (scan->queries == NULL || scan->best == NULL)
        return false;
    for (size_t q = 0; q < scan->n; q++) {
        struct topk_entry *storage = arena_calloc(arena, r, sizeof *storage);
        if (storage == NULL)
            return false;
        topk_init(&scan->best[q], storage, r);
        refine_query_init(&scan->queries[q], index_rows(scan->op->shard->index).format,
                          queries + q * LIMIT_DIMENSION, LIMIT_DIMENSION);
    }
    return true;
}

static void add_best(struct topk *best, Sutra__Internal__V1__CandidatesResponse *reply)
{
    size_t before = reply->id_lengths.len;

    topk_sort(best);
    for (size_t i = 0; i < best->count; i++) {
        const struct topk_entry *entry = &best->entries[i];
        add_candidate(reply, entry->id, entry->id_length, entry->score, entry->score);
    }
    end_query(reply, before, false);
}

static enum status_code add_all_best(struct search *search, struct exact_scan *scan,
                                     struct status *st)
{
    size_t candidates = 0;
    size_t id_bytes = 0;

    for (size_t q = 0; q < scan->n; q++) {
        candidates += scan->best[q].count;
        for (size_t i = 0; i < scan->best[q].count; i++)
            id_bytes += scan->best[q].entries[i].id_length;
    }
    if (make_columns(search, candidates, id_bytes, st) != STATUS_OK)
        return st->code;
    for (size_t q = 0; q < scan->n; q++)
        add_best(&scan->best[q], search->reply);
    return STATUS_OK;
}

static enum status_code search_exact(struct search *search, struct status *st)
{
    const Sutra__Internal__V1__CandidatesRequest *request = search->request;
    struct exact_scan scan = { .op = search->op, .n = search->n };

    search->reply->settings->rerank = request->k;
    search->reply->settings->expected_recall = 1;
    if (!prepare_scan(&scan, search->queries, request->k + request->extra))
        return limit_call_memory(st);
    if (store_scan_vectors(search->op->shard->store, scan_one, &scan, st) == STATUS_OK)
        *st = scan.st;
    return st->code == STATUS_OK ? add_all_best(search, &scan, st) : st->code;
}

/* Products with what is not finite have no order. */
static bool all_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static bool is_sound(const Sutra__Internal__V1__CandidatesRequest *request)
{
    size_t n = request->query_count;

    return n <= LIMIT_BATCH_QUERIES &&
           request->queries.len == n * LIMIT_DIMENSION * sizeof(float) && request->k >= 1 &&
           request->k <= LIMIT_K && request->rerank <= LIMIT_RERANK && request->extra <= 1 &&
           request->cell_reach >= 0 &&
           all_finite((const float *)(const void *)request->queries.data, n * LIMIT_DIMENSION);
}

/* A search of this size takes some tens of microseconds, about as long as it takes until a thread
 * of the pool has it and the loop its answer. */
enum { QUICK_CONCEPTS = 1 << 15, QUICK_RERANK = 200 };

/* Whether there are codes to look at, few, and every row is in memory that will be looked at. */
static bool is_quick_to_search(const struct index *index, struct segment *segment)
{
    struct segment_stats stats = segment_stats(segment);

    return segment_codebook(segment) != NULL && stats.count <= QUICK_CONCEPTS &&
           (stats.rows == stats.count || !index_rows(index).kept);
}

bool op_candidates_is_quick(const struct op *op)
{
    const Sutra__Internal__V1__CandidatesRequest *request =
        (const Sutra__Internal__V1__CandidatesRequest *)op->request;
    struct segment *segment;
    bool quick;

    if (request->query_count != 1 || request->exact || request->k > QUICK_RERANK ||
        request->rerank > QUICK_RERANK)
        return false;
    segment = index_segment(op->shard->index, request->codebook_version);
    quick = is_quick_to_search(op->shard->index, segment);
    segment_unref(segment);
    return quick;
}

enum status_code op_candidates(struct op *op, struct status *st)
{
    const Sutra__Internal__V1__CandidatesRequest *request =
        (const Sutra__Internal__V1__CandidatesRequest *)op->request;
    struct search search = {
        .op = op,
        .request = request,
        .queries = (const float *)(const void *)request->queries.data,
        .n = request->query_count,
    };
    struct segment *segment;

    if (!is_sound(request))
        return status_set(st, STATUS_INVALID_ARGUMENT, "%zu bytes for %zu queries, k %u, rerank %u",
                          request->queries.len, search.n, request->k, request->rerank);
    if (make_reply(&search, st) != STATUS_OK || search.n == 0)
        return st->code;
    if (request->exact)
        return search_exact(&search, st);
    segment = index_segment(op->shard->index, request->codebook_version);
    settle(&search, segment);
    search_segment(&search, segment, st);
    segment_unref(segment);
    return st->code;
}
