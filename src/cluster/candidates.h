#ifndef SUTRA_CLUSTER_CANDIDATES_H
#define SUTRA_CLUSTER_CANDIDATES_H

/**
 * The middle of a search: every shard gives its best R candidates with both scores, the best R of
 * all by approximate score are ordered by refined score, the best k of those are the result. Both
 * orders are total (score, then id), so it does not depend on how many shards there are.
 *
 * While a codebook is being replaced, shards may answer with different ones, and while settings are
 * being spread, with different R: then all are asked once more for the newest of the answers.
 */

#include "src/cluster/cluster_internal.h"
#include "src/ids/concept_id.h"
#include "src/vector/topk.h"

struct candidates;

/* A candidate, from any shard. */
struct candidate {
    struct topk_entry order; /* score and id; the score in force */
    float approximate;
    float refined;
};

/* One query's candidates; in the end its hits. */
struct ranking {
    struct candidate *candidates;
    size_t count;
    size_t capacity;
};

typedef void candidates_done_fn(struct candidates *candidates, const struct status *st);

struct candidates {
    /* Set by the caller. Everything lives until `done`. */
    struct verb *verb;
    const float *rows; /* [n][dimension], unit length */
    size_t n;
    struct search_size size;
    const struct concept_id
        *own; /* [n]: the concept that asks, which is no answer; data NULL: none */
    struct scatter_missing *missing;
    candidates_done_fn *done;
    void *ctx;

    /* Set by candidates_run(), in the call's arena. */
    struct ranking *rankings; /* [n] */
    Sutra__V1__SearchSettings settings;
    Sutra__Internal__V1__CandidatesRequest request;
    bool asked_again;
    float expected_recall; /* as the first answer had it: the second was told what to do */
};

/** `done` comes exactly once. */
void candidates_run(struct candidates *candidates);

#endif
