/*
 * Associate, Dissociate, Neighbors, and ApplyEdges, by which other shards deliver their outboxes.
 */

#include <string.h>

#include "shard/convert.h"
#include "shard/courier.h"
#include "shard/op.h"
#include "src/base/clock.h"
#include "src/cluster/validate.h"

enum status_code op_own_key(struct op *op, const Sutra__V1__AssociationKey *key,
                            struct store_association *ret, struct status *st)
{
    struct concept_id source;

    if (key == NULL)
        return status_set_field(st, "key", "the association's key is missing");
    if (validate_key(key, st) != STATUS_OK || op_own_id(op, key->source, &source, st) != STATUS_OK)
        return st->code;
    *ret = convert_key(key);
    if (ret->type == 0)
        ret->type = SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_SEMANTIC;
    return STATUS_OK;
}

/* ---- Associate, Dissociate ---- */

static enum status_code write_association(struct op *op, const Sutra__V1__AssociateRequest *request,
                                          Sutra__V1__AssociateResponse *reply, struct status *st)
{
    Sutra__V1__Association *given = request->association;
    struct store_association association;
    struct store_association stored;
    struct concept_id source;
    bool created;

    if (given == NULL)
        return status_set_field(st, "association", "association is missing");
    if (validate_association(given, st) != STATUS_OK) {
        status_prefix_field(st, "association");
        return st->code;
    }
    association = convert_association(given, clock_wall_us());
    if (op_own_id(op, given->source, &source, st) != STATUS_OK ||
        store_associate(op->shard->store, &association, op_synced(request->durability), &stored,
                        &created, st) != STATUS_OK)
        return st->code;
    courier_wake(op->shard->courier);
    reply->created = created;
    reply->association = convert_association_back(&stored, &op->arena);
    return reply->association == NULL ? limit_call_memory(st) : STATUS_OK;
}

enum status_code op_associate(struct op *op, struct status *st)
{
    Sutra__V1__AssociateResponse *reply = op_new(op, sizeof *reply, st);

    if (reply == NULL)
        return st->code;
    sutra__v1__associate_response__init(reply);
    op->message = &reply->base;
    return write_association(op, (const Sutra__V1__AssociateRequest *)op->request, reply, st);
}

enum status_code op_dissociate(struct op *op, struct status *st)
{
    const Sutra__V1__DissociateRequest *request = (const Sutra__V1__DissociateRequest *)op->request;
    Sutra__V1__DissociateResponse *reply = op_new(op, sizeof *reply, st);
    struct store_association key;
    bool existed;

    if (reply == NULL || op_own_key(op, request->key, &key, st) != STATUS_OK ||
        store_dissociate(op->shard->store, &key, op_synced(request->durability), &existed, st) !=
            STATUS_OK)
        return st->code;
    courier_wake(op->shard->courier);
    sutra__v1__dissociate_response__init(reply);
    reply->existed = existed;
    op->message = &reply->base;
    return STATUS_OK;
}

/* ---- Neighbors ---- */

/*
 * Those that start at the concept, then those that end there. A cursor is the side it stopped on,
 * 'o' or 'i', and the store's own cursor for that side.
 */
struct neighbors {
    struct op *op;
    struct concept_id id;
    unsigned type_mask;
    size_t left;
    struct store_neighbors sides[2]; /* by enum store_direction */
    struct text_view cursor;         /* of the answer */
};

static const char side_letters[] = { [STORE_OUT] = 'o', [STORE_IN] = 'i' };

static enum status_code make_cursor(struct neighbors *n, enum store_direction side,
                                    struct text_view from, struct status *st)
{
    char *bytes = arena_alloc(&n->op->arena, from.length + 1);

    if (bytes == NULL)
        return limit_call_memory(st);
    bytes[0] = side_letters[side];
    if (from.length > 0)
        memcpy(bytes + 1, from.data, from.length);
    n->cursor = (struct text_view){ .data = bytes, .length = from.length + 1 };
    return STATUS_OK;
}

/* Reads one side from @cursor on; sets n->cursor if it did not reach the end. */
static enum status_code read_side(struct neighbors *n, enum store_direction side,
                                  struct text_view cursor, struct status *st)
{
    const struct store_neighbors_query query = {
        .id = n->id,
        .direction = side,
        .type_mask = n->type_mask,
        .limit = n->left,
        .cursor = cursor,
    };

    if (n->left == 0)
        return make_cursor(n, side, cursor, st);
    if (store_neighbors(n->op->shard->store, &query, &n->op->arena, &n->sides[side], st) !=
        STATUS_OK)
        return st->code;
    n->left -= n->sides[side].count;
    if (n->sides[side].cursor.length > 0)
        return make_cursor(n, side, n->sides[side].cursor, st);
    return STATUS_OK;
}

