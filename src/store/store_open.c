#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/buf.h"
#include "src/store/store_internal.h"

enum {
    MIB = 1 << 20,
    DEFAULT_CACHE_BYTES = 64 * MIB,
    MAX_LOG_BYTES = 32 * MIB, /* of the write-ahead logs together: bounds disk and reopening */
    FILTER_BITS = 10,         /* per key, Bloom's equivalent; about 1 % false positives */
    BACKGROUND_JOBS = 2,
    LOG_LEVEL_WARN = 2,
    KEPT_LOGS = 2,
    DICTIONARY_BYTES = 16 * 1024,
    DICTIONARY_BUFFER_BYTES = 4 * MIB, /* of a table, held back to learn the dictionary from */
};

/* Of the write buffer: 2 MiB of 32. */
static const double MEMTABLE_FILTER_RATIO = 0.06;

/* How each family is laid out. */
static const struct family_shape {
    const char *name;
    size_t write_buffer_bytes;
    size_t block_bytes;
    bool compressed; /* rows of int8 and codes do not shrink, and are read one by one */
    bool looked_up;  /* by whole key: filter, and a hash index in each block */
} shapes[FAMILY_COUNT] = {
    [FAMILY_DEFAULT] = { "default", MIB, 4096, true, false },
    [FAMILY_CONCEPTS] = { "concepts", 32 * MIB, 8192, true, true },
    [FAMILY_VECTORS] = { "vectors", 32 * MIB, 4096, false, true },
    [FAMILY_OUT] = { "out", 32 * MIB, 16384, true, true },
    [FAMILY_IN] = { "in", 32 * MIB, 16384, true, true },
    [FAMILY_TERMS] = { "terms", MIB, 4096, true, false },
    [FAMILY_TIMES] = { "times", MIB, 4096, true, false },
    [FAMILY_OUTBOX] = { "outbox", 4 * MIB, 16384, true, false },
    [FAMILY_CHANGES] = { "changes", 4 * MIB, 16384, true, false },
    [FAMILY_META] = { "meta", MIB, 4096, true, false },
};

const char *store_family_name(enum store_family family)
{
    return shapes[family].name;
}

bool store_owns(const struct store *store, uint16_t slot)
{
    return store->owns == NULL || store->owns(store->context, slot);
}

/* ---- Settings ----------------------------------------------------------------------------- */

static void set_table(rocksdb_options_t *options, const struct family_shape *shape,
                      rocksdb_cache_t *cache)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();

    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_block_based_options_set_block_size(table, shape->block_bytes);
    rocksdb_block_based_options_set_block_cache(table, cache);
    /* Filters and indexes grow with the data: within the cache, so that memory stays bounded. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    if (shape->looked_up) {
        rocksdb_block_based_options_set_filter_policy(
            table, rocksdb_filterpolicy_create_ribbon(FILTER_BITS));
        rocksdb_block_based_options_set_data_block_index_type(
            table, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
    }
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
}

static void set_compression(rocksdb_options_t *options, bool compressed)
{
    if (!compressed) {
        rocksdb_options_set_compression(options, rocksdb_no_compression);
        return;
    }
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_options_set_bottommost_compression(options, rocksdb_zstd_compression);
    rocksdb_options_set_bottommost_compression_options(options, -14 /* window: default */,
                                                       3 /* level */, 0, DICTIONARY_BYTES, 1);
    rocksdb_options_set_bottommost_compression_options_zstd_max_train_bytes(
        options, 100 * DICTIONARY_BYTES, 1);
    rocksdb_options_set_bottommost_compression_options_max_dict_buffer_bytes(
        options, DICTIONARY_BUFFER_BYTES, 1);
}

static rocksdb_options_t *family_options(enum store_family family, rocksdb_cache_t *cache)
{
    const struct family_shape *shape = &shapes[family];
    rocksdb_options_t *options = rocksdb_options_create();

    rocksdb_options_set_write_buffer_size(options, shape->write_buffer_bytes);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1); /* least space */
    if (shape->looked_up) { /* most writes look for a record that is not there */
        rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, MEMTABLE_FILTER_RATIO);
        rocksdb_options_set_memtable_whole_key_filtering(options, 1);
    }
    set_compression(options, shape->compressed);
    set_table(options, shape, cache);
    if (family == FAMILY_META)
        rocksdb_options_set_merge_operator(options, store_counters_operator());
    return options;
}

/* There are no calls for these, but there are names. The log takes what it holds: RocksDB would
 * reserve a write buffer's size ahead, 35 MB of an empty store. What an open after a crash finds in
 * the log stays there until it is flushed anyway: writing files first would take 0.1 s. */
static rocksdb_options_t *options_by_name(void)
{
    rocksdb_options_t *defaults = rocksdb_options_create();
    rocksdb_options_t *options = rocksdb_options_create();
    char *error = NULL;

    rocksdb_get_options_from_string(
        defaults, "allow_fallocate=false;avoid_flush_during_recovery=true", options, &error);
    assert(error == NULL);
    rocksdb_options_destroy(defaults);
    return options;
}

static rocksdb_options_t *database_options(void)
{
    rocksdb_options_t *options = options_by_name();

    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOBS);
    rocksdb_options_set_max_total_wal_size(options, MAX_LOG_BYTES);
    rocksdb_options_set_bytes_per_sync(options, MIB);
    rocksdb_options_set_info_log_level(options, LOG_LEVEL_WARN);
    rocksdb_options_set_keep_log_file_num(options, KEPT_LOGS);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
    rocksdb_options_enable_statistics(options);
    return options;
}

