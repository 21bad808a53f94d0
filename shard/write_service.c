/*
 * Write, Delete, Reinforce.
 */

#include <string.h>

#include "shard/convert.h"
#include "shard/courier.h"
#include "shard/op.h"
#include "src/base/clock.h"
#include "src/rpc/details.h"

/* ---- Write ---- */

/* One Write on its way: [n] each. */
struct write {
    const Sutra__Internal__V1__WriteRequest *request;
    size_t n;
    struct store_write *items;
    struct store_write_result *results;
    /* [vector_count]: the items that have a vector, in order, and their vectors. */
    size_t *with_vector;
    size_t vector_count;
    struct store_vector *vectors;
    float *rows;
    uint8_t *refinements;
};

static bool make_room(struct op *op, struct write *w)
{
    struct arena *arena = &op->arena;
    size_t bytes = row_bytes(index_rows(op->shard->index));

    w->items = arena_calloc(arena, w->n, sizeof *w->items);
    w->results = arena_calloc(arena, w->n, sizeof *w->results);
    w->vectors = arena_calloc(arena, w->n, sizeof *w->vectors);
    w->with_vector = arena_calloc(arena, w->n, sizeof *w->with_vector);
    w->rows = arena_alloc(arena, w->n * LIMIT_DIMENSION * sizeof *w->rows);
    w->refinements = arena_alloc(arena, w->n * bytes);
    return w->items != NULL && w->results != NULL && w->vectors != NULL && w->with_vector != NULL &&
           w->rows != NULL && w->refinements != NULL;
}

/* The embedding of item @i as a row; it was brought to length 1 where it entered the cluster. */
static enum status_code take_row(struct write *w, size_t i, struct status *st)
{
    const size_t row_bytes = LIMIT_DIMENSION * sizeof(float);
    const Sutra__V1__Embedding *embedding = w->request->items[i]->embedding;

    if (embedding == NULL)
        return STATUS_OK;
    if (embedding->f32le.len != row_bytes)
        return status_set(st, STATUS_INVALID_ARGUMENT, "items[%zu]: an embedding of %zu bytes", i,
                          embedding->f32le.len);
    memcpy(w->rows + w->vector_count * LIMIT_DIMENSION, embedding->f32le.data, row_bytes);
    w->with_vector[w->vector_count++] = i;
    return STATUS_OK;
}

/* A code is made of the refinement row, not of the vector that was sent: so it does not depend on
 * whether the vector or the codebook was there first. */
static enum status_code encode_rows(struct op *op, struct write *w, struct status *st)
{
    struct row_policy policy = index_rows(op->shard->index);

    for (size_t j = 0; j < w->vector_count; j++)
        refine_encode(policy.format, w->rows + j * LIMIT_DIMENSION, LIMIT_DIMENSION,
                      w->refinements + j * row_bytes(policy));
    if (index_encode(op->shard->index, w->refinements, w->vector_count, &op->arena, w->vectors,
                     st) != STATUS_OK)
        return st->code;
    for (size_t j = 0; j < w->vector_count; j++)
        w->items[w->with_vector[j]].vector = &w->vectors[j];
    return STATUS_OK;
}

static enum status_code convert_items(struct op *op, struct write *w, struct status *st)
{
    enum store_write_mode mode = w->request->mode == SUTRA__INTERNAL__V1__WRITE_MODE__WRITE_MODE_PUT
                                     ? STORE_PUT
                                     : STORE_LEARN;
    int64_t now_us = clock_wall_us();

    for (size_t i = 0; i < w->n; i++) {
        struct concept_id id;
        if (op_own_id(op, w->request->items[i]->id, &id, st) != STATUS_OK ||
            take_row(w, i, st) != STATUS_OK)
            return st->code;
        if (!convert_write(w->request->items[i], &id, mode, now_us, &op->arena, &w->items[i]))
            return limit_call_memory(st);
    }
    return encode_rows(op, w, st);
}

static Sutra__V1__WriteResult *make_result(struct op *op, const struct write *w, size_t i)
{
    Sutra__V1__WriteResult *result = arena_alloc(&op->arena, sizeof *result);
    const struct store_write_result *from = &w->results[i];

    if (result == NULL)
        return NULL;
    sutra__v1__write_result__init(result);
    result->id = w->request->items[i]->id;
    result->version = from->version;
    result->created = from->created;
    if (from->status.code != STATUS_OK) {
        result->status = rpc_status_to_message(&from->status, NULL, 0, &op->arena);
        return result->status == NULL ? NULL : result;
    }
    return result;
}

static enum status_code reply_results(struct op *op, const struct write *w, struct status *st)
{
    Sutra__Internal__V1__WriteResponse *reply = op_new(op, sizeof *reply, st);

