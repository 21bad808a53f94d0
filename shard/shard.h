#ifndef SUTRA_SHARD_SHARD_H
#define SUTRA_SHARD_SHARD_H

/**
 * One shard: store, index, threads, and the verbs of sutra.internal.v1.ShardService over them.
 *
 *   shard_open → the cluster is made with shard_local() → shard_start → … → shard_stop →
 * shard_close
 */

#include <stdbool.h>
#include <stdint.h>

#include "shard/index.h"
#include "src/base/pool.h"
#include "src/base/status.h"
#include "src/cluster/cluster.h"
#include "src/ids/topology.h"
#include "src/metrics/metrics.h"
#include "src/rpc/server.h"
#include "src/store/store.h"

struct courier;
struct keeper;
struct trainer;

enum { SHARD_QUEUE = 4096 }; /* operations that may wait for a thread */

struct shard_options {
    const char *data;          /* folder */
    uint32_t index;            /* which shard of the topology */
    struct topology *topology; /* at the start; a reference is taken */
    unsigned threads;
    uint64_t train_threshold; /* vectors in the cluster that start the first training; 0: never */
    struct row_policy rows;
    size_t row_budget_bytes; /* of refinement rows kept in memory */
    size_t record_cache_bytes;
};

struct shard {
    struct shard_options options;
    struct pool *pool;
    struct index *index;
    struct store *store;
    struct cluster *cluster;   /* set by shard_start(); the topology in force is its */
    struct topology *topology; /* until then */
    struct courier *courier;
    struct keeper *keeper;
    struct trainer *trainer;
    int64_t started_us;
};

/** Opens data and threads. FAILED_PRECONDITION when the folder is another shard's or in use. */
enum status_code shard_open(const struct shard_options *options, struct shard **ret,
                            struct status *st);

/** The way for a cluster in this process to this shard. */
struct local_shard shard_local(struct shard *shard);

/** Announces ShardService. */
void shard_announce(struct rpc_server *server);

/** Opens it. */
void shard_serve(struct shard *shard, struct rpc_server *server);

/** Begins to deliver the outbox, to keep store and index in shape and to look after the codebook.
 * Borrows
 * @cluster until shard_stop(). */
enum status_code shard_start(struct shard *shard, struct cluster *cluster, struct status *st);

/** What it holds and does; @ctx is a started shard. */
metrics_collect_fn shard_collect;

/** After the server was shut down: ends the threads. */
void shard_stop(struct shard *shard);

/** Saves the segment and closes the store. Accepts NULL. */
void shard_close(struct shard *shard);

/** Whether the topology in force gives @slot to this shard. Any thread. */
bool shard_owns(const struct shard *shard, uint16_t slot);

#endif
