#include "src/vector/kmeans.h"

#include <string.h>

#include "src/vector/kernel.h"

enum { K = KERNEL_CENTROIDS };

/* Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014. */
static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void complete_norms(struct kmeans *kmeans)
{
    for (size_t c = 0; c < K; c++) {
        float norm = 0;
        for (size_t k = 0; k < kmeans->w; k++)
            norm += kmeans->centroids[k * K + c] * kmeans->centroids[k * K + c];
        kmeans->half_norms[c] = 0.5f * norm;
    }
}

void kmeans_start(struct kmeans *kmeans, uint64_t *seed)
{
    uint32_t *indices = kmeans->indices;

    for (size_t i = 0; i < kmeans->n; i++)
        indices[i] = (uint32_t)i;
    for (size_t c = 0; c < K; c++) { /* the first 256 steps of a shuffle */
        size_t other = c + (size_t)(splitmix64(seed) % (kmeans->n - c));
        uint32_t chosen = indices[other];
        indices[other] = indices[c];
        indices[c] = chosen;
        for (size_t k = 0; k < kmeans->w; k++)
            kmeans->centroids[k * K + c] = kmeans->points[chosen * kmeans->w + k];
    }
    complete_norms(kmeans);
}

static double squared_distance(const struct kmeans *kmeans, size_t i, size_t c)
{
    const float *point = kmeans->points + i * kmeans->w;
    double sum = 0;

    for (size_t k = 0; k < kmeans->w; k++) {
        double difference = (double)point[k] - kmeans->centroids[k * K + c];
        sum += difference * difference;
    }
    return sum;
}

double kmeans_error(const struct kmeans *kmeans)
{
    double error = 0;

    for (size_t i = 0; i < kmeans->n; i++)
        error += squared_distance(kmeans, i, kmeans->assignment[i]);
    return error / (double)kmeans->n;
}

void kmeans_assign(struct kmeans *kmeans)
{
    const struct vector_kernel *kernel = vector_kernel();

    for (size_t i = 0; i < kmeans->n; i++)
        kmeans->assignment[i] = kernel->nearest(kmeans->points + i * kmeans->w, kmeans->centroids,
                                                kmeans->half_norms, kmeans->w);
}

static void sum_clusters(struct kmeans *kmeans, size_t counts[K])
{
    size_t w = kmeans->w;

    memset(kmeans->sums, 0, K * w * sizeof *kmeans->sums);
    memset(counts, 0, K * sizeof *counts);
    for (size_t i = 0; i < kmeans->n; i++) {
        size_t c = kmeans->assignment[i];
        counts[c]++;
        for (size_t k = 0; k < w; k++)
            kmeans->sums[c * w + k] += kmeans->points[i * w + k];
    }
}

static size_t largest_cluster(const size_t counts[K])
{
    size_t largest = 0;

    for (size_t c = 1; c < K; c++)
        if (counts[c] > counts[largest])
            largest = c;
    return largest;
}

/* Two centroids a little to either side of the largest cluster's; its points will choose. */
static void split_largest(struct kmeans *kmeans, size_t counts[K], size_t empty)
{
    const float nudge = 1.0f / 1024;
    size_t largest = largest_cluster(counts);

    for (size_t k = 0; k < kmeans->w; k++) {
        float *row = kmeans->centroids + k * K;
        float sign = k % 2 == 0 ? nudge : -nudge;
        row[empty] = row[largest] * (1 + sign);
        row[largest] *= 1 - sign;
    }
    counts[empty] = counts[largest] / 2;
    counts[largest] -= counts[empty];
}

void kmeans_update(struct kmeans *kmeans)
{
    size_t counts[K];

    sum_clusters(kmeans, counts);
    for (size_t c = 0; c < K; c++)
        for (size_t k = 0; counts[c] > 0 && k < kmeans->w; k++)
            kmeans->centroids[k * K + c] =
                (float)(kmeans->sums[c * kmeans->w + k] / (double)counts[c]);
    for (size_t c = 0; c < K; c++)
        if (counts[c] == 0)
            split_largest(kmeans, counts, c);
    complete_norms(kmeans);
}