    if (reply == NULL)
        return st->code;
    sutra__internal__v1__write_response__init(reply);
    reply->results = arena_calloc(&op->arena, w->n, sizeof *reply->results);
    for (size_t i = 0; reply->results != NULL && i < w->n; i++) {
        reply->results[i] = make_result(op, w, i);
        if (reply->results[i] == NULL)
            reply->results = NULL;
    }
    reply->n_results = w->n;
    op->message = &reply->base;
    return reply->results == NULL ? limit_call_memory(st) : STATUS_OK;
}

enum status_code op_write(struct op *op, struct status *st)
{
    struct write w = { .request = (const Sutra__Internal__V1__WriteRequest *)op->request };

    w.n = w.request->n_items;
    if (!make_room(op, &w))
        return limit_call_memory(st);
    if (convert_items(op, &w, st) != STATUS_OK ||
        store_write(op->shard->store, w.items, w.n, op_synced(w.request->durability), w.results,
                    st) != STATUS_OK)
        return st->code;
    courier_wake(op->shard->courier);
    return reply_results(op, &w, st);
}

/* ---- Delete ---- */

enum status_code op_delete(struct op *op, struct status *st)
{
    const Sutra__V1__DeleteRequest *request = (const Sutra__V1__DeleteRequest *)op->request;
    const struct store_condition condition = {
        .given = request->condition_case == SUTRA__V1__DELETE_REQUEST__CONDITION_IF_VERSION,
        .version = request->if_version,
    };
    Sutra__V1__DeleteResponse *reply = op_new(op, sizeof *reply, st);
    struct concept_id id;
    bool existed;

    if (reply == NULL || op_own_id(op, request->id, &id, st) != STATUS_OK ||
        store_delete(op->shard->store, &id, condition, op_synced(request->durability), &existed,
                     st) != STATUS_OK)
        return st->code;
    courier_wake(op->shard->courier);
    sutra__v1__delete_response__init(reply);
    reply->existed = existed;
    op->message = &reply->base;
    return STATUS_OK;
}

/* ---- Reinforce ---- */

static enum status_code reinforce_concept(struct op *op, const Sutra__V1__ReinforceRequest *request,
                                          Sutra__V1__ReinforceResponse *reply, struct status *st)
{
    struct concept_id id;
    struct text_view value;
    struct rpc_bytes *bytes;
    ProtobufCMessage *concept;

    if (op_own_id(op, request->id, &id, st) != STATUS_OK ||
        store_reinforce_concept(op->shard->store, &id, clock_wall_us(),
                                op_synced(request->durability), &op->arena, &value,
                                st) != STATUS_OK)
        return st->code;
    bytes = rpc_bytes_copy(value.data, value.length);
    if (rpc_bytes_unpack(bytes, &sutra__v1__concept__descriptor, &op->arena, &concept, st) ==
        STATUS_OK) {
        reply->result_case = SUTRA__V1__REINFORCE_RESPONSE__RESULT_CONCEPT;
        reply->concept = (Sutra__V1__Concept *)concept;
    }
    rpc_bytes_free(bytes);
    return st->code;
}

static enum status_code reinforce_association(struct op *op,
                                              const Sutra__V1__ReinforceRequest *request,
                                              Sutra__V1__ReinforceResponse *reply,
                                              struct status *st)
{
    struct store_association key;
    struct store_association stored;

    if (op_own_key(op, request->association, &key, st) != STATUS_OK ||
        store_reinforce_association(op->shard->store, &key, clock_wall_us(),
                                    op_synced(request->durability), &stored, st) != STATUS_OK)
        return st->code;
    courier_wake(op->shard->courier);
    reply->result_case = SUTRA__V1__REINFORCE_RESPONSE__RESULT_ASSOCIATION;
    reply->association = convert_association_back(&stored, &op->arena);
    return reply->association == NULL ? limit_call_memory(st) : STATUS_OK;
}

enum status_code op_reinforce(struct op *op, struct status *st)
{
    const Sutra__V1__ReinforceRequest *request = (const Sutra__V1__ReinforceRequest *)op->request;
    Sutra__V1__ReinforceResponse *reply = op_new(op, sizeof *reply, st);

    if (reply == NULL)
        return st->code;
    sutra__v1__reinforce_response__init(reply);
    op->message = &reply->base;
    switch (request->target_case) {
    case SUTRA__V1__REINFORCE_REQUEST__TARGET_ID:
        return reinforce_concept(op, request, reply, st);
    case SUTRA__V1__REINFORCE_REQUEST__TARGET_ASSOCIATION:
        return reinforce_association(op, request, reply, st);
    default:
        return status_set_field(st, "target", "one of id and association must be given");
    }
}
