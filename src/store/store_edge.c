/* The two records of an association inside a batch. What concerns this shard's own other end runs
 * through edge_apply(), as if it had been delivered. */

#include "src/store/store_internal.h"

static enum store_family family_of(enum store_direction side)
{
    return side == STORE_OUT ? FAMILY_OUT : FAMILY_IN;
}

static enum store_counter counter_of(enum store_direction side)
{
    return side == STORE_OUT ? COUNTER_OUT : COUNTER_IN;
}

enum status_code edge_get(struct store_batch *batch, const struct edge *edge,
                          enum store_direction side, bool *ret_found, struct edge_value *ret,
                          struct status *st)
{
    struct store_record record;
    struct store_key key;

    store_key_edge(edge, side, &key);
    if (store_batch_get(batch, family_of(side), &key, &record, st) != STATUS_OK)
        return st->code;
    *ret_found = record.bytes.data != NULL;
    if (*ret_found)
        edge_value_read(record.bytes, ret, st);
    store_record_release(&record);
    return st->code;
}

static void put_record(struct store_batch *batch, const struct edge *edge,
                       enum store_direction side, const struct edge_value *value, bool existed)
{
    uint8_t bytes[EDGE_VALUE_BYTES];
    struct store_key key;

    edge_value_write(value, bytes);
    store_key_edge(edge, side, &key);
    store_batch_put(batch, family_of(side), &key, bytes, sizeof bytes);
    if (!existed)
        batch->added[counter_of(side)]++;
}

/*
 * Graves. A delivery that outlives its sender's patience may be applied after the same delivery was
 * repeated and followed by a removal; its PUT_IN would then leave an in record without an out
 * record. So the store remembers the removals of late. That need not survive a restart, since no
 * call does, and is bounded: the table forgets a removal when another falls on its place.
 */

static struct grave *grave_of(struct store *store, const struct edge *edge, uint64_t *ret_hash)
{
    struct store_key key;

    store_key_edge(edge, STORE_IN, &key);
    *ret_hash = concept_id_trusted((const char *)key.data, key.size).hash;
    return &store->graves[*ret_hash % GRAVE_COUNT];
}

static void bury(struct store *store, const struct edge *edge, uint64_t stamp)
{
    uint64_t hash;
    struct grave *grave = grave_of(store, edge, &hash);

    pthread_mutex_lock(&store->graves_lock);
    if (grave->edge_hash != hash || grave->stamp < stamp)
        *grave = (struct grave){ hash, stamp };
    pthread_mutex_unlock(&store->graves_lock);
}

static bool is_buried(struct store *store, const struct edge *edge, uint64_t stamp)
{
    uint64_t hash;
    struct grave *grave = grave_of(store, edge, &hash);
    bool buried;

    pthread_mutex_lock(&store->graves_lock);
    buried = grave->edge_hash == hash && stamp <= grave->stamp;
    pthread_mutex_unlock(&store->graves_lock);
    return buried;
}

static void delete_record(struct store_batch *batch, const struct edge *edge,
                          enum store_direction side)
{
    struct store_key key;

    store_key_edge(edge, side, &key);
    store_batch_delete(batch, family_of(side), &key);
    batch->added[counter_of(side)]--;
}

static enum status_code post(struct store_batch *batch, const struct store_outbox_entry *entry,
                             struct status *st)
{
    struct store_key key;

    buf_reset(&batch->scratch);
    store_outbox_write(entry, &batch->scratch);
    if (batch->scratch.failed)
        return store_no_memory(st);
    store_key_sequence(entry->sequence, &key);
    store_batch_put(batch, FAMILY_OUTBOX, &key, batch->scratch.data, batch->scratch.size);
    batch->outbox_added++;
    return STATUS_OK;
}

/* Brings an op to the shard of the other end: at once if it is this one, else by the outbox. */
static enum status_code send(struct store_batch *batch, enum store_edge_kind kind,
                             uint64_t sequence, const struct edge *edge,
                             const struct edge_value *value, struct status *st)
{
    const struct concept_id *receiver = kind == STORE_DELETE_OUT ? &edge->source : &edge->target;
    const struct store_outbox_entry entry = {
        .sequence = sequence,
        .slot = receiver->slot,
        .op = { kind, edge_association(edge, value) },
    };

    if (store_owns(batch->store, receiver->slot))
        return edge_apply(batch, kind, edge, value, st);
    return post(batch, &entry, st);
}

