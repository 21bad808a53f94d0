#include "src/embed/weights.h"

#include <stdio.h>

enum { NAME_SIZE = 128, D = WEIGHTS_FEATURES };

/* Tensors share prefixes: @prefix is "encoder.layer.0.", @name "output.dense.weight". */
static enum status_code find(const struct safetensors *file, const char *prefix, const char *name,
                             const char *suffix, const size_t shape[2], size_t n_dims,
                             const float **ret_data, struct status *st)
{
    char full[NAME_SIZE];

    snprintf(full, sizeof full, "%s%s%s", prefix, name, suffix);
    return safetensors_f32(file, full, shape, n_dims, ret_data, st);
}

static enum status_code load_linear(const struct safetensors *file, const char *prefix,
                                    const char *name, size_t n_out, size_t n_in,
                                    struct weights_linear *ret, struct status *st)
{
    const size_t shape[2] = { n_out, n_in };

    if (find(file, prefix, name, ".weight", shape, 2, &ret->matrix, st) == STATUS_OK)
        find(file, prefix, name, ".bias", shape, 1, &ret->bias, st);
    return st->code;
}

static enum status_code load_norm(const struct safetensors *file, const char *prefix,
                                  const char *name, float epsilon, struct kernel_norm *ret,
                                  struct status *st)
{
    const size_t shape[2] = { D };

    ret->epsilon = epsilon;
    if (find(file, prefix, name, ".weight", shape, 1, &ret->scale, st) == STATUS_OK)
        find(file, prefix, name, ".bias", shape, 1, &ret->shift, st);
    return st->code;
}

static enum status_code load_table(const struct safetensors *file, const char *name, size_t n_rows,
                                   const float **ret, struct status *st)
{
    const size_t shape[2] = { n_rows, D };

    return find(file, "embeddings.", name, ".weight", shape, 2, ret, st);
}

static enum status_code load_attention(const struct safetensors *file, const char *prefix,
                                       float epsilon, struct weights_layer *ret, struct status *st)
{
    if (load_linear(file, prefix, "attention.self.query", D, D, &ret->query, st) == STATUS_OK &&
        load_linear(file, prefix, "attention.self.key", D, D, &ret->key, st) == STATUS_OK &&
        load_linear(file, prefix, "attention.self.value", D, D, &ret->value, st) == STATUS_OK &&
        load_linear(file, prefix, "attention.output.dense", D, D, &ret->attention_output, st) ==
            STATUS_OK)
        load_norm(file, prefix, "attention.output.LayerNorm", epsilon, &ret->attention_norm, st);
    return st->code;
}

static enum status_code load_layer(const struct safetensors *file, size_t i, float epsilon,
                                   struct weights_layer *ret, struct status *st)
{
    const size_t wide = WEIGHTS_INTERMEDIATE;
    char prefix[NAME_SIZE];

    snprintf(prefix, sizeof prefix, "encoder.layer.%zu.", i);
    if (load_attention(file, prefix, epsilon, ret, st) == STATUS_OK &&
        load_linear(file, prefix, "intermediate.dense", wide, D, &ret->intermediate, st) ==
            STATUS_OK &&
        load_linear(file, prefix, "output.dense", D, wide, &ret->output, st) == STATUS_OK)
        load_norm(file, prefix, "output.LayerNorm", epsilon, &ret->output_norm, st);
    return st->code;
}

enum status_code weights_load(const struct safetensors *file, size_t vocabulary_size,
                              float norm_epsilon, struct weights *ret_weights, struct status *st)
{
    struct weights w;

    if (load_table(file, "word_embeddings", vocabulary_size, &w.words, st) != STATUS_OK ||
        load_table(file, "position_embeddings", WEIGHTS_POSITIONS, &w.positions, st) != STATUS_OK ||
        load_table(file, "token_type_embeddings", WEIGHTS_TYPES, &w.types, st) != STATUS_OK ||
        load_norm(file, "embeddings.", "LayerNorm", norm_epsilon, &w.embedding_norm, st) !=
            STATUS_OK)
        return st->code;
    for (size_t i = 0; i < WEIGHTS_LAYERS; i++)
        if (load_layer(file, i, norm_epsilon, &w.layers[i], st) != STATUS_OK)
            return st->code;
    *ret_weights = w;
    return STATUS_OK;
}
