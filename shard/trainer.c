#include "shard/trainer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shard/calibrate.h"
#include "shard/sample.h"
#include "shard/shard.h"
#include "src/base/clock.h"
#include "src/base/ticker.h"
#include "src/log/log.h"
#include "src/serve/limits.h"
#include "sutra/internal/v1/shard_service.pb-c.h"

enum {
    LOOK_EVERY_MS = 2000,
    ITERATIONS = 20,
    RETRAIN_AT_GROWTH = 4, /* times as many vectors as at the training */
    HELD_OUT_SHARE = 16,   /* at most one vector in so many is kept from training for calibration */
};

static const int64_t FIRST_PAUSE_US = 4 * 1000000, LONGEST_PAUSE_US = 600 * INT64_C(1000000);
static const float RETRAIN_AT_DRIFT = 1.15f;
static const double CARE_AT_GROWTH = 1.25; /* cells and calibration are looked at again */

struct trainer {
    struct shard *shard;
    struct ticker *ticker;
    pthread_mutex_t training; /* held while anything is done about the codebook */
    uint64_t cared_at; /* atomic; vectors there were when cells and calibration were last right */
    uint64_t settled;  /* atomic; the version that all shards are known to search with alone */
    int64_t wait_until_us; /* of looks: after a failure they pause, longer each time */
    int64_t pause_us;
    bool stopping; /* atomic */
    int stage;     /* atomic; Sutra__V1__TrainingStats__Stage */
    int permille;  /* atomic; of the stage */
};

/* ---- Progress ---- */

static void set_stage(struct trainer *trainer, Sutra__V1__TrainingStats__Stage stage)
{
    __atomic_store_n(&trainer->permille, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&trainer->stage, (int)stage, __ATOMIC_RELAXED);
}

static void set_fraction(void *ctx, double fraction)
{
    const struct task *task = ctx;

    __atomic_store_n(&task->trainer->permille, (int)(fraction * 1000), __ATOMIC_RELAXED);
}

void trainer_progress(const struct trainer *trainer, Sutra__V1__TrainingStats *ret)
{
    sutra__v1__training_stats__init(ret);
    if (trainer == NULL)
        return;
    ret->stage =
        (Sutra__V1__TrainingStats__Stage)__atomic_load_n(&trainer->stage, __ATOMIC_RELAXED);
    ret->fraction = (float)__atomic_load_n(&trainer->permille, __ATOMIC_RELAXED) / 1000;
}

bool trainer_stopping(const struct trainer *trainer)
{
    return __atomic_load_n(&trainer->stopping, __ATOMIC_RELAXED);
}

/* ---- Installing ---- */

/* The codebook in force here, referenced; NULL before there is one. */
static struct codebook *in_force(const struct task *task)
{
    return index_codebook(task->shard->index);
}

static uint64_t version_of(const struct codebook *codebook)
{
    return codebook == NULL ? 0 : codebook_info(codebook)->version;
}

/* Whether an installation goes on behind a request that came to its end. */
static bool goes_on(const struct status *st)
{
    return st->code == STATUS_DEADLINE_EXCEEDED ||
           (st->code == STATUS_ABORTED && strcmp(st->reason, INDEX_INSTALLING) == 0);
}

/* Encoding goes on in the shards while it is asked for again and again: so this ends soon where the
 * trainer has to. */
static enum status_code ask_until_installed(const struct task *task, uint32_t only,
                                            const ProtobufCMessage *request, struct status *st)
{
    static const struct timespec pause = { .tv_nsec = 50 * 1000000 };

    for (;;) {
        struct arena arena;
        *st = (struct status){ 0 };
        arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
        task_ask(task, "InstallCodebook", only, request,
                 &sutra__internal__v1__install_codebook_response__descriptor, &arena, NULL, st);
        arena_deinit(&arena);
        if (!goes_on(st))
            return st->code;
        if (task_cancelled((void *)task))
            return st->code;
        nanosleep(&pause, NULL);
    }
}

/* Installs @codebook on shard @only, or on all if that is UINT32_MAX. At the owner of slot 0 only
 * if
 * @expected_version, which else is NULL, is in force. */
