#include "src/embed/config.h"

#include "src/embed/kernels.h"
#include "src/embed/weights.h"

#include <jansson.h>
#include <string.h>

/* What the encoder's loops and scratch memory are sized for. */
static const struct {
    const char *key;
    json_int_t value;
} required[] = {
    { "hidden_size", WEIGHTS_FEATURES },
    { "num_hidden_layers", WEIGHTS_LAYERS },
    { "num_attention_heads", KERNEL_HEADS },
    { "intermediate_size", WEIGHTS_INTERMEDIATE },
    { "max_position_embeddings", WEIGHTS_POSITIONS },
    { "type_vocab_size", WEIGHTS_TYPES },
};

static enum status_code check_shape(const json_t *json, struct status *st)
{
    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        json_int_t value = json_integer_value(json_object_get(json, required[i].key));
        if (value != required[i].value)
            return status_set(st, STATUS_INVALID_ARGUMENT, "%s is %lld, all-MiniLM-L6-v2 has %lld",
                              required[i].key, (long long)value, (long long)required[i].value);
    }
    return STATUS_OK;
}

static enum status_code check_activation(const json_t *json, struct status *st)
{
    const char *activation = json_string_value(json_object_get(json, "hidden_act"));

    if (activation == NULL || strcmp(activation, "gelu") != 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "hidden_act is not 'gelu'");
    return STATUS_OK;
}

static enum status_code read_config(const json_t *json, struct model_config *ret, struct status *st)
{
    json_int_t vocabulary_size = json_integer_value(json_object_get(json, "vocab_size"));
    double epsilon = json_number_value(json_object_get(json, "layer_norm_eps"));

    if (check_shape(json, st) != STATUS_OK || check_activation(json, st) != STATUS_OK)
        return st->code;
    if (vocabulary_size <= 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "vocab_size is missing");
    if (!(epsilon > 0 && epsilon < 1))
        return status_set(st, STATUS_INVALID_ARGUMENT, "layer_norm_eps is not between 0 and 1");
    ret->vocabulary_size = (size_t)vocabulary_size;
    ret->norm_epsilon = (float)epsilon;
    return STATUS_OK;
}

enum status_code model_config_load(const char *path, struct model_config *ret_config,
                                   struct status *st)
{
    json_error_t error;
    json_t *json = json_load_file(path, 0, &error);

    if (json == NULL)
        status_set(st, STATUS_DATA_LOSS, "line %d: %s", error.line, error.text);
    else
        read_config(json, ret_config, st);
    json_decref(json);
    return st->code == STATUS_OK ? STATUS_OK : status_wrap(st, "model config '%s'", path);
}