/* ---- Opening the database ----------------------------------------------------------------- */

static bool family_is_known(const char *name)
{
    for (unsigned i = 0; i < FAMILY_COUNT; i++)
        if (strcmp(name, shapes[i].name) == 0)
            return true;
    return false;
}

static bool folder_is_new(const char *path)
{
    struct buf current = { 0 };
    bool exists;

    buf_printf(&current, "%s/CURRENT", path);
    buf_append_u8(&current, 0);
    exists = !current.failed && access((const char *)current.data, F_OK) == 0;
    buf_deinit(&current);
    return !exists;
}

/* RocksDB refuses to open a folder with a family that it is not told of: say why. */
static enum status_code check_families(const rocksdb_options_t *options, const char *path,
                                       struct status *st)
{
    char *error = NULL;
    char **names;
    size_t n = 0;

    if (folder_is_new(path))
        return STATUS_OK;
    names = rocksdb_list_column_families(options, path, &n, &error);
    if (error != NULL)
        return store_status(st, error);
    for (size_t i = 0; i < n && st->code == STATUS_OK; i++)
        if (!family_is_known(names[i]))
            status_set(st, STATUS_FAILED_PRECONDITION,
                       "a newer release wrote it: it has a family '%s'", names[i]);
    rocksdb_list_column_families_destroy(names, n);
    return st->code;
}

static enum status_code open_families(struct store *store, const rocksdb_options_t *options,
                                      rocksdb_cache_t *cache, struct status *st)
{
    rocksdb_options_t *family[FAMILY_COUNT];
    const char *names[FAMILY_COUNT];
    char *error = NULL;

    for (unsigned i = 0; i < FAMILY_COUNT; i++) {
        names[i] = shapes[i].name;
        family[i] = family_options((enum store_family)i, cache);
    }
    store->db = rocksdb_open_column_families(options, store->path, FAMILY_COUNT, names,
                                             (const rocksdb_options_t *const *)family,
                                             store->families, &error);
    for (unsigned i = 0; i < FAMILY_COUNT; i++)
        rocksdb_options_destroy(family[i]);
    return error == NULL ? STATUS_OK : store_status(st, error);
}

static enum status_code open_database(struct store *store, size_t cache_bytes, struct status *st)
{
    rocksdb_cache_t *cache =
        rocksdb_cache_create_lru(cache_bytes == 0 ? DEFAULT_CACHE_BYTES : cache_bytes);

    store->options = database_options();
    if (check_families(store->options, store->path, st) == STATUS_OK)
        open_families(store, store->options, cache, st);
    rocksdb_cache_destroy(cache);
    return st->code;
}

static enum status_code count_outbox(struct store *store, struct status *st)
{
    struct store_range range;
    struct text_view value;
    struct text_view key;
    uint64_t pending = 0;

    store_range_begin_all(&range, store, FAMILY_OUTBOX);
    for (; store_range_get(&range, &key, &value); store_range_next(&range))
        pending++;
    store_range_finish(&range, st);
    store_range_deinit(&range);
    atomic_store(&store->outbox_pending, pending);
    return st->code;
}

/* ---- Store -------------------------------------------------------------------------------- */

static struct store *store_new(const struct store_options *options)
{
    struct store *store = calloc(1, sizeof *store);

    if (store == NULL)
        return NULL;
    store->path = strdup(options->path);
    store->owns = options->owns;
    store->on_vector = options->on_vector;
    store->context = options->context;
    store->cache = record_cache_new(options->record_cache_bytes);
    store->locks = id_locks_new();
    store->read = rocksdb_readoptions_create();
    store->write = rocksdb_writeoptions_create();
    pthread_mutex_init(&store->outbox_lock, NULL);
    pthread_mutex_init(&store->graves_lock, NULL);
    pthread_mutex_init(&store->sync_lock, NULL);
    pthread_cond_init(&store->sync_ended, NULL);
    return store;
}

enum status_code store_open(const struct store_options *options, struct store **ret,
                            struct status *st)
{
    struct store *store = store_new(options);

    if (store == NULL || store->path == NULL || store->locks == NULL ||
        (store->cache == NULL && options->record_cache_bytes >= RECORD_CACHE_LEAST_BYTES)) {
        store_no_memory(st);
        goto out;
    }
    if (open_database(store, options->block_cache_bytes, st) != STATUS_OK ||
        store_meta_claim(store, options, st) != STATUS_OK ||
        store_counters_load(store, st) != STATUS_OK ||
        store_meta_claim_vectors(store, options->vector_format, st) != STATUS_OK ||
        count_outbox(store, st) != STATUS_OK) {
        status_wrap(st, "open store '%s'", options->path);
        goto out;
    }
    *ret = store;
    store = NULL;
out:
    store_close(store);
    return st->code;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    for (unsigned i = 0; i < FAMILY_COUNT; i++)
        if (store->families[i] != NULL)
            rocksdb_column_family_handle_destroy(store->families[i]);
    if (store->db != NULL)
        rocksdb_close(store->db);
    if (store->options != NULL)
        rocksdb_options_destroy(store->options);
    record_cache_free(store->cache);
    rocksdb_readoptions_destroy(store->read);
    rocksdb_writeoptions_destroy(store->write);
    id_locks_free(store->locks);
    pthread_mutex_destroy(&store->outbox_lock);
    pthread_mutex_destroy(&store->graves_lock);
    pthread_mutex_destroy(&store->sync_lock);
    pthread_cond_destroy(&store->sync_ended);
    free(store->path);
    free(store);
}
