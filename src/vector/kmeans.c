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
