#include "src/vector/refine.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "src/vector/kernel.h"
#include "src/vector/refine_half.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows are read as they lie in memory");

enum { INT8_TOP = 127, LANES = 16 };

/* Four floats, a register of any x86-64 or AArch64; sixteen sums are four of them. Wider types
 * would be taken apart in memory where there are no such registers. */
typedef float quad __attribute__((vector_size(16)));
typedef uint32_t quad_bits __attribute__((vector_size(16)));
typedef uint16_t eight_halves __attribute__((vector_size(16)));

enum { QUADS = LANES / 4, EIGHT = 8 };

static const char *const NAMES[REFINE_FORMATS] = { "int8", "float16", "float32" };

const char *refine_format_name(enum refine_format format)
{
    assert(format < REFINE_FORMATS);
    return NAMES[format];
}

enum refine_format refine_format_parse(const char *name)
{
    enum refine_format format = 0;

    while (format < REFINE_FORMATS && strcmp(name, NAMES[format]) != 0)
        format++;
    return format;
}

/* Of values at a time, a number that the compiler knows: then it uses whole registers. */
enum { STEP = 8 };

/* Several sums, or each addition would wait for the one before; always the same ones, so that the
 * result has the same bits everywhere. */
static double sum_of_squares(const float *v, size_t d)
{
    double sums[STEP] = { 0 };
    double all = 0;
    size_t i = 0;

    for (; i + STEP <= d; i += STEP)
        for (size_t j = 0; j < STEP; j++)
            sums[j] += (double)v[i + j] * v[i + j];
    for (; i < d; i++)
        all += (double)v[i] * v[i];
    for (size_t j = 0; j < STEP; j++)
        all += sums[j];
    return all;
}

bool vector_normalise(float *v, size_t d)
{
    double squares = sum_of_squares(v, d);
    double factor;

    if (!isfinite(squares) || squares == 0)
        return false;
    factor = 1 / sqrt(squares);
    for (size_t i = 0; i + STEP <= d; i += STEP)
        for (size_t j = 0; j < STEP; j++)
            v[i + j] = (float)(v[i + j] * factor);
    for (size_t i = d - d % STEP; i < d; i++)
        v[i] = (float)(v[i] * factor);
    return true;
}

/* ---- Rows ---- */

float refine_inverse_length(const int8_t *values, size_t d)
{
    int32_t squares = vector_kernel()->dot_i8(values, values, d);

    return squares > 0 ? 1.0f / sqrtf((float)squares) : 0;
}

float refine_quantise(const float *unit, size_t d, int8_t *ret_values)
{
    float largest = vector_kernel()->largest(unit, d);
    float factor = INT8_TOP / largest;

    /* Nothing to scale by: all zero, or too small for a factor. */
    if (!isfinite(factor)) {
        memset(ret_values, 0, d);
        return 0;
    }
    vector_kernel()->to_int8(unit, d, factor, ret_values);
    return largest / INT8_TOP;
}

static float row_scale(const uint8_t *row)
{
    float scale;

    memcpy(&scale, row, sizeof scale);
    return scale;
}

static uint16_t row_half(const uint8_t *row, size_t i)
{
    uint16_t half;

    memcpy(&half, row + i * sizeof half, sizeof half);
    return half;
}

static void encode_halves(const float *unit, size_t d, uint8_t *ret_row)
{
    for (size_t i = 0; i < d; i++) {
        uint16_t half = half_from_float(unit[i]);
        memcpy(ret_row + i * sizeof half, &half, sizeof half);
    }
}

void refine_encode(enum refine_format format, const float *unit, size_t d, uint8_t *ret_row)
{
    float scale;

    switch (format) {
    case REFINE_FLOAT16:
        encode_halves(unit, d, ret_row);
        return;
    case REFINE_FLOAT32:
        memcpy(ret_row, unit, d * sizeof *unit);
        return;
    default:
        refine_quantise(unit, d, (int8_t *)ret_row + REFINE_SCALE_BYTES);
        scale = refine_inverse_length((int8_t *)ret_row + REFINE_SCALE_BYTES, d);
        memcpy(ret_row, &scale, sizeof scale);
    }
}

static void decode_int8(const uint8_t *row, size_t d, float *ret_vector)
{
    float scale = row_scale(row);

    for (size_t i = 0; i < d; i++)
        ret_vector[i] = scale * (float)(int8_t)row[REFINE_SCALE_BYTES + i];
}

