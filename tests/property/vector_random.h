#ifndef SUTRA_TESTS_PROPERTY_VECTOR_RANDOM_H
#define SUTRA_TESTS_PROPERTY_VECTOR_RANDOM_H

/** Random numbers from a seed, the same on every machine. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>

struct vector_random {
    uint64_t state;
};

static inline uint64_t vector_random_next(struct vector_random *random)
{
    uint64_t z = random->state += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline size_t vector_random_below(struct vector_random *random, size_t bound)
{
    return (size_t)(vector_random_next(random) % bound);
}

static inline float vector_random_gauss(struct vector_random *random)
{
    double u = ((double)(vector_random_next(random) >> 11) + 0.5) / 9007199254740992.0;
    double v = (double)(vector_random_next(random) >> 11) / 9007199254740992.0;

    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

#endif