static enum status_code install(const struct task *task, const struct codebook *codebook,
                                const uint64_t *expected_version, uint32_t only, struct status *st)
{
    Sutra__Internal__V1__InstallCodebookRequest request =
        SUTRA__INTERNAL__V1__INSTALL_CODEBOOK_REQUEST__INIT;
    struct buf bytes = { 0 };

    codebook_serialize(codebook, &bytes);
    request.codebook = (ProtobufCBinaryData){ .data = bytes.data, .len = bytes.size };
    request.expected_version = expected_version == NULL ? 0 : *expected_version;
    request.follow = expected_version == NULL;
    if (bytes.failed)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else
        ask_until_installed(task, only, &request.base, st);
    buf_deinit(&bytes);
    return st->code;
}

static enum status_code change_over(const struct task *task, uint64_t version, bool retire,
                                    struct status *st)
{
    Sutra__Internal__V1__SwitchCodebookRequest request =
        SUTRA__INTERNAL__V1__SWITCH_CODEBOOK_REQUEST__INIT;
    struct arena arena;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    request.version = version;
    request.retire = retire;
    task_ask(task, "SwitchCodebook", UINT32_MAX, &request.base,
             &sutra__internal__v1__switch_codebook_response__descriptor, &arena, NULL, st);
    arena_deinit(&arena);
    return st->code;
}

/* When every shard has it ready, all change over; when all have, the old one goes. So a search that
 * falls in between finds a codebook that all shards have. */
static enum status_code change_all(const struct task *task, uint64_t version, struct status *st)
{
    if (change_over(task, version, false, st) == STATUS_OK &&
        change_over(task, version, true, st) == STATUS_OK)
        __atomic_store_n(&task->trainer->settled, version, __ATOMIC_RELAXED);
    return st->code;
}

/* What a training and a calibration are made from. */
struct material {
    struct arena arena;
    uint64_t stored;
    struct sample training; /* none of queries */
    struct sample queries;
};

static enum status_code calibrate_with(struct task *task, const struct codebook *codebook,
                                       const struct material *material, struct status *st)
{
    if (material->queries.count == 0)
        return STATUS_OK;
    set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_CALIBRATING);
    if (calibrate(task, codebook_info(codebook), material->stored, &material->queries, set_fraction,
                  task, st) == STATUS_OK)
        __atomic_store_n(&task->trainer->cared_at, material->stored, __ATOMIC_RELAXED);
    return st->code;
}

/* The compare-and-set happens at this shard, the owner of slot 0; then the others follow. What the
 * new codebook's searches are like is known before anyone uses it. */
static enum status_code spread(struct task *task, const struct codebook *codebook,
                               uint64_t expected_version, const struct material *material,
                               struct status *st)
{
    int64_t started_us = clock_monotonic_us();
    const struct codebook_info *info = codebook_info(codebook);
    struct status ignored = { 0 };

    set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_REENCODING);
    if (install(task, codebook, &expected_version, task->shard->options.index, st) != STATUS_OK ||
        install(task, codebook, NULL, UINT32_MAX, st) != STATUS_OK)
        return st->code;
    /* Worth knowing, but nothing depends on it: the next look tries again. */
    if (calibrate_with(task, codebook, material, &ignored) != STATUS_OK)
        log_line(LOG_WARN, "not_calibrated", LOG_TEXT("message", ignored.message));
    if (change_all(task, info->version, st) != STATUS_OK)
        return st->code;
    log_line(LOG_INFO, "codebook_installed", LOG_NUMBER("version", info->version),
             LOG_NUMBER("trained_on", info->trained_on), LOG_NUMBER("cells", info->cells),
             LOG_NUMBER("elapsed_ms", (clock_monotonic_us() - started_us) / 1000));
    return STATUS_OK;
}

/* ---- Training ---- */

static uint64_t searched_version(const ProtobufCMessage *stats)
{
    const Sutra__V1__CodebookStats *codebook = ((const Sutra__V1__ShardStats *)stats)->codebook;

    return codebook == NULL ? 0 : codebook->version;
}

