#ifndef SUTRA_VECTOR_KERNELS_INTEGER_LOOPS_H
#define SUTRA_VECTOR_KERNELS_INTEGER_LOOPS_H

/**
 * Products and encoding, written once around one step: to each lane's sum add four bytes of a
 * packed matrix times the same four values of a row. The including file, after float_loops.h,
 * defines
 *
 *     struct packed, packed_load(bytes)   4 * LANES bytes of a packed matrix, ready to multiply
 *     struct four, four_load(row)         four values of a row, in every lane
 *     add_dots(sums, packed, four)        the step; the packed bytes may still be 128 too high
 *     excess_of(row, d)                   what these 128 add to a whole product with the row
 *     keys_of(scores, ids)                scores << 8 | ids >> 24
 *     GREATER_INT(a, b)                   the greater of each lane
 *     greatest_lanes(v[LANES])            lane j of the result is the greatest lane of v[j]
 *
 * and the shapes of tiles that fit its registers: TILE_ROWS by TILE_WIDTH registers of sums for
 * products, 1 by ROW_WIDTH for one row alone, and ENCODE_ROWS by ENCODE_PARTS = LANES.
 */

#include <string.h>

#include "src/vector/kernels/float_loops.h"

enum {
    BLOCK_ROWS = 32,
    MOST_SUMS = TILE_ROWS * TILE_WIDTH > ROW_WIDTH ? TILE_ROWS *TILE_WIDTH : ROW_WIDTH,
    GROUP_REGISTERS = KERNEL_COLUMNS / LANES, /* of one row of sixteen packed columns */
};

/* Rows times a packed matrix. */
struct product {
    const int8_t *rows;
    size_t stride;
    size_t d;
    const uint8_t *matrix;
    size_t columns;
    int32_t *sums;
    const int32_t *excess; /* of each row */
};

/* @n rows from @i times @width registers of columns from @j; inlined with constants for both. */
__attribute__((always_inline)) static inline void product_tile(const struct product *of, size_t i,
                                                               size_t n, size_t j, size_t width)
{
    const uint8_t *matrix = of->matrix + j * of->d;
    const int8_t *rows = of->rows + i * of->stride;
    size_t group = KERNEL_COLUMNS * of->d;
    size_t stride = of->stride;
    size_t d = of->d;
    lane_ints sums[MOST_SUMS];

    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < width; c++)
            sums[r * width + c] = (lane_ints){ 0 } - of->excess[i + r];
    for (size_t k = 0; k < d; k += 4, matrix += 4 * KERNEL_COLUMNS) {
        struct four values[TILE_ROWS];
        for (size_t r = 0; r < n; r++)
            values[r] = four_load(rows + r * stride + k);
        for (size_t c = 0; c < width; c++) {
            struct packed packed =
                packed_load(matrix + c / GROUP_REGISTERS * group + c % GROUP_REGISTERS * 4 * LANES);
            for (size_t r = 0; r < n; r++)
                sums[r * width + c] = add_dots(sums[r * width + c], packed, values[r]);
        }
    }
    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < width; c++)
            *(lane_ints *)(of->sums + (i + r) * of->columns + j + LANES * c) = sums[r * width + c];
}

/* Few enough columns at a time to stay in the first-level cache while the rows pass. */
static void block_product(const struct product *of, size_t n)
{
    size_t wide = (size_t)TILE_WIDTH * LANES;
    size_t j = 0;
    size_t i;

    for (; j + wide <= of->columns; j += wide) {
        for (i = 0; i + TILE_ROWS <= n; i += TILE_ROWS)
            product_tile(of, i, TILE_ROWS, j, TILE_WIDTH);
        for (; i < n; i++)
            product_tile(of, i, 1, j, TILE_WIDTH);
    }
    for (; j < of->columns; j += KERNEL_COLUMNS)
        for (i = 0; i < n; i++)
            product_tile(of, i, 1, j, GROUP_REGISTERS);
}

/* One row alone waits for its matrix: it reads wider. */
static void row_product(const struct product *of)
{
    size_t wide = (size_t)ROW_WIDTH * LANES;
    size_t j = 0;

    for (; j + wide <= of->columns; j += wide)
        product_tile(of, 0, 1, j, ROW_WIDTH);
    for (; j < of->columns; j += KERNEL_COLUMNS)
        product_tile(of, 0, 1, j, GROUP_REGISTERS);
}

static void products(const int8_t *rows, size_t stride, size_t n, size_t d, const uint8_t *matrix,
                     size_t columns, int32_t *ret_sums)
{
    for (size_t first = 0; first < n; first += BLOCK_ROWS) {
        size_t block = n - first < BLOCK_ROWS ? n - first : BLOCK_ROWS;
        int32_t excess[BLOCK_ROWS];
        struct product of = { rows + first * stride,      stride, d, matrix, columns,
                              ret_sums + first * columns, excess };
        for (size_t i = 0; i < block; i++)
            excess[i] = excess_of(of.rows + i * stride, d);
        if (block == 1)
            row_product(&of);
        else
            block_product(&of, block);
    }
}

/* Rows to encode and where their codes go. */
struct encoding {
    const int8_t *rotated;
    size_t parts;
    size_t w;
    const uint8_t *centroids;
    const int32_t *half_norms;
    uint8_t *codes;
    int32_t *best;
};

