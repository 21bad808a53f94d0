#ifndef SUTRA_VECTOR_REFINE_H
#define SUTRA_VECTOR_REFINE_H

/**
 * The refinement vector: a unit vector kept more finely than its code, to score the best candidates
 * of a scan nearly exactly, or everything while there is no codebook yet. Which format is an option
 * of the cluster.
 *
 *   format    bytes     row, little-endian, no alignment needed
 *   INT8      4 + d     float32 scale, int8 value[d]: x[i] = scale * value[i], |value| <= 127,
 *                       scale finite, >= 0; as written here, such that x has length 1
 *   FLOAT16   2 d       IEEE 754 binary16 value[d], finite
 *   FLOAT32   4 d       float32 value[d], finite
 *
 * The product of a query and an INT8 row is summed in integers; of the others in sixteen float sums
 * (element i goes to sum i % 16, multiplied, then added, without fusing), added up pairwise: so a
 * score has the same bits on every kernel and every machine. Plain functions over the caller's
 * memory; any number of threads. Letters: d dimensions, 1 to VECTOR_MAX_DIMENSION.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VECTOR_MAX_DIMENSION = 4096, REFINE_SCALE_BYTES = 4 };

enum refine_format { REFINE_INT8, REFINE_FLOAT16, REFINE_FLOAT32, REFINE_FORMATS };

/** "int8", "float16", "float32". */
const char *refine_format_name(enum refine_format format);

/** REFINE_FORMATS when @name is none of them. */
enum refine_format refine_format_parse(const char *name);

static inline size_t refine_row_bytes(enum refine_format format, size_t d)
{
    return format == REFINE_INT8      ? REFINE_SCALE_BYTES + d
           : format == REFINE_FLOAT16 ? 2 * d
                                      : 4 * d;
}

/** Scales @v to length 1, in place. False, and @v untouched, if it is all zero or not finite. */
bool vector_normalise(float *v, size_t d);

/** @unit [d], finite; normalised by the caller. Writes refine_row_bytes(). INT8: values are
 * rounded to a 127th of the greatest. */
void refine_encode(enum refine_format format, const float *unit, size_t d, uint8_t *ret_row);

/** Writes [d] floats, not normalised again. */
void refine_decode(enum refine_format format, const uint8_t *row, size_t d, float *ret_vector);

/** Whether @size foreign bytes are a row of @d dimensions with nothing but possible values. */
bool refine_row_valid(enum refine_format format, const uint8_t *row, size_t size, size_t d);

/** One over the length of a row of int8 values; 0 for the zero row. */
float refine_inverse_length(const int8_t *values, size_t d);

/** The values of an INT8 row for @unit [d], finite; returns what 1 stands for in them. */
float refine_quantise(const float *unit, size_t d, int8_t *ret_values);

/**
 * The int8 values that codes and cells are made from: of an INT8 row its own, without a copy; of
 * another format those that refine_encode(REFINE_INT8) would give for it, in @scratch [d].
 */
const int8_t *refine_values(enum refine_format format, const uint8_t *row, size_t d,
                            int8_t *scratch);

/**
 * A query prepared for many rows. Caller's storage (24 KiB); nothing to release.
 */
struct refine_query {
    enum refine_format format;
    size_t dimension;
    float scale;
    int16_t values[VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
    float floats[VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
};

/** @unit [d], finite. For INT8 quantised as finely as a 32-bit sum allows: 16 bits up to d = 512.
 */
void refine_query_init(struct refine_query *query, enum refine_format format, const float *unit,
                       size_t d);

/** Cosine, up to rounding (so 1.0003 may happen), between @query and a valid row of the same d. */
float refine_score(const struct refine_query *query, const uint8_t *row);

/** Cosine between two valid rows of one format: symmetric, bit for bit. */
float refine_similarity(enum refine_format format, const uint8_t *a, const uint8_t *b, size_t d);

#endif