/* As many as were ordered; or as pay, or as the sample is enough for. */
static enum status_code choose_cells(const struct trainer_order *order, uint64_t stored,
                                     size_t samples, uint32_t *ret, struct status *st)
{
    uint32_t cells = order->cells > 0 ? order->cells : codebook_cells_for(stored);

    if (order->cells > 0 && (uint64_t)cells * CODEBOOK_SAMPLES_PER_CELL > samples)
        return status_set_field(st, "cells", "%u cells need a sample of %u vectors, there are %zu",
                                cells, cells * CODEBOOK_SAMPLES_PER_CELL, samples);
    while (cells > 0 && (uint64_t)cells * CODEBOOK_SAMPLES_PER_CELL > samples)
        cells = cells / 2 / 16 * 16;
    *ret = cells;
    return STATUS_OK;
}

static enum status_code train_on_rows(struct task *task, const struct trainer_order *order,
                                      const struct material *material, uint64_t version,
                                      const float *rows, const float *held_out,
                                      struct codebook **ret, struct status *st)
{
    size_t count = material->training.count;
    struct codebook_train_options options = {
        .seed = order->seed,
        .iterations = ITERATIONS,
        .version = version,
        .stored = material->stored,
        .progress = set_fraction,
        .cancelled = task_cancelled,
        .context = task,
        .held_out = held_out,
        .held_out_count = material->queries.count,
    };

    if (choose_cells(order, material->stored, count, &options.cells, st) != STATUS_OK)
        return st->code;
    return codebook_train(rows, count, LIMIT_DIMENSION, &options, ret, st);
}

static enum status_code train_on(struct task *task, const struct trainer_order *order,
                                 const struct material *material, uint64_t version,
                                 struct codebook **ret, struct status *st)
{
    size_t count = material->training.count;
    float *held_out;
    float *rows;

    if (count < CODEBOOK_MIN_SAMPLES)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "a codebook needs %d vectors, the sample has %zu", CODEBOOK_MIN_SAMPLES,
                          count);
    rows = sample_rows(&material->training);
    held_out = sample_rows(&material->queries);
    if (rows == NULL || held_out == NULL)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory for a sample of %zu", count);
    else
        train_on_rows(task, order, material, version, rows, held_out, ret, st);
    free(rows);
    free(held_out);
    return st->code;
}

/* Without the vectors codes are all there is, and cannot be made anew. */
static bool can_train_again(const struct trainer *trainer)
{
    return trainer->shard->options.rows.kept;
}

/* How many of @stored vectors are kept from training for calibration. */
static size_t queries_of(uint64_t stored)
{
    uint64_t share = stored / HELD_OUT_SHARE;

    return share < CALIBRATE_QUERIES ? (size_t)share : (size_t)CALIBRATE_QUERIES;
}

/* Of what any shard searches with. */
static enum status_code newest_version(const struct task *task, uint64_t *ret, struct status *st)
{
    ProtobufCMessage **stats;
    struct arena arena;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    if (task_ask_stats(task, &arena, &stats, st) == STATUS_OK)
        for (uint32_t s = 0; s < task_shards(task); s++)
            if (searched_version(stats[s]) > *ret)
                *ret = searched_version(stats[s]);
    arena_deinit(&arena);
    return st->code;
}

/* Enough for the cells, too, and some more: how many hashes lie below a bound is up to chance. */
static uint32_t vectors_to_train_on(const struct trainer_order *order, uint64_t stored)
{
    uint32_t cells = order->cells > 0 ? order->cells : codebook_cells_for(stored);
    uint32_t for_cells = cells * CODEBOOK_SAMPLES_PER_CELL;
    uint32_t wanted = order->sample > for_cells ? order->sample : for_cells;

    return wanted + wanted / 32 + CALIBRATE_QUERIES;
}

static void material_deinit(struct material *material)
{
    arena_deinit(&material->arena);
}

/* @material {0}; to be deinitialised in any case, as soon as this was called. */
static enum status_code gather(struct task *task, const struct trainer_order *order,
                               struct material *material, struct status *st)
{
    ProtobufCMessage **stats;

