#include "src/vector/codebook.h"

#include <assert.h>
#include <stdlib.h>

#include "src/vector/codebook_impl.h"
#include "src/vector/refine.h"

enum {
    CELL_NUMBER_BITS = 16,
    CELLS_AHEAD = 8, /* whose values are asked for before they are needed */
};

_Static_assert(CODEBOOK_MAX_CELLS <= 1 << CELL_NUMBER_BITS, "a key has room for a cell");

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

/* Takes the keys out of @heap [n], the greatest first. */
static void unload(uint64_t *heap, size_t n, uint32_t *ret_cells)
{
    for (size_t left = n; left-- > 0;) {
        ret_cells[left] = cell_of(heap[0]);
        replace_root(heap, left, heap[left]);
    }
}

/* ---- The nearest ---- */

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

/* The @nprobe nearest, and the products @ret_sums [l] with all of them. What 1 of these is worth.
 */
static float order_cells(const struct codebook *codebook, const float *unit, size_t nprobe,
                         int32_t *ret_sums, uint32_t *ret_cells)
{
    int8_t values[VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
    uint64_t heap[CODEBOOK_MAX_CELLS];
    size_t d = codebook->info.dimension;
    size_t cells = codebook->info.cells;
    float scale = refine_quantise(unit, d, values);

    assert(nprobe >= 1 && nprobe <= cells);
    vector_kernel()->products(values, d, 1, d, codebook->packed_cells, cells, ret_sums);
    select_keys(ret_sums, cells, nprobe, heap);
    unload(heap, nprobe, ret_cells);
    return scale * codebook->cell_unit;
}

void codebook_query_cells(const struct codebook *codebook, const float *unit, size_t nprobe,
                          uint32_t *ret_cells)
{
    int32_t sums[CODEBOOK_MAX_CELLS] __attribute__((aligned(64)));

    order_cells(codebook, unit, nprobe, sums, ret_cells);
}

/* ---- Those within reach ---- */

/* Sums of the query's table over the codes of the cells. */
static uint16_t scan_cells(const struct codebook *codebook, const struct codebook_query *query,
                           uint16_t *ret_sums)
{
    uint64_t pass[KERNEL_GROUP_WORDS];
    uint16_t greatest = 0;

    for (size_t first = 0; first < codebook->info.cells; first += KERNEL_GROUP)
        vector_kernel()->scan(query->table[0], codebook->cell_codes + first * CODEBOOK_PARTS,
                              CODEBOOK_PARTS, KERNEL_GROUP_WORDS, 0, ret_sums + first, pass);
    for (size_t c = 0; c < codebook->info.cells; c++)
        greatest = ret_sums[c] > greatest ? ret_sums[c] : greatest;
    return greatest;
}

/* Those that are within reach by what their codes say. A cell's code stands for less than the cell,
 * so that the nearest seem nearer to the others than they are: few are missed, and rarely. */
static size_t choose_roughly(const struct codebook *codebook, const struct codebook_query *query,
                             float reach, uint32_t *ret_cells)
{
    uint16_t sums[CODEBOOK_MAX_CELLS] __attribute__((aligned(64)));
    float greatest = scan_cells(codebook, query, sums);
    float least = greatest - reach / query->step;
    uint16_t threshold = least > 0 ? (uint16_t)least : 0;
    size_t count = 0;

    for (uint32_t c = 0; c < codebook->info.cells; c++) {
        ret_cells[count] = c;
        count += sums[c] >= threshold;
    }
    return count;
}

/* Products of @cells [n] and the query, of which the greatest is returned. */
static int32_t score_cells(const struct codebook *codebook, const int8_t *values,
                           const uint32_t *cells, size_t n, int32_t *ret_sums)
{
    size_t d = codebook->info.dimension;
    int32_t greatest = INT32_MIN;

    for (size_t i = 0; i < n; i++) {
        if (i + CELLS_AHEAD < n)
            for (size_t line = 0; line < d; line += 64)
                __builtin_prefetch(codebook->cells + cells[i + CELLS_AHEAD] * d + line);
        ret_sums[i] = vector_kernel()->dot_i8(values, codebook->cells + cells[i] * d, d);
        greatest = ret_sums[i] > greatest ? ret_sums[i] : greatest;
    }
    return greatest;
}

static void swap(uint32_t *a, uint32_t *b)
{
    uint32_t was = *a;

    *a = *b;
    *b = was;
}

size_t codebook_query_cells_within(const struct codebook *codebook,
                                   const struct codebook_query *query, const float *unit,
                                   float reach, uint32_t *ret_cells)
{
    int8_t values[VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
    int32_t sums[CODEBOOK_MAX_CELLS];
    size_t d = codebook->info.dimension;
    float unit_of_sums = refine_quantise(unit, d, values) * codebook->cell_unit;
    size_t rough = choose_roughly(codebook, query, reach, ret_cells);
    int32_t greatest = score_cells(codebook, values, ret_cells, rough, sums);
    float least = (float)greatest - reach / unit_of_sums;
    size_t nearest = 0;
    size_t count = 0;

    for (size_t i = 0; i < rough; i++) {
        ret_cells[count] = ret_cells[i];
        nearest = sums[i] == greatest ? count : nearest;
        count += (float)sums[i] >= least;
    }
    swap(&ret_cells[0], &ret_cells[nearest]);
    return count;
}

/* ---- How far to reach ---- */

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a;
    float y = *(const float *)b;

    return (x > y) - (x < y);
}

/* By how much each cell's cosine with the query stays behind that of the nearest. */
static void measure_gaps(const struct codebook *codebook, const float *unit, float *ret_gaps)
{
    int32_t sums[CODEBOOK_MAX_CELLS] __attribute__((aligned(64)));
    uint32_t nearest;
    float unit_of_sums = order_cells(codebook, unit, 1, sums, &nearest);

    for (size_t c = 0; c < codebook->info.cells; c++)
        ret_gaps[c] = (float)(sums[nearest] - sums[c]) * unit_of_sums;
}

bool codebook_typical_reaches(const struct codebook *codebook, const float *units, size_t n,
                              const uint32_t *nprobes, size_t count, float *ret_reaches)
{
    size_t cells = codebook->info.cells;
    float *gaps = malloc(n * cells * sizeof *gaps);

    if (gaps == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        measure_gaps(codebook, units + i * codebook->info.dimension, gaps + i * cells);
    qsort(gaps, n * cells, sizeof *gaps, ascending);
    for (size_t j = 0; j < count; j++)
        ret_reaches[j] = gaps[n * nprobes[j] - 1];
    free(gaps);
    return true;
}
