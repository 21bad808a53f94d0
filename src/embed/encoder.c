#include "src/embed/encoder_impl.h"

#include <stdlib.h>
#include <string.h>

enum status_code encoder_prepare(struct encoder *encoder, bool in_bfloat16, struct status *st)
{
    const struct packing floats = { sizeof(float), encoder->kernels->pack };
    const struct packing short_floats = { sizeof(bfloat16), dense_pack };

    if (!in_bfloat16 && encoder->kernels->pack == NULL) {
        encoder->path = &encoder_path_openblas;
        return STATUS_OK;
    }
    encoder->path = in_bfloat16 ? &encoder_path_bfloat16 : &encoder_path_float32;
    return packed_weights_new(&encoder->weights, in_bfloat16 ? &short_floats : &floats,
                              &encoder->packed, st);
}

void encoder_deinit(struct encoder *encoder)
{
    packed_weights_free(encoder->packed);
    encoder->packed = NULL;
}

const char *encoder_products(const struct encoder *encoder)
{
    return encoder->path->name(encoder);
}

size_t encoder_batch_tokens(const struct encoder *encoder)
{
    return encoder->packed != NULL ? ENCODER_PACKED_BATCH_TOKENS : ENCODER_BATCH_TOKENS;
}

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
    memset(scratch, 0, sizeof *scratch); /* rows behind the last token are read */
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

static void embed_tokens(const struct encoder *encoder, const struct encoder_batch *batch)
{
    const struct weights *w = &encoder->weights;

    for (size_t i = 0; i < batch->n_texts; i++) {
        const struct encoder_text *text = &batch->texts[i];
        for (size_t position = 0; position < text->n_tokens; position++) {
            size_t row = text->first + position;
            encoder->kernels->add_norm(w->words + (size_t)batch->ids[row] * D,
                                       w->positions + position * D, w->types, &w->embedding_norm,
                                       batch->scratch->state + row * D);
        }
    }
}

/* heads to context */
static void attend(const struct encoder *encoder, const struct weights_layer *layer,
                   const struct encoder_batch *batch)
{
    struct encoder_scratch *s = batch->scratch;

    for (size_t i = 0; i < batch->n_texts; i++) {
        const struct encoder_text *text = &batch->texts[i];
        const struct kernel_attention attention = {
            .rows = s->heads + text->first * 3 * D,
            .query_bias = layer->query.bias,
            .value_bias = layer->value.bias,
            .n_tokens = text->n_tokens,
        };
        encoder->kernels->attend(&attention, s->context + text->first * D);
    }
}

/* state = norm(state + product + bias), the end of each sublayer. */
static void add_product(const struct encoder *encoder, const float *bias,
                        const struct kernel_norm *norm, const struct encoder_batch *batch)
{
    struct encoder_scratch *s = batch->scratch;

    for (size_t row = 0; row < batch->n_tokens; row++)
        encoder->kernels->add_norm(s->product + row * D, s->state + row * D, bias, norm,
                                   s->state + row * D);
}

static void run_layer(const struct encoder *encoder, const struct encoder_path *path, size_t i,
                      const struct encoder_batch *batch)
{
    const struct weights_layer *layer = &encoder->weights.layers[i];

    path->heads(encoder, i, batch);
    attend(encoder, layer, batch);
    path->attention_output(encoder, i, batch);
    add_product(encoder, layer->attention_output.bias, &layer->attention_norm, batch);
    path->feed_forward(encoder, i, batch);
    add_product(encoder, layer->output.bias, &layer->output_norm, batch);
}

static bool pool(const struct encoder *encoder, const struct encoder_batch *batch)
{
    bool all_finite = true;

    for (size_t i = 0; i < batch->n_texts; i++) {
        const struct encoder_text *text = &batch->texts[i];
        const float *rows = batch->scratch->state + text->first * D;
        all_finite &= encoder->kernels->pool(rows, text->n_tokens, text->ret_row);
    }
    return all_finite;
}

bool encoder_run(const struct encoder *encoder, struct encoder_batch *batch)
{
    const struct encoder_path *path = encoder->path;

    embed_tokens(encoder, batch);
    path->begin();
    for (size_t i = 0; i < WEIGHTS_LAYERS; i++)
        run_layer(encoder, path, i, batch);
    path->end();
    return pool(encoder, batch);
}
