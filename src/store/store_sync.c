#include "src/base/clock.h"
#include "src/store/store_internal.h"

/* What is visible now is in the log: RocksDB counts a write when it is in log and memtable. */
static void sync_log(struct store *store)
{
    uint64_t visible = rocksdb_get_latest_sequence_number(store->db);
    char *error = NULL;
    int64_t began_us;

    store->syncing = true;
    pthread_mutex_unlock(&store->sync_lock);
    began_us = clock_monotonic_us();
    rocksdb_flush_wal(store->db, 1, &error);
    metrics_observe(&store->sync_us, (uint64_t)(clock_monotonic_us() - began_us));
    pthread_mutex_lock(&store->sync_lock);
    store->syncing = false;
    if (error == NULL)
        store->synced = visible;
    else
        store_status(&store->sync_failure, error);
    pthread_cond_broadcast(&store->sync_ended);
}

/* Called without locks, so that others can write meanwhile: what they read may then not be synced
 * yet, but what they write on top of it is behind it in the log, so their own sync covers both. */
enum status_code store_sync(struct store *store, struct status *st)
{
    const uint64_t wanted = rocksdb_get_latest_sequence_number(store->db);

    pthread_mutex_lock(&store->sync_lock);
    while (store->synced < wanted && store->sync_failure.code == STATUS_OK) {
        if (store->syncing)
            pthread_cond_wait(&store->sync_ended, &store->sync_lock);
        else
            sync_log(store);
    }
    if (store->synced < wanted)
        *st = store->sync_failure;
    pthread_mutex_unlock(&store->sync_lock);
    return st->code;
}

enum status_code store_settle(struct store *store, bool synced, struct status *st)
{
    return st->code == STATUS_OK && synced ? store_sync(store, st) : st->code;
}
