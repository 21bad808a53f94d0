#ifndef SUTRA_CLUSTER_TOPOLOGY_WATCH_H
#define SUTRA_CLUSTER_TOPOLOGY_WATCH_H

/**
 * Reloads a topology file when it changes (looked at once a second). A file that cannot be used, or
 * whose epoch is not greater, is logged and leaves the one in force alone.
 */

#include "src/cluster/cluster.h"

struct topology_watch;

/** @path is copied; @cluster is borrowed. */
enum status_code topology_watch_start(const char *path, struct cluster *cluster,
                                      struct topology_watch **ret, struct status *st);

/** Returns when the thread has ended. Accepts NULL. */
void topology_watch_stop(struct topology_watch *watch);

/** The topology that the options of a server name: a file, a list of addresses, or (both "") one
 * shard alone at
 * @address. INVALID_ARGUMENT if both are given. */
enum status_code topology_from_options(const char *file, const char *shards, const char *address,
                                       struct topology **ret, struct status *st);

#endif
