#ifndef SUTRA_CLUSTER_CLUSTER_H
#define SUTRA_CLUSTER_CLUSTER_H

/**
 * The public verbs over any set of shards: validate, turn text into vectors, split by slot, ask the
 * shards, merge.
 *
 * A router is this library over remote shards; a shard is the same library over itself and its
 * peers. So a client cannot tell them apart, and each verb exists once. It holds no state but the
 * topology.
 *
 * Threads: handlers run on the loop and never block; what follows an answer runs where the answer
 * arrived (the loop, a shard's pool, an embedder's thread). One call is worked on by one thread at
 * a time.
 */

#include <stdint.h>

#include "src/base/status.h"
#include "src/cluster/placement.h"
#include "src/ids/topology.h"
#include "src/metrics/metrics.h"
#include "src/rpc/loop.h"
#include "src/rpc/server.h"
#include "src/serve/embedder.h"

struct cluster;

struct cluster_options {
    struct rpc_loop *loop;
    struct topology *topology;
    struct embedder *embedder;
    const struct rpc_channel_options *peers; /* how to connect to shards; NULL: as by default */
    struct local_shard local;                /* {0} on a router */
};

/** Borrows loop, embedder, peers and the local shard, takes a reference to the topology. */
enum status_code cluster_new(const struct cluster_options *options, struct cluster **ret,
                             struct status *st);

/** After its server was shut down. Accepts NULL. */
void cluster_free(struct cluster *cluster);

/** Announces ConceptService and AdminService. */
void cluster_announce(struct rpc_server *server);

/** Opens them. */
void cluster_serve(struct cluster *cluster, struct rpc_server *server);

/** What it knows of the shards in other processes; @ctx is a cluster. */
metrics_collect_fn cluster_collect;

/** From now on calls see @topology (a reference is taken); FAILED_PRECONDITION unless its epoch is
 * greater than the one in force. Any thread. */
enum status_code cluster_set_topology(struct cluster *cluster, struct topology *topology,
                                      struct status *st);

/** fn(ctx, placement) after every change of topology, on its thread; NULL: no longer. Not while one
 * changes. @placement is borrowed. */
void cluster_on_placement(struct cluster *cluster,
                          void (*fn)(void *ctx, struct placement *placement), void *ctx);

/** The placement in force, referenced. Any thread. */
struct placement *cluster_placement(struct cluster *cluster);

#endif
