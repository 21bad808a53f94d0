#include "shard/trainer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

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

static const float RETRAIN_AT_DRIFT = 1.15f;
static const double CARE_AT_GROWTH = 1.25; /* cells and calibration are looked at again */

struct trainer {
    struct shard *shard;
    struct ticker *ticker;
    pthread_mutex_t training; /* held while anything is done about the codebook */
    uint64_t cared_at;        /* vectors there were when cells and calibration were last right */
    bool stopping;            /* atomic */
    int stage;                /* atomic; Sutra__V1__TrainingStats__Stage */
    int permille;             /* atomic; of the stage */
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

/* Installs @codebook on shard @only, or on all if that is UINT32_MAX. */
static enum status_code install(const struct task *task, const struct codebook *codebook,
                                uint64_t expected_version, uint32_t only, struct status *st)
{
    Sutra__Internal__V1__InstallCodebookRequest request =
        SUTRA__INTERNAL__V1__INSTALL_CODEBOOK_REQUEST__INIT;
    struct buf bytes = { 0 };
    struct arena arena;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    codebook_serialize(codebook, &bytes);
    request.codebook = (ProtobufCBinaryData){ .data = bytes.data, .len = bytes.size };
    request.expected_version = expected_version;
    if (bytes.failed)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else
        task_ask(task, "InstallCodebook", only, &request.base,
                 &sutra__internal__v1__install_codebook_response__descriptor, &arena, NULL, st);
    buf_deinit(&bytes);
    arena_deinit(&arena);
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
    if (change_over(task, version, false, st) != STATUS_OK)
        return st->code;
    return change_over(task, version, true, st);
}

static size_t held_out(const struct sample *sample)
{
    size_t share = sample->count / HELD_OUT_SHARE;

    return share < CALIBRATE_QUERIES ? share : (size_t)CALIBRATE_QUERIES;
}

/* The recall is worth knowing, but nothing depends on it: the next look tries again. */
static void calibrate_with(struct task *task, const struct codebook *codebook, uint64_t stored,
                           const struct sample *sample)
{
    size_t count = held_out(sample);
    struct status st = { 0 };

    if (count == 0)
        return;
    set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_CALIBRATING);
    if (calibrate(task, codebook_info(codebook), stored, sample, sample->count - count, count,
                  set_fraction, task, &st) == STATUS_OK)
        task->trainer->cared_at = stored;
    else if (st.code != STATUS_UNAVAILABLE && st.code != STATUS_CANCELLED)
        log_line(LOG_WARN, "calibration_failed", LOG_TEXT("message", st.message));
}

/* The compare-and-set happens at this shard, the owner of slot 0; then the others follow. What the
 * new codebook's searches are like is known before anyone uses it. */
static enum status_code spread(struct task *task, const struct codebook *codebook,
                               uint64_t expected_version, uint64_t stored,
                               const struct sample *sample, struct status *st)
{
    int64_t started_us = clock_monotonic_us();
    const struct codebook_info *info = codebook_info(codebook);

    set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_REENCODING);
    if (install(task, codebook, expected_version, task->shard->options.index, st) != STATUS_OK ||
        install(task, codebook, expected_version, UINT32_MAX, st) != STATUS_OK)
        return st->code;
    calibrate_with(task, codebook, stored, sample);
    if (change_all(task, info->version, st) != STATUS_OK)
        return st->code;
    log_line(LOG_INFO, "codebook_installed", LOG_NUMBER("version", info->version),
             LOG_NUMBER("trained_on", info->trained_on), LOG_NUMBER("cells", info->cells),
             LOG_NUMBER("elapsed_ms", (clock_monotonic_us() - started_us) / 1000));
    return STATUS_OK;
}

/* ---- Training ---- */

static enum status_code choose_cells(const struct trainer_order *order, uint64_t stored,
                                     size_t samples, uint32_t *ret, struct status *st)
{
    uint32_t cells = order->cells > 0 ? order->cells : codebook_cells_for(stored);
    bool fits = (uint64_t)cells * CODEBOOK_SAMPLES_PER_CELL <= samples;

    if (!fits && order->cells > 0)
        return status_set_field(st, "cells", "%u cells need a sample of %u vectors, there are %zu",
                                cells, cells * CODEBOOK_SAMPLES_PER_CELL, samples);
    *ret = fits ? cells : 0;
    return STATUS_OK;
}

static enum status_code train_on(struct task *task, const struct trainer_order *order,
                                 const struct sample *sample, uint64_t stored, uint64_t version,
                                 struct codebook **ret, struct status *st)
{
    size_t count = sample->count - held_out(sample);
    struct codebook_train_options options = {
        .seed = order->seed,
        .iterations = ITERATIONS,
        .version = version,
        .stored = stored,
        .progress = set_fraction,
        .cancelled = task_cancelled,
        .context = task,
        .held_out_count = held_out(sample),
    };
    float *rows;

    if (count < CODEBOOK_MIN_SAMPLES)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "a codebook needs %d vectors, the sample has %zu", CODEBOOK_MIN_SAMPLES,
                          count);
    if (choose_cells(order, stored, count, &options.cells, st) != STATUS_OK)
        return st->code;
    rows = sample_rows(sample, 0, sample->count);
    if (rows == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory for a sample of %zu",
                          sample->count);
    options.held_out = rows + count * LIMIT_DIMENSION;
    codebook_train(rows, count, LIMIT_DIMENSION, &options, ret, st);
    free(rows);
    return st->code;
}

/* Without the vectors codes are all there is, and cannot be made anew. */
static bool can_train_again(const struct trainer *trainer)
{
    return trainer->shard->options.rows.kept;
}

