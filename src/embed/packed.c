#include "src/embed/packed.h"

#include <stdlib.h>

enum {
    D = WEIGHTS_FEATURES,
    WIDE = WEIGHTS_INTERMEDIATE,
    LAYER_NUMBERS = 4 * D * D + 2 * D * WIDE,
};

_Static_assert(D % DENSE_TILE_COLUMNS == 0 && WIDE % DENSE_TILE_COLUMNS == 0, "whole tiles only");

/* Packs at *@next and moves it on. */
static const bfloat16 *pack(const struct weights_linear *linear, size_t n_out, size_t n_in,
                            bfloat16 **next)
{
    bfloat16 *matrix = *next;

    dense_pack(linear->matrix, n_out, n_in, matrix);
    *next += n_out * n_in;
    return matrix;
}

static void pack_layer(const struct weights_layer *layer, bfloat16 *storage,
                       struct packed_layer *ret)
{
    const bfloat16 *heads = pack(&layer->query, D, D, &storage);

    pack(&layer->key, D, D, &storage);
    pack(&layer->value, D, D, &storage);
    ret->heads = (struct dense_layer){ heads, NULL, D, 3 * D };
    ret->attention_output = (struct dense_layer){
        pack(&layer->attention_output, D, D, &storage),
        layer->attention_output.bias,
        D,
        D,
    };
    ret->intermediate = (struct dense_layer){
        pack(&layer->intermediate, WIDE, D, &storage),
        layer->intermediate.bias,
        D,
        WIDE,
    };
    ret->output = (struct dense_layer){
        pack(&layer->output, D, WIDE, &storage),
        layer->output.bias,
        WIDE,
        D,
    };
}

enum status_code packed_weights_new(const struct weights *weights,
                                    struct packed_weights **ret_packed, struct status *st)
{
    struct packed_weights *packed = calloc(1, sizeof *packed);

    if (packed != NULL)
        packed->storage =
            aligned_alloc(DENSE_BOUNDARY, sizeof(bfloat16) * WEIGHTS_LAYERS * LAYER_NUMBERS);
    if (packed == NULL || packed->storage == NULL) {
        packed_weights_free(packed);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    for (size_t i = 0; i < WEIGHTS_LAYERS; i++)
        pack_layer(&weights->layers[i], packed->storage + i * LAYER_NUMBERS, &packed->layers[i]);
    *ret_packed = packed;
    return STATUS_OK;
}

void packed_weights_free(struct packed_weights *packed)
{
    if (packed == NULL)
        return;
    free(packed->storage);
    free(packed);
}
