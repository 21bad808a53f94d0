/* The dense layers in bfloat16 against their definition in double precision. Skipped where the
 * machine has no AMX. */

#include "src/embed/dense.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 20261124, MAX_ROWS = 100, MAX_COLUMNS = 1536 };

/* In [-scale, scale), the same sequence in every run. */
static float next_value(float scale)
{
    static uint64_t state = SEED;

    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((float)(state >> 40) * 0x1p-23f - 1) * scale;
}

/* A number of 8 bits' precision: rounding it again changes nothing. */
static float short_value(float scale)
{
    return roundf(next_value(1) * 127) / 128 * scale;
}

static float widen(bfloat16 value)
{
    uint32_t bits = (uint32_t)value << 16;
    float ret;

    memcpy(&ret, &bits, sizeof ret);
    return ret;
}

static void *tiles(size_t n)
{
    bfloat16 *data = aligned_alloc(DENSE_BOUNDARY, n * sizeof *data);

    cr_assert_not_null(data);
    memset(data, 0, n * sizeof *data);
    return data;
}

static size_t padded(size_t n)
{
    return (n + DENSE_ROWS - 1) / DENSE_ROWS * DENSE_ROWS;
}

/* Where activations have row @i, column @k of @columns. */
static size_t place(size_t i, size_t k, size_t columns)
{
    size_t tile = i / DENSE_TILE_ROWS * (columns / DENSE_TILE_COLUMNS) + k / DENSE_TILE_COLUMNS;

    return tile * DENSE_TILE + i % DENSE_TILE_ROWS * DENSE_TILE_COLUMNS + k % DENSE_TILE_COLUMNS;
}

struct dense_case {
    struct dense_layer layer;
    size_t n;
    float *rows, *matrix, *bias;
    bfloat16 *packed, *activations;
};

static struct dense_case dense_case(size_t n, size_t n_in, size_t n_out)
{
    struct dense_case c = {
        .n = n,
        .rows = malloc(n * n_in * sizeof(float)),
        .matrix = malloc(n_out * n_in * sizeof(float)),
        .bias = malloc(n_out * sizeof(float)),
        .packed = tiles(n_in * n_out),
        .activations = tiles(padded(n) * n_in),
    };

    for (size_t i = 0; i < n * n_in; i++)
        c.rows[i] = short_value(1);
    for (size_t i = 0; i < n_out * n_in; i++)
        c.matrix[i] = short_value(0.25f);
    for (size_t i = 0; i < n_out; i++)
        c.bias[i] = next_value(2);
    dense_pack(c.matrix, n_out, n_in, c.packed);
    dense_narrow(c.rows, n, n_in, c.activations);
    c.layer = (struct dense_layer){ c.packed, c.bias, n_in, n_out };
    return c;
}

static void dense_case_free(struct dense_case *c)
{
    free(c->rows), free(c->matrix), free(c->bias), free(c->packed), free(c->activations);
}

static double exact_product(const struct dense_case *c, size_t i, size_t out)
{
    double sum = 0;

    for (size_t k = 0; k < c->layer.n_in; k++)
        sum += (double)c->rows[i * c->layer.n_in + k] * (double)c->matrix[out * c->layer.n_in + k];
    return sum;
}

static void check_product(size_t n, size_t n_in, size_t n_out)
{
    struct dense_case c = dense_case(n, n_in, n_out);
    float *ret = malloc(padded(n) * n_out * sizeof *ret);

    dense_begin();
    dense_multiply(&c.layer, c.activations, n, ret);
    dense_end();
    for (size_t i = 0; i < n; i++)
        for (size_t out = 0; out < n_out; out++) {
            double exact = exact_product(&c, i, out);
            cr_expect(fabs((double)ret[i * n_out + out] - exact) < 1e-4,
                      "%zu x %zu x %zu at %zu, %zu: %g instead of %g", n, n_in, n_out, i, out,
                      (double)ret[i * n_out + out], exact);
        }
    free(ret);
    dense_case_free(&c);
}

