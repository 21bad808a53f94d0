/* The dense layers in float32 by OpenBLAS, on the weights as the file has them. */

#include "src/embed/encoder_impl.h"

#include <cblas.h>

static const char *name(const struct encoder *encoder)
{
    (void)encoder;
    return openblas_get_corename();
}

static void nothing(void)
{
}

/* ret[n][n_out] = x[n][n_in] matrix', the rows of ret @stride floats apart. */
static void project(const float *x, size_t n, size_t n_in, const float *matrix, size_t n_out,
                    float *ret, size_t stride)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)n, (blasint)n_out, (blasint)n_in,
                1.0f, x, (blasint)n_in, matrix, (blasint)n_in, 0.0f, ret, (blasint)stride);
}

/* Three products of 384 outputs run as fast as one of 1152, and need no copy of the weights with
 * the three matrices in one. */
static void heads(const struct encoder *encoder, size_t i, const struct encoder_batch *batch)
{
    const struct weights_layer *layer = &encoder->weights.layers[i];
    struct encoder_scratch *s = batch->scratch;

    project(s->state, batch->n_tokens, D, layer->query.matrix, D, s->heads, 3 * D);
    project(s->state, batch->n_tokens, D, layer->key.matrix, D, s->heads + D, 3 * D);
    project(s->state, batch->n_tokens, D, layer->value.matrix, D, s->heads + 2 * D, 3 * D);
}

static void attention_output(const struct encoder *encoder, size_t i,
                             const struct encoder_batch *batch)
{
    const struct weights_layer *layer = &encoder->weights.layers[i];
    struct encoder_scratch *s = batch->scratch;

    project(s->context, batch->n_tokens, D, layer->attention_output.matrix, D, s->product, D);
}

static void feed_forward(const struct encoder *encoder, size_t i, const struct encoder_batch *batch)
{
    const struct weights_layer *layer = &encoder->weights.layers[i];
    struct encoder_scratch *s = batch->scratch;
    size_t n = batch->n_tokens;

    project(s->state, n, D, layer->intermediate.matrix, WIDE, s->wide, WIDE);
    for (size_t row = 0; row < n; row++)
        encoder->kernels->bias_gelu(s->wide + row * WIDE, layer->intermediate.bias, WIDE);
    project(s->wide, n, WIDE, layer->output.matrix, D, s->product, D);
}

const struct encoder_path encoder_path_openblas = {
    .name = name,
    .begin = nothing,
    .end = nothing,
    .heads = heads,
    .attention_output = attention_output,
    .feed_forward = feed_forward,
};