static enum status_code
read_neighbors(struct neighbors *n, const Sutra__V1__NeighborsRequest *request, struct status *st)
{
    struct text_view cursor = { .data = (const char *)request->cursor.data,
                                .length = request->cursor.len };
    bool out = request->direction != SUTRA__V1__DIRECTION__DIRECTION_IN;
    bool in = request->direction != SUTRA__V1__DIRECTION__DIRECTION_OUT;

    if (cursor.length > 0) {
        char side = cursor.data[0];
        if (!(out && side == side_letters[STORE_OUT]) && !(in && side == side_letters[STORE_IN]))
            return status_set_field(st, "cursor", "cursor is not one that Neighbors gave");
        out &= side == side_letters[STORE_OUT];
        cursor.data++;
        cursor.length--;
    }
    if (out && read_side(n, STORE_OUT, cursor, st) != STATUS_OK)
        return st->code;
    if (out)
        cursor = (struct text_view){ 0 };
    if (in && n->cursor.length == 0)
        read_side(n, STORE_IN, cursor, st);
    return st->code;
}

static enum status_code reply_neighbors(struct neighbors *n, struct status *st)
{
    struct arena *arena = &n->op->arena;
    Sutra__V1__NeighborsResponse *reply = op_new(n->op, sizeof *reply, st);
    size_t total = n->sides[STORE_OUT].count + n->sides[STORE_IN].count;

    if (reply == NULL)
        return st->code;
    sutra__v1__neighbors_response__init(reply);
    reply->associations = arena_calloc(arena, total, sizeof *reply->associations);
    for (int side = STORE_OUT; side <= STORE_IN && reply->associations != NULL; side++) {
        for (size_t i = 0; i < n->sides[side].count; i++) {
            Sutra__V1__Association *to = convert_association_back(&n->sides[side].items[i], arena);
            if (to == NULL)
                return limit_call_memory(st);
            reply->associations[reply->n_associations++] = to;
        }
    }
    reply->cursor.data = (uint8_t *)n->cursor.data;
    reply->cursor.len = n->cursor.length;
    n->op->message = &reply->base;
    return reply->associations == NULL ? limit_call_memory(st) : STATUS_OK;
}

enum status_code op_neighbors(struct op *op, struct status *st)
{
    const Sutra__V1__NeighborsRequest *request = (const Sutra__V1__NeighborsRequest *)op->request;
    struct neighbors n = { .op = op,
                           .left = request->limit == 0 ? DEFAULT_NEIGHBORS : request->limit };

    if (n.left > LIMIT_PAGE_ITEMS)
        return status_set_field(st, "limit", "limit is %zu, the limit is %d", n.left,
                                LIMIT_PAGE_ITEMS);
    for (size_t i = 0; i < request->n_types; i++) {
        int type = (int)request->types[i];
        if (type < STORE_TYPE_MIN || type > STORE_TYPE_MAX)
            return status_set_field(st, "types", "association type %d does not exist", type);
        n.type_mask |= 1u << type;
    }
    if (op_own_id(op, request->id, &n.id, st) != STATUS_OK ||
        read_neighbors(&n, request, st) != STATUS_OK)
        return st->code;
    return reply_neighbors(&n, st);
}

/* ---- ApplyEdges ---- */

static enum status_code take_edge(struct op *op, const Sutra__Internal__V1__EdgeOp *from,
                                  struct store_edge_op *ret, struct status *st)
{
    const Sutra__V1__Association *association = from->association;
    struct concept_id here;
    int kind = (int)from->kind;

    if (association == NULL || kind < STORE_PUT_IN || kind > STORE_DELETE_OUT)
        return status_set(st, STATUS_INVALID_ARGUMENT, "an edge op of kind %d", kind);
    ret->kind = (enum store_edge_kind)kind;
    ret->association = convert_association(association, 0);
    ret->association.stamp = from->stamp;
    return op_own_id(op, ret->kind == STORE_DELETE_OUT ? association->source : association->target,
                     &here, st);
}

enum status_code op_apply_edges(struct op *op, struct status *st)
{
    const Sutra__Internal__V1__ApplyEdgesRequest *request =
        (const Sutra__Internal__V1__ApplyEdgesRequest *)op->request;
    Sutra__Internal__V1__ApplyEdgesResponse *reply = op_new(op, sizeof *reply, st);
    struct store_edge_op *ops = arena_calloc(&op->arena, request->n_ops, sizeof *ops);

    if (reply == NULL)
        return st->code;
    if (ops == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < request->n_ops; i++)
        if (take_edge(op, request->ops[i], &ops[i], st) != STATUS_OK)
            return st->code;
    if (store_apply_edges(op->shard->store, ops, request->n_ops, st) != STATUS_OK)
        return st->code;
    courier_wake(op->shard->courier); /* a DELETE_OUT sends one back */
    sutra__internal__v1__apply_edges_response__init(reply);
    op->message = &reply->base;
    return STATUS_OK;
}
