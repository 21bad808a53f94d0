#ifndef SUTRA_TESTS_PROPERTY_VECTOR_DATA_H
#define SUTRA_TESTS_PROPERTY_VECTOR_DATA_H

/** Random vectors from a seed, for the tests of src/vector. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/vector/codebook.h"
#include "src/vector/refine.h"

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

/** [n][d] unit vectors in @clusters Gaussian clusters with a decaying spectrum; free() it. */
static inline float *vector_random_units(struct vector_random *random, size_t n, size_t d,
                                         size_t clusters)
{
    float *centres = calloc(clusters * d, sizeof *centres);
    float *units = calloc(n * d, sizeof *units);

    for (size_t i = 0; i < clusters * d; i++)
        centres[i] = vector_random_gauss(random) * powf((float)(i % d + 1), -0.45f);
    for (size_t i = 0; i < n; i++) {
        const float *centre = centres + vector_random_below(random, clusters) * d;
        for (size_t j = 0; j < d; j++)
            units[i * d + j] =
                centre[j] + 0.8f * vector_random_gauss(random) * powf((float)(j + 1), -0.45f);
        vector_normalise(units + i * d, d);
    }
    free(centres);
    return units;
}

/** Trained on random vectors; aborts if that fails. */
static inline struct codebook *vector_random_codebook(uint64_t seed, size_t d, uint64_t version)
{
    struct vector_random random = { seed };
    struct codebook_train_options options = { .seed = seed, .iterations = 3, .version = version };
    float *samples = vector_random_units(&random, 600, d, 20);
    struct codebook *codebook = NULL;
    struct status st = { 0 };

    if (codebook_train(samples, 600, d, &options, &codebook, &st) != STATUS_OK) {
        fprintf(stderr, "%s\n", st.message);
        abort();
    }
    free(samples);
    return codebook;
}

#endif
