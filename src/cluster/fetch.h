#ifndef SUTRA_CLUSTER_FETCH_H
#define SUTRA_CLUSTER_FETCH_H

/**
 * Stored concepts of many ids, gathered from their shards, in the order asked and still encoded.
 */

#include "src/cluster/batch_get_wire.h"
#include "src/cluster/cluster_internal.h"
#include "src/cluster/split.h"

struct fetch;

/** @fetch and its views end when this returns. */
typedef void fetch_done_fn(struct fetch *fetch, const struct status *st);

struct fetch {
    /* Set by the caller. Everything lives until `done`. */
    struct verb *verb;
    const struct concept_id *ids; /* [n] */
    size_t n;
    bool include_embedding;
    struct scatter_missing *missing;
    fetch_done_fn *done;

    /* Set by fetch_run(). */
    struct concept_record *concepts; /* [n] none: not found, or its shard is missing */
    bool *absent;                    /* [n] the owner says that there is none */
    struct split split;
};

/** @fetch lies in the call's arena. `done` comes exactly once. */
void fetch_run(struct fetch *fetch);

#endif
