#include "src/vector/refine.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "src/vector/kernel.h"
#include "src/vector/refine_half.h"
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
    const float scale = 1.0f / sqrtf(64 * 64 + 127 * 127 + 32 * 32);
    uint8_t row[8];

    refine_encode(REFINE_INT8, unit, 4, row);
    cr_assert(memcmp(row, &scale, 4) == 0);
    cr_assert_eq((int8_t)row[4], 64); /* 63.5, to even */
    cr_assert_eq((int8_t)row[5], -127);
    cr_assert_eq((int8_t)row[6], 0);
    cr_assert_eq((int8_t)row[7], 32);
}

static float largest_of(const float *v, size_t d)
{
    float largest = 0;

    for (size_t i = 0; i < d; i++)
        largest = fmaxf(largest, fabsf(v[i]));
    return largest;
}

Test(vector_refine, int8_values_are_within_half_a_step)
{
    enum { D = 384, N = 100 };
    struct vector_random random = { 1 };
    float *units = vector_random_units(&random, N, D, 10);
    uint8_t row[4 + D];

    for (size_t i = 0; i < N; i++) {
        float step = largest_of(units + i * D, D) / 127;
        refine_encode(REFINE_INT8, units + i * D, D, row);
        for (size_t j = 0; j < D; j++)
            cr_assert_leq(fabsf((float)(int8_t)row[4 + j] * step - units[i * D + j]),
                          step * 0.5001f);
    }
    free(units);
}

Test(vector_refine, an_int8_row_has_length_one)
{
    enum { D = 384, N = 100 };
    struct vector_random random = { 2 };
    float *units = vector_random_units(&random, N, D, 10);
    float decoded[D];
    uint8_t row[4 + D];

    for (size_t i = 0; i < N; i++) {
        double squares = 0;
        refine_encode(REFINE_INT8, units + i * D, D, row);
        refine_decode(REFINE_INT8, row, D, decoded);
        for (size_t j = 0; j < D; j++)
            squares += (double)decoded[j] * decoded[j];
        cr_assert_float_eq(squares, 1, 1e-6);
        cr_assert_float_eq(refine_similarity(REFINE_INT8, row, row, D), 1, 1e-6);
    }
    free(units);
}

static const enum refine_format formats[] = { REFINE_INT8, REFINE_FLOAT16, REFINE_FLOAT32 };

Test(vector_refine, formats_have_names)
{
    for (size_t f = 0; f < REFINE_FORMATS; f++)
        cr_assert_eq(refine_format_parse(refine_format_name(formats[f])), formats[f]);
    cr_assert_eq(refine_format_parse("bfloat16"), REFINE_FORMATS);
    cr_assert_eq(refine_format_parse(""), REFINE_FORMATS);
}

/* ---- Halves ---- */

Test(vector_refine, every_half_comes_back_from_its_float)
{
    for (uint32_t half = 0; half < 0x10000; half++)
        if (half_finite((uint16_t)half))
            cr_assert_eq(half_from_float(half_to_float((uint16_t)half)), half, "%x", half);
}

Test(vector_refine, a_float_becomes_the_nearest_half_of_two_the_even_one)
{
    for (uint32_t half = 0; half < 0x7BFF; half++) {
        float below = half_to_float((uint16_t)half);
        float above = half_to_float((uint16_t)(half + 1));
        float middle = (below + above) / 2;
        cr_assert_lt(below, above);
        cr_assert_eq(half_from_float(middle), half % 2 == 0 ? half : half + 1, "%x", half);
        cr_assert_eq(half_from_float(nextafterf(middle, 0)), half, "%x", half);
        cr_assert_eq(half_from_float(nextafterf(middle, 1e9f)), half + 1, "%x", half);
    }
}

