#ifndef SUTRA_VECTOR_KERNELS_FLOAT_LOOPS_H
#define SUTRA_VECTOR_KERNELS_FLOAT_LOOPS_H

/**
 * The float loops, written once on GCC's vector types and compiled per instruction set. Vectors run
 * along the outputs, so every output adds its products in the same order at any width: same bits.
 *
 * The including file defines LANES (floats per register), TILE_ROWS (of a rotation) and
 * `static uint8_t argmax_256(const float *)` before.
 */

#include <stddef.h>
#include <stdint.h>

#include "src/vector/kernel.h"

typedef float lanes __attribute__((vector_size(4 * LANES), may_alias));
typedef float unaligned_lanes __attribute__((vector_size(4 * LANES), may_alias, aligned(4)));

enum { PRODUCT_TILE = 8, ROTATE_TILE = 3 }; /* registers of sums at a time */

/* ret[0 .. 8 * LANES) of the products. */
static inline void products_tile(const float *x, const float *columns, size_t w, float *ret)
{
    lanes sums[PRODUCT_TILE];

    for (size_t j = 0; j < PRODUCT_TILE; j++)
        sums[j] = x[0] * ((const lanes *)columns)[j];
    for (size_t k = 1; k < w; k++) {
        const lanes *column = (const lanes *)(columns + k * KERNEL_CENTROIDS);
        for (size_t j = 0; j < PRODUCT_TILE; j++)
            sums[j] += x[k] * column[j];
    }
    for (size_t j = 0; j < PRODUCT_TILE; j++)
        ((lanes *)ret)[j] = sums[j];
}

static void subtract(float *values, const float *penalties)
{
    for (size_t j = 0; j < KERNEL_CENTROIDS; j += LANES)
        *(lanes *)(values + j) -= *(const lanes *)(penalties + j);
}

static void fill_estimates(const float *x, const float *columns, const float *penalties, size_t w,
                           float *ret)
{
    for (size_t j = 0; j < KERNEL_CENTROIDS; j += (size_t)PRODUCT_TILE * LANES)
        products_tile(x, columns + j, w, ret + j);
    subtract(ret, penalties);
}

static struct vector_range range_of(const float *values)
{
    float least[LANES];
    float greatest[LANES];
    struct vector_range range = { values[0], values[0] };

    for (size_t j = 0; j < LANES; j++)
        least[j] = greatest[j] = values[j];
    for (size_t i = LANES; i < KERNEL_CENTROIDS; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            least[j] = values[i + j] < least[j] ? values[i + j] : least[j];
            greatest[j] = values[i + j] > greatest[j] ? values[i + j] : greatest[j];
        }
    for (size_t j = 0; j < LANES; j++) {
        range.least = least[j] < range.least ? least[j] : range.least;
        range.greatest = greatest[j] > range.greatest ? greatest[j] : range.greatest;
    }
    return range;
}

static struct vector_range estimates(const float *x, const float *columns, const float *penalties,
                                     size_t w, float *ret)
{
    fill_estimates(x, columns, penalties, w, ret);
    return range_of(ret);
}

static uint8_t nearest(const float *x, const float *columns, const float *penalties, size_t w)
{
    float values[KERNEL_CENTROIDS] __attribute__((aligned(64)));

    fill_estimates(x, columns, penalties, w, values);
    return argmax_256(values);
}

static void quantise(const float *values, float top, float steps_per_unit, uint8_t *ret)
{
    for (size_t j = 0; j < KERNEL_CENTROIDS; j++) {
        float steps = (top - values[j]) * steps_per_unit + 0.5f;
        ret[j] = (uint8_t)(127 - (int)(steps < 127.0f ? steps : 127.0f));
    }
}

/* @rows rows of @x times 3 * LANES columns of the matrix; inlined with a constant @rows. */
__attribute__((always_inline)) static inline void
rotate_tile(const float *x, size_t rows, const float *matrix, size_t d, float *ret)
{
    lanes sums[TILE_ROWS][ROTATE_TILE] = { 0 };

    for (size_t k = 0; k < d; k++) {
        const lanes *columns = (const lanes *)(matrix + k * d);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < ROTATE_TILE; j++)
                sums[i][j] += x[i * d + k] * columns[j];
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < ROTATE_TILE; j++)
            ((unaligned_lanes *)(ret + i * d))[j] = sums[i][j];
}

static void rotate(const float *x, size_t n, const float *matrix, size_t d, float *ret)
{
    size_t step = (size_t)ROTATE_TILE * LANES; /* divides 48, which divides d */
    size_t i = 0;

    for (; i + TILE_ROWS <= n; i += TILE_ROWS)
        for (size_t j = 0; j < d; j += step)
            rotate_tile(x + i * d, TILE_ROWS, matrix + j, d, ret + i * d + j);
    for (; i < n; i++)
        for (size_t j = 0; j < d; j += step)
            rotate_tile(x + i * d, 1, matrix + j, d, ret + i * d + j);
}

#endif
