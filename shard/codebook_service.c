/*
 * Train, and what it asks of the shards: Sample, InstallCodebook, SwitchCodebook, Calibrate and
 * CellSizes.
 */

#include <string.h>

#include "shard/op.h"
#include "shard/trainer.h"
#include "src/base/clock.h"

void op_fill_codebook(const struct op *op, const struct codebook_info *info,
                      Sutra__V1__CodebookStats *ret)
{
    struct calibration calibration = index_calibration(op->shard->index, info->version);
    const struct calibration_setting *standard =
        calibration_choose(&calibration, DEFAULT_RECALL_TARGET);

    sutra__v1__codebook_stats__init(ret);
    ret->version = info->version;
    ret->trained_on = info->trained_on;
    ret->mean_squared_error = info->mean_squared_error;
    ret->cells = info->cells;
    ret->expected_recall = standard == NULL ? 0 : standard->recall;
}

enum status_code op_train(struct op *op, struct status *st)
{
    const Sutra__V1__TrainCodebookRequest *request =
        (const Sutra__V1__TrainCodebookRequest *)op->request;
    const struct trainer_order order = {
        .sample = request->sample == 0 ? TRAIN_SAMPLE_DEFAULT : request->sample,
        .seed = request->seed,
        .cells = (request->cells + 15) / 16 * 16,
    };
    Sutra__V1__TrainCodebookResponse *reply = op_new(op, sizeof *reply, st);
    Sutra__V1__CodebookStats *codebook = op_new(op, sizeof *codebook, st);
    int64_t started_us = clock_monotonic_us();
    struct codebook_info info;

    if (reply == NULL || codebook == NULL)
        return st->code;
    if (order.sample < CODEBOOK_MIN_SAMPLES || order.sample > TRAIN_SAMPLE_MAX)
        return status_set_field(st, "sample", "sample is %u, it takes %d to %d", order.sample,
                                CODEBOOK_MIN_SAMPLES, TRAIN_SAMPLE_MAX);
    if (request->cells > CODEBOOK_MAX_CELLS)
        return status_set_field(st, "cells", "cells is %u, the limit is %d", request->cells,
                                CODEBOOK_MAX_CELLS);
    if (op_check_owner(op, 0, st) != STATUS_OK ||
        trainer_train(op->shard->trainer, op->call, &order, &info, st) != STATUS_OK)
        return st->code;
    op_fill_codebook(op, &info, codebook);
    sutra__v1__train_codebook_response__init(reply);
    reply->codebook = codebook;
    reply->elapsed_ms = (uint64_t)(clock_monotonic_us() - started_us) / 1000;
    op->message = &reply->base;
    return STATUS_OK;
}

/* ---- Sample ---- */

enum { MOST_SAMPLED = 2 * TRAIN_SAMPLE_MAX };

struct sampling {
    struct op *op;
    uint64_t min_hash;
    uint64_t max_hash;
    struct buf hashes; /* uint64_t */
    struct buf ids;    /* char * */
    struct buf rows;
    struct status st;
};

static bool take_one(void *context, const struct concept_id *id, const struct store_vector *vector)
{
    struct sampling *sampling = context;
    struct store_vector complete = *vector;
    uint8_t scratch[ROW_MAX_BYTES];
    char *text;

    if (id->hash < sampling->min_hash || id->hash > sampling->max_hash)
        return true;
    if (index_complete(sampling->op->shard->index, id, &complete, scratch, &sampling->st) !=
        STATUS_OK)
        return false;
    text = arena_strndup(&sampling->op->arena, id->data, id->length);
    if (text == NULL)
        return limit_call_memory(&sampling->st) == STATUS_OK;
    if (sampling->hashes.size >= MOST_SAMPLED * sizeof id->hash)
        return status_set(&sampling->st, STATUS_RESOURCE_EXHAUSTED,
                          "more than %d vectors in a sample", MOST_SAMPLED) == STATUS_OK;
    buf_append(&sampling->hashes, &id->hash, sizeof id->hash);
    buf_append(&sampling->ids, &text, sizeof text);
    buf_append(&sampling->rows, complete.refinement, complete.refinement_size);
    return !op_cancelled(sampling->op);
}

static enum status_code reply_sample(struct sampling *sampling, struct status *st)
{
    struct op *op = sampling->op;
    Sutra__Internal__V1__SampleResponse reply = SUTRA__INTERNAL__V1__SAMPLE_RESPONSE__INIT;