    arena_init(&material->arena, SAMPLE_ARENA_BYTES);
    set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_SAMPLING);
    if (task_ask_stats(task, &material->arena, &stats, st) != STATUS_OK)
        return st->code;
    material->stored = task_count_vectors(task, stats);
    if (sample_gather(task, SAMPLE_LEAST, vectors_to_train_on(order, material->stored),
                      material->stored, &material->arena, &material->training, st) != STATUS_OK ||
        sample_gather(task, SAMPLE_GREATEST, 2 * CALIBRATE_QUERIES, material->stored,
                      &material->arena, &material->queries, st) != STATUS_OK)
        return st->code;
    sample_keep_last(&material->queries, queries_of(material->stored));
    sample_leave_out(&material->training, &material->queries);
    return STATUS_OK;
}

/* Versions only grow, also where this shard has lost what it knew. */
static uint64_t next_version(const struct codebook *codebook, uint64_t seen)
{
    uint64_t version = version_of(codebook);

    return (version > seen ? version : seen) + 1;
}

static enum status_code train_and_spread(struct task *task, const struct trainer_order *order,
                                         struct codebook_info *ret_info, struct status *st)
{
    struct codebook *old = in_force(task);
    struct codebook *codebook = NULL;
    struct material material = { 0 };
    uint64_t seen = 0;

    if (old != NULL && !can_train_again(task->trainer)) {
        codebook_unref(old);
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "with --refinement none there is one codebook for good: the vectors were "
                          "not kept");
    }
    if (newest_version(task, &seen, st) == STATUS_OK &&
        gather(task, order, &material, st) == STATUS_OK) {
        set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_TRAINING);
        if (train_on(task, order, &material, next_version(old, seen), &codebook, st) == STATUS_OK &&
            spread(task, codebook, version_of(old), &material, st) == STATUS_OK)
            *ret_info = *codebook_info(codebook);
    }
    set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_UNSPECIFIED);
    codebook_unref(old);
    codebook_unref(codebook);
    material_deinit(&material);
    return st->code;
}

enum status_code trainer_train(struct trainer *trainer, struct rpc_call *caller,
                               const struct trainer_order *order, struct codebook_info *ret_info,
                               struct status *st)
{
    struct task task = { .trainer = trainer, .shard = trainer->shard, .caller = caller };

    if (pthread_mutex_trylock(&trainer->training) != 0)
        return status_set(st, STATUS_ABORTED, "another training is running");
    task.placement = cluster_placement(trainer->shard->cluster);
    if (train_and_spread(&task, order, ret_info, st) != STATUS_OK)
        status_wrap(st, "train a codebook");
    placement_unref(task.placement);
    pthread_mutex_unlock(&trainer->training);
    return st->code;
}

/* ---- Cells ---- */

/* Concepts per cell of the cluster; @ret_sizes [cells]. */
static enum status_code ask_sizes(const struct task *task, const struct codebook_info *info,
                                  uint64_t *ret_sizes, struct status *st)
{
    Sutra__Internal__V1__CellSizesRequest request = SUTRA__INTERNAL__V1__CELL_SIZES_REQUEST__INIT;
    ProtobufCMessage **replies;
    struct arena arena;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    task_ask(task, "CellSizes", UINT32_MAX, &request.base,
             &sutra__internal__v1__cell_sizes_response__descriptor, &arena, &replies, st);
    for (uint32_t s = 0; s < task_shards(task) && st->code == STATUS_OK; s++) {
        const Sutra__Internal__V1__CellSizesResponse *reply =
            (const Sutra__Internal__V1__CellSizesResponse *)replies[s];
        if (reply->codebook_version != info->version || reply->n_sizes != info->cells)
            status_set(st, STATUS_UNAVAILABLE, "shard %u has another codebook", s);
        for (size_t i = 0; i < info->cells && st->code == STATUS_OK; i++)
            ret_sizes[i] += reply->sizes[i];
    }
    arena_deinit(&arena);
    return st->code;
}

/* Cells of the same codes, if some are too large or too small; *@ret NULL if not. */
static enum status_code rebalance(struct task *task, const struct codebook *codebook,
                                  const struct sample *sample, struct codebook **ret,
                                  struct status *st)
{
    const struct codebook_info *info = codebook_info(codebook);
    uint64_t *sizes = calloc(info->cells + 1, sizeof *sizes);
    float *rows = sample_rows(sample);

