#include "src/base/amx.h"
#include "src/vector/kernels/avx512vbmi.h"
#include "src/vector/kernels/kernels.h"

/*
 * Products by tiles: 16 rows times 16 columns, 64 values of each at a time, in one instruction. A
 * packed matrix and rows that lie apart are what the tiles want as they are. The scan stays as it
 * is: storing entries for a tile to add takes as long as adding them.
 */
enum {
    TILE = 16,
    TILE_VALUES = 64,
    AMX_BLOCK = 128, /* rows, few enough for the second-level cache */
};

/* What the sums of 32 rows start with: less the excess of each row, in every column. */
struct starts {
    lane_ints rows[2 * TILE];
};

static void fill_starts(const int8_t *rows, size_t stride, size_t n, size_t d, struct starts *ret)
{
    for (size_t i = 0; i < n; i++)
        ret->rows[i] = (lane_ints){ 0 } - excess_of(rows + i * stride, d);
}

/* 16 rows, or 32 if @two_rows, times 16 columns, or 32 if @two_columns, from column @j. */
__attribute__((always_inline)) static inline void multiply_tiles(const struct product *of, size_t i,
                                                                 size_t j,
                                                                 const struct starts *starts,
                                                                 bool two_rows, bool two_columns)
{
    const int8_t *rows = of->rows + i * of->stride;
    const uint8_t *matrix = of->matrix + j * of->d;
    int32_t *sums = of->sums + i * of->columns + j;
    size_t sums_stride = of->columns * sizeof *sums;

    _tile_loadd(0, starts->rows, 64);
    if (two_columns)
        _tile_loadd(1, starts->rows, 64);
    if (two_rows)
        _tile_loadd(2, starts->rows + TILE, 64);
    if (two_rows && two_columns)
        _tile_loadd(3, starts->rows + TILE, 64);
    for (size_t k = 0; k < of->d; k += TILE_VALUES) {
        _tile_loadd(4, rows + k, of->stride);
        _tile_loadd(6, matrix + KERNEL_COLUMNS * k, 64);
        _tile_dpbsud(0, 4, 6);
        if (two_columns) {
            _tile_loadd(7, matrix + KERNEL_COLUMNS * (of->d + k), 64);
            _tile_dpbsud(1, 4, 7);
        }
        if (two_rows) {
            _tile_loadd(5, rows + TILE * of->stride + k, of->stride);
            _tile_dpbsud(2, 5, 6);
        }
        if (two_rows && two_columns)
            _tile_dpbsud(3, 5, 7);
    }
    _tile_stored(0, sums, sums_stride);
    if (two_columns)
        _tile_stored(1, sums + TILE, sums_stride);
    if (two_rows)
        _tile_stored(2, sums + TILE * of->columns, sums_stride);
    if (two_rows && two_columns)
        _tile_stored(3, sums + TILE * of->columns + TILE, sums_stride);
}

/* @n whole tiles of rows; the columns outside, for the matrix is the larger. */
static void multiply_block(const struct product *of, size_t n)
{
    struct starts starts[AMX_BLOCK / (2 * TILE)];

    for (size_t i = 0; i < n; i += (size_t)2 * TILE)
        fill_starts(of->rows + i * of->stride, of->stride,
                    n - i < (size_t)2 * TILE ? n - i : (size_t)2 * TILE, of->d,
                    &starts[i / (2 * TILE)]);
    for (size_t j = 0; j < of->columns; j += (size_t)2 * TILE) {
        bool two = j + TILE < of->columns;
        for (size_t i = 0; i < n; i += (size_t)2 * TILE)
            if (i + TILE < n && two)
                multiply_tiles(of, i, j, &starts[i / (2 * TILE)], true, true);
            else
                multiply_tiles(of, i, j, &starts[i / (2 * TILE)], i + TILE < n, two);
    }
}

static void products_by_tiles(const int8_t *rows, size_t stride, size_t n, size_t d,
                              const uint8_t *matrix, size_t columns, int32_t *ret_sums)
{
    size_t tiled = d % TILE_VALUES == 0 ? n / TILE * TILE : 0;

    if (tiled > 0)
        _tile_loadconfig(&amx_full_tiles);
    for (size_t i = 0; i < tiled; i += AMX_BLOCK) {
        struct product of = { rows + i * stride,      stride, d, matrix, columns,
                              ret_sums + i * columns, NULL };
        multiply_block(&of, tiled - i < AMX_BLOCK ? tiled - i : AMX_BLOCK);
    }
    if (tiled > 0)
        _tile_release();
    products(rows + tiled * stride, stride, n - tiled, d, matrix, columns,
             ret_sums + tiled * columns);
}

VECTOR_KERNEL(avx512amx, products_by_tiles, 36);
