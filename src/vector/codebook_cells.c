#include "src/vector/codebook.h"

#include <assert.h>

#include "src/vector/codebook_impl.h"
#include "src/vector/refine.h"

enum {
    CHUNK_ROWS = 32,
    CHUNK_CELLS = 512, /* whose packed values stay in the cache while rows pass */
    CELL_NUMBER_BITS = 16,
};

_Static_assert(CODEBOOK_MAX_CELLS <= 1 << CELL_NUMBER_BITS, "a key has room for a cell");

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

/* Greater for a greater sum, of equal sums for the lower cell. */
static uint64_t key_of(int32_t sum, size_t cell)
{
    uint32_t shifted = (uint32_t)sum + ((uint32_t)1 << 31);

    return (uint64_t)shifted << CELL_NUMBER_BITS | (((1u << CELL_NUMBER_BITS) - 1) - cell);
}

static uint32_t cell_of(uint64_t key)
{
    uint32_t mask = (1u << CELL_NUMBER_BITS) - 1;

    return mask - ((uint32_t)key & mask);
}

/* @heap [n] but for its root, which becomes @key, has the least key of every branch at its top. */
static void replace_root(uint64_t *heap, size_t n, uint64_t key)
{
    size_t i = 0;

    for (size_t child = 1; child < n; child = 2 * i + 1) {
        child += child + 1 < n && heap[child + 1] < heap[child];
        if (key <= heap[child])
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = key;
}

/* The greatest @nprobe keys of @sums, the least of them first. */
static void select_keys(const int32_t *sums, size_t cells, size_t nprobe, uint64_t *heap)
{
    for (size_t i = 0; i < nprobe; i++)
        heap[i] = 0; /* less than any key */
    for (size_t c = 0; c < cells; c++) {
        uint64_t key = key_of(sums[c], c);
        if (key > heap[0])
            replace_root(heap, nprobe, key);
    }
}

void codebook_query_cells(const struct codebook *codebook, const float *unit, size_t nprobe,
                          uint32_t *ret_cells)
{
    int32_t sums[CODEBOOK_MAX_CELLS] __attribute__((aligned(64)));
    int8_t values[VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
    uint64_t heap[CODEBOOK_MAX_CELLS];
    size_t d = codebook->info.dimension;
    size_t cells = codebook->info.cells;

    assert(nprobe >= 1 && nprobe <= cells);
    refine_quantise(unit, d, values);
    vector_kernel()->products(values, d, 1, d, codebook->packed_cells, cells, sums);
    select_keys(sums, cells, nprobe, heap);
    for (size_t left = nprobe; left-- > 0;) {
        ret_cells[left] = cell_of(heap[0]);
        replace_root(heap, left, heap[left]);
    }
}
