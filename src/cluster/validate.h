#ifndef SUTRA_CLUSTER_VALIDATE_H
#define SUTRA_CLUSTER_VALIDATE_H

/**
 * Checks of requests, made once, where they enter the cluster. That texts are UTF-8 has been
 * checked by the rpc layer.
 *
 * Every error is INVALID_ARGUMENT (RESOURCE_EXHAUSTED where the memory of a call is used up) and
 * names field, limit and value; callers put the path of the enclosing message in front
 * (status_prefix_field).
 */

#include <stdbool.h>
#include <stddef.h>

#include "src/base/arena.h"
#include "src/base/status.h"
#include "src/base/text_view.h"
#include "src/ids/concept_id.h"
#include "sutra/v1/concept_service.pb-c.h"

/** "@field has N entries, the limit is M" if @count > @limit. */
enum status_code validate_count(const char *field, size_t count, size_t limit, struct status *st);

/** An id that must be given. */
enum status_code validate_id(const char *id, struct concept_id *ret, struct status *st);

/** The id of a concept to be written; where none is given, that of its content, in @arena. */
enum status_code validate_new_id(struct text_view id, struct text_view content, struct arena *arena,
                                 struct concept_id *ret, struct status *st);

enum status_code validate_content(size_t length, struct status *st);

/** Names the field that a refused id was in, where that is not "id". */
void validate_name_field(struct status *st, const char *field);

/** Reads either form of @embedding into a new [LIMIT_DIMENSION] array in @arena, of length 1. */
enum status_code validate_embedding(const Sutra__V1__Embedding *embedding, struct arena *arena,
                                    float **ret_unit, struct status *st);

/**
 * Checks one concept to be written and brings it into the form that is stored: its id filled in,
 * its embedding as f32le of length 1, types of associations given. Changes @input in place,
 * numbers of the embedding included; what it adds lives in @arena.
 */
enum status_code validate_input(Sutra__V1__ConceptInput *input, struct arena *arena,
                                struct concept_id *ret_id, struct status *st);

/** The association of Associate; like validate_input() for one of a concept's, but with its source.
 */
enum status_code validate_association(Sutra__V1__Association *association, struct status *st);

enum status_code validate_key(const Sutra__V1__AssociationKey *key, struct status *st);

/** How much a search is asked for, as in SearchRequest. */
struct search_size {
    uint32_t k;
    uint32_t rerank; /* 0: not given */
    uint32_t nprobe;
    float recall_target;
    bool exact;
};

/** Checks all of it; a rerank that is given is brought to at least k. */
enum status_code validate_search_size(struct search_size *size, struct status *st);

#endif
