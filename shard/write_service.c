/*
 * Write, Delete, Reinforce.
 */

#include "shard/convert.h"
#include "shard/courier.h"
#include "shard/op.h"
#include "src/base/clock.h"
#include "src/cluster/validate.h"
#include "src/rpc/details.h"

/* ---- Write ---- */

/* One Write on its way. */
struct write {
    const Sutra__Internal__V1__WriteRequest *request;
    size_t n;
    struct concept_id *ids; /* [n] */
    struct status *refused; /* [n] */
    /* Those that were not refused: [count] each. */
    size_t count;
    struct store_write *items;
    struct store_write_result *results;
    /* The items that have a vector, in order: [vector_count] each. */
    size_t vector_count;
    size_t *with_vector;
    const float **rows;
    struct store_vector *vectors;
    uint8_t *refinements;
};

static bool make_room(struct op *op, struct write *w)
{
    struct arena *arena = &op->arena;
    size_t bytes = row_bytes(index_rows(op->shard->index));

    w->ids = arena_alloc(arena, w->n * sizeof *w->ids);
    w->refused = arena_calloc(arena, w->n, sizeof *w->refused);
    w->items = arena_alloc(arena, w->n * sizeof *w->items);
    w->results = arena_alloc(arena, w->n * sizeof *w->results);
    w->with_vector = arena_alloc(arena, w->n * sizeof *w->with_vector);
    w->rows = arena_alloc(arena, w->n * sizeof *w->rows);
    w->vectors = arena_calloc(arena, w->n, sizeof *w->vectors);
    w->refinements = arena_alloc(arena, w->n * bytes);
    return w->ids != NULL && w->refused != NULL && w->items != NULL && w->results != NULL &&
           w->with_vector != NULL && w->rows != NULL && w->vectors != NULL &&
           w->refinements != NULL;
}

/* A call that runs out of memory has nothing wrong with its items. */
static enum status_code validate_items(struct op *op, struct write *w, struct status *st)
{
    for (size_t i = 0; i < w->n; i++) {
        if (validate_input(w->request->items[i], &op->arena, &w->ids[i], &w->refused[i]) ==
            STATUS_RESOURCE_EXHAUSTED) {
            *st = w->refused[i];
            return st->code;
        }
        if (w->refused[i].code != STATUS_OK)
            continue;
        if (op_check_owner(op, w->ids[i].slot, st) != STATUS_OK)
            return st->code;
    }
    return STATUS_OK;
}

/* A code is made of the refinement row, not of the vector that was sent: so it does not depend on
 * whether the vector or the codebook was there first. */
static enum status_code encode_rows(struct op *op, struct write *w, struct status *st)
{
    struct row_policy policy = index_rows(op->shard->index);

    for (size_t j = 0; j < w->vector_count; j++)
        refine_encode(policy.format, w->rows[j], LIMIT_DIMENSION,
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
        const Sutra__V1__ConceptInput *item = w->request->items[i];
        if (w->refused[i].code != STATUS_OK)
            continue;
        if (!convert_write(item, &w->ids[i], mode, now_us, &op->arena, &w->items[w->count]))
            return limit_call_memory(st);
        if (item->embedding != NULL) {
            w->with_vector[w->vector_count] = w->count;
            w->rows[w->vector_count++] = (const float *)(const void *)item->embedding->f32le.data;
        }
        w->count++;
    }
    return encode_rows(op, w, st);
}

static Sutra__V1__WriteResult *make_result(struct op *op, const struct status *refused,
                                           const struct store_write_result *written)
{
    Sutra__V1__WriteResult *result = arena_alloc(&op->arena, sizeof *result);

    if (result == NULL)
        return NULL;
    sutra__v1__write_result__init(result);
    if (refused->code != STATUS_OK) {
        result->status = rpc_status_to_message(refused, NULL, 0, &op->arena);
        return result->status == NULL ? NULL : result;
    }
    result->version = written->version;
    result->created = written->created;
    return result;
}

static enum status_code reply_results(struct op *op, const struct write *w, struct status *st)
{
    Sutra__Internal__V1__WriteResponse *reply = op_new(op, sizeof *reply, st);
    const struct store_write_result *written = w->results;

    if (reply == NULL)
        return st->code;
    sutra__internal__v1__write_response__init(reply);
    reply->results = arena_calloc(&op->arena, w->n, sizeof *reply->results);
    for (size_t i = 0; reply->results != NULL && i < w->n; i++) {
        bool sent = w->refused[i].code == STATUS_OK;
        reply->results[i] = make_result(op, sent ? &written->status : &w->refused[i], written);
        if (reply->results[i] == NULL)
            reply->results = NULL;
        else
            reply->results[i]->id = w->request->items[i]->id;
        written += sent;
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
    if (validate_items(op, &w, st) != STATUS_OK || convert_items(op, &w, st) != STATUS_OK ||
        store_write(op->shard->store, w.items, w.count, op_synced(w.request->durability), w.results,
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