static enum status_code gather(struct task *task, uint32_t wanted, struct arena *arena,
                               uint64_t *ret_stored, struct sample *ret, struct status *st)
{
    ProtobufCMessage **stats;

    set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_SAMPLING);
    if (task_ask_stats(task, arena, &stats, st) != STATUS_OK)
        return st->code;
    *ret_stored = task_count_vectors(task, stats);
    return sample_gather(task, wanted, *ret_stored, arena, ret, st);
}

static enum status_code train_and_spread(struct task *task, const struct trainer_order *order,
                                         struct codebook_info *ret_info, struct status *st)
{
    struct codebook *old = in_force(task);
    struct codebook *codebook = NULL;
    struct sample sample = { 0 };
    struct arena arena;
    uint64_t stored = 0;

    arena_init(&arena, SAMPLE_ARENA_BYTES);
    if (old != NULL && !can_train_again(task->trainer)) {
        status_set(st, STATUS_FAILED_PRECONDITION,
                   "with --refinement none there is one codebook for good: the vectors were not "
                   "kept");
        goto out;
    }
    if (gather(task, order->sample, &arena, &stored, &sample, st) != STATUS_OK)
        goto out;
    set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_TRAINING);
    if (train_on(task, order, &sample, stored, version_of(old) + 1, &codebook, st) != STATUS_OK ||
        spread(task, codebook, version_of(old), stored, &sample, st) != STATUS_OK)
        goto out;
    *ret_info = *codebook_info(codebook);
out:
    set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_UNSPECIFIED);
    codebook_unref(old);
    codebook_unref(codebook);
    arena_deinit(&arena);
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
    size_t count = sample->count - held_out(sample);
    uint64_t *sizes = calloc(info->cells + 1, sizeof *sizes);
    float *rows = sample_rows(sample, 0, count);

    *ret = NULL;
    if (sizes == NULL || rows == NULL)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else if (info->cells > 0 && ask_sizes(task, info, sizes, st) == STATUS_OK)
        codebook_rebalance(codebook, sizes, rows, count, info->version + 1, ret, st);
    free(sizes);
    free(rows);
    return st->code;
}

/* Cells and calibration for what is stored by now. */
static enum status_code take_care(struct task *task, struct status *st)
{
    struct codebook *codebook = in_force(task);
    struct codebook *balanced = NULL;
    struct sample sample = { 0 };
    struct arena arena;
    uint64_t stored = 0;

    arena_init(&arena, SAMPLE_ARENA_BYTES);
    if (gather(task, TRAIN_SAMPLE_DEFAULT, &arena, &stored, &sample, st) == STATUS_OK &&
        rebalance(task, codebook, &sample, &balanced, st) == STATUS_OK) {
        if (balanced == NULL)
            calibrate_with(task, codebook, stored, &sample);
        else
            spread(task, balanced, version_of(codebook), stored, &sample, st);
    }
    set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_UNSPECIFIED);
    arena_deinit(&arena);
    codebook_unref(codebook);
    codebook_unref(balanced);
    return st->code;
}

/* ---- Now and then ---- */

/* What a look has found to do. */
struct findings {
    bool behind[TOPOLOGY_MAX_SHARDS]; /* shards that were away when the codebook was installed */
    uint64_t versions[TOPOLOGY_MAX_SHARDS];
    bool any_behind;
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

    if (!is_enough(trainer, stored))
        return;
    if (codebook == NULL ||
        (can_train_again(trainer) && is_outgrown(codebook_info(codebook), stored, drift))) {
        ret->train = true;
        return;
    }
    calibration = index_calibration(task->shard->index, version_of(codebook));
    if (trainer->cared_at == 0 && calibration.queries > 0)
        trainer->cared_at = stored; /* by the process before this one */
    ret->care = trainer->cared_at == 0 || calibration.queries == 0 ||
                has_grown(stored, trainer->cared_at, CARE_AT_GROWTH);
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
            ret->versions[s] = theirs == NULL ? 0 : theirs->version;
            ret->behind[s] = ret->versions[s] < version_of(codebook);
            ret->any_behind |= ret->behind[s];
            drift = theirs != NULL && theirs->drift > drift ? theirs->drift : drift;
        }
        judge(task, codebook, task_count_vectors(task, stats), drift, ret);
    }
    arena_deinit(&arena);
    codebook_unref(codebook);
    return st->code;
}

static enum status_code catch_up(const struct task *task, const struct findings *found,
                                 struct status *st)
{
    struct codebook *codebook = in_force(task);

    for (uint32_t s = 0; s < task_shards(task) && st->code == STATUS_OK; s++)
        if (found->behind[s])
            install(task, codebook, found->versions[s], s, st);
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
    if (found->any_behind)
        catch_up(task, found, st);
    else if (found->train)
        train_and_spread(task, &order, &info, st);
    else
        take_care(task, st);
    pthread_mutex_unlock(&task->trainer->training);
}

/* Shards come and go; what fails now is tried again. */
static void look(void *ctx)
{
    struct trainer *trainer = ctx;
    struct task task = { .trainer = trainer, .shard = trainer->shard };
    struct findings found = { 0 };
    struct status st = { 0 };

    if (!shard_owns(trainer->shard, 0))
        return;
    task.placement = cluster_placement(trainer->shard->cluster);
    if (look_around(&task, &found, &st) == STATUS_OK &&
        (found.any_behind || found.train || found.care))
        act(&task, &found, &st);
    placement_unref(task.placement);
    if (st.code != STATUS_OK && st.code != STATUS_UNAVAILABLE && st.code != STATUS_CANCELLED)
        log_line(LOG_WARN, "codebook_care_failed", LOG_TEXT("message", st.message));
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
