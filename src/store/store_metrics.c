#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/store/store_internal.h"

/* ---- Ours -------------------------------------------------------------------------------- */

static double counter(const struct store *store, enum store_counter which)
{
    return (double)atomic_load(&store->counters[which]);
}

static void collect_contents(const struct store *store, struct metrics_page *page)
{
    metrics_gauge_value(page, "sutra_store_concepts", "Concepts.",
                        counter(store, COUNTER_CONCEPTS));
    metrics_gauge_value(page, "sutra_store_vectors", "Concepts that have a vector.",
                        counter(store, COUNTER_VECTORS));
    metrics_gauge_value(page, "sutra_store_content_bytes", "Text of all concepts.",
                        counter(store, COUNTER_CONTENT_BYTES));
    metrics_gauge_family(page, "sutra_store_associations",
                         "Halves of associations: at their source (out) and at their target (in).");
    metrics_sample(page, counter(store, COUNTER_OUT), "half", "out", NULL);
    metrics_sample(page, counter(store, COUNTER_IN), "half", "in", NULL);
    metrics_gauge_value(page, "sutra_store_outbox_entries",
                        "Halves of associations that wait to be delivered to other shards.",
                        (double)atomic_load(&store->outbox_pending));
}

static void collect_cache(const struct store *store, struct metrics_page *page)
{
    metrics_counter_family(page, "sutra_store_record_cache_lookups",
                           "Concepts that were looked for in the record cache.");
    metrics_sample(page, (double)metrics_counted(&store->cache_hits), "result", "hit", NULL);
    metrics_sample(page, (double)metrics_counted(&store->cache_misses), "result", "miss", NULL);
    metrics_gauge_value(page, "sutra_store_record_cache_bytes", "Memory of the record cache.",
                        (double)record_cache_bytes(store->cache));
}

static void collect_writes(const struct store *store, struct metrics_page *page)
{
    metrics_counter_value(page, "sutra_store_write_batches", "Batches that were committed.",
                          (double)metrics_counted(&store->batches));
    metrics_counter_value(page, "sutra_store_log_written_bytes",
                          "What these batches put into the write-ahead log.",
                          (double)metrics_counted(&store->batch_bytes));
    metrics_histogram_family(page, "sutra_store_sync_duration_seconds",
                             "Syncs of the write-ahead log to the disk.");
    metrics_histogram_sample(page, &store->sync_us, METRICS_LATENCY, NULL);
}

static void collect_disk(struct store *store, struct metrics_page *page)
{
    struct store_disk disk;
    struct status st = { 0 };

    if (store_disk(store, &disk, &st) != STATUS_OK)
        return;
    metrics_gauge_value(page, "sutra_store_disk_bytes", "Files of the store.", (double)disk.bytes);
    metrics_gauge_value(page, "sutra_store_log_bytes", "Of them, write-ahead logs.",
                        (double)disk.log_bytes);
    metrics_gauge_value(page, "sutra_store_disk_free_bytes",
                        "What the file system of the store still takes.", (double)disk.free_bytes);
}

/* ---- RocksDB's properties ---------------------------------------------------------------- */

static void put_family_property(struct metrics_page *page, const struct store *store,
                                const char *property)
{
    uint64_t value;

    for (unsigned i = 0; i < FAMILY_COUNT; i++)
        if (rocksdb_property_int_cf(store->db, store->families[i], property, &value) == 0)
            metrics_sample(page, (double)value, "family", store_family_name((enum store_family)i),
                           NULL);
}

static void collect_families(const struct store *store, struct metrics_page *page)
{
    static const struct {
        const char *name;
        const char *help;
        const char *property;
    } gauges[] = {
        { "sutra_rocksdb_memtable_bytes", "What is not in files yet.",
          "rocksdb.cur-size-all-mem-tables" },
        { "sutra_rocksdb_sst_bytes", "Sorted files that are in use.",
          "rocksdb.live-sst-files-size" },
        { "sutra_rocksdb_compaction_pending_bytes",
          "What compactions have to rewrite until the files are in shape.",
          "rocksdb.estimate-pending-compaction-bytes" },
        { "sutra_rocksdb_immutable_memtables", "Memtables that wait to be flushed.",
          "rocksdb.num-immutable-mem-table" },
    };

    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++) {
        metrics_gauge_family(page, gauges[i].name, gauges[i].help);
        put_family_property(page, store, gauges[i].property);
    }
}

/* RocksDB has seven levels by default, and we do not say otherwise. */
enum { LEVELS = 7 };

