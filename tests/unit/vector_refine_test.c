#include "src/vector/refine.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "tests/property/vector_data.h"

Test(vector_refine, normalises_to_length_one)
{
    float v[3] = { 3e18f, 0, -4e18f };

    cr_assert(vector_normalise(v, 3));
    cr_assert_float_eq(v[0], 0.6, 1e-6);
    cr_assert_float_eq(v[2], -0.8, 1e-6);
}

Test(vector_refine, refuses_to_normalise_what_has_no_direction)
{
    float none[2] = { 0, 0 };
    float not_a_number[2] = { 1, NAN };
    float infinite[2] = { 1, INFINITY };

    cr_assert_not(vector_normalise(none, 2));
    cr_assert_not(vector_normalise(not_a_number, 2));
    cr_assert_not(vector_normalise(infinite, 2));
    cr_assert_eq(infinite[0], 1);
}

Test(vector_refine, a_row_has_the_documented_bytes)
{
    const float unit[4] = { 0.5f, -1.0f, 0.0f, 0.25f };
    const float scale = 1.0f / 127;
    uint8_t row[8];

    refine_encode(unit, 4, row);
    cr_assert(memcmp(row, &scale, 4) == 0);
    cr_assert_eq((int8_t)row[4], 64); /* 63.5, to even */
    cr_assert_eq((int8_t)row[5], -127);
    cr_assert_eq((int8_t)row[6], 0);
    cr_assert_eq((int8_t)row[7], 32);
}

Test(vector_refine, decodes_within_half_a_step)
{
    enum { D = 384, N = 100 };
    struct vector_random random = { 1 };
    float *units = vector_random_units(&random, N, D, 10);
    float decoded[D];
    uint8_t row[4 + D];

    for (size_t i = 0; i < N; i++) {
        float scale;
        refine_encode(units + i * D, D, row);
        refine_decode(row, D, decoded);
        memcpy(&scale, row, 4);
        for (size_t j = 0; j < D; j++)
            cr_assert_leq(fabsf(decoded[j] - units[i * D + j]), scale * 0.5001f);
    }
    free(units);
}

static void check_scores(size_t d, double tolerance)
{
    static struct refine_query query;
    struct vector_random random = { d };
    float *units = vector_random_units(&random, 40, d, 4);
    uint8_t *row = malloc(refine_row_bytes(d));

    for (size_t i = 0; i < 20; i++) {
        double exact = 0;
        for (size_t j = 0; j < d; j++)
            exact += (double)units[i * d + j] * units[(i + 20) * d + j];
        refine_query_init(&query, units + i * d, d);
        refine_encode(units + (i + 20) * d, d, row);
        cr_assert_float_eq(refine_score(&query, row), exact, tolerance, "d %zu: %f, not %f", d,
                           refine_score(&query, row), exact);
    }
    free(row);
    free(units);
}

Test(vector_refine, scores_are_cosines_at_any_dimension)
{
    check_scores(1, 1e-4);
    check_scores(48, 0.006);
    check_scores(384, 0.006);
    check_scores(1000, 0.006);
    check_scores(VECTOR_MAX_DIMENSION, 0.006);
}

Test(vector_refine, extreme_rows_do_not_overflow)
{
    static struct refine_query query;
    static float unit[VECTOR_MAX_DIMENSION];
    static uint8_t row[4 + VECTOR_MAX_DIMENSION];
    const float scale = 1;

    for (size_t i = 0; i < VECTOR_MAX_DIMENSION; i++)
        unit[i] = 1;
    memset(row, 0x80, sizeof row);
    memcpy(row, &scale, sizeof scale);
    refine_query_init(&query, unit, VECTOR_MAX_DIMENSION);
    cr_assert_float_eq(refine_score(&query, row), -128.0 * VECTOR_MAX_DIMENSION, 1);
}

Test(vector_refine, the_zero_vector_scores_zero)
{
    static struct refine_query query;
    const float zeros[48] = { 0 };
    uint8_t row[52];

    refine_query_init(&query, zeros, 48);
    refine_encode(zeros, 48, row);
    cr_assert_eq(refine_score(&query, row), 0);
    cr_assert(refine_row_valid(row, sizeof row, 48));
}

Test(vector_refine, rows_of_wrong_size_or_scale_are_invalid)
{
    static const float bad[] = { NAN, INFINITY, -1 };
    uint8_t row[52] = { 0 };

    cr_assert_not(refine_row_valid(row, 51, 48));
    cr_assert_not(refine_row_valid(row, 0, 48));
    for (size_t i = 0; i < 3; i++) {
        memcpy(row, &bad[i], 4);
        cr_assert_not(refine_row_valid(row, 52, 48));
    }
}