static void decode_halves(const uint8_t *row, size_t d, float *ret_vector)
{
    for (size_t i = 0; i < d; i++)
        ret_vector[i] = half_to_float(row_half(row, i));
}

void refine_decode(enum refine_format format, const uint8_t *row, size_t d, float *ret_vector)
{
    if (format == REFINE_INT8)
        decode_int8(row, d, ret_vector);
    else if (format == REFINE_FLOAT16)
        decode_halves(row, d, ret_vector);
    else
        memcpy(ret_vector, row, d * sizeof *ret_vector);
}

static bool int8_valid(const uint8_t *row, size_t d)
{
    size_t impossible = 0;

    for (size_t i = 0; i < d; i++) /* -128, which has no opposite */
        impossible += row[REFINE_SCALE_BYTES + i] == 0x80;
    return impossible == 0 && isfinite(row_scale(row)) && row_scale(row) >= 0;
}

static bool halves_valid(const uint8_t *row, size_t d)
{
    size_t infinite = 0;

    for (size_t i = 0; i < d; i++)
        infinite += half_finite(row_half(row, i)) ? 0 : 1;
    return infinite == 0;
}

static bool floats_valid(const uint8_t *row, size_t d)
{
    size_t infinite = 0;

    for (size_t i = 0; i < d; i++) {
        float value;
        memcpy(&value, row + i * sizeof value, sizeof value);
        infinite += isfinite(value) ? 0 : 1;
    }
    return infinite == 0;
}

bool refine_row_valid(enum refine_format format, const uint8_t *row, size_t size, size_t d)
{
    if (size != refine_row_bytes(format, d))
        return false;
    return format == REFINE_INT8      ? int8_valid(row, d)
           : format == REFINE_FLOAT16 ? halves_valid(row, d)
                                      : floats_valid(row, d);
}

const int8_t *refine_values(enum refine_format format, const uint8_t *row, size_t d,
                            int8_t *scratch)
{
    float vector[VECTOR_MAX_DIMENSION];

    if (format == REFINE_INT8)
        return (const int8_t *)row + REFINE_SCALE_BYTES;
    refine_decode(format, row, d, vector);
    refine_quantise(vector, d, scratch);
    return scratch;
}

/* ---- Products of floats ---- */

/* half_to_float() of the lower halves of four words. */
static inline quad quad_from_halves(quad_bits bits)
{
    quad magnitudes = (quad)((bits & 0x7FFF) << 13) * 0x1p112f;

    return (quad)((quad_bits)magnitudes | (bits & 0x8000) << 16);
}

static inline void load_halves(const uint8_t *at, quad ret[2])
{
    const eight_halves zeros = { 0 };
    const eight_halves lower = { 0, 8, 1, 9, 2, 10, 3, 11 };
    const eight_halves upper = { 4, 12, 5, 13, 6, 14, 7, 15 };
    eight_halves halves;

    memcpy(&halves, at, sizeof halves);
    ret[0] = quad_from_halves((quad_bits)__builtin_shuffle(halves, zeros, lower));
    ret[1] = quad_from_halves((quad_bits)__builtin_shuffle(halves, zeros, upper));
}

/* Eight values from @i on. */
static inline void load(enum refine_format format, const uint8_t *row, size_t i, quad ret[2])
{
    const uint8_t *at = row + refine_row_bytes(format, i);

    if (format == REFINE_FLOAT16) {
        load_halves(at, ret);
        return;
    }
    memcpy(&ret[0], at, sizeof *ret); /* one by one, they need not pass through memory */
    memcpy(&ret[1], at + sizeof *ret, sizeof *ret);
}

/* The products of sixteen values from @i on. */
static inline void add_products(enum refine_format format_a, const uint8_t *a,
                                enum refine_format format_b, const uint8_t *b, size_t i,
                                quad sums[QUADS])
{
    for (size_t k = 0; k < QUADS; k += 2) {
        quad x[2], y[2];
        load(format_a, a, i + k / 2 * EIGHT, x);
        load(format_b, b, i + k / 2 * EIGHT, y);
        sums[k] += x[0] * y[0];
        sums[k + 1] += x[1] * y[1];
    }
}

