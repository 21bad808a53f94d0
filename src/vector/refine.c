#include "src/vector/refine.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "src/vector/kernel.h"

enum { INT8_TOP = 127 };

bool vector_normalise(float *v, size_t d)
{
    double squares = 0;
    double factor;

    for (size_t i = 0; i < d; i++)
        squares += (double)v[i] * v[i];
    if (!isfinite(squares) || squares == 0)
        return false;
    factor = 1 / sqrt(squares);
    for (size_t i = 0; i < d; i++)
        v[i] = (float)(v[i] * factor);
    return true;
}

static float largest_magnitude(const float *v, size_t d)
{
    float largest = 0;

    for (size_t i = 0; i < d; i++)
        largest = fmaxf(largest, fabsf(v[i]));
    return largest;
}

/* The nearest integer to x / scale, within ±top. */
static long quantise(float x, float scale, long top)
{
    long value = scale > 0 ? lrintf(x / scale) : 0;

    return value > top ? top : value < -top ? -top : value;
}

static float row_scale(const uint8_t *row)
{
    float scale;

    memcpy(&scale, row, sizeof scale);
    return scale;
}

void refine_encode(const float *unit, size_t d, uint8_t *ret_row)
{
    float scale = largest_magnitude(unit, d) / INT8_TOP;

    memcpy(ret_row, &scale, sizeof scale);
    for (size_t i = 0; i < d; i++)
        ret_row[REFINE_SCALE_BYTES + i] = (uint8_t)quantise(unit[i], scale, INT8_TOP);
}

void refine_decode(const uint8_t *row, size_t d, float *ret_vector)
{
    float scale = row_scale(row);

    for (size_t i = 0; i < d; i++)
        ret_vector[i] = scale * (float)(int8_t)row[REFINE_SCALE_BYTES + i];
}

bool refine_row_valid(const uint8_t *row, size_t size, size_t d)
{
    return size == refine_row_bytes(d) && isfinite(row_scale(row)) && row_scale(row) >= 0;
}

/* The largest query value for which d products with a byte of ±128 stay within 32 bits. */
static long query_top(size_t d)
{
    long top = INT32_MAX / (128 * (long)d);

    return top < INT16_MAX ? top : INT16_MAX;
}

void refine_query_init(struct refine_query *query, const float *unit, size_t d)
{
    long top;

    assert(d >= 1 && d <= VECTOR_MAX_DIMENSION);
    top = query_top(d);
    query->dimension = d;
    query->scale = largest_magnitude(unit, d) / (float)top;
    for (size_t i = 0; i < d; i++)
        query->values[i] = (int16_t)quantise(unit[i], query->scale, top);
}

float refine_score(const struct refine_query *query, const uint8_t *row)
{
    int32_t sum = vector_kernel()->dot_i16_i8(
        query->values, (const int8_t *)row + REFINE_SCALE_BYTES, query->dimension);

    return (float)sum * query->scale * row_scale(row);
}
