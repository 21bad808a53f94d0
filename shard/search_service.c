/*
 * Candidates, this shard's part of a search, and Vectors.
 */

#include <stdlib.h>
#include <string.h>

#include "shard/op.h"
#include "shard/row.h"
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

/* ---- By codes, then by refinement vectors ---- */

static enum status_code read_vectors(struct op *op, const struct segment_hits *hits,
                                     struct store_vector **ret, struct status *st)
{
    struct concept_id *ids = arena_calloc(&op->arena, hits->count, sizeof *ids);
    struct store_vector *vectors = arena_calloc(&op->arena, hits->count, sizeof *vectors);

    if (ids == NULL || vectors == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < hits->count; i++)
        ids[i] = concept_id_trusted((const char *)hits->hits[i].id, hits->hits[i].id_length);
    *ret = vectors;
    return row_get_vectors(op->shard->store, ids, hits->count, &op->arena, vectors, st);
}

/* A concept that was deleted since the scan has no vector any more and is no candidate. */
static enum status_code refine_hits(struct op *op, const struct segment_hits *hits,
                                    const float *query, struct columns *c, struct status *st)
{
    struct refine_query *prepared = arena_alloc(&op->arena, sizeof *prepared);
    struct store_vector *vectors = NULL;

    if (prepared == NULL)
        return limit_call_memory(st);
    if (read_vectors(op, hits, &vectors, st) != STATUS_OK)
        return st->code;
    refine_query_init(prepared, query, LIMIT_DIMENSION);
    for (size_t i = 0; i < hits->count && st->code == STATUS_OK; i++) {
        const struct segment_hit *hit = &hits->hits[i];
        if (vectors[i].refinement == NULL)
            continue;
        add_candidate(op, c, hit->id, hit->id_length, hit->approximate,
                      refine_score(prepared, vectors[i].refinement), st);
    }
    return st->code;
}

/* Scores of rows are refined already. */
static enum status_code take_hits(struct op *op, const struct segment_hits *hits, struct columns *c,
                                  struct status *st)
{
    for (size_t i = 0; i < hits->count && st->code == STATUS_OK; i++) {
        const struct segment_hit *hit = &hits->hits[i];
        add_candidate(op, c, hit->id, hit->id_length, hit->approximate, hit->approximate, st);
    }
    return st->code;
}

static enum status_code add_hits(struct op *op, const struct segment_hits *hits, const float *query,
                                 bool coded, struct columns *c, struct status *st)
{
    size_t before = c->reply->n_ids;

    if (reserve(op, c, hits->count, st) != STATUS_OK)
        return st->code;
    if (coded)
        refine_hits(op, hits, query, c, st);
    else
        take_hits(op, hits, c, st);
    c->reply->counts[c->reply->n_counts++] = (uint32_t)(c->reply->n_ids - before);
    return st->code;
}

