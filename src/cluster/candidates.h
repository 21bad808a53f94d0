#ifndef SUTRA_CLUSTER_CANDIDATES_H
#define SUTRA_CLUSTER_CANDIDATES_H

/**
 * The middle of a search: every shard gives candidates with both scores, and ranking.h makes the
 * answer of them.
 *
 * Of the best R of all a shard holds about as many as its share of the slots, and gives only a few
 * more: to find, read and send R would be most of its work. Where that turns out to be too few,
 * all are asked once more, for R.
 *
 * While a codebook is being replaced, shards may answer with different ones, and while settings are
 * being spread, with different R: then all are asked once more for the newest of the answers.
 */

#include "src/cluster/cluster_internal.h"
#include "src/cluster/ranking.h"
#include "src/ids/concept_id.h"

struct candidates;

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
    bool settled;          /* the shards are told what to search with */
    float expected_recall; /* as they had it before: of what they are told they do not know it */
};

/** `done` comes exactly once. */
void candidates_run(struct candidates *candidates);

#endif
