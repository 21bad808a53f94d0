#ifndef SUTRA_VECTOR_KMEANS_H
#define SUTRA_VECTOR_KMEANS_H

/**
 * Lloyd's k-means for the 256 centroids of one part of a codebook. Starts from distinct random
 * points; a centroid that lost all its points takes half of the largest cluster. The same input
 * gives the same bits. One thread; memory is the caller's.
 *
 * Letters: n points >= 256, w dimensions.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kmeans {
    const float *points; /* [n][w] */
    size_t n;
    size_t w;
    float *centroids;    /* [w][256], 64-byte aligned: the result */
    float *half_norms;   /* [256], 64-byte aligned: |c|^2 / 2 */
    uint8_t *assignment; /* [n]: the centroid of each point */
    double *sums;        /* [256][w]: scratch */
    uint32_t *indices;   /* [n]: scratch */
};

/** Chooses the first centroids. Advances *@seed. */
void kmeans_start(struct kmeans *kmeans, uint64_t *seed);

/** Assigns every point to its nearest centroid. O(256 * n * w). */
void kmeans_assign(struct kmeans *kmeans);

/** Mean squared distance of the points from the centroids they are assigned to. */
double kmeans_error(const struct kmeans *kmeans);

/** Moves every centroid to the mean of its points. */
void kmeans_update(struct kmeans *kmeans);

#endif
