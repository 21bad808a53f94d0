#include "src/store/store_internal.h"

enum status_code store_batch_lock(struct store_batch *batch, struct status *st)
{
    batch->locked = id_locks_take(batch->store->locks, &batch->ids, st) == STATUS_OK;
    return st->code;
}

void store_batch_unlock(struct store_batch *batch)
{
    if (batch->locked)
        id_locks_release(batch->store->locks, &batch->ids);
    batch->locked = false;
}

enum status_code store_batch_end(struct store_batch *batch, bool synced, struct status *st)
{
    store_batch_unlock(batch);
    id_set_deinit(&batch->ids);
    pending_deinit(&batch->pending);
    buf_deinit(&batch->changes);
    buf_deinit(&batch->concepts);
    buf_deinit(&batch->scratch);
    return store_settle(batch->store, synced, st);
}

enum status_code store_batch_get(struct store_batch *batch, enum store_family family,
                                 const struct store_key *key, struct store_record *ret,
                                 struct status *st)
{
    const struct pending_op *op = pending_find(&batch->pending, family, key->data, key->size);
    struct store_value value = { 0 };

    *ret = (struct store_record){ 0 };
    if (op != NULL) {
        ret->bytes = (struct text_view){ (const char *)op->value, op->value_size };
        return STATUS_OK;
    }
    if (store_pin(batch->store, family, key, &value, st) != STATUS_OK)
        return st->code;
    *ret = (struct store_record){ { value.data, value.size }, value.handle };
    return STATUS_OK;
}

void store_record_release(struct store_record *record)
{
    if (record->pinned != NULL)
        rocksdb_pinnableslice_destroy(record->pinned);
    *record = (struct store_record){ 0 };
}

void store_batch_put(struct store_batch *batch, enum store_family family,
                     const struct store_key *key, const void *data, size_t size)
{
    pending_set(&batch->pending, family, key->data, key->size, data, size);
}

void store_batch_delete(struct store_batch *batch, enum store_family family,
                        const struct store_key *key)
{
    pending_set(&batch->pending, family, key->data, key->size, NULL, 0);
}

void store_batch_note_concept(struct store_batch *batch, const struct concept_id *id)
{
    buf_append(&batch->concepts, id, sizeof *id);
}

/* Taken under the locks of the association, so its stamps have the order of its writes. */
uint64_t store_batch_sequence(struct store_batch *batch)
{
    uint64_t sequence = atomic_fetch_add(&batch->store->counters[COUNTER_SEQUENCE], 1) + 1;

    batch->added[COUNTER_SEQUENCE] = sequence;
    return sequence;
}

static void add_counters(const struct store_batch *batch, rocksdb_writebatch_t *ops)
{
    static const char name[] = "counters";
    uint8_t operand[COUNTERS_BYTES];

    store_counters_write(batch->added, operand);
    rocksdb_writebatch_merge_cf(ops, batch->store->families[FAMILY_META], name, sizeof name - 1,
                                (const char *)operand, sizeof operand);
}

static void add_op(const struct store *store, const struct pending_op *op,
                   rocksdb_writebatch_t *ops)
{
    rocksdb_column_family_handle_t *family = store->families[op->family];
    const char *key = (const char *)op->key;

    if (op->value != NULL)
        rocksdb_writebatch_put_cf(ops, family, key, op->key_size, (const char *)op->value,
                                  op->value_size);
    else
        rocksdb_writebatch_delete_cf(ops, family, key, op->key_size);
}

/* In the order of the keys: a memtable finds each place from the one before. */
static enum status_code write_ops(struct store_batch *batch, struct status *st)
{
    struct store *store = batch->store;
    rocksdb_writebatch_t *ops = rocksdb_writebatch_create();
    char *error = NULL;
    size_t bytes;

    pending_sort(&batch->pending);
    for (size_t i = 0; i < batch->pending.count; i++)
        add_op(store, &batch->pending.ops[i], ops);
    add_counters(batch, ops);
    rocksdb_writebatch_data(ops, &bytes);
    rocksdb_write(store->db, store->write, ops, &error);
    rocksdb_writebatch_destroy(ops);
    if (error == NULL) {
        metrics_count(&store->batches, 1);
        metrics_count(&store->batch_bytes, bytes);
    }
    return error == NULL ? STATUS_OK : store_status(st, error);
}

static void mirror_counters(struct store_batch *batch)
{
    struct store *store = batch->store;

    for (unsigned i = 0; i < COUNTER_SEQUENCE; i++)
        if (batch->added[i] != 0)
            atomic_fetch_add(&store->counters[i], batch->added[i]);
    if (batch->outbox_added != 0)
        atomic_fetch_add(&store->outbox_pending, batch->outbox_added);
}

static void each_concept(const struct store_batch *batch,
                         void (*action)(struct record_cache *cache, const struct concept_id *id))
{
    const struct concept_id *ids = (const struct concept_id *)(const void *)batch->concepts.data;

    for (size_t i = 0; i < batch->concepts.size / sizeof *ids; i++)
        action(batch->store->cache, &ids[i]);
}

enum status_code store_batch_commit(struct store_batch *batch, struct status *st)
{
    store_batch_put_changes(batch);
    if (batch->pending.failed || batch->changes.failed || batch->concepts.failed)
        return store_no_memory(st);
    if (batch->pending.count == 0)
        return STATUS_OK;
    each_concept(batch, record_cache_begin_write);
    write_ops(batch, st);
    each_concept(batch, record_cache_end_write);
    if (st->code == STATUS_OK)
        mirror_counters(batch);
    return st->code;
}
