#ifndef SUTRA_VECTOR_CODEBOOK_ROTATION_H
#define SUTRA_VECTOR_CODEBOOK_ROTATION_H

/**
 * The rotation of a codebook while it is learnt, in floats: first from the principal directions of
 * the samples, then turned so that what codes stand for comes closer to the samples. By OpenBLAS,
 * on one thread. @samples [n][d] throughout, @rotation [d][d]: a rotated row is sample * rotation.
 */

#include <stddef.h>
#include <stdint.h>

#include "src/base/status.h"
#include "src/vector/codebook_impl.h"

/** Principal directions, dealt out to the parts. RESOURCE_EXHAUSTED, INTERNAL (LAPACK). */
enum status_code rotation_begin(const float *samples, size_t n, size_t d, float *ret_rotation,
                                struct status *st);

/**
 * The rotation that brings the samples closest to what their @codes [n][48] stand for (Ge, He, Ke,
 * Sun: Optimized Product Quantization, CVPR 2013, §3.1.2; Schönemann: orthogonal Procrustes, 1966).
 * Errors as above.
 */
enum status_code rotation_turn(const struct codebook *codebook, const float *samples, size_t n,
                               const uint8_t *codes, float *ret_rotation, struct status *st);

/** Puts @rotation into @codebook: int8 with a factor per column. */
void rotation_quantise(const float *rotation, struct codebook *codebook);

#endif
