/*
 * Candidates, this shard's part of a search.
 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shard/op.h"
#include "src/vector/refine.h"
#include "src/vector/topk.h"

/* The columns of a CandidatesResponse while they grow. */
struct columns {
    Sutra__Internal__V1__CandidatesResponse *reply;
    size_t capacity;
};

static enum status_code reserve(struct op *op, struct columns *c, size_t more, struct status *st)
{
    Sutra__Internal__V1__CandidatesResponse *reply = c->reply;
    size_t need = reply->n_ids + more;
    size_t capacity = c->capacity * 2 > need ? c->capacity * 2 : need;
    char **ids;
    float *approximate;
    float *refined;

    if (need <= c->capacity)
        return STATUS_OK;
    ids = arena_calloc(&op->arena, capacity, sizeof *ids);
    approximate = arena_calloc(&op->arena, capacity, sizeof *approximate);
    refined = arena_calloc(&op->arena, capacity, sizeof *refined);
    if (ids == NULL || approximate == NULL || refined == NULL)
        return limit_call_memory(st);
    if (reply->n_ids > 0) {
        memcpy(ids, reply->ids, reply->n_ids * sizeof *ids);
        memcpy(approximate, reply->approximate, reply->n_ids * sizeof *approximate);
        memcpy(refined, reply->refined, reply->n_ids * sizeof *refined);
    }
    reply->ids = ids;
    reply->approximate = approximate;
    reply->refined = refined;
    c->capacity = capacity;
    return STATUS_OK;
}

static enum status_code add_candidate(struct op *op, struct columns *c, const void *id,
                                      size_t id_length, float approximate, float refined,
                                      struct status *st)
{
    Sutra__Internal__V1__CandidatesResponse *reply = c->reply;
    char *text = arena_strndup(&op->arena, id, id_length);

    if (text == NULL)
        return limit_call_memory(st);
    reply->ids[reply->n_ids++] = text;
    reply->approximate[reply->n_approximate++] = approximate;
    reply->refined[reply->n_refined++] = refined;
    return STATUS_OK;
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

/* What @request comes to with the codebook of @segment. */
static void settle(struct op *op, const Sutra__Internal__V1__CandidatesRequest *request,
                   struct segment *segment, Sutra__V1__SearchSettings *settings)
{
    struct codebook *codebook = segment_codebook(segment);
    struct calibration calibration;

