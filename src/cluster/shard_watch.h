#ifndef SUTRA_CLUSTER_SHARD_WATCH_H
#define SUTRA_CLUSTER_SHARD_WATCH_H

/**
 * Knows of every shard whether it takes calls, because it watches their health: "shard/3" in this
 * process's own health, and whether there is any shard to be reached, which is a part of readiness.
 *
 * One open stream per shard, over the connection that calls use too; silent while nothing changes.
 * A new topology is followed. The router has one; everything happens on the loop.
 */

#include <stdint.h>

#include "src/cluster/cluster.h"
#include "src/serve/serve.h"

struct shard_watch;

/** Nothing is within reach before the first shard says that it is; after that, and when the last
 * one has gone, out of reach only @patience_ms later: as long as calls wait for it. Borrows both.
 * Before topologies change. */
enum status_code shard_watch_start(struct cluster *cluster, struct serve *serve,
                                   int64_t patience_ms, struct shard_watch **ret,
                                   struct status *st);

/** When topologies do not change any more; returns when all streams have ended. Accepts NULL. Not
 * from the loop. */
void shard_watch_stop(struct shard_watch *watch);

#endif
