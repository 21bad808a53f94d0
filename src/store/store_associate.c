#include "src/store/store_internal.h"

enum { MAX_WEIGHT = 5 };

/* A batch that has the association's ends locked. */
static enum status_code begin(struct store_batch *batch, const struct edge *edge, struct status *st)
{
    id_set_add(&batch->ids, &edge->source);
    id_set_add(&batch->ids, &edge->target);
    return store_batch_lock(batch, st);
}

static enum status_code check_source(struct store_batch *batch, const struct edge *edge,
                                     struct status *st)
{
    struct store_record record;
    struct store_key key;

    store_key_concept(&edge->source, &key);
    if (store_batch_get(batch, FAMILY_CONCEPTS, &key, &record, st) != STATUS_OK)
        return st->code;
    if (record.bytes.data == NULL)
        status_set(st, STATUS_NOT_FOUND, "there is no concept '%.*s'", (int)edge->source.length,
                   edge->source.data);
    store_record_release(&record);
    return st->code;
}

enum status_code store_associate(struct store *store, const struct store_association *association,
                                 bool synced, struct store_association *ret, bool *ret_created,
                                 struct status *st)
{
    struct edge_value value = edge_value_of(association);
    struct store_batch batch = { .store = store };
    struct edge edge;
    bool created;

    if (edge_parse(association, &edge, st) != STATUS_OK)
        return st->code;
    if (begin(&batch, &edge, st) == STATUS_OK && check_source(&batch, &edge, st) == STATUS_OK &&
        edge_put(&batch, &edge, false, &value, &created, st) == STATUS_OK &&
        store_batch_commit(&batch, st) == STATUS_OK) {
        *ret = edge_association(&edge, &value);
        *ret_created = created;
    }
    return store_batch_end(&batch, synced, st);
}

enum status_code store_dissociate(struct store *store, const struct store_association *association,
                                  bool synced, bool *ret_existed, struct status *st)
{
    struct store_batch batch = { .store = store };
    struct edge edge;
    bool existed;

    if (edge_parse(association, &edge, st) != STATUS_OK)
        return st->code;
    if (begin(&batch, &edge, st) == STATUS_OK &&
        edge_delete(&batch, &edge, STORE_OUT, &existed, st) == STATUS_OK &&
        store_batch_commit(&batch, st) == STATUS_OK)
        *ret_existed = existed;
    return store_batch_end(&batch, synced, st);
}

static void strengthen(struct edge_value *value, int64_t now_us)
{
    value->weight *= 1.1f;
    if (value->weight > MAX_WEIGHT)
        value->weight = MAX_WEIGHT;
    value->confidence += 0.02f;
    if (value->confidence > 1)
        value->confidence = 1;
    value->last_used_us = now_us;
}

static enum status_code reinforce(struct store_batch *batch, const struct edge *edge,
                                  int64_t now_us, struct edge_value *value, struct status *st)
{
    bool found;

    if (edge_get(batch, edge, STORE_OUT, &found, value, st) != STATUS_OK)
        return st->code;
    if (!found)
        return status_set(st, STATUS_NOT_FOUND, "there is no such association");
    strengthen(value, now_us);
    return edge_replace(batch, edge, value, st);
}

enum status_code store_reinforce_association(struct store *store,
                                             const struct store_association *association,
                                             int64_t now_us, bool synced,
                                             struct store_association *ret, struct status *st)
{
    struct store_batch batch = { .store = store };
    struct edge_value value;
    struct edge edge;

    if (edge_parse(association, &edge, st) != STATUS_OK)
        return st->code;
    if (begin(&batch, &edge, st) == STATUS_OK &&
        reinforce(&batch, &edge, now_us, &value, st) == STATUS_OK &&
        store_batch_commit(&batch, st) == STATUS_OK)
        *ret = edge_association(&edge, &value);
    return store_batch_end(&batch, synced, st);
}
