#ifndef SUTRA_EMBED_KERNELS_H
#define SUTRA_EMBED_KERNELS_H

/**
 * What the encoder computes besides matrix products, once per instruction set; internal to it.
 *
 * Shapes: t tokens, D = 384 features, H = 12 heads of 32 features. Matrices are row-major.
 * Everything here reads and writes the caller's memory only, allocates nothing and cannot fail.
 */

#include "src/embed/dense.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    KERNEL_FEATURES = 384,
    KERNEL_HEADS = 12,
    KERNEL_HEAD_FEATURES = 32,
    KERNEL_MAX_TOKENS = 256, /* of one text */
};

struct kernel_norm {
    const float *scale; /* [D] */
    const float *shift; /* [D] */
    float epsilon;
};

/** Queries, keys and values of one text, all heads. */
struct kernel_attention {
    const float *rows;       /* [t][3][D]: query, key and value of each token, without bias */
    const float *query_bias; /* [D] */
    const float *value_bias; /* [D] */
    size_t n_tokens;         /* 1 to KERNEL_MAX_TOKENS */
};

struct embed_kernels {
    const char *name;

    /** out = layer_norm(x + residual + bias), one row; out may be x or residual. Ba, Kiros,
     * Hinton: Layer Normalization, 2016. */
    void (*add_norm)(const float *x, const float *residual, const float *bias,
                     const struct kernel_norm *norm, float *ret_row);

    /** row = gelu(row + bias) over @n floats, a multiple of 16: x Φ(x) with the Gaussian's exact
     * distribution function (relative error below 1e-6 for x > -4), not the tanh approximation.
     * Hendrycks, Gimpel: Gaussian Error Linear Units, 2016. */
    void (*bias_gelu)(float *row, const float *bias, size_t n);

    /**
     * Dense layers in float32: pack() brings a matrix [out][in], out a multiple of 64, into the
     * order in which multiply() reads it; @ret_rows [n][out] is without bias. NULL, both, where
     * OpenBLAS does it as well. Keeping the weights packed is what makes the difference: it packs
     * them in every call, which is half of the time of a short text.
     */
    void (*pack)(const float *matrix, size_t n_out, size_t n_in, void *ret_matrix);
    void (*multiply)(const struct dense_layer *layer, const float *rows, size_t n, float *ret_rows);

    /** softmax(q k' / sqrt(32)) v per head; @ret_rows [t][D]. Vaswani et al.: Attention Is All You
     * Need, 2017, §3.2. */
    void (*attend)(const struct kernel_attention *attention, float *ret_rows);

    /** The mean of @n rows scaled to length one; false if that is not a finite vector. */
    bool (*pool)(const float *rows, size_t n, float *ret_row);
};

extern const struct embed_kernels embed_kernels_baseline;
extern const struct embed_kernels embed_kernels_avx2;
extern const struct embed_kernels embed_kernels_avx512;

/** The fastest set this machine can run. */
const struct embed_kernels *embed_kernels_select(void);

#endif
