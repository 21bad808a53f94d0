#ifndef SUTRA_VECTOR_CODEBOOK_IMPL_H
#define SUTRA_VECTOR_CODEBOOK_IMPL_H

/** What the files of the codebook share; nobody else includes this. */

#include "src/vector/codebook.h"

#include <stdatomic.h>

struct codebook {
    atomic_size_t references;
    struct codebook_info info;
    size_t part_width; /* w = d / 48 */
    float *rotation;   /* [d][d]; this and the others 64-byte aligned, in one block from here */
    float *centroids;  /* [48][w][256] */
    float *half_norms; /* [48][256], |c|^2 / 2 */
    float *penalties;  /* [48][256], CODEBOOK_BETA * |c|^2 */
};

/**
 * A code stands for a vector shorter than its own, and the more it lost, the more q.c is in doubt.
 * Taking beta * |c|^2 off favours what is near over what is merely long: 0.5 would order by
 * distance, 0 by product. Measured optimum for recall, flat between 0.35 and 0.5.
 */
#define CODEBOOK_BETA 0.4f

bool codebook_dimension_valid(size_t d);

/** Rotation and centroids to be filled, then codebook_complete(). NULL without memory. */
struct codebook *codebook_new(size_t d);

/** Derives the norms from the centroids. */
void codebook_complete(struct codebook *codebook);

static inline float *codebook_part(const struct codebook *codebook, size_t part)
{
    return codebook->centroids + part * codebook->part_width * CODEBOOK_CENTROIDS;
}

#endif
