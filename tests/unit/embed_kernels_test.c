/* Every set of kernels this machine can run, against the definitions in double precision. */

#include "src/embed/kernels.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { D = KERNEL_FEATURES, SEED = 20261123, MAX_SETS = 3 };

static size_t runnable(const struct embed_kernels *ret[MAX_SETS])
{
    size_t n = 0;

    ret[n++] = &embed_kernels_baseline;
    if (__builtin_cpu_supports("x86-64-v3"))
        ret[n++] = &embed_kernels_avx2;
    if (__builtin_cpu_supports("x86-64-v4"))
        ret[n++] = &embed_kernels_avx512;
    return n;
}

/* In [-scale, scale), the same sequence in every run. */
static float next_value(float scale)
{
    static uint64_t state = SEED;

    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((float)(state >> 40) * 0x1p-23f - 1) * scale;
}

static float *values(size_t n, float scale)
{
    float *data = malloc(n * sizeof *data);

    cr_assert_not_null(data);
    for (size_t i = 0; i < n; i++)
        data[i] = next_value(scale);
    return data;
}

static void expect_near(const char *what, const struct embed_kernels *kernels, double value,
                        double reference, double tolerance)
{
    cr_expect(fabs(value - reference) <= tolerance, "%s (%s): %.9g instead of %.9g", what,
              kernels->name, value, reference);
}

static void check_gelu(const struct embed_kernels *kernels)
{
    enum { N = 1600 };
    float row[N], x[N];
    const float bias[N] = { 0 };

    for (float start = -16; start < 16; start += 0.16f) {
        for (size_t i = 0; i < N; i++)
            row[i] = x[i] = start + (float)i * 1e-4f;
        kernels->bias_gelu(row, bias, N);
        for (size_t i = 0; i < N; i++) {
            double exact = 0.5 * (double)x[i] * erfc(-(double)x[i] * sqrt(0.5));
            /* far out exp() magnifies the rounding of x²; there the value itself is tiny */
            double relative = x[i] > -4 ? 1e-6 : 1e-5;
            expect_near("gelu", kernels, (double)row[i], exact, relative * fabs(exact) + 1e-35);
        }
    }
}

static void check_norm(const struct embed_kernels *kernels)
{
    float *x = values(D, 3), *residual = values(D, 2), *bias = values(D, 1);
    float *scale = values(D, 2), *shift = values(D, 1), row[D];
    const struct kernel_norm norm = { scale, shift, 1e-3f };
    double mean = 0, variance = 0;

    for (size_t i = 0; i < D; i++)
        mean += ((double)x[i] + (double)residual[i] + (double)bias[i]) / D;
    for (size_t i = 0; i < D; i++)
        variance += pow((double)x[i] + (double)residual[i] + (double)bias[i] - mean, 2) / D;
    kernels->add_norm(x, residual, bias, &norm, row);
    for (size_t i = 0; i < D; i++) {
        double sum = (double)x[i] + (double)residual[i] + (double)bias[i];
        double exact = (sum - mean) / sqrt(variance + 1e-3) * (double)scale[i] + (double)shift[i];
        expect_near("norm", kernels, (double)row[i], exact, 2e-6);
    }
    kernels->add_norm(x, residual, bias, &norm, residual);
    cr_expect_arr_eq(row, residual, sizeof row);
    free(x), free(residual), free(bias), free(scale), free(shift);
}

struct attention_case {
    struct kernel_attention in;
    float *rows, *query_bias, *value_bias;
};

/* Behind the last token lie huge values: they must not matter. */
static struct attention_case attention_case(size_t n)
{
    struct attention_case c = { .rows = values((n + 1) * 3 * D, 3),
                                .query_bias = values(D, 1),
                                .value_bias = values(D, 1) };

    for (size_t i = n * 3 * D; i < (n + 1) * 3 * D; i++)
        c.rows[i] = i % 2 ? NAN : 1e30f;
    c.in = (struct kernel_attention){ c.rows, c.query_bias, c.value_bias, n };
    return c;
}

static void attention_case_free(struct attention_case *c)
{
    free(c->rows), free(c->query_bias), free(c->value_bias);
}

/* Feature @k of the query (0), key (1) or value (2) of token @i. */
static double part(const struct attention_case *c, size_t which, size_t i, size_t k)
{
    return (double)c->rows[(i * 3 + which) * D + k];
}

static double exact_score(const struct attention_case *c, size_t head, size_t i, size_t j)
{
    double sum = 0;

    for (size_t k = head * KERNEL_HEAD_FEATURES; k < (head + 1) * KERNEL_HEAD_FEATURES; k++)
        sum += (part(c, 0, i, k) + (double)c->query_bias[k]) * part(c, 1, j, k);
    return sum / sqrt(KERNEL_HEAD_FEATURES);
}

static void exact_attention(const struct attention_case *c, size_t head, size_t i,
                            double ret[KERNEL_HEAD_FEATURES])
{
    double weights[KERNEL_MAX_TOKENS], highest = -INFINITY, sum = 0;
    const size_t first = head * KERNEL_HEAD_FEATURES;

    for (size_t j = 0; j < c->in.n_tokens; j++)
        highest = fmax(highest, weights[j] = exact_score(c, head, i, j));
    for (size_t j = 0; j < c->in.n_tokens; j++)
        sum += weights[j] = exp(weights[j] - highest);
    for (size_t k = 0; k < KERNEL_HEAD_FEATURES; k++) {
        ret[k] = (double)c->value_bias[first + k];
        for (size_t j = 0; j < c->in.n_tokens; j++)
            ret[k] += weights[j] / sum * part(c, 2, j, first + k);
    }
}

