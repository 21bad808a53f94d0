#ifndef SUTRA_EMBED_DENSE_H
#define SUTRA_EMBED_DENSE_H

/**
 * The encoder's dense layers in bfloat16, on the matrix unit of recent Xeons (AMX_BF16): products
 * of bfloat16 numbers, added up in float32; internal to the encoder.
 *
 * Both sides of a product are kept in the order in which the unit reads them. A tile is 16 rows of
 * 32 bfloat16 numbers, 1 KB, row by row.
 *
 *   activations [n][in]   tiles [n / 16][in / 32], n rounded up to DENSE_ROWS. What lies behind
 *                         row n may be anything.
 *   a matrix [out][in]    pairs of tiles [out / 32][in / 32][2]: the first of a pair belongs to 16
 *                         outputs, the second to the next 16. Row i of such a tile holds inputs
 *                         2 i and 2 i + 1 of each of its outputs, side by side.
 *
 * Layers with the same inputs become one by packing them one behind the other. Nothing here
 * allocates. There is no set for AVX512_BF16 without AMX: its products run at 110 GFLOP/s where
 * these run at 1,400 and products in float32 at 150.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DENSE_TILE_ROWS = 16,
    DENSE_TILE_COLUMNS = 32,
    DENSE_TILE = DENSE_TILE_ROWS * DENSE_TILE_COLUMNS, /* numbers */
    DENSE_ROWS = 2 * DENSE_TILE_ROWS,                  /* of activations at a time */
    DENSE_OUTPUTS = 2 * DENSE_TILE_ROWS,               /* at a time */
    DENSE_BOUNDARY = 64,                               /* bytes, of every pointer to tiles */
};

/** The upper half of a float32. */
typedef uint16_t bfloat16;

/** One layer; both sizes are multiples of 32. */
struct dense_layer {
    const void *matrix; /* packed: of bfloat16 here */
    const float *bias;  /* [out] */
    size_t n_in;
    size_t n_out;
};

/** Whether the processor has the unit and the operating system lets this process use it. Nothing
 * below but dense_pack() may be called otherwise. */
bool dense_is_supported(void);

/** Packs @matrix [out][in], rounded to the nearest, into out * in numbers. */
void dense_pack(const float *matrix, size_t n_out, size_t n_in, void *ret_matrix);

/** Around the products of a batch, on the thread that computes them: the unit's state belongs to
 * the thread, and costs at every switch between threads while it is in use. */
void dense_begin(void);
void dense_end(void);

/** Rows [n][columns] to activations, rounded to the nearest. */
void dense_narrow(const float *rows, size_t n, size_t columns, bfloat16 *ret_activations);

/** @ret_rows [n][out], without bias; has room for n rounded up to DENSE_ROWS. */
void dense_multiply(const struct dense_layer *layer, const bfloat16 *activations, size_t n,
                    float *ret_rows);

/** gelu(product + bias), as activations of the next layer. The GELU is exact to 1e-4, which is less
 * than rounding to bfloat16 loses. */
void dense_multiply_gelu(const struct dense_layer *layer, const bfloat16 *activations, size_t n,
                         bfloat16 *ret_activations);

#endif
