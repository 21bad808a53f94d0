#ifndef SUTRA_CLUSTER_VECTORS_H
#define SUTRA_CLUSTER_VECTORS_H

/**
 * Stored vectors of many ids, gathered from their shards.
 */

#include "src/cluster/cluster_internal.h"
#include "src/cluster/split.h"
#include "src/vector/refine.h"

struct vectors;

typedef void vectors_done_fn(struct vectors *vectors, const struct status *st);

struct vectors {
    /* Set by the caller. Everything lives until `done`. */
    struct verb *verb;
    const struct concept_id *ids; /* [n] */
    size_t n;
    bool decoded; /* what the codes stand for, instead of the refinement rows */
    vectors_done_fn *done;
    void *ctx;

    /* Set by vectors_run(), in the call's arena. */
    const uint8_t **rows; /* [n], any alignment; NULL: no such concept, or it has no vector */
    enum refine_format format;
    uint64_t codebook_version; /* of decoded rows; 0: not yet known */
    struct split split;
};

/** `done` comes exactly once. UNAVAILABLE (reason CODEBOOK_CHANGES) for decoded rows while shards
 * go over to another codebook. */
void vectors_run(struct vectors *vectors);

/** The unit vector that refinement row @i stands for, [dimension]. */
void vectors_decode(const struct vectors *vectors, size_t i, float *ret_unit);

/** Cosine of rows @i and @j, in the same bits wherever it is taken; NAN if one is not there. */
float vectors_similarity(const struct vectors *vectors, size_t i, size_t j);

#endif