static void put_level(struct metrics_page *page, const struct store *store, unsigned family,
                      int level)
{
    char property[48];
    char number[12];
    char *files;

    snprintf(property, sizeof property, "rocksdb.num-files-at-level%d", level);
    snprintf(number, sizeof number, "%d", level);
    files = rocksdb_property_value_cf(store->db, store->families[family], property);
    if (files != NULL && (level == 0 || strcmp(files, "0") != 0))
        metrics_sample(page, atof(files), "family", store_family_name((enum store_family)family),
                       "level", number, NULL);
    free(files);
}

static void collect_levels(const struct store *store, struct metrics_page *page)
{
    metrics_gauge_family(page, "sutra_rocksdb_files",
                         "Sorted files by level; further levels without are left out.");
    for (unsigned family = 0; family < FAMILY_COUNT; family++)
        for (int level = 0; level < LEVELS; level++)
            put_level(page, store, family, level);
}

static void collect_database(const struct store *store, struct metrics_page *page)
{
    static const struct {
        const char *name;
        const char *help;
        const char *property;
    } gauges[] = {
        { "sutra_rocksdb_block_cache_bytes", "Blocks of files in memory.",
          "rocksdb.block-cache-usage" },
        { "sutra_rocksdb_block_cache_limit_bytes", "How much memory they may take.",
          "rocksdb.block-cache-capacity" },
        { "sutra_rocksdb_block_cache_pinned_bytes", "Of them, in use and not to be evicted.",
          "rocksdb.block-cache-pinned-usage" },
        { "sutra_rocksdb_running_compactions", "Compactions that are running.",
          "rocksdb.num-running-compactions" },
        { "sutra_rocksdb_running_flushes", "Flushes that are running.",
          "rocksdb.num-running-flushes" },
        { "sutra_rocksdb_write_stopped", "1: writes wait for flushes or compactions.",
          "rocksdb.is-write-stopped" },
        { "sutra_rocksdb_delayed_write_bytes_per_second",
          "What writes are held down to for compactions to keep up; 0: they are not.",
          "rocksdb.actual-delayed-write-rate" },
        { "sutra_rocksdb_background_errors",
          "Flushes and compactions that failed since the store was opened.",
          "rocksdb.background-errors" },
    };
    uint64_t value;

    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
        if (rocksdb_property_int_cf(store->db, store->families[FAMILY_CONCEPTS], gauges[i].property,
                                    &value) == 0)
            metrics_gauge_value(page, gauges[i].name, gauges[i].help, (double)value);
}

/* ---- RocksDB's statistics ---------------------------------------------------------------- */

/* RocksDB gives them as text only: "rocksdb.block.cache.hit COUNT : 12\n". */
static double ticker(const char *statistics, const char *name)
{
    const size_t length = strlen(name);

    for (const char *line = statistics; line != NULL; line = strchr(line, '\n')) {
        line += line[0] == '\n';
        if (strncmp(line, name, length) == 0 && strncmp(line + length, " COUNT : ", 9) == 0)
            return strtod(line + length + 9, NULL);
    }
    return 0;
}

static void collect_statistics(const struct store *store, struct metrics_page *page)
{
    char *text = rocksdb_options_statistics_get_string(store->options);

    if (text == NULL)
        return;
    metrics_counter_family(page, "sutra_rocksdb_block_cache_lookups",
                           "Blocks that were looked for in the block cache.");
    metrics_sample(page, ticker(text, "rocksdb.block.cache.hit"), "result", "hit", NULL);
    metrics_sample(page, ticker(text, "rocksdb.block.cache.miss"), "result", "miss", NULL);
    metrics_counter_value(page, "sutra_rocksdb_filter_useful",
                          "Look-ups that a filter kept from reading a file.",
                          ticker(text, "rocksdb.bloom.filter.useful"));
    metrics_counter_value(page, "sutra_rocksdb_stall_seconds",
                          "Time that writes were held up by flushes and compactions.",
                          ticker(text, "rocksdb.stall.micros") * 1e-6);
    metrics_counter_value(page, "sutra_rocksdb_flush_written_bytes", "Written by flushes.",
                          ticker(text, "rocksdb.flush.write.bytes"));
    metrics_counter_value(page, "sutra_rocksdb_compaction_read_bytes", "Read by compactions.",
                          ticker(text, "rocksdb.compact.read.bytes"));
    metrics_counter_value(page, "sutra_rocksdb_compaction_written_bytes", "Written by compactions.",
                          ticker(text, "rocksdb.compact.write.bytes"));
    free(text);
}

void store_collect(void *ctx, struct metrics_page *page)
{
    struct store *store = ctx;

    collect_contents(store, page);
    collect_cache(store, page);
    collect_writes(store, page);
    collect_disk(store, page);
    collect_families(store, page);
    collect_levels(store, page);
    collect_database(store, page);
    collect_statistics(store, page);
}
