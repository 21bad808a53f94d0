#include "src/vector/codebook.h"

#include "src/vector/codebook_impl.h"

enum {
    CHUNK_ROWS = 32,
    CHUNK_CELLS = 512, /* whose packed values stay in the cache while rows pass */
};

/* The power of two nearest to one for every group of codes that a kernel scans at once: with fewer,
 * scanning the cells takes longer, with more, finding them. */
uint32_t codebook_cells_for(uint64_t stored)
{
    const double sqrt_2 = 1.4142135623730951;
    double groups = (double)stored / KERNEL_GROUP;
    uint32_t cells = KERNEL_COLUMNS;

    if (stored < CODEBOOK_CELLS_FROM)
        return 0;
    while (cells < CODEBOOK_MAX_CELLS && cells * sqrt_2 < groups)
        cells *= 2;
    return cells;
}

static int32_t greatest_of(const int32_t *sums, size_t n)
{
    int32_t greatest = sums[0];

    for (size_t j = 1; j < n; j++)
        greatest = sums[j] > greatest ? sums[j] : greatest;
    return greatest;
}

/* The best cells so far of a few rows. */
struct bests {
    int32_t sums[CHUNK_ROWS];
    uint32_t cells[CHUNK_ROWS];
};

/* Earlier cells win ties. */
static void take_better(struct bests *bests, const int32_t *sums, size_t rows, size_t first,
                        size_t cells)
{
    for (size_t i = 0; i < rows; i++) {
        const int32_t *row = sums + i * cells;
        int32_t greatest = greatest_of(row, cells);
        uint32_t c = 0;
        if (first > 0 && greatest <= bests->sums[i])
            continue;
        while (row[c] != greatest)
            c++;
        bests->sums[i] = greatest;
        bests->cells[i] = (uint32_t)first + c;
    }
}

static void assign_chunk(const struct codebook *codebook, const int8_t *values, size_t stride,
                         size_t rows, uint32_t *ret_cells)
{
    int32_t sums[CHUNK_ROWS * CHUNK_CELLS] __attribute__((aligned(64)));
    struct bests bests = { .sums = { 0 } };
    size_t d = codebook->info.dimension;
    size_t cells = codebook->info.cells;

    for (size_t first = 0; first < cells; first += CHUNK_CELLS) {
        size_t count = cells - first < CHUNK_CELLS ? cells - first : CHUNK_CELLS;
        vector_kernel()->products(values, stride, rows, d, codebook->packed_cells + first * d,
                                  count, sums);
        take_better(&bests, sums, rows, first, count);
    }
    for (size_t i = 0; i < rows; i++)
        ret_cells[i] = bests.cells[i];
}

void codebook_assign(const struct codebook *codebook, const int8_t *values, size_t stride, size_t n,
                     uint32_t *ret_cells)
{
    for (size_t start = 0; start < n; start += CHUNK_ROWS)
        assign_chunk(codebook, values + start * stride, stride,
                     n - start < CHUNK_ROWS ? n - start : CHUNK_ROWS, ret_cells + start);
}
