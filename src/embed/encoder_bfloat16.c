/* The dense layers in bfloat16. Everything between them stays in float32. */

#include "src/embed/encoder_impl.h"

static const char *name(const struct encoder *encoder)
{
    (void)encoder;
    return "amx_bf16";
}

static void heads(const struct encoder *encoder, size_t i, const struct encoder_batch *batch)
{
    struct encoder_scratch *s = batch->scratch;

    dense_narrow(s->state, batch->n_tokens, D, s->narrow);
    dense_multiply(&encoder->packed->layers[i].heads, s->narrow, batch->n_tokens, s->heads);
}

static void attention_output(const struct encoder *encoder, size_t i,
                             const struct encoder_batch *batch)
{
    struct encoder_scratch *s = batch->scratch;

    dense_narrow(s->context, batch->n_tokens, D, s->narrow);
    dense_multiply(&encoder->packed->layers[i].attention_output, s->narrow, batch->n_tokens,
                   s->product);
}

static void feed_forward(const struct encoder *encoder, size_t i, const struct encoder_batch *batch)
{
    const struct packed_layer *layer = &encoder->packed->layers[i];
    struct encoder_scratch *s = batch->scratch;
    size_t n = batch->n_tokens;

    dense_narrow(s->state, n, D, s->narrow);
    dense_multiply_gelu(&layer->intermediate, s->narrow, n, s->narrow_wide);
    dense_multiply(&layer->output, s->narrow_wide, n, s->product);
}

const struct encoder_path encoder_path_bfloat16 = {
    .name = name,
    .begin = dense_begin,
    .end = dense_end,
    .heads = heads,
    .attention_output = attention_output,
    .feed_forward = feed_forward,
};
