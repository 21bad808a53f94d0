#include "src/vector/kernel.h"

#include <stdatomic.h>
#include <string.h>

#include "src/vector/kernels/kernels.h"
#ifdef __x86_64__
#include "src/base/amx.h"
#endif

static bool runs_anywhere(void)
{
    return true;
}

#ifdef __x86_64__

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

static bool has_avx512bw(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

static bool has_avx512vbmi(void)
{
    return has_avx512bw() && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512vnni");
}

static bool has_avx512amx(void)
{
    return has_avx512vbmi() && __builtin_cpu_supports("amx-tile") &&
           __builtin_cpu_supports("amx-int8") && amx_request();
}

#endif

/* Best first. */
static const struct {
    const struct vector_kernel *kernel;
    bool (*supported)(void);
} choices[] = {
#ifdef __x86_64__
    { &vector_kernel_avx512amx, has_avx512amx }, { &vector_kernel_avx512vbmi, has_avx512vbmi },
    { &vector_kernel_avx512bw, has_avx512bw },   { &vector_kernel_avx2, has_avx2 },
#endif
#ifdef __aarch64__
    { &vector_kernel_neon, runs_anywhere }, /* every one has it */
#endif
    { &vector_kernel_portable, runs_anywhere },
};

enum { CHOICES = sizeof choices / sizeof choices[0] };

/* Two threads may both choose at first use; they choose the same. */
static _Atomic(const struct vector_kernel *) chosen;

static const struct vector_kernel *best(void)
{
    size_t i = 0;

    while (!choices[i].supported())
        i++;
    return choices[i].kernel;
}

const struct vector_kernel *vector_kernel(void)
{
    const struct vector_kernel *kernel = atomic_load_explicit(&chosen, memory_order_relaxed);

    if (kernel == NULL) {
        kernel = best();
        atomic_store_explicit(&chosen, kernel, memory_order_relaxed);
    }
    return kernel;
}

const char *vector_kernel_name(void)
{
    return vector_kernel()->name;
}

bool vector_kernel_select(const char *name)
{
    for (size_t i = 0; i < CHOICES; i++)
        if (strcmp(choices[i].kernel->name, name) == 0 && choices[i].supported()) {
            atomic_store_explicit(&chosen, choices[i].kernel, memory_order_relaxed);
            return true;
        }
    return false;
}

void vector_kernel_pack(const int8_t *matrix, size_t d, size_t columns, uint8_t *ret_packed)
{
    for (size_t j = 0; j < columns; j++) {
        uint8_t *column =
            ret_packed + j / KERNEL_COLUMNS * KERNEL_COLUMNS * d + j % KERNEL_COLUMNS * 4;
        for (size_t k = 0; k < d; k++)
            column[k / 4 * 64 + k % 4] = (uint8_t)(matrix[k * columns + j] + 128);
    }
}

/* ---- tables of many queries ---- */

enum { SQUARE = 16 };

typedef uint8_t bytes16 __attribute__((vector_size(SQUARE)));

static const bytes16 LOWER = { 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23 };
static const bytes16 UPPER = { 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31 };

/* Sixteen rows of sixteen bytes: each round interleaves a row with the eighth behind it. */
static void transpose(bytes16 rows[SQUARE])
{
    bytes16 next[SQUARE];

    for (size_t round = 0; round < 4; round++) {
        for (size_t i = 0; i < SQUARE / 2; i++) {
            next[2 * i] = __builtin_shuffle(rows[i], rows[SQUARE / 2 + i], LOWER);
            next[2 * i + 1] = __builtin_shuffle(rows[i], rows[SQUARE / 2 + i], UPPER);
        }
        memcpy(rows, next, sizeof next);
    }
}

/* The query of a column: sums of even columns come out first, then those of odd ones. */
static size_t query_of(size_t column)
{
    return column / 2 + column % 2 * (KERNEL_BATCH / 2);
}

void vector_kernel_interleave(const uint8_t *tables, size_t stride, size_t queries, size_t parts,
                              uint8_t *ret_tables)
{
    for (size_t c = 0; c < parts * KERNEL_CENTROIDS; c += SQUARE)
        for (size_t column = 0; column < KERNEL_BATCH; column += SQUARE) {
            bytes16 rows[SQUARE] = { { 0 } };
            for (size_t i = 0; i < SQUARE; i++) {
                size_t query = query_of(column + i);
                if (query < queries)
                    memcpy(&rows[i], tables + query * stride + c, SQUARE);
            }
            transpose(rows);
            for (size_t i = 0; i < SQUARE; i++)
                memcpy(ret_tables + (c + i) * KERNEL_BATCH + column, &rows[i], SQUARE);
        }
}
