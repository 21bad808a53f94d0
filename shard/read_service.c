/*
 * Get, BatchGet, ListPage: stored bytes go into the reply as they are; an embedding is appended to
 * a concept as one more field, which is what protobuf's merging of encoded messages allows.
 */

#include <string.h>

#include "shard/op.h"
#include "src/serve/wire.h"
#include "src/vector/refine.h"

/* Concept.embedding, Embedding.f32le */
enum { FIELD_EMBEDDING = 15, FIELD_F32LE = 2 };
/* GetResponse.concept, BatchGetResponse.concepts, ListPageResponse.concepts */
enum { FIELD_CONCEPT = 1 };
enum { FIELD_MISSING = 2, FIELD_DONE = 2 };

/* Concept.embedding of a stored vector; nothing where there is none. */
static void encode_embedding(const struct store_vector *vector, struct buf *to)
{
    float row[LIMIT_DIMENSION];
    struct buf embedding = { 0 };

    if (vector->refinement == NULL)
        return;
    refine_decode(vector->refinement, LIMIT_DIMENSION, row);
    vector_normalise(row, LIMIT_DIMENSION);
    wire_put_bytes(&embedding, FIELD_F32LE, row, sizeof row);
    wire_put_bytes(to, FIELD_EMBEDDING, embedding.data, embedding.size);
    to->failed |= embedding.failed;
    buf_deinit(&embedding);
}

/* @vector NULL: without embedding. */
static void put_concept(struct buf *to, const void *value, size_t size,
                        const struct store_vector *vector)
{
    struct buf embedding = { 0 };

    if (vector != NULL)
        encode_embedding(vector, &embedding);
    wire_put_header(to, FIELD_CONCEPT, size + embedding.size);
    buf_append(to, value, size);
    buf_append(to, embedding.data, embedding.size);
    to->failed |= embedding.failed;
    buf_deinit(&embedding);
}

static enum status_code check_reply_size(const struct buf *reply, struct status *st)
{
    if (reply->failed)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (reply->size > LIMIT_MESSAGE_BYTES)
        return status_set_reason(st, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED",
                                 "the reply exceeds %d bytes, the limit of a message: ask for less",
                                 LIMIT_MESSAGE_BYTES);
    return STATUS_OK;
}

/* Ends the op with what is in @reply. */
static enum status_code reply_with(struct op *op, struct buf *reply, struct status *st)
{
    if (st->code == STATUS_OK && check_reply_size(reply, st) == STATUS_OK)
        op->bytes = rpc_bytes_from_buf(reply);
    buf_deinit(reply);
    return st->code;
}

enum status_code op_get(struct op *op, struct status *st)
{
    const Sutra__V1__GetRequest *request = (const Sutra__V1__GetRequest *)op->request;
    struct store *store = op->shard->store;
    struct store_vector vector;
    struct store_value value = { 0 };
    struct buf reply = { 0 };
    struct concept_id id;

    if (op_own_id(op, request->id, &id, st) != STATUS_OK ||
        store_get(store, &id, &value, st) != STATUS_OK)
        return st->code;
    if (!request->include_embedding)
        put_concept(&reply, value.data, value.size, NULL);
    else if (store_get_vectors(store, &id, 1, &op->arena, &vector, st) == STATUS_OK)
        put_concept(&reply, value.data, value.size, &vector);
    store_value_release(&value);
    return reply_with(op, &reply, st);
}

static enum status_code get_vectors(struct op *op, const struct concept_id *ids, size_t n,
                                    bool wanted, struct store_vector **ret, struct status *st)
{
    *ret = NULL;
    if (!wanted)
        return STATUS_OK;
    *ret = arena_calloc(&op->arena, n, sizeof **ret);
    if (*ret == NULL)
        return limit_call_memory(st);
    return store_get_vectors(op->shard->store, ids, n, &op->arena, *ret, st);
}

static enum status_code put_batch(const struct store_value *values,
                                  const struct store_vector *vectors, size_t n, struct buf *reply,
                                  struct status *st)
{
    struct buf missing = { 0 };

    for (size_t i = 0; i < n; i++) {
        if (values[i].data == NULL)
            wire_append_varint(&missing, i);
        else
            put_concept(reply, values[i].data, values[i].size,
                        vectors == NULL ? NULL : &vectors[i]);
        if (check_reply_size(reply, st) != STATUS_OK)
            break;
    }
    if (missing.size > 0)
        wire_put_bytes(reply, FIELD_MISSING, missing.data, missing.size);
    reply->failed |= missing.failed;
    buf_deinit(&missing);
    return st->code;
}

enum status_code op_batch_get(struct op *op, struct status *st)
{
    const Sutra__V1__BatchGetRequest *request = (const Sutra__V1__BatchGetRequest *)op->request;
    size_t n = request->n_ids;
    struct store_value *values = arena_calloc(&op->arena, n, sizeof *values);
    struct store_vector *vectors = NULL;
    struct concept_id *ids = NULL;
    struct buf reply = { 0 };

    if (values == NULL)
        return limit_call_memory(st);
    if (op_own_ids(op, request->ids, n, &ids, st) != STATUS_OK ||
        get_vectors(op, ids, n, request->include_embedding, &vectors, st) != STATUS_OK ||
        store_get_many(op->shard->store, ids, n, values, st) != STATUS_OK)
        return st->code;
    put_batch(values, vectors, n, &reply, st);
    for (size_t i = 0; i < n; i++)
        store_value_release(&values[i]);
    return reply_with(op, &reply, st);
}

/* The ids inside encoded concepts. */
static enum status_code ids_of(struct op *op, const struct text_view *values, size_t n,
                               struct concept_id **ret, struct status *st)
{
    enum { FIELD_ID = 1 };
    struct concept_id *ids = arena_calloc(&op->arena, n, sizeof *ids);

    if (ids == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *id;
        size_t length;
        if (!wire_find((const uint8_t *)values[i].data, values[i].length, FIELD_ID, &id, &length))
            return status_set(st, STATUS_DATA_LOSS, "a stored concept cannot be decoded");
        ids[i] = concept_id_trusted((const char *)id, length);
    }
    *ret = ids;
    return STATUS_OK;
}

enum status_code op_list_page(struct op *op, struct status *st)
{
    const Sutra__Internal__V1__ListPageRequest *request =
        (const Sutra__Internal__V1__ListPageRequest *)op->request;
    const struct text_view after = { .data = request->after_id,
                                     .length = strlen(request->after_id) };
    struct store_vector *vectors = NULL;
    struct text_view *values;
    struct concept_id *ids = NULL;
    struct buf reply = { 0 };
    size_t n;
    bool done;

    if (request->first_slot > request->last_slot || request->last_slot >= SLOT_COUNT)
        return status_set(st, STATUS_INVALID_ARGUMENT, "slots %u-%u", request->first_slot,
                          request->last_slot);
    if (op_check_owner(op, (uint16_t)request->first_slot, st) != STATUS_OK ||
        op_check_owner(op, (uint16_t)request->last_slot, st) != STATUS_OK ||
        store_list(op->shard->store, (uint16_t)request->first_slot, (uint16_t)request->last_slot,
                   after, request->limit, &op->arena, &values, &n, &done, st) != STATUS_OK ||
        ids_of(op, values, n, &ids, st) != STATUS_OK ||
        get_vectors(op, ids, n, request->include_embedding, &vectors, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < n; i++)
        put_concept(&reply, values[i].data, values[i].length, vectors == NULL ? NULL : &vectors[i]);
    wire_put_varint(&reply, FIELD_DONE, done);
    return reply_with(op, &reply, st);
}
