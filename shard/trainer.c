#include <stdlib.h>

#include "shard/trainer_internal.h"
#include "src/base/clock.h"
#include "src/log/log.h"
#include "src/serve/limits.h"

enum {
    LOOK_EVERY_MS = 2000,
    RETRAIN_AT_GROWTH = 4, /* times as many vectors as at the training */
};

static const int64_t FIRST_PAUSE_US = 4 * 1000000, LONGEST_PAUSE_US = 600 * INT64_C(1000000);
static const float RETRAIN_AT_DRIFT = 1.15f;
static const double CARE_AT_GROWTH = 1.25; /* cells and calibration are looked at again */

/* ---- Progress ---- */

void trainer_set_stage(struct trainer *trainer, Sutra__V1__TrainingStats__Stage stage)
{
    __atomic_store_n(&trainer->permille, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&trainer->stage, (int)stage, __ATOMIC_RELAXED);
}

void trainer_set_fraction(void *ctx, double fraction)
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

uint64_t stats_version(const ProtobufCMessage *stats)
{
    const Sutra__V1__CodebookStats *codebook = ((const Sutra__V1__ShardStats *)stats)->codebook;

    return codebook == NULL ? 0 : codebook->version;
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
        (trainer_can_train_again(trainer) && is_outgrown(codebook_info(codebook), stored, drift))) {
        ret->train = true;
        return;
    }
    calibration = index_calibration(task->shard->index, codebook_version_of(codebook));
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
    struct codebook *codebook = index_codebook(task->shard->index);
    ProtobufCMessage **stats;
    struct arena arena;
    float drift = 0;

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    if (task_ask_stats(task, &arena, &stats, st) == STATUS_OK) {
        for (uint32_t s = 0; s < task_shards(task); s++) {
            const Sutra__V1__CodebookStats *theirs =
                ((const Sutra__V1__ShardStats *)stats[s])->codebook;
            ret->behind[s] = stats_version(stats[s]) < codebook_version_of(codebook);
            ret->any_behind |= ret->behind[s];
            ret->uncalibrated |= stats_version(stats[s]) > 0 && theirs->expected_recall == 0;
            drift = theirs != NULL && theirs->drift > drift ? theirs->drift : drift;
        }
        ret->unsettled = __atomic_load_n(&task->trainer->settled, __ATOMIC_RELAXED) !=
                         codebook_version_of(codebook);
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
    struct codebook *codebook = index_codebook(task->shard->index);

    for (uint32_t s = 0; s < task_shards(task) && st->code == STATUS_OK; s++)
        if (found->behind[s])
            install_codebook(task, codebook, NULL, s, st);
    if (st->code == STATUS_OK)
        change_over_to(task, codebook_version_of(codebook), st);
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
        balance_and_calibrate(task, st);
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
