#include "shard/shard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shard/courier.h"
#include "shard/keeper.h"
#include "shard/op.h"
#include "shard/trainer.h"
#include "src/base/clock.h"
#include "src/log/log.h"
#include "src/vector/kernel.h"

enum { PATH_BYTES = 4096 };

/* Train waits on the pool for other ops on it, and one of those, InstallCodebook, takes as long: of
 * two Trains, and of two installations, one is refused at once. */
enum { WAITING_THREADS = 2 };

/* ---- Life ---- */

/* The shard's folder holds store/ and segment. */
static enum status_code make_folder(const char *data, struct status *st)
{
    if (mkdir(data, 0777) != 0 && errno != EEXIST)
        return status_set_errno(st, errno, "create '%s'", data);
    return STATUS_OK;
}

static bool store_owns(void *context, uint16_t slot)
{
    return shard_owns(context, slot);
}

static void store_on_vector(void *context, const struct concept_id *id,
                            const struct store_vector *vector)
{
    index_on_vector(((struct shard *)context)->index, id, vector);
}

static enum status_code check_run(struct shard *shard, struct slot_run run, struct status *st)
{
    struct text_view *values;
    struct arena arena;
    size_t found = 0;
    bool done;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    store_list(shard->store, run.first, run.last, (struct text_view){ 0 }, 1, &arena, &values,
               &found, &done, st);
    arena_deinit(&arena);
    if (st->code != STATUS_OK || found == 0)
        return st->code;
    return status_set(st, STATUS_FAILED_PRECONDITION,
                      "'%s' holds concepts of slots %u-%u, which the topology gives to shard %u; "
                      "open it with the topology it was written with",
                      shard->options.data, run.first, run.last, run.shard);
}

/* Concepts of foreign slots could be neither found nor moved: the folder belongs to another
 * topology. */
static enum status_code check_slots(struct shard *shard, struct status *st)
{
    for (int slot = 0; slot < SLOT_COUNT;) {
        struct slot_run run = topology_run_at(shard->topology, (uint16_t)slot);
        if (run.shard != shard->options.index && check_run(shard, run, st) != STATUS_OK)
            return st->code;
        slot = run.last + 1;
    }
    return STATUS_OK;
}

static enum status_code open_data(struct shard *shard, struct status *st)
{
    char store_path[PATH_BYTES];
    char segment_path[PATH_BYTES];
    struct store_options options = {
        .path = store_path,
        .has_shard = true,
        .shard = shard->options.index,
        .vector_format = row_policy_number(shard->options.rows),
        .record_cache_bytes = shard->options.record_cache_bytes,
        .owns = store_owns,
        .on_vector = store_on_vector,
        .context = shard,
    };

    const struct index_options index_options = {
        .segment_path = segment_path,
        .rows = shard->options.rows,
        .row_budget_bytes = shard->options.row_budget_bytes,
    };

    if (strlen(shard->options.data) > PATH_BYTES - 16)
        return status_set(st, STATUS_INVALID_ARGUMENT, "the path of the data folder is too long");
    snprintf(store_path, sizeof store_path, "%s/store", shard->options.data);
    snprintf(segment_path, sizeof segment_path, "%s/segment", shard->options.data);
    if (make_folder(shard->options.data, st) != STATUS_OK ||
        index_new(&index_options, &shard->index, st) != STATUS_OK ||
        store_open(&options, &shard->store, st) != STATUS_OK)
        return st->code;
    if (check_slots(shard, st) != STATUS_OK)
        return st->code;
    return index_open(shard->index, shard->store, st);
}

enum status_code shard_open(const struct shard_options *options, struct shard **ret,
                            struct status *st)
{
    struct shard *shard = calloc(1, sizeof *shard);

