#include "src/vector/kernel.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/property/vector_data.h"

enum { SEEDS = 60, MAX_PARTS = 64, MAX_W = 9 };

static const char *const names[] = { "portable", "avx2", "avx512vbmi" };

static const struct vector_kernel *kernel_named(const char *name)
{
    return vector_kernel_select(name) ? vector_kernel() : NULL;
}

#define FOR_EACH_KERNEL(kernel)                                                                    \
    for (size_t kernel_index = 0; kernel_index < 3; kernel_index++)                                \
        for (const struct vector_kernel *kernel = kernel_named(names[kernel_index]);               \
             kernel != NULL; kernel = NULL)

static _Alignas(64) uint8_t table[MAX_PARTS * 256];
static _Alignas(64) uint8_t codes[MAX_PARTS * 256];

static void fill_bytes(struct vector_random *random, uint8_t *bytes, size_t n, unsigned bound)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)vector_random_below(random, bound);
}

static unsigned naive_sum(size_t parts, size_t i)
{
    unsigned sum = 0;

    for (size_t p = 0; p < parts; p++)
        sum += table[p * 256 + codes[p * 256 + i]];
    return sum;
}

static void check_scan(const struct vector_kernel *kernel, size_t parts, uint16_t threshold,
                       uint64_t seed)
{
    uint16_t sums[256];
    uint64_t pass[4];

    kernel->scan_group(table, codes, parts, threshold, sums, pass);
    for (size_t i = 0; i < 256; i++) {
        unsigned expected = naive_sum(parts, i);
        cr_assert_eq(sums[i], expected, "%s, seed %zu, place %zu: %u != %u", kernel->name,
                     (size_t)seed, i, sums[i], expected);
        cr_assert_eq(pass[i / 64] >> (i % 64) & 1, expected >= threshold,
                     "%s, seed %zu, place %zu against %u", kernel->name, (size_t)seed, i,
                     threshold);
    }
}

Test(vector_kernel, every_scan_gives_the_naive_sums)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct vector_random random = { seed };
        size_t parts = 2 + 2 * vector_random_below(&random, MAX_PARTS / 2);
        uint16_t threshold = (uint16_t)vector_random_below(&random, parts * 128);
        fill_bytes(&random, table, sizeof table, 128);
        fill_bytes(&random, codes, sizeof codes, 256);
        FOR_EACH_KERNEL(kernel)
        check_scan(kernel, parts, threshold, seed);
    }
}

Test(vector_kernel, sums_reach_their_greatest_value)
{
    memset(table, 127, sizeof table);
    FOR_EACH_KERNEL(kernel)
    check_scan(kernel, MAX_PARTS, MAX_PARTS * 127, 0);
}

static void check_dot(const struct vector_kernel *kernel, const int16_t *query, const int8_t *row,
                      size_t d)
{
    int64_t expected = 0;

    for (size_t i = 0; i < d; i++)
        expected += query[i] * row[i];
    cr_assert_eq(kernel->dot_i16_i8(query, row, d), expected, "%s, d %zu", kernel->name, d);
}

Test(vector_kernel, every_dot_product_is_exact_at_any_length)
{
    int16_t query[513];
    int8_t row[513];
    struct vector_random random = { 7 };

    for (size_t i = 0; i < 513; i++) {
        query[i] = (int16_t)((int)vector_random_below(&random, 65535) - 32767);
        row[i] = (int8_t)((int)vector_random_below(&random, 256) - 128);
    }
    FOR_EACH_KERNEL(kernel)
    for (size_t d = 1; d <= 512; d++)
        check_dot(kernel, query + 1, row + 1, d);
}

Test(vector_kernel, dot_products_hold_their_extremes)
{
    int16_t query[512];
    int8_t row[512];

    for (size_t i = 0; i < 512; i++) {
        query[i] = INT16_MAX;
        row[i] = INT8_MIN;
    }
    FOR_EACH_KERNEL(kernel)
    check_dot(kernel, query, row, 512);
}

static _Alignas(64) float columns[MAX_W * 256];
static _Alignas(64) float penalties[256];