static void check_gelu(size_t n, size_t n_in, size_t n_out)
{
    struct dense_case c = dense_case(n, n_in, n_out);
    bfloat16 *ret = tiles(padded(n) * n_out);

    dense_begin();
    dense_multiply_gelu(&c.layer, c.activations, n, ret);
    dense_end();
    for (size_t i = 0; i < n; i++)
        for (size_t out = 0; out < n_out; out++) {
            double x = exact_product(&c, i, out) + (double)c.bias[out];
            double exact = x * 0.5 * erfc(-x * sqrt(0.5));
            double value = (double)widen(ret[place(i, out, n_out)]);
            cr_expect(fabs(value - exact) < 1.1e-4 + fabs(exact) / 256,
                      "%zu, %zu: gelu(%g) is %g instead of %g", i, out, x, value, exact);
        }
    free(ret);
    dense_case_free(&c);
}

static void require_amx(void)
{
    if (!dense_is_supported())
        cr_skip("no AMX_BF16 here");
}

Test(embed_dense, products_are_exact_but_for_rounding)
{
    static const size_t counts[] = { 1, 15, 16, 17, 31, 32, 33, 100 };

    require_amx();
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        check_product(counts[i], 32, 32);
        check_product(counts[i], 64, 96);
    }
    check_product(40, 384, 1152);
    check_product(40, 1536, 384);
}

Test(embed_dense, gelu_follows_the_product)
{
    require_amx();
    check_gelu(1, 32, 32);
    check_gelu(33, 64, 96);
    check_gelu(40, 384, 1536);
}

/* A layer of one input that counts, so that the argument of the GELU is known exactly. */
Test(embed_dense, gelu_is_exact_to_a_ten_thousandth)
{
    enum { N = 1000, SIZE = 32 };
    float *rows = calloc(N * SIZE, sizeof *rows);
    float matrix[SIZE * SIZE] = { 0 }, bias[SIZE] = { 0 };
    bfloat16 *packed = tiles(SIZE * SIZE), *activations = tiles(padded(N) * SIZE);
    bfloat16 *ret = tiles(padded(N) * SIZE);

    require_amx();
    for (size_t i = 0; i < N; i++)
        rows[i * SIZE] = -10 + 0.02f * (float)i;
    for (size_t out = 0; out < SIZE; out++)
        matrix[out * SIZE] = 1;
    dense_pack(matrix, SIZE, SIZE, packed);
    dense_narrow(rows, N, SIZE, activations);
    dense_begin();
    dense_multiply_gelu(&(struct dense_layer){ packed, bias, SIZE, SIZE }, activations, N, ret);
    dense_end();
    for (size_t i = 0; i < N; i++) {
        double x = (double)widen(activations[place(i, 0, SIZE)]);
        double exact = x * 0.5 * erfc(-x * sqrt(0.5));
        double value = (double)widen(ret[place(i, 0, SIZE)]);
        cr_expect(fabs(value - exact) < 1e-4 + fabs(exact) / 256, "gelu(%g) is %g instead of %g", x,
                  value, exact);
    }
    free(rows), free(packed), free(activations), free(ret);
}

Test(embed_dense, numbers_are_rounded_to_the_nearest)
{
    enum { SIZE = 32 };
    static const struct {
        float value, rounded;
    } cases[] = {
        { 1, 1 },
        { 1 + 0x1p-9f, 1 },           /* below the middle */
        { 1 + 0x1p-8f, 1 },           /* the middle, to the even one */
        { 1 + 0x3p-8f, 1 + 0x1p-6f }, /* the same, upwards */
        { 1 + 0x1.8p-8f, 1 + 0x1p-7f },
        { -1 - 0x1.8p-8f, -1 - 0x1p-7f },
        { INFINITY, INFINITY },
    };
    float matrix[SIZE * SIZE] = { 0 };
    bfloat16 *packed = tiles(SIZE * SIZE);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        matrix[0] = cases[i].value;
        dense_pack(matrix, SIZE, SIZE, packed);
        cr_expect_eq(widen(packed[0]), cases[i].rounded, "%a", (double)cases[i].value);
    }
    matrix[0] = NAN;
    dense_pack(matrix, SIZE, SIZE, packed);
    cr_expect(isnan(widen(packed[0])));
    free(packed);
}
