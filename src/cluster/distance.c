/*
 * Distance: pairs of one shard are compared there; otherwise the rows of all are gathered and
 * compared here. Integer sums of the same rows: the result depends on what is stored, not on where.
 */

#include "src/cluster/distance_wire.h"
#include "src/cluster/vectors.h"

struct distance {
    struct verb verb;
    struct vectors vectors;
    struct distance_request request;
};

static enum status_code encode_reply(struct distance *distance, struct buf *to, struct status *st)
{
    size_t n = distance->request.n;
    float *similarities = arena_alloc(verb_arena(&distance->verb), (n + 1) * sizeof *similarities);

    if (similarities == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < n; i++)
        similarities[i] = vectors_similarity(&distance->vectors, i, n + i);
    distance_put_response(to, similarities, n);
    return limit_reply(to, rpc_max_message_bytes(distance->verb.call), st);
}

static void answer(struct vectors *vectors, const struct status *gathered)
{
    struct distance *distance = (struct distance *)vectors->verb;
    struct rpc_bytes *reply = NULL;
    struct buf encoded = { 0 };
    struct status st = *gathered;

    if (st.code == STATUS_OK && encode_reply(distance, &encoded, &st) == STATUS_OK)
        reply = rpc_bytes_from_buf(&encoded);
    buf_deinit(&encoded);
    verb_finish_bytes(&distance->verb, reply, &st);
}

void serve_distance(struct rpc_call *call, const ProtobufCMessage *none, void *cluster)
{
    struct distance *distance = verb_new(cluster, call, sizeof *distance);
    const struct distance_request *request = &distance->request;
    struct status st = { 0 };
    uint32_t owner;

    (void)none;
    if (distance == NULL)
        return;
    if (distance_read(rpc_request_bytes(call), verb_arena(&distance->verb), &distance->request,
                      &st) != STATUS_OK) {
        verb_finish(&distance->verb, NULL, &st);
        return;
    }
    if (split_one_owner(distance->verb.placement, request->ids, 2 * request->n, &owner)) {
        verb_forward(&distance->verb, owner, "Distance");
        return;
    }
    distance->vectors = (struct vectors){
        .verb = &distance->verb,
        .ids = request->ids,
        .n = 2 * request->n,
        .decoded = request->approximate,
        .done = answer,
    };
    vectors_run(&distance->vectors);
}
