#include "src/embed/worker.h"

#include "src/base/clock.h"
#include "src/embed/encoder.h"
#include "src/embed/model.h"

#include <stdlib.h>

_Static_assert((int)EMBED_MAX_TOKENS == (int)ENCODER_TEXT_TOKENS,
               "what a text may have, a kernel can take");
_Static_assert((int)EMBED_MAX_TOKENS <= (int)WEIGHTS_POSITIONS, "every token has a position");
_Static_assert((int)EMBED_DIMENSION == (int)WEIGHTS_FEATURES,
               "a vector is a pooled row of features");

struct embed_worker {
    const struct embed_model *model;
    struct encoder_batch *batch;
    struct embed_meter *meter; /* NULL: nobody counts */
};

enum status_code embed_worker_new(const struct embed_model *model, struct embed_worker **ret_worker,
                                  struct status *st)
{
    struct embed_worker *worker = calloc(1, sizeof *worker);

    if (worker == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (encoder_batch_new(&worker->batch, st) != STATUS_OK) {
        free(worker);
        return st->code;
    }
    worker->model = model;
    *ret_worker = worker;
    return STATUS_OK;
}

void embed_worker_free(struct embed_worker *worker)
{
    if (worker == NULL)
        return;
    encoder_batch_free(worker->batch);
    free(worker);
}

bool embed_worker_add(struct embed_worker *worker, struct embed_text text, float *ret_row)
{
    struct encoder_batch *batch = worker->batch;
    size_t n = tokenizer_encode(worker->model->tokenizer, text.data, text.length,
                                batch->ids + batch->n_tokens, ENCODER_TEXT_TOKENS);

    if (batch->n_tokens + n > encoder_batch_tokens(&worker->model->encoder))
        return false;
    batch->texts[batch->n_texts++] =
        (struct encoder_text){ .first = batch->n_tokens, .n_tokens = n, .ret_row = ret_row };
    batch->n_tokens += n;
    return true;
}

void embed_worker_set_meter(struct embed_worker *worker, struct embed_meter *meter)
{
    worker->meter = meter;
}

static void count(struct embed_meter *meter, const struct encoder_batch *batch, int64_t began_us)
{
    if (meter == NULL || batch->n_texts == 0)
        return;
    metrics_count(&meter->texts, batch->n_texts);
    metrics_count(&meter->tokens, batch->n_tokens);
    metrics_observe(&meter->batch_texts, batch->n_texts);
    metrics_observe(&meter->batch_us, (uint64_t)(clock_monotonic_us() - began_us));
}

enum status_code embed_worker_run(struct embed_worker *worker, struct status *st)
{
    struct encoder_batch *batch = worker->batch;
    int64_t began_us = clock_monotonic_us();
    bool ok = encoder_run(&worker->model->encoder, batch);

    count(worker->meter, batch, began_us);
    batch->n_texts = batch->n_tokens = 0;
    if (!ok)
        return status_set(st, STATUS_DATA_LOSS, "the model's weights are damaged");
    return STATUS_OK;
}

enum status_code embed_texts(struct embed_worker *worker, const struct embed_text *texts, size_t n,
                             embed_cancelled_fn *cancelled, void *context, float *ret_rows,
                             struct status *st)
{
    for (size_t i = 0; i < n && st->code == STATUS_OK;) {
        if (cancelled != NULL && cancelled(context))
            return status_set(st, STATUS_CANCELLED, "embedding was cancelled");
        while (i < n && embed_worker_add(worker, texts[i], ret_rows + i * EMBED_DIMENSION))
            i++;
        embed_worker_run(worker, st);
    }
    return st->code;
}
