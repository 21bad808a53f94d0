#ifndef SUTRA_TESTS_PROPERTY_VECTOR_SEGMENT_MODEL_H
#define SUTRA_TESTS_PROPERTY_VECTOR_SEGMENT_MODEL_H

/**
 * What a segment should hold and answer: for each id the number of one of few vectors, so that
 * scores tie, and a search that sorts them all. One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/vector/segment.h"
#include "tests/property/vector_data.h"

enum {
    MODEL_D = 192,
    MODEL_IDS = 1500,
    MODEL_VECTORS = 40,
    MODEL_QUERIES = 37,
    MODEL_ROW = 4 * MODEL_D, /* of the longest format */
};

/** A kind of segment. */
struct model_kind {
    const char *name;
    bool coded;
    uint32_t cells;
    enum refine_format refine;
    size_t row_budget;
};

extern const struct model_kind model_kinds[];
extern const size_t model_kind_count;

struct model {
    const struct model_kind *kind;
    uint64_t seed;
    struct vector_random random;
    struct codebook *codebook; /* NULL: rows */
    float *units;              /* [VECTORS][D] */
    float *queries;            /* [QUERIES][D] */
    uint8_t rows[MODEL_VECTORS][MODEL_ROW];
    uint8_t codes[MODEL_VECTORS][CODEBOOK_CODE_BYTES];
    uint32_t cells[MODEL_VECTORS];
    int vector_of[MODEL_IDS]; /* -1: absent */
    bool has_row[MODEL_IDS];  /* was given */
    bool member[MODEL_IDS];   /* of the filter in force */
    char ids[MODEL_IDS][24];
};

struct model *model_new(uint64_t seed, const struct model_kind *kind);

void model_free(struct model *model);

struct segment_options model_options(const struct model *model);

struct segment *model_segment(const struct model *model);

struct segment_id model_id(const struct model *model, size_t id);

size_t model_count(const struct model *model);

/** Both put into the segment and noted. */
void model_put(struct model *model, struct segment *segment, size_t id, size_t vector,
               bool with_row);

/** Random puts, removals and rows brought back; @puts_of_ten of them puts. */
void model_steps(struct model *model, struct segment *segment, size_t steps, size_t puts_of_ten);

/** Asserts that a random search, with random options, kernel and filter, and the distances of
 * random pairs are as they should be. */
void model_expect_same_answers(struct model *model, struct segment *segment);

/** The answer to one query, expected; @ret [MODEL_IDS]. Ids are the model's. */
size_t model_search(const struct model *model, struct segment *segment, const float *unit,
                    const struct segment_search *options, struct segment_hit *ret);

/** Asserts that they are equal in all bits. */
void model_expect_hits(const struct model *model, const struct segment_hits *hits,
                       const struct segment_hit *expected, size_t count);

#endif
