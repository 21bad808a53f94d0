#include "src/vector/kmeans.h"

#include <string.h>

/* Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014. */
uint64_t kmeans_random(uint64_t *seed)
{
    uint64_t z = *seed += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint32_t squared_distance(const int8_t *a, const int8_t *b, size_t w)
{
    int32_t sum = 0;

    for (size_t k = 0; k < w; k++)
        sum += (a[k] - b[k]) * (a[k] - b[k]);
    return (uint32_t)sum;
}

/* The place in @weights where a running sum passes a random share of @total. */
static size_t draw(const uint32_t *weights, size_t n, uint64_t total, uint64_t *seed)
{
    uint64_t rest = total == 0 ? 0 : kmeans_random(seed) % total;
    size_t i = 0;

    if (total == 0) /* every point is chosen already */
        return (size_t)(kmeans_random(seed) % n);
    for (; rest >= weights[i]; i++)
        rest -= weights[i];
    return i;
}

void kmeans_seed(const int8_t *points, size_t stride, size_t n, size_t k, size_t w, uint64_t *seed,
                 uint32_t *scratch, int8_t *ret_centroids)
{
    uint64_t total = 0; /* nothing is chosen yet: all alike */

    memset(scratch, 0xFF, n * sizeof *scratch);
    for (size_t c = 0; c < k; c++) {
        int8_t *centroid = ret_centroids + c * w;
        memcpy(centroid, points + draw(scratch, n, total, seed) * stride, w);
        total = 0;
        for (size_t i = 0; i < n; i++) {
            uint32_t distance = squared_distance(points + i * stride, centroid, w);
            scratch[i] = distance < scratch[i] ? distance : scratch[i];
            total += scratch[i];
        }
    }
}

void kmeans_clear(struct kmeans *kmeans)
{
    memset(kmeans->means, 0, kmeans->k * kmeans->w * sizeof *kmeans->means);
    memset(kmeans->counts, 0, kmeans->k * sizeof *kmeans->counts);
}

static size_t largest_cluster(const struct kmeans *kmeans)
{
    size_t largest = 0;

    for (size_t c = 1; c < kmeans->k; c++)
        if (kmeans->counts[c] > kmeans->counts[largest])
            largest = c;
    return largest;
}

static void split_largest(struct kmeans *kmeans, size_t empty, float nudge)
{
    size_t largest = largest_cluster(kmeans);
    float *one = kmeans->means + largest * kmeans->w;
    float *other = kmeans->means + empty * kmeans->w;

    for (size_t k = 0; k < kmeans->w; k++) {
        float offset = k % 2 == 0 ? nudge : -nudge;
        other[k] = one[k] + offset;
        one[k] -= offset;
    }
    kmeans->counts[empty] = kmeans->counts[largest] / 2;
    kmeans->counts[largest] -= kmeans->counts[empty];
}

void kmeans_finish(struct kmeans *kmeans, float nudge)
{
    for (size_t c = 0; c < kmeans->k; c++)
        for (size_t k = 0; kmeans->counts[c] > 0 && k < kmeans->w; k++)
            kmeans->means[c * kmeans->w + k] /= (float)kmeans->counts[c];
    for (size_t c = 0; c < kmeans->k; c++)
        if (kmeans->counts[c] == 0)
            split_largest(kmeans, c, nudge);
}