    if (sampling->hashes.failed || sampling->ids.failed || sampling->rows.failed)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    reply.n_hashes = sampling->hashes.size / sizeof *reply.hashes;
    reply.hashes = (uint64_t *)(void *)sampling->hashes.data;
    reply.n_ids = sampling->ids.size / sizeof *reply.ids;
    reply.ids = (char **)(void *)sampling->ids.data;
    reply.rows.data = sampling->rows.data;
    reply.rows.len = sampling->rows.size;
    op->bytes = rpc_bytes_pack(&reply.base);
    return STATUS_OK;
}

enum status_code op_sample(struct op *op, struct status *st)
{
    const Sutra__Internal__V1__SampleRequest *request =
        (const Sutra__Internal__V1__SampleRequest *)op->request;
    struct sampling sampling = { .op = op,
                                 .min_hash = request->min_hash,
                                 .max_hash = request->max_hash };

    if (store_scan_vectors(op->shard->store, take_one, &sampling, st) == STATUS_OK)
        *st = sampling.st;
    if (st->code == STATUS_OK)
        reply_sample(&sampling, st);
    buf_deinit(&sampling.hashes);
    buf_deinit(&sampling.ids);
    buf_deinit(&sampling.rows);
    return st->code;
}

/* ---- InstallCodebook and SwitchCodebook ---- */

enum status_code op_install_codebook(struct op *op, struct status *st)
{
    const Sutra__Internal__V1__InstallCodebookRequest *request =
        (const Sutra__Internal__V1__InstallCodebookRequest *)op->request;
    Sutra__Internal__V1__InstallCodebookResponse *reply = op_new(op, sizeof *reply, st);
    const struct index_install install = {
        .bytes = request->codebook.data,
        .size = request->codebook.len,
        .compare = !request->follow,
        .expected_version = request->expected_version,
    };

    if (reply == NULL || index_install(op->shard->index, &install, st) != STATUS_OK)
        return st->code;
    sutra__internal__v1__install_codebook_response__init(reply);
    op->message = &reply->base;
    return STATUS_OK;
}

enum status_code op_switch_codebook(struct op *op, struct status *st)
{
    const Sutra__Internal__V1__SwitchCodebookRequest *request =
        (const Sutra__Internal__V1__SwitchCodebookRequest *)op->request;
    Sutra__Internal__V1__SwitchCodebookResponse *reply = op_new(op, sizeof *reply, st);

    if (reply == NULL || index_switch(op->shard->index, request->version, st) != STATUS_OK)
        return st->code;
    if (request->retire)
        index_retire(op->shard->index, request->version);
    sutra__internal__v1__switch_codebook_response__init(reply);
    op->message = &reply->base;
    return STATUS_OK;
}

/* ---- Calibrate and CellSizes ---- */

enum status_code op_calibrate(struct op *op, struct status *st)
{
    const Sutra__Internal__V1__CalibrateRequest *request =
        (const Sutra__Internal__V1__CalibrateRequest *)op->request;
    Sutra__Internal__V1__CalibrateResponse *reply = op_new(op, sizeof *reply, st);

    if (reply == NULL || index_calibrate(op->shard->index, request->calibration.data,
                                         request->calibration.len, st) != STATUS_OK)
        return st->code;
    sutra__internal__v1__calibrate_response__init(reply);
    op->message = &reply->base;
    return STATUS_OK;
}

enum status_code op_cell_sizes(struct op *op, struct status *st)
{
    Sutra__Internal__V1__CellSizesResponse *reply = op_new(op, sizeof *reply, st);
    struct segment *segment = index_segment(op->shard->index, 0);
    struct codebook *codebook = segment_codebook(segment);

    if (reply != NULL) {
        sutra__internal__v1__cell_sizes_response__init(reply);
        op->message = &reply->base;
    }
    if (reply != NULL && codebook != NULL) {
        reply->codebook_version = codebook_info(codebook)->version;
        reply->n_sizes = codebook_info(codebook)->cells;
        reply->sizes = arena_calloc(&op->arena, reply->n_sizes, sizeof *reply->sizes);
        if (reply->sizes == NULL)
            limit_call_memory(st);
        else
            segment_cell_sizes(segment, reply->sizes);
    }
    segment_unref(segment);
    return st->code;
}
