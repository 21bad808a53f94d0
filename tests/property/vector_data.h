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
#include "tests/property/vector_random.h"

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
