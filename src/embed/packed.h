#ifndef SUTRA_EMBED_PACKED_H
#define SUTRA_EMBED_PACKED_H

/**
 * The encoder's dense layers in the order in which their products read them; internal to the
 * encoder. Memory of its own, filled once: 42 MB in float32, 21 MB in bfloat16; the biases stay in
 * the weights file. Immutable: any number of threads may share it.
 */

#include "src/embed/dense.h"
#include "src/embed/weights.h"

struct packed_layer {
    struct dense_layer heads; /* queries, keys and values: [3 D][D], no bias */
    struct dense_layer attention_output, intermediate, output;
};

struct packed_weights {
    struct packed_layer layers[WEIGHTS_LAYERS];
    void *storage;
};

/** How a matrix [out][in] is packed, into out * in numbers. */
struct packing {
    size_t number_bytes;
    void (*pack)(const float *matrix, size_t n_out, size_t n_in, void *ret_matrix);
};

/** RESOURCE_EXHAUSTED without memory. About 0.1 s. Borrows the weights. */
enum status_code packed_weights_new(const struct weights *weights, const struct packing *packing,
                                    struct packed_weights **ret_packed, struct status *st);

/** Accepts NULL. */
void packed_weights_free(struct packed_weights *packed);

#endif