Test(vector_refine, halves_have_the_values_of_the_standard)
{
    cr_assert_eq(half_to_float(0x3C00), 1.0f);
    cr_assert_eq(half_to_float(0xC000), -2.0f);
    cr_assert_eq(half_to_float(0x7BFF), 65504.0f);
    cr_assert_eq(half_to_float(0x0001), 0x1p-24f);
    cr_assert_eq(half_from_float(-0.0f), 0x8000);
    cr_assert_eq(half_from_float(65519.0f), 0x7BFF);
    cr_assert_eq(half_from_float(65520.0f), 0x7C00);
    cr_assert_eq(half_from_float(-INFINITY), 0xFC00);
    cr_assert_eq(half_from_float(1e-45f), 0);
}

/* ---- Rows of any format ---- */

static void check_scores(enum refine_format format, size_t d, double tolerance)
{
    static struct refine_query query;
    struct vector_random random = { d };
    float *units = vector_random_units(&random, 40, d, 4);
    uint8_t *row = malloc(refine_row_bytes(format, d));
    uint8_t *other = malloc(refine_row_bytes(format, d));

    for (size_t i = 0; i < 20; i++) {
        double exact = 0;
        for (size_t j = 0; j < d; j++)
            exact += (double)units[i * d + j] * units[(i + 20) * d + j];
        refine_query_init(&query, format, units + i * d, d);
        refine_encode(format, units + (i + 20) * d, d, row);
        refine_encode(format, units + i * d, d, other);
        cr_assert(refine_row_valid(format, row, refine_row_bytes(format, d), d));
        cr_assert_float_eq(refine_score(&query, row), exact, tolerance, "d %zu: %f, not %f", d,
                           refine_score(&query, row), exact);
        cr_assert_float_eq(refine_similarity(format, row, other, d), exact, 2 * tolerance);
        cr_assert_eq(refine_similarity(format, row, other, d),
                     refine_similarity(format, other, row, d));
    }
    free(row);
    free(other);
    free(units);
}

Test(vector_refine, scores_are_cosines_at_any_dimension)
{
    static const size_t dimensions[] = { 48, 50, 384, 1000, VECTOR_MAX_DIMENSION };

    check_scores(REFINE_INT8, 1, 1e-4);
    check_scores(REFINE_FLOAT16, 1, 1e-6);
    check_scores(REFINE_FLOAT32, 1, 1e-6);
    for (size_t i = 0; i < 5; i++) {
        check_scores(REFINE_INT8, dimensions[i], 0.006);
        check_scores(REFINE_FLOAT16, dimensions[i], 3e-4);
        check_scores(REFINE_FLOAT32, dimensions[i], 1e-6);
    }
}

/* Sixteen sums, added up pairwise, as the header says. */
static float documented_product(const float *a, const float *b, size_t d)
{
    volatile float sums[16] = { 0 };

    for (size_t i = 0; i < d; i++) {
        volatile float product = a[i] * b[i];
        sums[i % 16] = sums[i % 16] + product;
    }
    for (size_t width = 8; width > 0; width /= 2)
        for (size_t i = 0; i < width; i++)
            sums[i] = sums[i] + sums[i + width];
    return sums[0];
}

Test(vector_refine, float_scores_are_summed_in_the_documented_order)
{
    static struct refine_query query;
    struct vector_random random = { 5 };

    for (size_t d = 1; d <= 400; d += 19) {
        float *units = vector_random_units(&random, 2, d, 1);
        uint8_t row[4 * 400];
        float decoded[400];
        for (size_t f = 1; f < REFINE_FORMATS; f++) {
            refine_encode(formats[f], units + d, d, row);
            refine_decode(formats[f], row, d, decoded);
            refine_query_init(&query, formats[f], units, d);
            cr_assert_eq(refine_score(&query, row), documented_product(units, decoded, d));
        }
        free(units);
    }
}