/* Few distinct values, so that columns repeat and estimates tie. */
static void fill_columns(struct vector_random *random, float *x)
{
    for (size_t i = 0; i < MAX_W * 256; i++)
        columns[i] = 0.37f * (float)vector_random_below(random, 3) - 0.37f;
    for (size_t i = 0; i < 256; i++)
        penalties[i] = 0.11f * (float)vector_random_below(random, 2);
    for (size_t i = 0; i < MAX_W; i++)
        x[i] = vector_random_gauss(random);
}

struct part_results {
    _Alignas(64) float estimates[256];
    struct vector_range range;
    uint8_t nearest;
    uint8_t quantised[256];
};

static struct part_results part_results(const struct vector_kernel *kernel, const float *x,
                                        size_t w)
{
    struct part_results results;

    memset(&results, 0, sizeof results);
    results.range = kernel->estimates(x, columns, penalties, w, results.estimates);
    results.nearest = kernel->nearest(x, columns, penalties, w);
    kernel->quantise(results.estimates, results.range.greatest, 80, results.quantised);
    return results;
}

static uint8_t first_greatest(const float *values)
{
    size_t best = 0;

    for (size_t j = 1; j < 256; j++)
        best = values[j] > values[best] ? j : best;
    return (uint8_t)best;
}

static void check_portable_part(const struct part_results *results, const float *x, size_t w)
{
    for (size_t j = 0; j < 256; j++) {
        float expected = 0;
        for (size_t k = 0; k < w; k++)
            expected += x[k] * columns[k * 256 + j];
        cr_assert_float_eq(results->estimates[j], expected - penalties[j], 1e-5);
        cr_assert(results->estimates[j] >= results->range.least &&
                  results->estimates[j] <= results->range.greatest);
        cr_assert_leq(results->quantised[j], 127);
    }
    cr_assert_eq(results->nearest, first_greatest(results->estimates));
    cr_assert_eq(results->quantised[results->nearest], 127);
}

Test(vector_kernel, float_results_have_the_same_bits_everywhere)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct vector_random random = { seed };
        size_t w = 1 + vector_random_below(&random, MAX_W);
        struct part_results portable;
        float x[MAX_W];

        fill_columns(&random, x);
        portable = part_results(kernel_named("portable"), x, w);
        check_portable_part(&portable, x, w);
        FOR_EACH_KERNEL(kernel)
        {
            struct part_results other = part_results(kernel, x, w);
            cr_assert(memcmp(&other, &portable, sizeof other) == 0, "%s, seed %zu", kernel->name,
                      (size_t)seed);
        }
    }
}

enum { ROWS = 20, ROTATE_D = 96 };

Test(vector_kernel, rotations_have_the_same_bits_for_any_batch)
{
    static _Alignas(64) float matrix[ROTATE_D * ROTATE_D];
    static float x[ROWS * ROTATE_D + 1], all[ROWS * ROTATE_D], one[ROTATE_D];
    struct vector_random random = { 5 };

    for (size_t i = 0; i < ROTATE_D * ROTATE_D; i++)
        matrix[i] = vector_random_gauss(&random);
    for (size_t i = 0; i < ROWS * ROTATE_D + 1; i++)
        x[i] = vector_random_gauss(&random);
    kernel_named("portable")->rotate(x + 1, ROWS, matrix, ROTATE_D, all);
    FOR_EACH_KERNEL(kernel)
    for (size_t i = 0; i < ROWS; i++) {
        static float some[ROWS * ROTATE_D];
        kernel->rotate(x + 1 + i * ROTATE_D, 1, matrix, ROTATE_D, one);
        kernel->rotate(x + 1, i + 1, matrix, ROTATE_D, some);
        cr_assert(memcmp(one, all + i * ROTATE_D, sizeof one) == 0, "%s", kernel->name);
        cr_assert(memcmp(some, all, (i + 1) * sizeof one) == 0, "%s", kernel->name);
    }
}

Test(vector_kernel, unknown_names_are_not_selected)
{
    const char *before = vector_kernel_name();

    cr_assert_not(vector_kernel_select("abacus"));
    cr_assert_eq(vector_kernel_name(), before);
    cr_assert(vector_kernel_select("portable"));
    cr_assert_str_eq(vector_kernel_name(), "portable");
}
