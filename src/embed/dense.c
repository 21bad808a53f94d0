#include "src/embed/dense.h"

#include <string.h>

#include "src/base/amx.h"

bool dense_is_supported(void)
{
    return __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512bf16") &&
           __builtin_cpu_supports("amx-bf16") && amx_request();
}

/* To the nearest, to the even one of two. */
static bfloat16 round_to_bfloat16(float value)
{
    const uint32_t not_a_number = 0x7FC0;
    uint32_t bits;

    if (value != value)
        return (bfloat16)not_a_number;
    memcpy(&bits, &value, sizeof bits);
    return (bfloat16)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/* Where a number of the matrix goes. */
static size_t packed_index(size_t out, size_t in, size_t n_in)
{
    size_t tile = out / DENSE_TILE_ROWS % 2, column = out % DENSE_TILE_ROWS;
    size_t step = in / DENSE_TILE_COLUMNS, row = in % DENSE_TILE_COLUMNS / 2;

    return out / DENSE_OUTPUTS * DENSE_OUTPUTS * n_in + (step * 2 + tile) * DENSE_TILE +
           row * DENSE_TILE_COLUMNS + column * 2 + in % 2;
}

void dense_pack(const float *matrix, size_t n_out, size_t n_in, void *ret_matrix)
{
    bfloat16 *packed = ret_matrix;

    for (size_t out = 0; out < n_out; out++)
        for (size_t in = 0; in < n_in; in++)
            packed[packed_index(out, in, n_in)] = round_to_bfloat16(matrix[out * n_in + in]);
}