Test(vector_refine, values_of_a_row_are_those_of_its_int8_row)
{
    enum { D = 384 };
    struct vector_random random = { 6 };
    float *unit = vector_random_units(&random, 1, D, 1);
    uint8_t row[4 * D], int8_row[4 + D];
    int8_t scratch[D];

    refine_encode(REFINE_INT8, unit, D, int8_row);
    cr_assert_eq(refine_values(REFINE_INT8, int8_row, D, scratch), (const int8_t *)int8_row + 4);
    for (size_t f = 1; f < REFINE_FORMATS; f++) {
        float decoded[D];
        refine_encode(formats[f], unit, D, row);
        refine_decode(formats[f], row, D, decoded);
        refine_encode(REFINE_INT8, decoded, D, int8_row);
        cr_assert_eq(refine_values(formats[f], row, D, scratch), scratch);
        cr_assert(memcmp(scratch, int8_row + 4, D) == 0);
    }
    free(unit);
}

Test(vector_refine, extreme_rows_do_not_overflow)
{
    static struct refine_query query;
    static float unit[VECTOR_MAX_DIMENSION];
    static uint8_t row[4 + VECTOR_MAX_DIMENSION];
    const float scale = 1;

    for (size_t i = 0; i < VECTOR_MAX_DIMENSION; i++)
        unit[i] = 1;
    memset(row, 0x81, sizeof row);
    memcpy(row, &scale, sizeof scale);
    refine_query_init(&query, REFINE_INT8, unit, VECTOR_MAX_DIMENSION);
    cr_assert_float_eq(refine_score(&query, row), -127.0 * VECTOR_MAX_DIMENSION, 1);
    cr_assert_eq(refine_similarity(REFINE_INT8, row, row, VECTOR_MAX_DIMENSION),
                 127.0f * 127 * VECTOR_MAX_DIMENSION);
}

Test(vector_refine, the_zero_vector_scores_zero)
{
    static struct refine_query query;
    const float zeros[48] = { 0 };
    uint8_t row[4 * 48];

    for (size_t f = 0; f < REFINE_FORMATS; f++) {
        refine_query_init(&query, formats[f], zeros, 48);
        refine_encode(formats[f], zeros, 48, row);
        cr_assert_eq(refine_score(&query, row), 0);
        cr_assert(refine_row_valid(formats[f], row, refine_row_bytes(formats[f], 48), 48));
    }
}

Test(vector_refine, int8_rows_of_wrong_size_scale_or_value_are_invalid)
{
    static const float bad[] = { NAN, INFINITY, -1 };
    uint8_t row[52] = { 0 };

    cr_assert(refine_row_valid(REFINE_INT8, row, 52, 48));
    cr_assert_not(refine_row_valid(REFINE_INT8, row, 51, 48));
    cr_assert_not(refine_row_valid(REFINE_INT8, row, 0, 48));
    for (size_t i = 0; i < 3; i++) {
        memcpy(row, &bad[i], 4);
        cr_assert_not(refine_row_valid(REFINE_INT8, row, 52, 48));
    }
    memset(row, 0, sizeof row);
    row[51] = 0x80;
    cr_assert_not(refine_row_valid(REFINE_INT8, row, 52, 48));
}

Test(vector_refine, float_rows_of_wrong_size_or_value_are_invalid)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    static const uint16_t bad_halves[] = { 0x7E00, 0x7C00, 0xFC00 };
    uint8_t row[4 * 48] = { 0 };

    cr_assert_not(refine_row_valid(REFINE_FLOAT16, row, 95, 48));
    cr_assert_not(refine_row_valid(REFINE_FLOAT32, row, 193, 48));
    for (size_t i = 0; i < 3; i++) {
        memcpy(row + 94, &bad_halves[i], 2);
        cr_assert_not(refine_row_valid(REFINE_FLOAT16, row, 96, 48));
        memcpy(row + 188, &bad[i], 4);
        cr_assert_not(refine_row_valid(REFINE_FLOAT32, row, 192, 48));
    }
}
