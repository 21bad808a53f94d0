#include "tests/support/concepts.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { CLUSTERS = 40, SEEDS_PER_GENERATION = 1000003 };

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014 (SplitMix64). */
static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

uint64_t test_draw(uint64_t seed, uint64_t index, uint64_t bound)
{
    return mix(mix(seed) + index) % bound;
}

/* In −1…1. */
static float coordinate(uint64_t seed, uint64_t index)
{
    return (float)(mix(mix(seed) ^ index) >> 40) * 0x1p-23f - 1;
}

void test_vector(uint64_t seed, float ret[TEST_DIMENSION])
{
    uint64_t centre = mix(seed) % CLUSTERS;
    double square = 0;

    for (size_t i = 0; i < TEST_DIMENSION; i++) {
        ret[i] = coordinate(centre, i) + 0.5f * coordinate(seed + CLUSTERS, i);
        square += (double)ret[i] * (double)ret[i];
    }
    for (size_t i = 0; i < TEST_DIMENSION; i++)
        ret[i] /= (float)sqrt(square);
}

static void *must(void *p)
{
    assert(p != NULL); /* the test's arena is too small */
    return p;
}

char *test_concept_id(uint64_t number, struct arena *arena)
{
    return must(arena_printf(arena, "c%llu", (unsigned long long)number));
}

Sutra__V1__Embedding *test_embedding(uint64_t seed, struct arena *arena)
{
    Sutra__V1__Embedding *embedding = must(arena_alloc(arena, sizeof *embedding));
    float *vector = must(arena_alloc(arena, TEST_DIMENSION * sizeof *vector));

    test_vector(seed, vector);
    sutra__v1__embedding__init(embedding);
    embedding->f32le.data = (uint8_t *)vector;
    embedding->f32le.len = TEST_DIMENSION * sizeof *vector;
    return embedding;
}

Sutra__V1__ConceptInput *test_concept(uint64_t number, unsigned generation, struct arena *arena)
{
    Sutra__V1__ConceptInput *input = must(arena_alloc(arena, sizeof *input));

    sutra__v1__concept_input__init(input);
    input->id = test_concept_id(number, arena);
    input->content = must(
        arena_printf(arena, "concept %llu in version %u", (unsigned long long)number, generation));
    input->embedding = test_embedding(number + (uint64_t)generation * SEEDS_PER_GENERATION, arena);
    input->created_us = 1700000000000000 + (int64_t)number;
    return input;
}

void test_concept_associate(Sutra__V1__ConceptInput *input, uint64_t target, struct arena *arena)
{
    size_t count = input->n_associations + 1;
    Sutra__V1__Association **list = must(arena_alloc(arena, count * sizeof *list));
    Sutra__V1__Association *association = must(arena_alloc(arena, sizeof *association));

    sutra__v1__association__init(association);
    association->target = test_concept_id(target, arena);
    association->type = SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_SEMANTIC;
    association->label = must(arena_strndup(arena, "test", 4));
    if (input->n_associations > 0)
        memcpy(list, input->associations, input->n_associations * sizeof *list);
    list[count - 1] = association;
    input->associations = list;
    input->n_associations = count;
}
