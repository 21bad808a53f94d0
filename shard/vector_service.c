/*
 * Vectors, the rows or codes of concepts for those who compare them elsewhere, and Distance, which
 * compares them here. Both read the segment; what it does not hold comes from the store.
 */

#include <math.h>
#include <string.h>

#include "shard/op.h"
#include "src/cluster/distance_wire.h"

static enum status_code no_codebook(struct status *st)
{
    return status_set(st, STATUS_FAILED_PRECONDITION,
                      "there is no codebook yet: approximate distances need one");
}

static struct segment_id *segment_ids(struct op *op, const struct concept_id *ids, size_t n)
{
    struct segment_id *ret = arena_alloc(&op->arena, (n + 1) * sizeof *ret);

    for (size_t i = 0; ret != NULL && i < n; i++)
        ret[i] = (struct segment_id){ ids[i].data, ids[i].length };
    return ret;
}

/* ---- Vectors ---- */

struct fetched {
    const struct concept_id *ids; /* [n] */
    size_t n;
    size_t item_bytes;
    uint8_t *items; /* [n][item_bytes] */
    bool *found;    /* [n] */
};

static enum status_code fetch(struct op *op, struct segment *segment, enum segment_measure measure,
                              struct fetched *fetched, struct status *st)
{
    struct segment_id *ids = segment_ids(op, fetched->ids, fetched->n);

    fetched->items = arena_alloc(&op->arena, fetched->n * fetched->item_bytes + 1);
    fetched->found = arena_calloc(&op->arena, fetched->n + 1, sizeof *fetched->found);
    if (ids == NULL || fetched->items == NULL || fetched->found == NULL)
        return limit_call_memory(st);
    return segment_fetch(segment, ids, fetched->n, measure, fetched->items, fetched->found, st);
}

/* Rows that the segment does not have at hand. */
static enum status_code fetch_stored_rows(struct op *op, struct fetched *fetched, struct status *st)
{
    struct concept_id *ids = arena_alloc(&op->arena, (fetched->n + 1) * sizeof *ids);
    size_t *places = arena_calloc(&op->arena, fetched->n + 1, sizeof *places);
    struct store_vector *vectors;
    size_t n = 0;

    if (ids == NULL || places == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < fetched->n; i++)
        if (!fetched->found[i]) {
            ids[n] = fetched->ids[i];
            places[n++] = i;
        }
    vectors = arena_calloc(&op->arena, n + 1, sizeof *vectors);
    if (vectors == NULL)
        return limit_call_memory(st);
    if (index_get_vectors(op->shard->index, ids, n, &op->arena, vectors, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < n; i++) {
        if (vectors[i].refinement == NULL)
            continue;
        memcpy(fetched->items + places[i] * fetched->item_bytes, vectors[i].refinement,
               fetched->item_bytes);
        fetched->found[places[i]] = true;
    }
    return STATUS_OK;
}

static enum status_code fetch_rows(struct op *op, struct segment *segment, struct fetched *fetched,
                                   struct status *st)
{
    fetched->item_bytes = row_bytes(index_rows(op->shard->index));
    if (fetch(op, segment, SEGMENT_BY_ROW, fetched, st) != STATUS_OK)
        return st->code;
    return fetch_stored_rows(op, fetched, st);
}

/* What the codes stand for. */
static enum status_code fetch_decoded(struct op *op, struct segment *segment,
                                      struct fetched *fetched, struct status *st)
{
    const struct codebook *codebook = segment_codebook(segment);
    const uint8_t *codes;

    if (codebook == NULL)
        return no_codebook(st);
    fetched->item_bytes = CODEBOOK_CODE_BYTES;
    if (fetch(op, segment, SEGMENT_BY_CODE, fetched, st) != STATUS_OK)
        return st->code;
    codes = fetched->items;
    fetched->item_bytes = LIMIT_DIMENSION;
    fetched->items = arena_alloc(&op->arena, fetched->n * LIMIT_DIMENSION + 1);
    if (fetched->items == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < fetched->n; i++)
        if (fetched->found[i])
            codebook_decode_rotated(codebook, codes + i * CODEBOOK_CODE_BYTES,
                                    (int8_t *)fetched->items + i * LIMIT_DIMENSION);
    return STATUS_OK;
}

/* Moves the found ones together. */
static enum status_code fill_reply(struct op *op, const struct fetched *fetched,
                                   Sutra__Internal__V1__VectorsResponse *reply, struct status *st)
{
    size_t bytes = fetched->item_bytes;
    size_t found = 0;

    reply->missing = arena_calloc(&op->arena, fetched->n + 1, sizeof *reply->missing);
    if (reply->missing == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < fetched->n; i++) {
        if (!fetched->found[i])
            reply->missing[reply->n_missing++] = (uint32_t)i;
        else
            memmove(fetched->items + bytes * found++, fetched->items + bytes * i, bytes);
    }
    reply->rows.data = fetched->items;
    reply->rows.len = found * bytes;
    return STATUS_OK;
}

enum status_code op_vectors(struct op *op, struct status *st)
{
    const Sutra__Internal__V1__VectorsRequest *request =
        (const Sutra__Internal__V1__VectorsRequest *)op->request;
    Sutra__Internal__V1__VectorsResponse *reply = op_new(op, sizeof *reply, st);
    struct fetched fetched = { .n = request->n_ids };
    struct concept_id *ids = NULL;
    struct segment *segment;

