#ifndef SUTRA_EMBED_PACKED_H
#define SUTRA_EMBED_PACKED_H

/**
 * The encoder's dense layers in bfloat16; internal to the encoder. 21 MB of memory of its own,
 * filled once; the biases stay in the weights file. Immutable: any number of threads may share it.
 */

#include "src/embed/dense.h"
#include "src/embed/weights.h"

struct packed_layer {
    struct dense_layer heads; /* queries, keys and values: [3 D][D], no bias */
    struct dense_layer attention_output, intermediate, output;
};

struct packed_weights {
    struct packed_layer layers[WEIGHTS_LAYERS];
    bfloat16 *storage;
};

/** RESOURCE_EXHAUSTED without memory. About 0.1 s. Borrows the weights. */
enum status_code packed_weights_new(const struct weights *weights,
                                    struct packed_weights **ret_packed, struct status *st);

/** Accepts NULL. */
void packed_weights_free(struct packed_weights *packed);

#endif