/* The ids of centroids c, c + 1, …: 255 less the number, in the highest byte. */
static inline lane_ints first_ids(void)
{
    lane_bits ids = { 0 };

    for (uint32_t j = 0; j < LANES; j++)
        ids[j] = (255 - j) << 24;
    return (lane_ints)ids;
}

/*
 * Of @rows rows the greatest keys of one part, per lane: score << 8 | 255 - centroid, so that of
 * equals the lowest centroid wins. Scores stay within 2^23 even while the packed centroids are 128
 * too high. @rows and @fours are constants.
 */
__attribute__((always_inline)) static inline void greatest_keys(const struct encoding *of, size_t i,
                                                                size_t rows, size_t p, size_t fours,
                                                                lane_ints *ret)
{
    size_t d = of->parts * of->w;
    const int8_t *values = of->rotated + i * d + p * of->w;
    const uint8_t *centroids = of->centroids + p * of->w * KERNEL_CENTROIDS;
    const int32_t *half_norms = of->half_norms + p * KERNEL_CENTROIDS;
    lane_bits ids = (lane_bits)first_ids();

    for (size_t r = 0; r < rows; r++)
        ret[r] = (lane_ints){ 0 } + INT32_MIN;
    for (size_t c = 0; c < KERNEL_CENTROIDS; c += LANES) {
        const uint8_t *group =
            centroids + c / KERNEL_COLUMNS * KERNEL_COLUMNS * 4 * fours + c % KERNEL_COLUMNS * 4;
        lane_ints scores[ENCODE_ROWS];
        for (size_t r = 0; r < rows; r++)
            scores[r] = -*(const lane_ints *)(half_norms + c);
        for (size_t k = 0; k < fours; k++) {
            struct packed packed = packed_load(group + 4 * KERNEL_COLUMNS * k);
            for (size_t r = 0; r < rows; r++)
                scores[r] = add_dots(scores[r], packed, four_load(values + r * d + 4 * k));
        }
        for (size_t r = 0; r < rows; r++)
            ret[r] = GREATER_INT(ret[r], keys_of(scores[r], (lane_ints)ids));
        ids -= (uint32_t)LANES << 24;
    }
}

/* Codes and scores of a tile of rows and parts, from a key per lane. */
static void store_keys(const struct encoding *of, size_t i, size_t rows, size_t p, size_t parts,
                       lane_ints keys)
{
    lane_bytes codes = NARROW(~keys);
    lane_ints scores = keys >> 8;

    for (size_t r = 0; r < rows; r++)
        memcpy(of->codes + (i + r) * of->parts + p, (const char *)&codes + ENCODE_PARTS * r, parts);
    for (size_t r = 0; of->best != NULL && r < rows; r++)
        for (size_t q = 0; q < parts; q++)
            of->best[i + r] += scores[ENCODE_PARTS * r + q];
}

__attribute__((always_inline)) static inline void
encode_tile(const struct encoding *of, size_t i, size_t rows, size_t p, size_t parts, size_t fours)
{
    lane_ints keys[LANES] = { 0 };
    lane_ints found[ENCODE_ROWS];

    for (size_t q = 0; q < parts; q++) {
        greatest_keys(of, i, rows, p + q, fours, found);
        for (size_t r = 0; r < rows; r++)
            keys[ENCODE_PARTS * r + q] = found[r];
    }
    store_keys(of, i, rows, p, parts, greatest_lanes(keys));
}

__attribute__((always_inline)) static inline void encode_parts(const struct encoding *of, size_t n,
                                                               size_t p, size_t parts, size_t fours)
{
    size_t i = 0;

    for (; i + ENCODE_ROWS <= n; i += ENCODE_ROWS)
        encode_tile(of, i, ENCODE_ROWS, p, parts, fours);
    for (; i < n; i++)
        encode_tile(of, i, 1, p, parts, fours);
}

/* Some parts for all of a block of rows, so that their centroids stay in the first-level cache. */
static void encode_block(const struct encoding *of, size_t n)
{
    for (size_t p = 0; p < of->parts; p += ENCODE_PARTS) {
        size_t parts = of->parts - p < ENCODE_PARTS ? of->parts - p : ENCODE_PARTS;
        if (of->w == 8) /* the usual one, with the loops unrolled */
            encode_parts(of, n, p, parts, 2);
        else
            encode_parts(of, n, p, parts, of->w / 4);
    }
}

static void encode(const int8_t *rotated, size_t n, size_t parts, size_t w,
                   const uint8_t *centroids, const int32_t *half_norms, uint8_t *ret_codes,
                   int32_t *ret_best)
{
    size_t d = parts * w;

    for (size_t i = 0; i < n; i += BLOCK_ROWS) {
        struct encoding of = { rotated + i * d,
                               parts,
                               w,
                               centroids,
                               half_norms,
                               ret_codes + i * parts,
                               ret_best == NULL ? NULL : ret_best + i };
        size_t block = n - i < BLOCK_ROWS ? n - i : BLOCK_ROWS;
        for (size_t r = 0; of.best != NULL && r < block; r++)
            of.best[r] = -excess_of(of.rotated + r * d, d);
        encode_block(&of, block);
    }
}

#endif
