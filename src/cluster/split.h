#ifndef SUTRA_CLUSTER_SPLIT_H
#define SUTRA_CLUSTER_SPLIT_H

/**
 * A list of ids, divided by the shards that own them.
 */

#include "src/base/arena.h"
#include "src/cluster/placement.h"
#include "src/cluster/scatter.h"

struct split_shard {
    size_t count;
    uint32_t *indexes; /* [count] into the list, ascending */
};

struct split {
    struct split_shard *shards; /* [shard_count] */
    size_t used;                /* shards with a count above 0 */
};

/** Whether there are ids and one shard owns them all: its answer is the answer. */
bool split_one_owner(const struct placement *placement, const struct concept_id *ids, size_t n,
                     uint32_t *ret_owner);

/** Divides @ids [n], of which those with an empty id (length 0) are left out. All in @arena; false
 * when it is full. */
bool split_ids(const struct placement *placement, const struct concept_id *ids, size_t n,
               struct arena *arena, struct split *ret);

/** The ids of one shard's part as NUL-terminated texts in @arena, for a request; NULL when it is
 * full. */
char **split_texts(const struct split_shard *shard, const struct concept_id *ids,
                   struct arena *arena);

/** Sets the request of one shard's part, as a message or encoded; false when memory runs out. */
typedef bool split_request_fn(void *ctx, const struct split_shard *shard,
                              struct scatter_part *part);

/** A scatter of @method to every shard that has a part; NULL without memory. */
struct scatter *split_scatter(const struct split *split, struct placement *placement,
                              struct rpc_call *parent, const char *method, split_request_fn *make,
                              void *ctx);

#endif
