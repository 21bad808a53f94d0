#ifndef SUTRA_TESTS_SUPPORT_CONCEPTS_H
#define SUTRA_TESTS_SUPPORT_CONCEPTS_H

/**
 * Numbered concepts for tests without a model: number n and generation g always give the same
 * concept, with the same vector. Vectors lie in a few dozen clusters, so that near ones exist.
 */

#include <stddef.h>
#include <stdint.h>

#include "src/base/arena.h"
#include "sutra/v1/concept_service.pb-c.h"

enum { TEST_DIMENSION = 384 };

/** A unit vector from @seed alone. */
void test_vector(uint64_t seed, float ret[TEST_DIMENSION]);

/** "c<number>" in @arena. */
char *test_concept_id(uint64_t number, struct arena *arena);

/** The input for concept @number in its @generation-th version: content and vector differ from one
 * generation to the next. created_us is fixed, so that two clusters hold the same bytes. */
Sutra__V1__ConceptInput *test_concept(uint64_t number, unsigned generation, struct arena *arena);

/** Adds an association from @input to concept @target. */
void test_concept_associate(Sutra__V1__ConceptInput *input, uint64_t target, struct arena *arena);

/** @seed's vector as f32le. */
Sutra__V1__Embedding *test_embedding(uint64_t seed, struct arena *arena);

/** A reproducible choice: the @index-th draw of @seed, below @bound. */
uint64_t test_draw(uint64_t seed, uint64_t index, uint64_t bound);

#endif