/* The last d % 16 values, zeros behind them. */
static void pad(enum refine_format format, const uint8_t *row, size_t d,
                uint8_t ret_padded[LANES * sizeof(float)])
{
    size_t start = d / LANES * LANES;

    memset(ret_padded, 0, LANES * sizeof(float));
    memcpy(ret_padded, row + refine_row_bytes(format, start), refine_row_bytes(format, d - start));
}

static float add_pairwise(const quad sums[QUADS])
{
    float left[LANES];

    memcpy(left, sums, sizeof left);
    for (size_t width = LANES / 2; width > 0; width /= 2)
        for (size_t i = 0; i < width; i++)
            left[i] += left[i + width];
    return left[0];
}

/* Inlined with constants for both formats, neither of them INT8. */
__attribute__((always_inline)) static inline float float_product(enum refine_format format_a,
                                                                 const uint8_t *a,
                                                                 enum refine_format format_b,
                                                                 const uint8_t *b, size_t d)
{
    quad sums[QUADS] = { { 0 } };

    for (size_t i = 0; i + LANES <= d; i += LANES)
        add_products(format_a, a, format_b, b, i, sums);
    if (d % LANES > 0) {
        uint8_t padded_a[LANES * sizeof(float)], padded_b[LANES * sizeof(float)];
        pad(format_a, a, d, padded_a);
        pad(format_b, b, d, padded_b);
        add_products(format_a, padded_a, format_b, padded_b, 0, sums);
    }
    return add_pairwise(sums);
}

/* ---- Queries ---- */

/* The largest query value for which d products with a byte of ±128 stay within 32 bits. */
static long query_top(size_t d)
{
    long top = INT32_MAX / (128 * (long)d);

    return top < INT16_MAX ? top : INT16_MAX;
}

/* To the nearest whole number, ties to even: beside 1.5 * 2^23 a float has no room for fractions.
 */
static inline int16_t nearest(float value, float top)
{
    static const float no_fractions = 12582912;
    float whole = (value + no_fractions) - no_fractions;

    return (int16_t)(whole > top ? top : whole < -top ? -top : whole);
}

static void quantise_query(struct refine_query *query, const float *unit)
{
    const size_t d = query->dimension;
    const long top = query_top(d);
    size_t i = 0;

    query->scale = vector_kernel()->largest(unit, d) / (float)top;
    if (query->scale == 0) {
        memset(query->values, 0, d * sizeof query->values[0]);
        return;
    }
    for (; i + STEP <= d; i += STEP)
        for (size_t j = 0; j < STEP; j++)
            query->values[i + j] = nearest(unit[i + j] / query->scale, (float)top);
    for (; i < d; i++)
        query->values[i] = nearest(unit[i] / query->scale, (float)top);
}

void refine_query_init(struct refine_query *query, enum refine_format format, const float *unit,
                       size_t d)
{
    assert(d >= 1 && d <= VECTOR_MAX_DIMENSION);
    query->format = format;
    query->dimension = d;
    query->scale = 1;
    if (format == REFINE_INT8)
        quantise_query(query, unit);
    else
        memcpy(query->floats, unit, d * sizeof *unit);
}

float refine_score(const struct refine_query *query, const uint8_t *row)
{
    const uint8_t *floats = (const uint8_t *)query->floats;
    int32_t sum;

    if (query->format == REFINE_FLOAT16)
        return float_product(REFINE_FLOAT32, floats, REFINE_FLOAT16, row, query->dimension);
    if (query->format == REFINE_FLOAT32)
        return float_product(REFINE_FLOAT32, floats, REFINE_FLOAT32, row, query->dimension);
    sum = vector_kernel()->dot_i16_i8(query->values, (const int8_t *)row + REFINE_SCALE_BYTES,
                                      query->dimension);
    return (float)sum * query->scale * row_scale(row);
}

float refine_similarity(enum refine_format format, const uint8_t *a, const uint8_t *b, size_t d)
{
    int32_t sum;

    if (format == REFINE_FLOAT16)
        return float_product(REFINE_FLOAT16, a, REFINE_FLOAT16, b, d);
    if (format == REFINE_FLOAT32)
        return float_product(REFINE_FLOAT32, a, REFINE_FLOAT32, b, d);
    sum = vector_kernel()->dot_i8((const int8_t *)a + REFINE_SCALE_BYTES,
                                  (const int8_t *)b + REFINE_SCALE_BYTES, d);
    return (float)sum * (row_scale(a) * row_scale(b));
}