static bool is_written(const struct store_batch *batch, const struct edge *edge)
{
    struct store_key key;

    store_key_edge(edge, STORE_OUT, &key);
    return pending_find(&batch->pending, FAMILY_OUT, key.data, key.size) != NULL;
}

static enum status_code write_both(struct store_batch *batch, const struct edge *edge,
                                   struct edge_value *value, bool existed, struct status *st)
{
    value->stamp = store_batch_sequence(batch);
    put_record(batch, edge, STORE_OUT, value, existed);
    return send(batch, STORE_PUT_IN, value->stamp, edge, value, st);
}

enum status_code edge_put(struct store_batch *batch, const struct edge *edge, bool source_is_new,
                          struct edge_value *value, bool *ret_created, struct status *st)
{
    struct edge_value old;
    bool existed = false;

    if ((!source_is_new || is_written(batch, edge)) &&
        edge_get(batch, edge, STORE_OUT, &existed, &old, st) != STATUS_OK)
        return st->code;
    if (existed) {
        value->created_us = old.created_us;
        value->last_used_us = old.last_used_us;
    }
    *ret_created = !existed;
    return write_both(batch, edge, value, existed, st);
}

enum status_code edge_replace(struct store_batch *batch, const struct edge *edge,
                              struct edge_value *value, struct status *st)
{
    return write_both(batch, edge, value, true, st);
}

enum status_code edge_delete(struct store_batch *batch, const struct edge *edge,
                             enum store_direction side, bool *ret_existed, struct status *st)
{
    struct edge_value value;
    uint64_t sequence;

    if (edge_get(batch, edge, side, ret_existed, &value, st) != STATUS_OK || !*ret_existed)
        return st->code;
    delete_record(batch, edge, side);
    sequence = store_batch_sequence(batch);
    if (side == STORE_IN) { /* with the stamp of what was removed: a newer edge survives */
        bury(batch->store, edge, value.stamp);
        return send(batch, STORE_DELETE_OUT, sequence, edge, &value, st);
    }
    value.stamp = sequence;
    return send(batch, STORE_DELETE_IN, sequence, edge, &value, st);
}

static enum status_code apply_put_in(struct store_batch *batch, const struct edge *edge,
                                     const struct edge_value *value, struct status *st)
{
    struct edge_value old;
    bool found;

    if (edge_get(batch, edge, STORE_IN, &found, &old, st) != STATUS_OK)
        return st->code;
    if (found ? old.stamp <= value->stamp : !is_buried(batch->store, edge, value->stamp))
        put_record(batch, edge, STORE_IN, value, found);
    return STATUS_OK;
}

static enum status_code apply_delete_in(struct store_batch *batch, const struct edge *edge,
                                        const struct edge_value *value, struct status *st)
{
    struct edge_value old;
    bool found;

    bury(batch->store, edge, value->stamp);
    if (edge_get(batch, edge, STORE_IN, &found, &old, st) != STATUS_OK)
        return st->code;
    if (found && old.stamp <= value->stamp)
        delete_record(batch, edge, STORE_IN);
    return STATUS_OK;
}

static enum status_code apply_delete_out(struct store_batch *batch, const struct edge *edge,
                                         const struct edge_value *value, struct status *st)
{
    struct edge_value old;
    bool found;

    if (edge_get(batch, edge, STORE_OUT, &found, &old, st) != STATUS_OK)
        return st->code;
    if (!found || old.stamp > value->stamp)
        return STATUS_OK;
    return edge_delete(batch, edge, STORE_OUT, &found, st);
}

enum status_code edge_apply(struct store_batch *batch, enum store_edge_kind kind,
                            const struct edge *edge, const struct edge_value *value,
                            struct status *st)
{
    switch (kind) {
    case STORE_PUT_IN:
        return apply_put_in(batch, edge, value, st);
    case STORE_DELETE_IN:
        return apply_delete_in(batch, edge, value, st);
    case STORE_DELETE_OUT:
        return apply_delete_out(batch, edge, value, st);
    }
    return status_set_field(st, "kind", "there is no edge operation %d", (int)kind);
}
