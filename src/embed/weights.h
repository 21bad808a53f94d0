#ifndef SUTRA_EMBED_WEIGHTS_H
#define SUTRA_EMBED_WEIGHTS_H

/**
 * Where the tensors of all-MiniLM-L6-v2 lie in its weights file; internal to the encoder. The
 * pointers are valid while the file is open. Matrices are as the file has them, [out][in].
 */

#include "src/base/status.h"
#include "src/embed/kernels.h"
#include "src/embed/safetensors.h"

#include <stddef.h>

enum {
    WEIGHTS_LAYERS = 6,
    WEIGHTS_FEATURES = KERNEL_FEATURES,
    WEIGHTS_INTERMEDIATE = 1536,
    WEIGHTS_POSITIONS = 512,
    WEIGHTS_TYPES = 2,
};

struct weights_linear {
    const float *matrix; /* [out][in] */
    const float *bias;   /* [out] */
};

struct weights_layer {
    struct weights_linear query, key, value, attention_output;
    struct kernel_norm attention_norm;
    struct weights_linear intermediate, output;
    struct kernel_norm output_norm;
};

struct weights {
    const float *words;     /* [vocabulary][D] */
    const float *positions; /* [WEIGHTS_POSITIONS][D] */
    const float *types;     /* [WEIGHTS_TYPES][D]; a single text is of type 0 */
    struct kernel_norm embedding_norm;
    struct weights_layer layers[WEIGHTS_LAYERS];
};

/** Finds every tensor; errors as safetensors_f32() has them. */
enum status_code weights_load(const struct safetensors *file, size_t vocabulary_size,
                              float norm_epsilon, struct weights *ret_weights, struct status *st);

#endif
