#include "src/embed/packed.h"

#include <stdlib.h>

enum {
    D = WEIGHTS_FEATURES,
    WIDE = WEIGHTS_INTERMEDIATE,
    LAYER_NUMBERS = 4 * D * D + 2 * D * WIDE,
};

_Static_assert(D % DENSE_TILE_COLUMNS == 0 && WIDE % DENSE_TILE_COLUMNS == 0, "whole tiles only");

/* Where the next matrix goes. */
struct packer {
    const struct packing *packing;
    char *next;
};

static const void *pack(struct packer *packer, const struct weights_linear *linear, size_t n_out,
                        size_t n_in)
{
    void *matrix = packer->next;

    packer->packing->pack(linear->matrix, n_out, n_in, matrix);
    packer->next += n_out * n_in * packer->packing->number_bytes;
    return matrix;
}

static struct dense_layer pack_layer(struct packer *packer, const struct weights_linear *linear,
                                     size_t n_out, size_t n_in)
{
    return (struct dense_layer){ pack(packer, linear, n_out, n_in), linear->bias, n_in, n_out };
}

/* One behind the other the three are one matrix. */
static struct dense_layer pack_heads(struct packer *packer, const struct weights_layer *layer)
{
    const void *matrix = pack(packer, &layer->query, D, D);

    pack(packer, &layer->key, D, D);
    pack(packer, &layer->value, D, D);
    return (struct dense_layer){ matrix, NULL, D, 3 * D };
}

static void pack_all(struct packer *packer, const struct weights *weights,
                     struct packed_layer ret_layers[WEIGHTS_LAYERS])
{
    for (size_t i = 0; i < WEIGHTS_LAYERS; i++) {
        const struct weights_layer *layer = &weights->layers[i];
        struct packed_layer *ret = &ret_layers[i];
        ret->heads = pack_heads(packer, layer);
        ret->attention_output = pack_layer(packer, &layer->attention_output, D, D);
        ret->intermediate = pack_layer(packer, &layer->intermediate, WIDE, D);
        ret->output = pack_layer(packer, &layer->output, D, WIDE);
    }
}

enum status_code packed_weights_new(const struct weights *weights, const struct packing *packing,
                                    struct packed_weights **ret_packed, struct status *st)
{
    const size_t bytes = packing->number_bytes * WEIGHTS_LAYERS * LAYER_NUMBERS;
    struct packed_weights *packed = calloc(1, sizeof *packed);

    if (packed != NULL)
        packed->storage = aligned_alloc(DENSE_BOUNDARY, bytes);
    if (packed == NULL || packed->storage == NULL) {
        packed_weights_free(packed);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    struct packer packer = { packing, packed->storage };
    pack_all(&packer, weights, packed->layers);
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
