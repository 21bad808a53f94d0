/*
 * BatchGet: the records go from the shards' replies into ours without being decoded.
 */

#include <stdio.h>

#include "src/cluster/fetch.h"
#include "src/serve/wire.h"

/* BatchGetResponse */
enum { FIELD_CONCEPTS = 1, FIELD_MISSING = 2, FIELD_SHARDS_MISSING = 3 };

struct batch_get {
    struct verb verb;
    struct fetch fetch;
    struct scatter_missing missing;
};

static void put_packed(struct buf *to, uint32_t field, const struct buf *packed)
{
    if (packed->size > 0)
        wire_put_bytes(to, field, packed->data, packed->size);
}

static void encode_reply(const struct batch_get *get, struct buf *to)
{
    struct buf absent = { 0 };
    struct buf shards = { 0 };

    for (size_t i = 0; i < get->fetch.n; i++) {
        const struct fetched_concept *concept = &get->fetch.concepts[i];
        if (concept->data != NULL)
            wire_put_bytes(to, FIELD_CONCEPTS, concept->data, concept->size);
        else if (get->fetch.absent[i])
            wire_append_varint(&absent, i);
    }
    for (size_t i = 0; i < get->missing.count; i++)
        wire_append_varint(&shards, get->missing.shards[i]);
    put_packed(to, FIELD_MISSING, &absent);
    put_packed(to, FIELD_SHARDS_MISSING, &shards);
    to->failed |= absent.failed || shards.failed;
    buf_deinit(&absent);
    buf_deinit(&shards);
}

static void answer(struct fetch *fetch, const struct status *fetched)
{
    struct batch_get *get = (struct batch_get *)fetch->verb;
    struct rpc_bytes *reply = NULL;
    struct buf encoded = { 0 };
    struct status st = *fetched;

    if (st.code == STATUS_OK) {
        encode_reply(get, &encoded);
        if (limit_reply(&encoded, &st) == STATUS_OK)
            reply = rpc_bytes_from_buf(&encoded);
    }
    buf_deinit(&encoded);
    verb_finish_bytes(&get->verb, reply, &st);
}

static enum status_code parse_ids(char *const *ids, size_t n, struct arena *arena,
                                  struct concept_id **ret, struct status *st)
{
    struct concept_id *parsed;

    if (validate_count("ids", n, LIMIT_BATCH_ITEMS, st) != STATUS_OK)
        return st->code;
    parsed = arena_calloc(arena, n, sizeof *parsed);
    if (parsed == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < n; i++) {
        if (validate_id(ids[i], &parsed[i], st) != STATUS_OK) {
            char field[32];
            snprintf(field, sizeof field, "ids[%zu]", i);
            validate_name_field(st, field);
            return st->code;
        }
    }
    *ret = parsed;
    return STATUS_OK;
}

void serve_batch_get(struct rpc_call *call, const ProtobufCMessage *message, void *cluster)
{
    const Sutra__V1__BatchGetRequest *request = (const Sutra__V1__BatchGetRequest *)message;
    struct batch_get *get = verb_new(cluster, call, sizeof *get);
    struct concept_id *ids = NULL;
    struct status st = { 0 };

    if (get == NULL)
        return;
    if (parse_ids(request->ids, request->n_ids, verb_arena(&get->verb), &ids, &st) != STATUS_OK) {
        verb_finish(&get->verb, NULL, &st);
        return;
    }
    get->missing.allowed = request->allow_partial;
    get->fetch = (struct fetch){
        .verb = &get->verb,
        .ids = ids,
        .n = request->n_ids,
        .include_embedding = request->include_embedding,
        .missing = &get->missing,
        .done = answer,
    };
    fetch_run(&get->fetch);
}