    if (shard == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    shard->options = *options;
    shard->topology = topology_ref(options->topology);
    shard->started_us = clock_monotonic_us();
    if (open_data(shard, st) != STATUS_OK ||
        pool_start(options->threads + WAITING_THREADS, SHARD_QUEUE, &shard->pool, st) !=
            STATUS_OK) {
        pool_stop(shard->pool);
        store_close(shard->store);
        index_free(shard->index);
        topology_unref(shard->topology);
        free(shard);
        return st->code;
    }
    *ret = shard;
    return STATUS_OK;
}

enum status_code shard_start(struct shard *shard, struct cluster *cluster, struct status *st)
{
    shard->cluster = cluster;
    if (courier_start(shard, &shard->courier, st) != STATUS_OK ||
        keeper_start(shard->store, shard->index, &shard->keeper, st) != STATUS_OK)
        return st->code;
    return trainer_start(shard, &shard->trainer, st);
}

void shard_stop(struct shard *shard)
{
    index_stop(shard->index);
    if (shard->store != NULL)
        store_stop_compacting(shard->store);
    trainer_stop(shard->trainer);
    keeper_stop(shard->keeper);
    courier_stop(shard->courier);
    pool_stop(shard->pool);
    shard->trainer = NULL;
    shard->keeper = NULL;
    shard->courier = NULL;
    shard->pool = NULL;
    shard->cluster = NULL; /* its owner may free it now, before the store is closed */
}

void shard_close(struct shard *shard)
{
    struct status st = { 0 };

    if (shard == NULL)
        return;
    shard_stop(shard);
    if (index_save(shard->index, &st) != STATUS_OK)
        log_line(LOG_WARN, "segment_not_saved", LOG_TEXT("message", st.message));
    store_close(shard->store);
    index_free(shard->index);
    topology_unref(shard->topology);
    free(shard);
}

bool shard_owns(const struct shard *shard, uint16_t slot)
{
    struct placement *placement;
    bool owns;

    if (shard->cluster == NULL)
        return shard->topology->owner[slot] == shard->options.index;
    placement = cluster_placement(shard->cluster);
    owns = placement_owner(placement, slot) == shard->options.index;
    placement_unref(placement);
    return owns;
}

/* ---- Stats ---- */

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long total;
    unsigned long long resident = 0;

    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu", &total, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t file_bytes(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    struct stat info;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &info) == 0 ? (uint64_t)info.st_blocks * 512 : 0;
}

static void fill_index(const struct index_stats *index, Sutra__V1__ShardStats *ret)
{
    ret->vectors_encoded = index->codebook.version == 0 ? 0 : index->segment.count;
    ret->reencoded = index->reencoded;
    ret->reencode_total = index->reencode_total;
    ret->rows_in_memory = index->segment.rows;
    ret->row_bytes = index->segment.row_bytes;
}

static void fill_store(const struct shard *shard, const struct store_stats *store,
                       Sutra__V1__ShardStats *ret)
{
    ret->concepts = store->concepts;
    ret->vectors = store->vectors;
    ret->associations_out = store->associations_out;
    ret->associations_in = store->associations_in;
    ret->outbox_pending = store->outbox_pending;
    ret->content_bytes = store->content_bytes;
    ret->disk_bytes = store->disk_bytes + file_bytes(shard->options.data, "segment");
}

enum status_code op_stats(struct op *op, struct status *st)
{
    struct shard *shard = op->shard;
    Sutra__V1__ShardStats *reply = op_new(op, sizeof *reply, st);
    Sutra__V1__CodebookStats *codebook = op_new(op, sizeof *codebook, st);
    Sutra__V1__TrainingStats *training = op_new(op, sizeof *training, st);
    struct index_stats index = index_stats(shard->index);
    struct store_stats store;

    if (reply == NULL || codebook == NULL || training == NULL ||
        store_stats(shard->store, &store, st) != STATUS_OK)
        return st->code;
    sutra__v1__shard_stats__init(reply);
    reply->shard = shard->options.index;
    fill_store(shard, &store, reply);
    fill_index(&index, reply);
    op_fill_codebook(op, &index.codebook, codebook);
    codebook->drift = index.drift;
    reply->codebook = codebook;
    trainer_progress(shard->trainer, training);
    reply->training = training;
    reply->memory_bytes = resident_bytes();
    reply->uptime_ms = (uint64_t)(clock_monotonic_us() - shard->started_us) / 1000;
    reply->kernel = (char *)vector_kernel_name();
    reply->refinement = (char *)row_policy_name(shard->options.rows);
    op->message = &reply->base;
    return STATUS_OK;
}
