#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "src/store/store_internal.h"

enum { BLOCK_BYTES = 512 }; /* of st_blocks, whatever the file system's are */

/* What a file takes, also beyond its end. It may go between the listing and this question. */
static uint64_t file_bytes(int directory, const char *name)
{
    struct stat info;

    if (fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode))
        return 0;
    return (uint64_t)info.st_blocks * BLOCK_BYTES;
}

static bool is_log(const char *name)
{
    size_t length = strlen(name);

    return length > 4 && strcmp(name + length - 4, ".log") == 0;
}

static uint64_t free_bytes(int directory)
{
    struct statvfs system;

    return fstatvfs(directory, &system) == 0 ? (uint64_t)system.f_bavail * system.f_frsize : 0;
}

enum status_code store_disk(const struct store *store, struct store_disk *ret, struct status *st)
{
    DIR *directory = opendir(store->path);
    struct store_disk disk = { 0 };
    struct dirent *entry;

    if (directory == NULL)
        return status_set_errno(st, errno, "list '%s'", store->path);
    while ((entry = readdir(directory)) != NULL) {
        uint64_t bytes = file_bytes(dirfd(directory), entry->d_name);
        disk.bytes += bytes;
        disk.log_bytes += is_log(entry->d_name) ? bytes : 0;
    }
    disk.free_bytes = free_bytes(dirfd(directory));
    closedir(directory);
    *ret = disk;
    return STATUS_OK;
}

enum status_code store_stats(struct store *store, struct store_stats *ret, struct status *st)
{
    struct store_stats stats = {
        .concepts = atomic_load(&store->counters[COUNTER_CONCEPTS]),
        .vectors = atomic_load(&store->counters[COUNTER_VECTORS]),
        .content_bytes = atomic_load(&store->counters[COUNTER_CONTENT_BYTES]),
        .associations_out = atomic_load(&store->counters[COUNTER_OUT]),
        .associations_in = atomic_load(&store->counters[COUNTER_IN]),
        .outbox_pending = atomic_load(&store->outbox_pending),
    };
    struct store_disk disk;

    if (store_disk(store, &disk, st) != STATUS_OK)
        return st->code;
    stats.disk_bytes = disk.bytes;
    *ret = stats;
    return STATUS_OK;
}

uint64_t store_sequence(struct store *store)
{
    return rocksdb_get_latest_sequence_number(store->db);
}

static char *flush_families(struct store *store)
{
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    char *error = NULL;

    for (unsigned i = 0; i < FAMILY_COUNT && error == NULL; i++)
        rocksdb_flush_cf(store->db, options, store->families[i], &error);
    rocksdb_flushoptions_destroy(options);
    return error;
}

enum status_code store_flush(struct store *store, struct status *st)
{
    char *error = flush_families(store);
    return error == NULL ? STATUS_OK : store_status(st, error);
}

/* Also what already lies at the bottom, which a compaction by itself would leave there as it is. */
static char *compact_families(struct store *store, unsigned first, unsigned last)
{
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    char *error = flush_families(store);

    rocksdb_compactoptions_set_bottommost_level_compaction(options, 2 /* force */);
    for (unsigned i = first; i <= last && error == NULL; i++)
        rocksdb_compact_range_cf_opt(store->db, store->families[i], options, NULL, 0, NULL, 0);
    rocksdb_compactoptions_destroy(options);
    return error;
}

enum status_code store_compact_vectors(struct store *store, struct status *st)
{
    char *error = compact_families(store, FAMILY_VECTORS, FAMILY_VECTORS);
    return error == NULL ? STATUS_OK : store_status(st, error);
}

void store_stop_compacting(struct store *store)
{
    rocksdb_disable_manual_compaction(store->db);
}

enum status_code store_compact(struct store *store, struct status *st)
{
    char *error = compact_families(store, 0, FAMILY_COUNT - 1);
    return error == NULL ? STATUS_OK : store_status(st, error);
}