    if (reply == NULL || op_own_ids(op, request->ids, request->n_ids, &ids, st) != STATUS_OK)
        return st->code;
    sutra__internal__v1__vectors_response__init(reply);
    op->message = &reply->base;
    fetched.ids = ids;
    segment = index_segment(op->shard->index, 0);
    if ((request->decoded ? fetch_decoded : fetch_rows)(op, segment, &fetched, st) == STATUS_OK)
        fill_reply(op, &fetched, reply, st);
    reply->refinement = (uint32_t)index_rows(op->shard->index).format;
    if (segment_codebook(segment) != NULL)
        reply->codebook_version = codebook_info(segment_codebook(segment))->version;
    segment_unref(segment);
    return st->code;
}

/* ---- Distance ---- */

/* Of pairs that the segment cannot compare, since it lacks a row. */
static enum status_code compare_stored(struct op *op, const struct distance_request *request,
                                       float *similarities, struct status *st)
{
    struct concept_id *ids = arena_alloc(&op->arena, (2 * request->n + 1) * sizeof *ids);
    size_t *pairs = arena_calloc(&op->arena, request->n + 1, sizeof *pairs);
    enum refine_format format = index_rows(op->shard->index).format;
    struct store_vector *vectors;
    size_t n = 0;

    if (ids == NULL || pairs == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < request->n; i++)
        if (isnan(similarities[i])) {
            ids[2 * n] = request->ids[i];
            ids[2 * n + 1] = request->ids[request->n + i];
            pairs[n++] = i;
        }
    vectors = arena_calloc(&op->arena, 2 * n + 1, sizeof *vectors);
    if (vectors == NULL)
        return limit_call_memory(st);
    if (index_get_vectors(op->shard->index, ids, 2 * n, &op->arena, vectors, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < n; i++)
        if (vectors[2 * i].refinement != NULL && vectors[2 * i + 1].refinement != NULL)
            similarities[pairs[i]] = refine_similarity(
                format, vectors[2 * i].refinement, vectors[2 * i + 1].refinement, LIMIT_DIMENSION);
    return STATUS_OK;
}

static enum status_code compare(struct op *op, struct segment *segment,
                                const struct distance_request *request, float *similarities,
                                struct status *st)
{
    enum segment_measure measure = request->approximate ? SEGMENT_BY_CODE : SEGMENT_BY_ROW;
    struct segment_id *ids = segment_ids(op, request->ids, 2 * request->n);

    if (ids == NULL)
        return limit_call_memory(st);
    if (request->approximate && segment_codebook(segment) == NULL)
        return no_codebook(st);
    if (segment_pairs(segment, ids, ids + request->n, request->n, measure, similarities, st) !=
            STATUS_OK ||
        request->approximate)
        return st->code;
    return compare_stored(op, request, similarities, st);
}

enum status_code op_distance(struct op *op, struct status *st)
{
    struct distance_request request;
    struct segment *segment;
    struct buf reply = { 0 };
    float *similarities;

    if (distance_read(op->encoded, &op->arena, &request, st) != STATUS_OK ||
        op_check_owners(op, request.ids, 2 * request.n, st) != STATUS_OK)
        return st->code;
    similarities = arena_alloc(&op->arena, (request.n + 1) * sizeof *similarities);
    if (similarities == NULL)
        return limit_call_memory(st);
    segment = index_segment(op->shard->index, 0);
    if (compare(op, segment, &request, similarities, st) == STATUS_OK)
        distance_put_response(&reply, similarities, request.n);
    segment_unref(segment);
    return op_reply(op, &reply, st);
}
