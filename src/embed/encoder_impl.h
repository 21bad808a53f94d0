#ifndef SUTRA_EMBED_ENCODER_IMPL_H
#define SUTRA_EMBED_ENCODER_IMPL_H

/** What the encoder shares with the ways to compute its dense layers. */

#include "src/embed/dense.h"
#include "src/embed/encoder.h"

enum {
    D = WEIGHTS_FEATURES,
    WIDE = WEIGHTS_INTERMEDIATE,
    TOKENS = ENCODER_BATCH_TOKENS,
};

_Static_assert(TOKENS % DENSE_ROWS == 0, "room for rows behind the last token");

/* One row per token. */
struct encoder_scratch {
    _Alignas(64) float state[TOKENS * D]; /* between layers and sublayers */
    float heads[TOKENS * 3 * D];          /* query, key and value of each token, without bias */
    float context[TOKENS * D];            /* what attention gathered */
    float product[TOKENS * D];            /* before bias, residual and norm */
    union {
        float wide[TOKENS * WIDE];
        struct { /* in the order of src/embed/dense.h */
            bfloat16 narrow[TOKENS * D];
            bfloat16 narrow_wide[TOKENS * WIDE];
        };
    };
};

/* The dense layers of encoder layer @layer, over all tokens of the batch. */
struct encoder_path {
    const char *(*name)(const struct encoder *encoder);
    void (*begin)(void);
    void (*end)(void);
    /* state to heads */
    void (*heads)(const struct encoder *encoder, size_t layer, const struct encoder_batch *batch);
    /* context to product */
    void (*attention_output)(const struct encoder *encoder, size_t layer,
                             const struct encoder_batch *batch);
    /* state to product */
    void (*feed_forward)(const struct encoder *encoder, size_t layer,
                         const struct encoder_batch *batch);
};

extern const struct encoder_path encoder_path_openblas;
extern const struct encoder_path encoder_path_float32; /* by kernels->multiply() */
extern const struct encoder_path encoder_path_bfloat16;

#endif