    if (codebook == NULL) {
        settings->rerank = request->rerank > 0 ? request->rerank : request->k;
        settings->expected_recall = 1;
        return;
    }
    settings->codebook_version = codebook_info(codebook)->version;
    settings->cells = codebook_info(codebook)->cells;
    calibration = index_calibration(op->shard->index, settings->codebook_version);
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

/* What looking for the @n queries of @hits came to. */
static void count_scanned(const struct segment_hits *hits, size_t n,
                          Sutra__Internal__V1__CandidatesResponse *reply)
{
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
static enum status_code add_hits(struct op *op, const struct segment_hits *hits, struct columns *c,
                                 struct status *st)
{
    size_t before = c->reply->n_ids;

    if (reserve(op, c, hits->count, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < hits->count && st->code == STATUS_OK; i++) {
        const struct segment_hit *hit = &hits->hits[i];
        if (!isnan(hit->refined))
            add_candidate(op, c, hit->id, hit->id_length, hit->approximate, hit->refined, st);
    }
    c->reply->counts[c->reply->n_counts++] = (uint32_t)(c->reply->n_ids - before);
    return st->code;
}

static enum status_code search_segment(struct op *op, struct segment *segment, const float *queries,
                                       size_t n, size_t r, struct columns *c, struct status *st)
{
    const struct segment_search search = {
        .r = r,
        .reach = c->reply->settings->cell_reach,
        .nprobe = c->reply->settings->nprobe,
        .cancelled = op_cancelled,
        .context = op,
    };
    struct segment_hits *hits = arena_calloc(&op->arena, n, sizeof *hits);
    struct unread unread;

    if (hits == NULL)
        return limit_call_memory(st);
    if (segment_search(segment, queries, n, &search, &op->arena, hits, st) != STATUS_OK)
        return st->code;
    count_scanned(hits, n, c->reply);
    arena_init(&unread.arena, LIMIT_CALL_ARENA_BYTES);
    for (size_t q = 0; q < n && st->code == STATUS_OK; q++)
        if (refine_unread(op, &unread, &hits[q], queries + q * LIMIT_DIMENSION, st) == STATUS_OK)
            add_hits(op, &hits[q], c, st);
    arena_deinit(&unread.arena);
    return st->code;
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

static enum status_code add_best(struct op *op, struct topk *best, struct columns *c,
                                 struct status *st)
{
    if (reserve(op, c, best->count, st) != STATUS_OK)
        return st->code;
    topk_sort(best);
    for (size_t i = 0; i < best->count && st->code == STATUS_OK; i++) {
        const struct topk_entry *entry = &best->entries[i];
        add_candidate(op, c, entry->id, entry->id_length, entry->score, entry->score, st);
    }
    c->reply->counts[c->reply->n_counts++] = (uint32_t)best->count;
    return st->code;
}

static enum status_code search_exact(struct op *op, const float *queries, size_t n, size_t r,
                                     struct columns *c, struct status *st)
{
    struct exact_scan scan = { .op = op, .n = n };

    if (!prepare_scan(&scan, queries, r))
        return limit_call_memory(st);
    if (store_scan_vectors(op->shard->store, scan_one, &scan, st) == STATUS_OK)
        *st = scan.st;
    for (size_t q = 0; q < n && st->code == STATUS_OK; q++)
        add_best(op, &scan.best[q], c, st);
    return st->code;
}

/* Products with what is not finite have no order. */
static bool all_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static enum status_code make_columns(struct op *op, size_t n, struct columns *ret,
                                     struct status *st)
{
    ret->reply = op_new(op, sizeof *ret->reply, st);
    if (ret->reply == NULL)
        return st->code;
    sutra__internal__v1__candidates_response__init(ret->reply);
    ret->reply->settings = op_new(op, sizeof *ret->reply->settings, st);
    ret->reply->counts = arena_calloc(&op->arena, n, sizeof *ret->reply->counts);
    if (ret->reply->settings == NULL || ret->reply->counts == NULL)
        return limit_call_memory(st);
    sutra__v1__search_settings__init(ret->reply->settings);
    op->message = &ret->reply->base;
    return STATUS_OK;
}

enum status_code op_candidates(struct op *op, struct status *st)
{
    const Sutra__Internal__V1__CandidatesRequest *request =
        (const Sutra__Internal__V1__CandidatesRequest *)op->request;
    const float *queries = (const float *)(const void *)request->queries.data;
    size_t n = request->query_count;
    struct segment *segment;
    struct columns c = { 0 };

    if (n > LIMIT_BATCH_QUERIES || request->queries.len != n * LIMIT_DIMENSION * sizeof *queries ||
        request->k < 1 || request->k > LIMIT_K || request->rerank > LIMIT_RERANK ||
        request->extra > 1 || !(request->cell_reach >= 0) ||
        !all_finite(queries, n * LIMIT_DIMENSION))
        return status_set(st, STATUS_INVALID_ARGUMENT, "%zu bytes for %zu queries, k %u, rerank %u",
                          request->queries.len, n, request->k, request->rerank);
    if (make_columns(op, n, &c, st) != STATUS_OK || n == 0)
        return st->code;
    if (request->exact) {
        c.reply->settings->rerank = request->k;
        c.reply->settings->expected_recall = 1;
        return search_exact(op, queries, n, request->k + request->extra, &c, st);
    }
    segment = index_segment(op->shard->index, request->codebook_version);
    settle(op, request, segment, c.reply->settings);
    search_segment(op, segment, queries, n, c.reply->settings->rerank + request->extra, &c, st);
    segment_unref(segment);
    return st->code;
}
