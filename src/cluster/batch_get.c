/*
 * BatchGet: the records go from the shards' replies into ours without being decoded, unless columns
 * are asked for.
 */

#include "src/base/wire.h"
#include "src/cluster/batch_get_wire.h"
#include "src/cluster/concept_columns.h"
#include "src/cluster/fetch.h"

struct batch_get {
    struct verb verb;
    struct fetch fetch;
    struct scatter_missing missing;
    bool columns;
};

static void put_packed(struct buf *to, uint32_t field, const struct buf *packed)
{
    if (packed->size > 0)
        wire_put_bytes(to, field, packed->data, packed->size);
}

static void put_rows(const struct fetch *fetch, struct buf *to)
{
    for (size_t i = 0; i < fetch->n; i++)
        if (fetch->concepts[i].data != NULL)
            wire_put_bytes(to, BATCH_GET_CONCEPTS, fetch->concepts[i].data,
                           fetch->concepts[i].size);
}

static void put_missing(const struct batch_get *get, struct buf *to)
{
    struct buf absent = { 0 };
    struct buf shards = { 0 };

    for (size_t i = 0; i < get->fetch.n; i++)
        if (get->fetch.concepts[i].data == NULL && get->fetch.absent[i])
            wire_append_varint(&absent, i);
    for (size_t i = 0; i < get->missing.count; i++)
        wire_append_varint(&shards, get->missing.shards[i]);
    put_packed(to, BATCH_GET_MISSING, &absent);
    put_packed(to, BATCH_GET_SHARDS_MISSING, &shards);
    to->failed |= absent.failed || shards.failed;
    buf_deinit(&absent);
    buf_deinit(&shards);
}

static enum status_code encode_reply(struct batch_get *get, struct buf *to, struct status *st)
{
    const struct fetch *fetch = &get->fetch;

    if (!get->columns)
        put_rows(fetch, to);
    else if (concept_columns_put(fetch->concepts, fetch->n,
                                 fetch->include_embedding ? LIMIT_DIMENSION : 0,
                                 rpc_max_message_bytes(get->verb.call), verb_arena(&get->verb), to,
                                 st) != STATUS_OK)
        return st->code;
    put_missing(get, to);
    return limit_reply(to, rpc_max_message_bytes(get->verb.call), st);
}

static void answer(struct fetch *fetch, const struct status *fetched)
{
    struct batch_get *get = (struct batch_get *)fetch->verb;
    struct rpc_bytes *reply = NULL;
    struct buf encoded = { 0 };
    struct status st = *fetched;

    if (st.code == STATUS_OK && encode_reply(get, &encoded, &st) == STATUS_OK)
        reply = rpc_bytes_from_buf(&encoded);
    buf_deinit(&encoded);
    verb_finish_bytes(&get->verb, reply, &st);
}

void serve_batch_get(struct rpc_call *call, const ProtobufCMessage *none, void *cluster)
{
    struct batch_get *get = verb_new(cluster, call, sizeof *get);
    struct batch_get_request request;
    struct status st = { 0 };
    uint32_t owner;

    (void)none;
    if (get == NULL)
        return;
    if (batch_get_read(rpc_request_bytes(call), verb_arena(&get->verb), &request, &st) !=
        STATUS_OK) {
        verb_finish(&get->verb, NULL, &st);
        return;
    }
    if (!request.allow_partial &&
        split_one_owner(get->verb.placement, request.ids, request.n, &owner)) {
        verb_forward(&get->verb, owner, "BatchGet");
        return;
    }
    get->columns = request.columns;
    get->missing.allowed = request.allow_partial;
    get->fetch = (struct fetch){
        .verb = &get->verb,
        .ids = request.ids,
        .n = request.n,
        .include_embedding = request.include_embedding,
        .missing = &get->missing,
        .done = answer,
    };
    fetch_run(&get->fetch);
}