    *ret = NULL;
    if (sizes == NULL || rows == NULL)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else if (info->cells > 0 && ask_sizes(task, info, sizes, st) == STATUS_OK)
        codebook_rebalance(codebook, sizes, rows, sample->count, info->version + 1, ret, st);
    free(sizes);
    free(rows);
    return st->code;
}

/* Cells and calibration for what is stored by now. */
static enum status_code take_care(struct task *task, struct status *st)
{
    const struct trainer_order order = { .sample = TRAIN_SAMPLE_DEFAULT };
    struct codebook *codebook = in_force(task);
    struct codebook *balanced = NULL;
    struct material material = { 0 };

    if (gather(task, &order, &material, st) == STATUS_OK &&
        rebalance(task, codebook, &material.training, &balanced, st) == STATUS_OK) {
        if (balanced == NULL)
            calibrate_with(task, codebook, &material, st);
        else
            spread(task, balanced, version_of(codebook), &material, st);
    }
    set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_UNSPECIFIED);
    material_deinit(&material);
    codebook_unref(codebook);
    codebook_unref(balanced);
    return st->code;
}

/* ---- Now and then ---- */

/* What a look has found to do. */
struct findings {
    bool behind[TOPOLOGY_MAX_SHARDS]; /* shards that were away when the codebook was installed */
    bool any_behind;
    bool unsettled;    /* nobody has said that all may forget the codebook before */
    bool uncalibrated; /* a shard does not know what this one knows of the recall */
    bool train; /* the first codebook, or one for four times as many vectors, or for other ones */
    bool care;  /* of cells and calibration */
};

/* Fewer vectors than a training takes are never enough. */
static bool is_enough(const struct trainer *trainer, uint64_t stored)
{
    uint64_t threshold = trainer->shard->options.train_threshold;

    return threshold > 0 && stored >= threshold && stored >= 2 * CODEBOOK_MIN_SAMPLES;
}

static bool has_grown(uint64_t stored, uint64_t before, double times)
{
    return (double)stored >= times * (double)before;
}

static bool is_outgrown(const struct codebook_info *info, uint64_t stored, float drift)
{
    return has_grown(stored, info->trained_at, RETRAIN_AT_GROWTH) ||
           (drift > RETRAIN_AT_DRIFT && has_grown(stored, info->trained_at, CARE_AT_GROWTH));
}

static void judge(const struct task *task, const struct codebook *codebook, uint64_t stored,
                  float drift, struct findings *ret)
{
    struct trainer *trainer = task->trainer;
    struct calibration calibration;
    uint64_t cared_at;

    if (!is_enough(trainer, stored))
        return;
    if (codebook == NULL ||
        (can_train_again(trainer) && is_outgrown(codebook_info(codebook), stored, drift))) {
        ret->train = true;
        return;
    }
    calibration = index_calibration(task->shard->index, version_of(codebook));
    cared_at = __atomic_load_n(&trainer->cared_at, __ATOMIC_RELAXED);
    if (cared_at == 0 && calibration.queries > 0) { /* by the process before this one */
        __atomic_store_n(&trainer->cared_at, stored, __ATOMIC_RELAXED);
        cared_at = stored;
    }
    ret->care = ret->uncalibrated || cared_at == 0 || has_grown(stored, cared_at, CARE_AT_GROWTH);
}

static enum status_code look_around(const struct task *task, struct findings *ret,
                                    struct status *st)
{
    struct codebook *codebook = in_force(task);
    ProtobufCMessage **stats;
    struct arena arena;
    float drift = 0;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    if (task_ask_stats(task, &arena, &stats, st) == STATUS_OK) {
        for (uint32_t s = 0; s < task_shards(task); s++) {
            const Sutra__V1__CodebookStats *theirs =
                ((const Sutra__V1__ShardStats *)stats[s])->codebook;
            ret->behind[s] = searched_version(stats[s]) < version_of(codebook);
            ret->any_behind |= ret->behind[s];
            ret->uncalibrated |= searched_version(stats[s]) > 0 && theirs->expected_recall == 0;
            drift = theirs != NULL && theirs->drift > drift ? theirs->drift : drift;
        }
        ret->unsettled =
            __atomic_load_n(&task->trainer->settled, __ATOMIC_RELAXED) != version_of(codebook);
        judge(task, codebook, task_count_vectors(task, stats), drift, ret);
    }
    arena_deinit(&arena);
    codebook_unref(codebook);
    return st->code;
}