static void check_attention(const struct embed_kernels *kernels, size_t n)
{
    struct attention_case c = attention_case(n);
    float *rows = calloc((n + 1) * D, sizeof *rows);
    double exact[KERNEL_HEAD_FEATURES];

    kernels->attend(&c.in, rows);
    for (size_t head = 0; head < KERNEL_HEADS; head++)
        for (size_t i = 0; i < n; i++) {
            exact_attention(&c, head, i, exact);
            for (size_t k = 0; k < KERNEL_HEAD_FEATURES; k++)
                expect_near("attention", kernels,
                            (double)rows[i * D + head * KERNEL_HEAD_FEATURES + k], exact[k], 1e-5);
        }
    for (size_t i = n * D; i < (n + 1) * D; i++)
        cr_expect_eq(rows[i], 0, "attention (%s) wrote behind %zu rows", kernels->name, n);
    free(rows);
    attention_case_free(&c);
}

static void check_multiply(const struct embed_kernels *kernels, size_t n, size_t n_in, size_t n_out)
{
    float *rows = values(n * n_in, 1), *matrix = values(n_out * n_in, 1);
    float *packed = malloc(n_out * n_in * sizeof *packed);
    float *ret = calloc((n + 1) * n_out, sizeof *ret);

    kernels->pack(matrix, n_out, n_in, packed);
    kernels->multiply(&(struct dense_layer){ packed, NULL, n_in, n_out }, rows, n, ret);
    for (size_t i = 0; i < n; i++)
        for (size_t out = 0; out < n_out; out++) {
            double exact = 0;
            for (size_t k = 0; k < n_in; k++)
                exact += (double)rows[i * n_in + k] * (double)matrix[out * n_in + k];
            expect_near("product", kernels, (double)ret[i * n_out + out], exact, 5e-5);
        }
    for (size_t i = n * n_out; i < (n + 1) * n_out; i++)
        cr_expect_eq(ret[i], 0, "product (%s) wrote behind %zu rows", kernels->name, n);
    free(rows), free(matrix), free(packed), free(ret);
}

/* Sets without products of their own leave them to OpenBLAS. */
static void check_products(const struct embed_kernels *kernels)
{
    static const size_t counts[] = { 1, 2, 5, 6, 7, 12, 13, 40 };

    cr_expect_eq(kernels->pack == NULL, kernels->multiply == NULL);
    for (size_t i = 0; kernels->pack != NULL && i < sizeof counts / sizeof *counts; i++) {
        check_multiply(kernels, counts[i], 32, 64);
        check_multiply(kernels, counts[i], 384, 128);
    }
}

static void check_pool(const struct embed_kernels *kernels, size_t n)
{
    float *rows = values(n * D, 2), row[D];
    double sums[D] = { 0 }, squares = 0;

    for (size_t i = 0; i < n * D; i++)
        sums[i % D] += (double)rows[i];
    for (size_t i = 0; i < D; i++)
        squares += sums[i] * sums[i];
    cr_expect(kernels->pool(rows, n, row));
    for (size_t i = 0; i < D; i++)
        expect_near("pool", kernels, (double)row[i], sums[i] / sqrt(squares), 1e-6);
    free(rows);
}

static void check_no_vector(const struct embed_kernels *kernels)
{
    float rows[2 * D] = { 0 }, row[D];

    cr_expect_not(kernels->pool(rows, 2, row));
    rows[5] = NAN;
    cr_expect_not(kernels->pool(rows, 2, row));
    rows[5] = INFINITY;
    cr_expect_not(kernels->pool(rows, 2, row));
}

#define FOR_EACH_SET(kernels, call)                                                                \
    do {                                                                                           \
        const struct embed_kernels *sets[MAX_SETS], *kernels;                                      \
        size_t n_sets = runnable(sets);                                                            \
        for (size_t set = 0; set < n_sets && (kernels = sets[set]) != NULL; set++)                 \
            call;                                                                                  \
    } while (0)

Test(embed_kernels, gelu_is_exact)
{
    FOR_EACH_SET(kernels, check_gelu(kernels));
}

Test(embed_kernels, norm_is_exact)
{
    FOR_EACH_SET(kernels, check_norm(kernels));
}

Test(embed_kernels, attention_is_exact_at_every_edge_of_a_tile)
{
    static const size_t lengths[] = { 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100, 256 };

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        FOR_EACH_SET(kernels, check_attention(kernels, lengths[i]));
}

Test(embed_kernels, products_are_exact)
{
    FOR_EACH_SET(kernels, check_products(kernels));
}

Test(embed_kernels, pool_gives_the_direction_of_the_mean)
{
    FOR_EACH_SET(kernels, check_pool(kernels, 1));
    FOR_EACH_SET(kernels, check_pool(kernels, 7));
}

Test(embed_kernels, pool_says_when_there_is_no_vector)
{
    FOR_EACH_SET(kernels, check_no_vector(kernels));
}

Test(embed_kernels, selects_the_last_set_that_runs_here)
{
    const struct embed_kernels *sets[MAX_SETS];
    size_t n = runnable(sets);

    cr_expect_eq(embed_kernels_select(), sets[n - 1]);
}
