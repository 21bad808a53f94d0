#include "src/embed/encoder.h"

#include <cblas.h>
#include <stdlib.h>

enum {
    D = WEIGHTS_FEATURES,
    WIDE = WEIGHTS_INTERMEDIATE,
    TOKENS = ENCODER_BATCH_TOKENS,
    /* No power of two: columns of the keys would all fall into the same cache sets. */
    KEY_STRIDE = TOKENS + KERNEL_PADDING + 16,
};

/* One row per token, but for the keys, which have one column. */
struct encoder_scratch {
    _Alignas(64) float state[TOKENS * D]; /* between layers and sublayers */
    float queries[TOKENS * D];
    float values[TOKENS * D];
    float keys[D * KEY_STRIDE];
    float context[TOKENS * D]; /* what attention gathered */
    float product[TOKENS * D]; /* before bias, residual and norm */
    float wide[TOKENS * WIDE];
};

enum status_code encoder_batch_new(struct encoder_batch **ret_batch, struct status *st)
{
    struct encoder_batch *batch = calloc(1, sizeof *batch);
    struct encoder_scratch *scratch =
        aligned_alloc(_Alignof(struct encoder_scratch), sizeof *scratch);

    if (batch == NULL || scratch == NULL) {
        free(batch);
        free(scratch);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    for (size_t i = 0; i < D * KEY_STRIDE; i++)
        scratch->keys[i] = 0; /* its padding is read */
    batch->scratch = scratch;
    *ret_batch = batch;
    return STATUS_OK;
}

void encoder_batch_free(struct encoder_batch *batch)
{
    if (batch == NULL)
        return;
    free(batch->scratch);
    free(batch);
}

/* ret[n][n_out] = x[n][n_in] matrix' */
static void project(const float *x, size_t n, size_t n_in, const float *matrix, size_t n_out,
                    float *ret)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)n, (blasint)n_out, (blasint)n_in,
                1.0f, x, (blasint)n_in, matrix, (blasint)n_in, 0.0f, ret, (blasint)n_out);
}

/* ret[D][KEY_STRIDE] = matrix x', one column per token: the layout that attention reads. */
static void project_keys(const float *x, size_t n, const float *matrix, float *ret)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, D, (blasint)n, D, 1.0f, matrix, D, x, D,
                0.0f, ret, KEY_STRIDE);
}

static void embed_tokens(const struct weights *w, const struct embed_kernels *kernels,
                         const struct encoder_batch *batch)
{
    for (size_t i = 0; i < batch->n_texts; i++) {
        const struct encoder_text *text = &batch->texts[i];
        for (size_t position = 0; position < text->n_tokens; position++) {
            size_t row = text->first + position;
            kernels->add_norm(w->words + (size_t)batch->ids[row] * D, w->positions + position * D,
                              w->types, &w->embedding_norm, batch->scratch->state + row * D);
        }
    }
}

/* state = norm(state + product + bias), the end of each sublayer. */
static void add_product(const struct embed_kernels *kernels, const float *bias,
                        const struct kernel_norm *norm, const struct encoder_batch *batch)
{
    struct encoder_scratch *s = batch->scratch;

    for (size_t row = 0; row < batch->n_tokens; row++)
        kernels->add_norm(s->product + row * D, s->state + row * D, bias, norm, s->state + row * D);
}

static void attend(const struct weights_layer *layer, const struct embed_kernels *kernels,
                   const struct encoder_batch *batch)
{
    struct encoder_scratch *s = batch->scratch;

    for (size_t i = 0; i < batch->n_texts; i++) {
        const struct encoder_text *text = &batch->texts[i];
        const struct kernel_attention attention = {
            .queries = s->queries + text->first * D,
            .query_bias = layer->query.bias,
            .keys = s->keys + text->first,
            .key_stride = KEY_STRIDE,
            .values = s->values + text->first * D,
            .value_bias = layer->value.bias,
            .n_tokens = text->n_tokens,
        };
        kernels->attend(&attention, s->context + text->first * D);
    }
}

static void run_attention(const struct weights_layer *layer, const struct embed_kernels *kernels,
                          const struct encoder_batch *batch)
{
    struct encoder_scratch *s = batch->scratch;
    size_t n = batch->n_tokens;

    project(s->state, n, D, layer->query.matrix, D, s->queries);
    project_keys(s->state, n, layer->key.matrix, s->keys);
    project(s->state, n, D, layer->value.matrix, D, s->values);
    attend(layer, kernels, batch);
    project(s->context, n, D, layer->attention_output.matrix, D, s->product);
    add_product(kernels, layer->attention_output.bias, &layer->attention_norm, batch);
}

static void run_feed_forward(const struct weights_layer *layer, const struct embed_kernels *kernels,
                             const struct encoder_batch *batch)
{
    struct encoder_scratch *s = batch->scratch;
    size_t n = batch->n_tokens;

    project(s->state, n, D, layer->intermediate.matrix, WIDE, s->wide);
    for (size_t row = 0; row < n; row++)
        kernels->bias_gelu(s->wide + row * WIDE, layer->intermediate.bias, WIDE);
    project(s->wide, n, WIDE, layer->output.matrix, D, s->product);
    add_product(kernels, layer->output.bias, &layer->output_norm, batch);
}

static bool pool(const struct embed_kernels *kernels, const struct encoder_batch *batch)
{
    bool all_finite = true;

    for (size_t i = 0; i < batch->n_texts; i++) {
        const struct encoder_text *text = &batch->texts[i];
        const float *rows = batch->scratch->state + text->first * D;
        all_finite &= kernels->pool(rows, text->n_tokens, text->ret_row);
    }
    return all_finite;
}

bool encoder_run(const struct weights *weights, const struct embed_kernels *kernels,
                 struct encoder_batch *batch)
{
    embed_tokens(weights, kernels, batch);
    for (size_t i = 0; i < WEIGHTS_LAYERS; i++) {
        run_attention(&weights->layers[i], kernels, batch);
        run_feed_forward(&weights->layers[i], kernels, batch);
    }
    return pool(kernels, batch);
}
