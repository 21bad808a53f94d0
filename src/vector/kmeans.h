#ifndef SUTRA_VECTOR_KMEANS_H
#define SUTRA_VECTOR_KMEANS_H

/**
 * What the k-means of a codebook's parts and that of its cells share: first centroids, sums and
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

/**
 * Chooses k of n points, lying @stride bytes apart, that are far from one another: each next one by
 * chance, in proportion to the squared distance from those already chosen (Arthur, Vassilvitskii:
 * k-means++, SODA 2007). Points may repeat when fewer than k are different. O(k * n * w).
 * @scratch [n]
 * @ret_centroids [k][w]
 */
void kmeans_seed(const int8_t *points, size_t stride, size_t n, size_t k, size_t w, uint64_t *seed,
                 uint32_t *scratch, int8_t *ret_centroids);

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
