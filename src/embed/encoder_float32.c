/* The dense layers in float32 by our own kernels, on packed weights. */

#include "src/embed/encoder_impl.h"

static const char *name(const struct encoder *encoder)
{
    return encoder->kernels->name;
}

static void nothing(void)
{
}

static void heads(const struct encoder *encoder, size_t i, const struct encoder_batch *batch)
{
    struct encoder_scratch *s = batch->scratch;

    encoder->kernels->multiply(&encoder->packed->layers[i].heads, s->state, batch->n_tokens,
                               s->heads);
}

static void attention_output(const struct encoder *encoder, size_t i,
                             const struct encoder_batch *batch)
{
    struct encoder_scratch *s = batch->scratch;

    encoder->kernels->multiply(&encoder->packed->layers[i].attention_output, s->context,
                               batch->n_tokens, s->product);
}

static void feed_forward(const struct encoder *encoder, size_t i, const struct encoder_batch *batch)
{
    const struct packed_layer *layer = &encoder->packed->layers[i];
    struct encoder_scratch *s = batch->scratch;
    size_t n = batch->n_tokens;

    encoder->kernels->multiply(&layer->intermediate, s->state, n, s->wide);
    for (size_t row = 0; row < n; row++)
        encoder->kernels->bias_gelu(s->wide + row * WIDE, layer->intermediate.bias, WIDE);
    encoder->kernels->multiply(&layer->output, s->wide, n, s->product);
}

const struct encoder_path encoder_path_float32 = {
    .name = name,
    .begin = nothing,
    .end = nothing,
    .heads = heads,
    .attention_output = attention_output,
    .feed_forward = feed_forward,
};
