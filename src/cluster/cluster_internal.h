#ifndef SUTRA_CLUSTER_CLUSTER_INTERNAL_H
#define SUTRA_CLUSTER_CLUSTER_INTERNAL_H

/**
 * What the verbs of this folder share. Every verb's state lives in the arena of its call and begins
 * with a struct verb; it ends in verb_finish().
 */

#include <pthread.h>

#include "src/base/arena.h"
#include "src/cluster/cluster.h"
#include "src/cluster/scatter.h"
#include "src/cluster/validate.h"
#include "src/rpc/call.h"
#include "src/serve/limits.h"
#include "sutra/internal/v1/shard_service.pb-c.h"

struct cluster {
    struct rpc_loop *loop;
    struct embedder *embedder;
    const struct rpc_channel_options *peers;
    struct local_shard local;
    struct cluster_meter *meter;
    void (*on_placement)(void *ctx, struct placement *placement); /* may be NULL */
    void *on_placement_ctx;
    pthread_mutex_t lock; /* of placement */
    struct placement *placement;
};

/** One public call in progress. */
struct verb {
    struct cluster *cluster;
    struct rpc_call *call;
    struct placement *placement; /* referenced */
};

/** Verb state of @size bytes, zeroed, in the call's arena. On failure the call has been finished
 * and NULL comes back. */
void *verb_new(struct cluster *cluster, struct rpc_call *call, size_t size);

/** Answers the call and ends the verb's state. */
void verb_finish(struct verb *verb, const ProtobufCMessage *reply, const struct status *st);
void verb_finish_bytes(struct verb *verb, struct rpc_bytes *reply, const struct status *st);

/** Asks @shard what the call was asked, and answers as it does. The request is still encoded. */
void verb_forward(struct verb *verb, uint32_t shard, const char *method);

static inline struct arena *verb_arena(struct verb *verb)
{
    return rpc_arena(verb->call);
}

/* Handlers, one per method of the public services. */
#define CLUSTER_HANDLER(name)                                                                      \
    void name(struct rpc_call *call, const ProtobufCMessage *request, void *cluster)
CLUSTER_HANDLER(serve_learn);
CLUSTER_HANDLER(serve_learn_batch);
CLUSTER_HANDLER(serve_import);
CLUSTER_HANDLER(serve_put);
CLUSTER_HANDLER(serve_get);
CLUSTER_HANDLER(serve_delete);
CLUSTER_HANDLER(serve_associate);
CLUSTER_HANDLER(serve_dissociate);
CLUSTER_HANDLER(serve_neighbors);
CLUSTER_HANDLER(serve_reinforce);
CLUSTER_HANDLER(serve_batch_get);
CLUSTER_HANDLER(serve_list);
CLUSTER_HANDLER(serve_search);
CLUSTER_HANDLER(serve_batch_search);
CLUSTER_HANDLER(serve_distance);
CLUSTER_HANDLER(serve_stats);
CLUSTER_HANDLER(serve_get_topology);
CLUSTER_HANDLER(serve_get_limits);
CLUSTER_HANDLER(serve_train);

#endif
