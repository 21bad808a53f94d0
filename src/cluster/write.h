#ifndef SUTRA_CLUSTER_WRITE_H
#define SUTRA_CLUSTER_WRITE_H

/**
 * Concepts on their way into the store, for Learn, LearnBatch, Put and Import alike, in two steps:
 * prepare (find their ids, embed what needs a vector) and commit (send to the owners, which check
 * the rest, and collect what became of each). Items that are refused do not hold up the others.
 */

#include "src/cluster/cluster_internal.h"
#include "src/cluster/split.h"
#include "src/cluster/write_wire.h"

struct write_job;

typedef void write_step_fn(struct write_job *job);

struct write_job {
    /* Set by the caller. Everything lives until the last step is done. */
    struct verb *verb;
    struct arena *arena; /* of this job alone: streams have several at work */
    struct write_request request;
    Sutra__Internal__V1__WriteMode mode;
    bool embed;  /* those without an embedding */
    bool single; /* the one item is the request's `concept` */

    /* The outcome: [request.n], each with its status where it was refused. NULL when memory ran
     * out. */
    Sutra__V1__WriteResult **results;
    /* Not OK when items were refused that nothing is wrong with: a shard or the embedder failed. */
    struct status failure;

    /* Private. */
    struct concept_id *ids; /* [request.n]; length 0: refused, not to be sent */
    size_t *unembedded;     /* [unembedded_count] items that want a vector */
    size_t unembedded_count;
    float *rows; /* [unembedded_count][dimension] */
    struct split split;
    write_step_fn *next;
};

/** Calls @next exactly once, possibly before it returns. */
void write_prepare(struct write_job *job, write_step_fn *next);

/** After write_prepare(); calls @done exactly once, possibly before it returns. */
void write_commit(struct write_job *job, write_step_fn *done);

#endif
