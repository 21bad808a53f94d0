#include "src/store/store_internal.h"

enum { RESERVED_BYTES = 4096 };

enum status_code store_batch_init(struct store_batch *batch, struct store *store, struct status *st)
{
    *batch = (struct store_batch){ .store = store };
    batch->ops = rocksdb_writebatch_wi_create(RESERVED_BYTES, 1);
    return batch->ops == NULL ? store_no_memory(st) : STATUS_OK;
}

void store_batch_deinit(struct store_batch *batch)
{
    if (batch->ops != NULL)
        rocksdb_writebatch_wi_destroy(batch->ops);
    buf_deinit(&batch->concepts);
    buf_deinit(&batch->scratch);
}

enum status_code store_batch_get(struct store_batch *batch, enum store_family family,
                                 const struct store_key *key, struct store_record *ret,
                                 struct status *st)
{
    struct store *store = batch->store;
    char *error = NULL;

    ret->bytes = (struct text_view){ 0 };
    ret->bytes.data = rocksdb_writebatch_wi_get_from_batch_and_db_cf(
        batch->ops, store->db, store->read, store->families[family], (const char *)key->data,
        key->size, &ret->bytes.length, &error);
    return error == NULL ? STATUS_OK : store_status(st, error);
}

void store_record_release(struct store_record *record)
{
    rocksdb_free((void *)(uintptr_t)record->bytes.data);
    record->bytes = (struct text_view){ 0 };
}

void store_batch_put(struct store_batch *batch, enum store_family family,
                     const struct store_key *key, const void *data, size_t size)
{
    rocksdb_writebatch_wi_put_cf(batch->ops, batch->store->families[family],
                                 (const char *)key->data, key->size, data, size);
}

void store_batch_delete(struct store_batch *batch, enum store_family family,
                        const struct store_key *key)
{
    rocksdb_writebatch_wi_delete_cf(batch->ops, batch->store->families[family],
                                    (const char *)key->data, key->size);
}

void store_batch_note_concept(struct store_batch *batch, const struct concept_id *id)
{
    buf_append(&batch->concepts, id, sizeof *id);
}

/* Taken under the stripes of the association, so its stamps have the order of its writes. */
uint64_t store_batch_sequence(struct store_batch *batch)
{
    uint64_t sequence = atomic_fetch_add(&batch->store->counters[COUNTER_SEQUENCE], 1) + 1;

    batch->added[COUNTER_SEQUENCE] = sequence;
    return sequence;
}

static void merge_counters(struct store_batch *batch)
{
    static const char name[] = "counters";
    uint8_t operand[COUNTERS_BYTES];

    store_counters_write(batch->added, operand);
    rocksdb_writebatch_wi_merge_cf(batch->ops, batch->store->families[FAMILY_META], name,
                                   sizeof name - 1, (const char *)operand, sizeof operand);
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

enum status_code store_batch_commit(struct store_batch *batch, bool synced, struct status *st)
{
    struct store *store = batch->store;
    char *error = NULL;

    if (rocksdb_writebatch_wi_count(batch->ops) == 0)
        return STATUS_OK;
    if (batch->concepts.failed)
        return store_no_memory(st);
    merge_counters(batch);
    each_concept(batch, record_cache_begin_write);
    rocksdb_write_writebatch_wi(store->db, synced ? store->write_synced : store->write_buffered,
                                batch->ops, &error);
    each_concept(batch, record_cache_end_write);
    if (error != NULL)
        return store_status(st, error);
    mirror_counters(batch);
    return STATUS_OK;
}
