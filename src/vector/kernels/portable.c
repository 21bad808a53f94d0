#include <string.h>

#include "src/vector/kernels/kernels.h"

static uint8_t argmax_256(const float *values);

#define LANES 4
#define TILE_ROWS 3
#include "src/vector/kernels/float_loops.h"

static uint8_t argmax_256(const float *values)
{
    float greatest = range_of(values).greatest;
    uint8_t j = 0;

    while (values[j] < greatest)
        j++;
    return j;
}

static uint64_t pass_mask(const uint16_t *sums, uint16_t threshold)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < 64; i++)
        mask |= (uint64_t)(sums[i] >= threshold) << i;
    return mask;
}

static void scan_group(const uint8_t *table, const uint8_t *codes, size_t parts, uint16_t threshold,
                       uint16_t *ret_sums, uint64_t ret_pass[4])
{
    memset(ret_sums, 0, KERNEL_GROUP * sizeof *ret_sums);
    for (size_t p = 0; p < parts; p++)
        for (size_t i = 0; i < KERNEL_GROUP; i++)
            ret_sums[i] =
                (uint16_t)(ret_sums[i] + table[p * KERNEL_CENTROIDS + codes[p * KERNEL_GROUP + i]]);
    for (size_t word = 0; word < 4; word++)
        ret_pass[word] = pass_mask(ret_sums + 64 * word, threshold);
}

static int32_t dot_i16_i8(const int16_t *query, const int8_t *row, size_t d)
{
    int32_t sum = 0;

    for (size_t i = 0; i < d; i++)
        sum += query[i] * row[i];
    return sum;
}

const struct vector_kernel vector_kernel_portable = {
    .name = "portable",
    .scan_group = scan_group,
    .dot_i16_i8 = dot_i16_i8,
    .estimates = estimates,
    .nearest = nearest,
    .quantise = quantise,
    .rotate = rotate,
};