static enum status_code search_segment(struct op *op, struct segment *segment, const float *queries,
                                       size_t n, size_t r, struct columns *c, struct status *st)
{
    struct codebook *codebook = segment_codebook(segment);
    struct segment_hits *hits = arena_calloc(&op->arena, n, sizeof *hits);

    if (hits == NULL)
        return limit_call_memory(st);
    if (codebook != NULL)
        c->reply->codebook_version = codebook_info(codebook)->version;
    if (segment_search(segment, queries, n, r, op_cancelled, op, &op->arena, hits, st) != STATUS_OK)
        return st->code;
    for (size_t q = 0; q < n && st->code == STATUS_OK; q++)
        add_hits(op, &hits[q], queries + q * LIMIT_DIMENSION, codebook != NULL, c, st);
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

    if (++scan->seen % POLL_EVERY == 0 && op_cancelled(scan->op))
        return status_set(&scan->st, STATUS_CANCELLED, "cancelled") == STATUS_OK;
    if (row_check(id, vector, &scan->st) != STATUS_OK)
        return false;
    for (size_t q = 0; q < scan->n; q++)
        if (!offer(scan, q, id, refine_score(&scan->queries[q], vector->refinement)))
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
        refine_query_init(&scan->queries[q], queries + q * LIMIT_DIMENSION, LIMIT_DIMENSION);
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

static enum status_code make_columns(struct op *op, size_t n, struct columns *ret,
                                     struct status *st)
{
    ret->reply = op_new(op, sizeof *ret->reply, st);
    if (ret->reply == NULL)
        return st->code;
    sutra__internal__v1__candidates_response__init(ret->reply);
    ret->reply->counts = arena_calloc(&op->arena, n, sizeof *ret->reply->counts);
    if (ret->reply->counts == NULL)
        return limit_call_memory(st);
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
        request->rerank < 1 || request->rerank > LIMIT_RERANK + 1)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%zu bytes for %zu queries, rerank %u",
                          request->queries.len, n, request->rerank);
    if (make_columns(op, n, &c, st) != STATUS_OK || n == 0)
        return st->code;
    if (request->exact)
        return search_exact(op, queries, n, request->rerank, &c, st);
    segment = index_segment(op->shard->index);
    search_segment(op, segment, queries, n, request->rerank, &c, st);
    segment_unref(segment);
    return st->code;
}

/* ---- Vectors ---- */

/* @codebook NULL: the refinement vector, else what the code stands for. */
static void decode_row(const struct codebook *codebook, const struct store_vector *vector,
                       float *ret_row)
{
    uint8_t code[CODEBOOK_CODE_BYTES];

    row_decode(vector->refinement, ret_row);
    if (codebook == NULL)
        return;
    if (vector->codebook_version == codebook_info(codebook)->version)
        memcpy(code, vector->code, sizeof code);
    else
        codebook_encode(codebook, ret_row, 1, code);
    codebook_decode(codebook, code, ret_row);
}

static enum status_code fill_rows(struct op *op, struct codebook *codebook,
                                  const struct concept_id *ids, size_t n,
                                  Sutra__Internal__V1__VectorsResponse *reply, struct status *st)
{
    struct store_vector *vectors = arena_calloc(&op->arena, n, sizeof *vectors);
    float *rows = arena_alloc(&op->arena, n * LIMIT_DIMENSION * sizeof *rows);
    size_t found = 0;

    reply->missing = arena_calloc(&op->arena, n, sizeof *reply->missing);
    if (vectors == NULL || rows == NULL || reply->missing == NULL)
        return limit_call_memory(st);
    if (row_get_vectors(op->shard->store, ids, n, &op->arena, vectors, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < n; i++) {
        if (vectors[i].refinement == NULL)
            reply->missing[reply->n_missing++] = (uint32_t)i;
        else
            decode_row(codebook, &vectors[i], rows + LIMIT_DIMENSION * found++);
    }
    reply->rows.data = (uint8_t *)rows;
    reply->rows.len = found * LIMIT_DIMENSION * sizeof *rows;
    return STATUS_OK;
}

enum status_code op_vectors(struct op *op, struct status *st)
{
    const Sutra__Internal__V1__VectorsRequest *request =
        (const Sutra__Internal__V1__VectorsRequest *)op->request;
    Sutra__Internal__V1__VectorsResponse *reply = op_new(op, sizeof *reply, st);
    struct codebook *codebook = NULL;
    struct concept_id *ids = NULL;

    if (reply == NULL || op_own_ids(op, request->ids, request->n_ids, &ids, st) != STATUS_OK)
        return st->code;
    sutra__internal__v1__vectors_response__init(reply);
    op->message = &reply->base;
    if (request->decoded) {
        codebook = index_codebook(op->shard->index);
        if (codebook == NULL)
            return status_set(st, STATUS_FAILED_PRECONDITION,
                              "there is no codebook yet: approximate distances need one");
    }
    fill_rows(op, codebook, ids, request->n_ids, reply, st);
    codebook_unref(codebook);
    return st->code;
}
