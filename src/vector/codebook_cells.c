#include "src/vector/codebook.h"

#include <assert.h>

#include "src/vector/codebook_impl.h"
#include "src/vector/refine.h"

enum { CHUNK_SUMS = 4 * CODEBOOK_MAX_CELLS, CELL_NUMBER_BITS = 16 };

_Static_assert(CODEBOOK_MAX_CELLS <= 1 << CELL_NUMBER_BITS, "a key has room for a cell");

uint32_t codebook_cells_for(uint64_t stored)
{
    /* The greatest power of two not above sqrt(stored). */
    uint32_t cells = 128;

    if (stored < CODEBOOK_CELLS_FROM)
        return 0;
    while (cells < CODEBOOK_MAX_CELLS && (uint64_t)(2 * cells) * (2 * cells) <= stored)
        cells *= 2;
    return cells;
}

/* The lowest number of the greatest sum. */
static uint32_t argmax(const int32_t *sums, size_t n)
{
    int32_t greatest = sums[0];
    uint32_t i = 0;

    for (size_t j = 1; j < n; j++)
        greatest = sums[j] > greatest ? sums[j] : greatest;
    while (sums[i] != greatest)
        i++;
    return i;
}

void codebook_assign(const struct codebook *codebook, const int8_t *values, size_t stride, size_t n,
                     uint32_t *ret_cells)
{
    int32_t sums[CHUNK_SUMS] __attribute__((aligned(64)));
    size_t d = codebook->info.dimension;
    size_t cells = codebook->info.cells;
    size_t chunk = cells == 0 ? n : CHUNK_SUMS / cells;

    for (size_t start = 0; start < n; start += chunk) {
        size_t count = n - start < chunk ? n - start : chunk;
        if (cells > 0)
            vector_kernel()->products(values + start * stride, stride, count, d,
                                      codebook->packed_cells, cells, sums);
        for (size_t i = 0; i < count; i++)
            ret_cells[start + i] = cells == 0 ? 0 : argmax(sums + i * cells, cells);
    }
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
