#ifndef SUTRA_VECTOR_KERNELS_FLOAT_LOOPS_H
#define SUTRA_VECTOR_KERNELS_FLOAT_LOOPS_H

/**
 * The float loops, written once on GCC's vector types and compiled per instruction set. Vectors run
 * along the outputs, so every output adds its products in the same order at any width: same bits.
 *
 * The including file defines LANES (floats per register), LESSER(a, b) and GREATER(a, b) for
 * a < b ? a : b and a > b ? a : b of whole registers, and NARROW(ints) for the lowest byte of
 * each lane. It may define WIDE_TO_INT8(values, n, factor, ret), which does as many of to_int8()'s
 * as it can, from the first on, and returns how many.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "src/vector/kernel.h"

typedef float lanes __attribute__((vector_size(4 * LANES), may_alias));
typedef float unaligned_lanes __attribute__((vector_size(4 * LANES), may_alias, aligned(4)));
typedef int32_t lane_ints __attribute__((vector_size(4 * LANES), may_alias));
typedef uint32_t lane_bits __attribute__((vector_size(4 * LANES), may_alias));
typedef int8_t lane_bytes __attribute__((vector_size(LANES), may_alias, aligned(1)));

enum { ESTIMATES_TILE = 8 }; /* registers of sums at a time */

static inline lanes all(float value)
{
    return value - (lanes){ 0 };
}

/* ret[0 .. 8 * LANES) of the estimates. */
static inline void estimates_tile(const float *x, const float *columns, const float *penalties,
                                  size_t w, float *ret)
{
    lanes sums[ESTIMATES_TILE];

    for (size_t j = 0; j < ESTIMATES_TILE; j++)
        sums[j] = x[0] * ((const lanes *)columns)[j];
    for (size_t k = 1; k < w; k++) {
        const lanes *column = (const lanes *)(columns + k * KERNEL_CENTROIDS);
        for (size_t j = 0; j < ESTIMATES_TILE; j++)
            sums[j] += x[k] * column[j];
    }
    for (size_t j = 0; j < ESTIMATES_TILE; j++)
        ((lanes *)ret)[j] = sums[j] - ((const lanes *)penalties)[j];
}

static struct vector_range range_of(const float *values)
{
    lanes least = *(const lanes *)values;
    lanes greatest = least;
    struct vector_range range;

    for (size_t j = LANES; j < KERNEL_CENTROIDS; j += LANES) {
        lanes v = *(const lanes *)(values + j);
        least = LESSER(v, least);
        greatest = GREATER(v, greatest);
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
    for (size_t j = 0; j < KERNEL_CENTROIDS; j += (size_t)ESTIMATES_TILE * LANES)
        estimates_tile(x, columns + j, penalties + j, w, ret + j);
    return range_of(ret);
}

static void quantise(const float *values, float top, float steps_per_unit, uint8_t *ret)
{
    for (size_t j = 0; j < KERNEL_CENTROIDS; j += LANES) {
        lanes steps = (top - *(const lanes *)(values + j)) * steps_per_unit + 0.5f;
        lane_ints whole = __builtin_convertvector(LESSER(steps, all(127)), lane_ints);
        *(lane_bytes *)(ret + j) = NARROW(127 - whole);
    }
}

/* To the nearest of -127 to 127, ties to even: beside 1.5 * 2^23 a float has no room for fractions.
 */
static inline lane_bytes nearest_bytes(lanes v)
{
    lanes clipped = GREATER(LESSER(v, all(127)), all(-127));
    lane_ints whole = (lane_ints)(clipped + 12582912.0f) - 0x4B400000;

    return NARROW(whole);
}

static void requantise(const int32_t *sums, const float *factors, float row_factor, size_t n,
                       int8_t *ret)
{
    for (size_t j = 0; j < n; j += LANES) {
        lanes value = __builtin_convertvector(*(const lane_ints *)(sums + j), lanes);
        lanes factor = *(const unaligned_lanes *)(factors + j) * row_factor;
        *(lane_bytes *)(ret + j) = nearest_bytes(value * factor);
    }
}

static inline float magnitude(float value)
{
    return value < 0 ? -value : value;
}

/* Half against half: one after the other, each comparison would wait for the one before. */
static inline float largest_lane(lanes v)
{
    float left[LANES];

    memcpy(left, &v, sizeof left);
    for (size_t width = LANES / 2; width > 0; width /= 2)
        for (size_t j = 0; j < width; j++)
            left[j] = left[j] > left[j + width] ? left[j] : left[j + width];
    return left[0];
}

/* Four registers at a time, for the same reason. */
static float largest(const float *values, size_t n)
{
    lanes most[4] = { 0 };
    float result;
    size_t i = 0;

    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (size_t j = 0; j < 4; j++) {
            lanes v = *(const unaligned_lanes *)(values + i + j * LANES);
            most[j] = GREATER((lanes)((lane_bits)v & INT32_MAX), most[j]);
        }
    most[0] = GREATER(GREATER(most[0], most[1]), GREATER(most[2], most[3]));
    result = largest_lane(most[0]);
    for (; i < n; i++)
        result = magnitude(values[i]) > result ? magnitude(values[i]) : result;
    return result;
}

#ifndef WIDE_TO_INT8
#define WIDE_TO_INT8(values, n, factor, ret) 0
#endif

static void to_int8(const float *values, size_t n, float factor, int8_t *ret)
{
    size_t i = WIDE_TO_INT8(values, n, factor, ret);

    for (; i + LANES <= n; i += LANES)
        *(lane_bytes *)(ret + i) = nearest_bytes(*(const unaligned_lanes *)(values + i) * factor);
    for (; i < n; i++)
        ret[i] = nearest_bytes(all(values[i] * factor))[0];
}

#endif
