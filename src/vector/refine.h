#ifndef SUTRA_VECTOR_REFINE_H
#define SUTRA_VECTOR_REFINE_H

/**
 * The refinement vector: a unit vector in one signed byte per dimension, to score the best
 * candidates of a scan nearly exactly, or everything while there is no codebook yet.
 *
 *   row, refine_row_bytes(d) = 4 + d bytes, little-endian, no alignment needed
 *   +------------------+---------------------------------+
 *   | float32 scale    | int8 value[d]                   |   x[i] = scale * value[i]
 *   +------------------+---------------------------------+
 *
 * scale is finite and >= 0. The product of a query and a row is summed in integers, so a score has
 * the same bits on every kernel and every machine. Plain functions over the caller's memory; any
 * number of threads. Letters: d dimensions, 1 to VECTOR_MAX_DIMENSION.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VECTOR_MAX_DIMENSION = 4096, REFINE_SCALE_BYTES = 4 };

static inline size_t refine_row_bytes(size_t d)
{
    return REFINE_SCALE_BYTES + d;
}

/** Scales @v to length 1, in place. False, and @v untouched, if it is all zero or not finite. */
bool vector_normalise(float *v, size_t d);

/** @unit [d], finite; normalised by the caller. Writes refine_row_bytes(d). |error| <= scale / 2
 * per value. */
void refine_encode(const float *unit, size_t d, uint8_t *ret_row);

/** Writes [d] floats, not normalised again. */
void refine_decode(const uint8_t *row, size_t d, float *ret_vector);

/** Whether @size foreign bytes are a row of @d dimensions with a finite scale >= 0. */
bool refine_row_valid(const uint8_t *row, size_t size, size_t d);

/**
 * A query prepared for many rows. Caller's storage (8 KiB); nothing to release.
 */
struct refine_query {
    size_t dimension;
    float scale;
    int16_t values[VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
};

/** @unit [d], finite. Quantised as finely as a 32-bit sum allows: 16 bits up to d = 512. */
void refine_query_init(struct refine_query *query, const float *unit, size_t d);

/** Cosine, up to rounding (so 1.0003 may happen), between @query and a valid row of the same d. */
float refine_score(const struct refine_query *query, const uint8_t *row);

#endif
