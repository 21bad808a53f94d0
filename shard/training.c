#include <stdlib.h>

#include "shard/calibrate.h"
#include "shard/sample.h"
#include "shard/trainer_internal.h"
#include "src/base/clock.h"
#include "src/log/log.h"
#include "src/serve/limits.h"
#include "sutra/internal/v1/shard_service.pb-c.h"

enum {
    ITERATIONS = 20,
    HELD_OUT_SHARE = 16, /* at most one vector in so many is kept from training for calibration */
};

/* What a training and a calibration are made from. */
struct material {
    struct arena arena;
    uint64_t stored;
    uint64_t version;       /* the newest that any shard searches with; 0: none does */
    struct sample training; /* none of queries */
    struct sample queries;
};

static enum status_code calibrate_with(struct task *task, const struct codebook *codebook,
                                       const struct material *material, struct status *st)
{
    if (material->queries.count == 0)
        return STATUS_OK;
    trainer_set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_CALIBRATING);
    if (calibrate(task, codebook, &material->queries, trainer_set_fraction, task, st) == STATUS_OK)
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

    trainer_set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_REENCODING);
    if (install_codebook(task, codebook, &expected_version, task->shard->options.index, st) !=
            STATUS_OK ||
        install_codebook(task, codebook, NULL, UINT32_MAX, st) != STATUS_OK)
        return st->code;
    /* Worth knowing, but nothing depends on it: the next look tries again. */
    if (calibrate_with(task, codebook, material, &ignored) != STATUS_OK)
        log_line(LOG_WARN, "not_calibrated", LOG_TEXT("message", ignored.message));
    if (change_over_to(task, info->version, st) != STATUS_OK)
        return st->code;
    log_line(LOG_INFO, "codebook_installed", LOG_NUMBER("version", info->version),
             LOG_NUMBER("trained_on", info->trained_on), LOG_NUMBER("cells", info->cells),
             LOG_NUMBER("elapsed_ms", (clock_monotonic_us() - started_us) / 1000));
    return STATUS_OK;
}

/* ---- Training ---- */

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
        .progress = trainer_set_fraction,
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

/* How many of @stored vectors are kept from training for calibration. */
static size_t queries_of(uint64_t stored)
{
    uint64_t share = stored / HELD_OUT_SHARE;

    return share < CALIBRATE_QUERIES ? (size_t)share : (size_t)CALIBRATE_QUERIES;
}

static uint64_t newest_version(const struct task *task, ProtobufCMessage *const *stats)
{
    uint64_t newest = 0;

    for (uint32_t s = 0; s < task_shards(task); s++)
        if (stats_version(stats[s]) > newest)
            newest = stats_version(stats[s]);
    return newest;
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

/* @order NULL: nothing to train on is needed. @material {0}; to be deinitialised in any case, as
 * soon as this was called. */
static enum status_code gather(struct task *task, const struct trainer_order *order,
                               struct material *material, struct status *st)
{
    ProtobufCMessage **stats;

    arena_init(&material->arena, SAMPLE_ARENA_BYTES);
    trainer_set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_SAMPLING);
    if (task_ask_stats(task, &material->arena, &stats, st) != STATUS_OK)
        return st->code;
    material->stored = task_count_vectors(task, stats);
    material->version = newest_version(task, stats);
    if ((order != NULL &&
         sample_gather(task, SAMPLE_LEAST, vectors_to_train_on(order, material->stored),
                       material->stored, &material->arena, &material->training, st) != STATUS_OK) ||
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
    uint64_t version = codebook_version_of(codebook);

    return (version > seen ? version : seen) + 1;
}

enum status_code train_and_spread(struct task *task, const struct trainer_order *order,
                                  struct codebook_info *ret_info, struct status *st)
{
    struct codebook *old = index_codebook(task->shard->index);
    struct codebook *codebook = NULL;
    struct material material = { 0 };

    if (old != NULL && !trainer_can_train_again(task->trainer)) {
        codebook_unref(old);
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "with --refinement none there is one codebook for good: the vectors were "
                          "not kept");
    }
    if (gather(task, order, &material, st) == STATUS_OK) {
        trainer_set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_TRAINING);
        if (train_on(task, order, &material, next_version(old, material.version), &codebook, st) ==
                STATUS_OK &&
            spread(task, codebook, codebook_version_of(old), &material, st) == STATUS_OK)
            *ret_info = *codebook_info(codebook);
    }
    trainer_set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_UNSPECIFIED);
    codebook_unref(old);
    codebook_unref(codebook);
    material_deinit(&material);
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

/* Cells of the same codes, if some are too large or too small; *@ret NULL if not. There are some.
 */
static enum status_code rebalance(struct task *task, const struct codebook *codebook,
                                  const struct sample *sample, struct codebook **ret,
                                  struct status *st)
{
    const struct codebook_info *info = codebook_info(codebook);
    uint64_t *sizes = calloc(info->cells, sizeof *sizes);
    float *rows = sample_rows(sample);

    *ret = NULL;
    if (sizes == NULL || rows == NULL)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else if (ask_sizes(task, info, sizes, st) == STATUS_OK)
        codebook_rebalance(codebook, sizes, rows, sample->count, info->version + 1, ret, st);
    free(sizes);
    free(rows);
    return st->code;
}

/* Cells and calibration for what is stored by now. */
enum status_code balance_and_calibrate(struct task *task, struct status *st)
{
    const struct trainer_order order = { .sample = TRAIN_SAMPLE_DEFAULT };
    struct codebook *codebook = index_codebook(task->shard->index);
    bool has_cells = codebook_info(codebook)->cells > 0;
    struct codebook *balanced = NULL;
    struct material material = { 0 };

    if (gather(task, has_cells ? &order : NULL, &material, st) == STATUS_OK &&
        (!has_cells || rebalance(task, codebook, &material.training, &balanced, st) == STATUS_OK)) {
        if (balanced == NULL)
            calibrate_with(task, codebook, &material, st);
        else
            spread(task, balanced, codebook_version_of(codebook), &material, st);
    }
    trainer_set_stage(task->trainer, SUTRA__V1__TRAINING_STATS__STAGE__STAGE_UNSPECIFIED);
    material_deinit(&material);
    codebook_unref(codebook);
    codebook_unref(balanced);
    return st->code;
}