/* Installs on those that are behind, one after the other, and lets all change over. */
static enum status_code catch_up(const struct task *task, const struct findings *found,
                                 struct status *st)
{
    struct codebook *codebook = in_force(task);

    for (uint32_t s = 0; s < task_shards(task) && st->code == STATUS_OK; s++)
        if (found->behind[s])
            install(task, codebook, NULL, s, st);
    if (st->code == STATUS_OK)
        change_all(task, version_of(codebook), st);
    codebook_unref(codebook);
    return st->code;
}

/* A training that runs does all of this itself. */
static void act(struct task *task, const struct findings *found, struct status *st)
{
    const struct trainer_order order = { .sample = TRAIN_SAMPLE_DEFAULT };
    struct codebook_info info;

    if (pthread_mutex_trylock(&task->trainer->training) != 0)
        return;
    if (found->any_behind || found->unsettled)
        catch_up(task, found, st);
    else if (found->train)
        train_and_spread(task, &order, &info, st);
    else
        take_care(task, st);
    pthread_mutex_unlock(&task->trainer->training);
}

static bool is_worth_a_line(enum status_code code)
{
    return code != STATUS_OK && code != STATUS_UNAVAILABLE && code != STATUS_CANCELLED &&
           code != STATUS_ABORTED;
}

/* What fails for good would otherwise cost a sample of the cluster every few seconds. */
static void pause_after(struct trainer *trainer, const struct status *st)
{
    if (!is_worth_a_line(st->code)) {
        trainer->pause_us = 0;
        return;
    }
    trainer->pause_us = trainer->pause_us == 0 ? FIRST_PAUSE_US : 2 * trainer->pause_us;
    if (trainer->pause_us > LONGEST_PAUSE_US)
        trainer->pause_us = LONGEST_PAUSE_US;
    trainer->wait_until_us = clock_monotonic_us() + trainer->pause_us;
    log_line(LOG_WARN, "codebook_care_failed", LOG_TEXT("message", st->message),
             LOG_NUMBER("again_in_ms", trainer->pause_us / 1000));
}

/* Shards come and go; what fails now is tried again. */
static void look(void *ctx)
{
    struct trainer *trainer = ctx;
    struct task task = { .trainer = trainer, .shard = trainer->shard };
    struct findings found = { 0 };
    struct status st = { 0 };

    if (!shard_owns(trainer->shard, 0) || clock_monotonic_us() < trainer->wait_until_us)
        return;
    task.placement = cluster_placement(trainer->shard->cluster);
    if (look_around(&task, &found, &st) == STATUS_OK &&
        (found.any_behind || found.unsettled || found.train || found.care))
        act(&task, &found, &st);
    placement_unref(task.placement);
    pause_after(trainer, &st);
}

enum status_code trainer_start(struct shard *shard, struct trainer **ret, struct status *st)
{
    struct trainer *trainer = calloc(1, sizeof *trainer);

    if (trainer == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    trainer->shard = shard;
    pthread_mutex_init(&trainer->training, NULL);
    if (ticker_start(LOOK_EVERY_MS, look, trainer, &trainer->ticker, st) != STATUS_OK) {
        pthread_mutex_destroy(&trainer->training);
        free(trainer);
        return st->code;
    }
    *ret = trainer;
    return STATUS_OK;
}

void trainer_stop(struct trainer *trainer)
{
    if (trainer == NULL)
        return;
    __atomic_store_n(&trainer->stopping, true, __ATOMIC_RELAXED);
    ticker_stop(trainer->ticker);
    pthread_mutex_destroy(&trainer->training);
    free(trainer);
}
