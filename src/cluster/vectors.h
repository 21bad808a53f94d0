#ifndef SUTRA_CLUSTER_VECTORS_H
#define SUTRA_CLUSTER_VECTORS_H

/**
 * Stored vectors of many ids, gathered from their shards.
 */

#include "src/cluster/cluster_internal.h"
#include "src/cluster/split.h"

struct vectors;

typedef void vectors_done_fn(struct vectors *vectors, const struct status *st);

struct vectors {
    /* Set by the caller. Everything lives until `done`. */
    struct verb *verb;
    const struct concept_id *ids; /* [n] */
    size_t n;
    bool decoded; /* what the codes stand for, instead of the refinement vectors */
    vectors_done_fn *done;
    void *ctx;

    /* Set by vectors_run(), in the call's arena. */
    const float **rows; /* [n] of [dimension]; NULL: no such concept, or it has no vector */
    struct split split;
};

/** `done` comes exactly once. */
void vectors_run(struct vectors *vectors);

#endif
