#ifndef SUTRA_VECTOR_KERNELS_FLOAT_LOOPS_H
#define SUTRA_VECTOR_KERNELS_FLOAT_LOOPS_H

/**
 * The float loops, written once on GCC's vector types and compiled per instruction set. Vectors run
 * along the outputs, so every output adds its products in the same order at any width: same bits.
 *
 * The including file defines LANES (floats per register), TILE_ROWS (of a rotation) and
 * `static uint8_t argmax_256(const float *)` before: the lowest index of the greatest of 256.
 */

#include <stddef.h>
#include <stdint.h>

#include "src/vector/kernel.h"

typedef float lanes __attribute__((vector_size(4 * LANES), may_alias));
typedef int32_t lane_bits __attribute__((vector_size(4 * LANES), may_alias));
typedef float unaligned_lanes __attribute__((vector_size(4 * LANES), may_alias, aligned(4)));

/* Registers of sums at a time. */
enum { PRODUCT_TILE = 8, ROTATE_TILE = 3, WIDE_TILES = TILE_ROWS < 4 ? TILE_ROWS : 4 };

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

/* a where the mask is set, b elsewhere; C has no ?: for vectors. */
static inline lanes choose(lane_bits mask, lanes a, lanes b)
{
    return (lanes)((mask & (lane_bits)a) | (~mask & (lane_bits)b));
}

static struct vector_range range_of(const float *values)
{
    lanes least = *(const lanes *)values;
    lanes greatest = least;
    struct vector_range range;

    for (size_t j = LANES; j < KERNEL_CENTROIDS; j += LANES) {
        lanes v = *(const lanes *)(values + j);
        least = choose(v < least, v, least);
        greatest = choose(v > greatest, v, greatest);
    }
    range = (struct vector_range){ least[0], greatest[0] };
    for (size_t j = 1; j < LANES; j++) {
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

/* @rows rows of @x times @width * LANES columns of the matrix; inlined with constants for both. */
__attribute__((always_inline)) static inline void
rotate_tile(const float *x, size_t rows, const float *matrix, size_t width, size_t d, float *ret)
{
    lanes sums[TILE_ROWS * ROTATE_TILE] = { 0 };

    for (size_t k = 0; k < d; k++) {
        const lanes *columns = (const lanes *)(matrix + k * d);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < width; j++)
                sums[i * width + j] += x[i * d + k] * columns[j];
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < width; j++)
            ((unaligned_lanes *)(ret + i * d))[j] = sums[i * width + j];
}

/* One row alone: as many sums at a time as several rows have, since each waits for the one before.
 */
static void rotate_one(const float *x, const float *matrix, size_t d, float *ret)
{
    size_t wide = (size_t)ROTATE_TILE * WIDE_TILES * LANES;
    size_t narrow = (size_t)ROTATE_TILE * LANES; /* divides 48, which divides d */
    size_t j = 0;

    for (; j + wide <= d; j += wide)
        rotate_tile(x, 1, matrix + j, (size_t)ROTATE_TILE * WIDE_TILES, d, ret + j);
    for (; j < d; j += narrow)
        rotate_tile(x, 1, matrix + j, ROTATE_TILE, d, ret + j);
}

static void rotate(const float *x, size_t n, const float *matrix, size_t d, float *ret)
{
    size_t step = (size_t)ROTATE_TILE * LANES;
    size_t i = 0;

    for (; i + TILE_ROWS <= n; i += TILE_ROWS)
        for (size_t j = 0; j < d; j += step)
            rotate_tile(x + i * d, TILE_ROWS, matrix + j, ROTATE_TILE, d, ret + i * d + j);
    for (; i < n; i++)
        rotate_one(x + i * d, matrix, d, ret + i * d);
}

#endif
