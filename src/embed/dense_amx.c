/* Compiled for AVX512_BF16 and AMX_BF16: nothing of it may run without dense_is_supported(). */

#include "src/embed/dense.h"
#include "src/embed/vectors.h"

#include <immintrin.h>

#include "src/base/amx.h"

enum {
    ROW_BYTES = DENSE_TILE_COLUMNS * sizeof(bfloat16),
    STEP = 2 * DENSE_TILE, /* numbers of a packed matrix: 32 inputs of 32 outputs */
};

void dense_begin(void)
{
    _tile_loadconfig(&amx_full_tiles);
}

void dense_end(void)
{
    _tile_release();
}

/* A row of a tile from two vectors. */
VECTOR_INLINE void store_narrow(bfloat16 *row, floats left, floats right)
{
    __m512bh both = _mm512_cvtne2ps_pbh((__m512)right, (__m512)left);
    memcpy(row, &both, sizeof both);
}

void dense_narrow(const float *rows, size_t n, size_t columns, bfloat16 *ret_activations)
{
    const size_t steps = columns / DENSE_TILE_COLUMNS;

    for (size_t i = 0; i < n; i++) {
        bfloat16 *tile = ret_activations + i / DENSE_TILE_ROWS * steps * DENSE_TILE;
        bfloat16 *ret_row = tile + i % DENSE_TILE_ROWS * DENSE_TILE_COLUMNS;
        const float *row = rows + i * columns;
        for (size_t step = 0; step < steps; step++)
            store_narrow(ret_row + step * DENSE_TILE, floats_load(row + step * 2 * LANES),
                         floats_load(row + step * 2 * LANES + LANES));
    }
}

/* ret[DENSE_ROWS][DENSE_OUTPUTS], its rows @stride floats apart. The lower tile is loaded after the
 * products with the upper one: it hides a part of the time that a load takes. */
static void multiply_block(const bfloat16 *activations, const bfloat16 *matrix, size_t steps,
                           float *ret, size_t stride)
{
    const bfloat16 *upper = activations, *lower = activations + steps * DENSE_TILE;
    const size_t stride_bytes = stride * sizeof *ret;
    float *ret_lower = ret + DENSE_TILE_ROWS * stride;

    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t i = 0; i < steps; i++) {
        _tile_loadd(4, upper + i * DENSE_TILE, ROW_BYTES);
        _tile_loadd(6, matrix + i * STEP, ROW_BYTES);
        _tile_loadd(7, matrix + i * STEP + DENSE_TILE, ROW_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, lower + i * DENSE_TILE, ROW_BYTES);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, ret, stride_bytes);
    _tile_stored(1, ret + LANES, stride_bytes);
    _tile_stored(2, ret_lower, stride_bytes);
    _tile_stored(3, ret_lower + LANES, stride_bytes);
}

/* Outputs outside, so that their part of the matrix is read from memory once per batch. */
void dense_multiply(const struct dense_layer *layer, const bfloat16 *activations, size_t n,
                    float *ret_rows)
{
    const bfloat16 *matrix = layer->matrix;

    for (size_t output = 0; output < layer->n_out; output += DENSE_OUTPUTS)
        for (size_t row = 0; row < n; row += DENSE_ROWS)
            multiply_block(activations + row * layer->n_in, matrix + output * layer->n_in,
                           layer->n_in / DENSE_TILE_COLUMNS, ret_rows + row * layer->n_out + output,
                           layer->n_out);
}

/*
 * x Φ(x) with an absolute error below 1e-4: Φ(x) = 1/2 + x P(x²) up to |x| = 4.2, where it is made
 * to reach 0 and 1 and stays. P is a minimax fit of degree 7. A fifth of the exact GELU's time.
 */
VECTOR_INLINE floats coarse_gelu(floats x)
{
    const floats edge = floats_all(4.2f);
    floats inside = floats_min(floats_max(x, -edge), edge);
    floats square = inside * inside;
    floats p = floats_all(-9.01745734e-10f);

    p = p * square + 7.94128709e-08f;
    p = p * square - 3.03791649e-06f;
    p = p * square + 6.68904759e-05f;
    p = p * square - 0.000950655725f;
    p = p * square + 0.00929822121f;
    p = p * square - 0.0655281842f;
    p = p * square + 0.398465872f;
    return x * (inside * p + 0.5f);
}

/* One block to two tiles of activations, @distance numbers apart. */
static void gelu_block(float block[DENSE_ROWS][DENSE_OUTPUTS], const float *bias,
                       bfloat16 *ret_tile, size_t distance)
{
    const floats left = floats_load(bias), right = floats_load(bias + LANES);

    for (size_t row = 0; row < DENSE_ROWS; row++) {
        bfloat16 *tile = ret_tile + row / DENSE_TILE_ROWS * distance;
        store_narrow(tile + row % DENSE_TILE_ROWS * DENSE_TILE_COLUMNS,
                     coarse_gelu(floats_load(block[row]) + left),
                     coarse_gelu(floats_load(block[row] + LANES) + right));
    }
}

void dense_multiply_gelu(const struct dense_layer *layer, const bfloat16 *activations, size_t n,
                         bfloat16 *ret_activations)
{
    _Alignas(DENSE_BOUNDARY) float block[DENSE_ROWS][DENSE_OUTPUTS];
    const bfloat16 *matrix = layer->matrix;

    for (size_t output = 0; output < layer->n_out; output += DENSE_OUTPUTS)
        for (size_t row = 0; row < n; row += DENSE_ROWS) {
            bfloat16 *tile = ret_activations + row * layer->n_out + output * DENSE_TILE_ROWS;
            multiply_block(activations + row * layer->n_in, matrix + output * layer->n_in,
                           layer->n_in / DENSE_TILE_COLUMNS, block[0], DENSE_OUTPUTS);
            gelu_block(block, layer->bias + output, tile, layer->n_out * DENSE_TILE_ROWS);
        }
}
