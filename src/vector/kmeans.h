#ifndef SUTRA_VECTOR_KMEANS_H
#define SUTRA_VECTOR_KMEANS_H

/**
 * What the k-means of a codebook's parts and that of its cells share: random numbers, sums and
 * means over int8 points. Assigning points to centroids is the caller's, who has a kernel for it.
 * The same input gives the same bits. One thread; memory is the caller's.
 *
 * Letters: k centroids, n points, w dimensions.
 */

#include <stddef.h>
#include <stdint.h>

struct kmeans {
    size_t k;
    size_t w;
    float *means;     /* [k][w]; sums until kmeans_finish() */
    uint32_t *counts; /* [k], points of each centroid */
};

/** The next of a series of random numbers. */
uint64_t kmeans_random(uint64_t *seed);

/** No points yet. */
void kmeans_clear(struct kmeans *kmeans);

static inline void kmeans_add(struct kmeans *kmeans, size_t centroid, const int8_t *point,
                              float weight)
{
    float *sum = kmeans->means + centroid * kmeans->w;

    kmeans->counts[centroid]++;
    for (size_t k = 0; k < kmeans->w; k++)
        sum[k] += weight * (float)point[k];
}

/**
 * Sums become means of points; a centroid that has none takes half of the largest cluster: both
 * are set off from its mean by @nudge per dimension, in opposite directions.
 */
void kmeans_finish(struct kmeans *kmeans, float nudge);

#endif
