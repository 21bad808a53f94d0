#ifndef SUTRA_CLUSTER_METER_H
#define SUTRA_CLUSTER_METER_H

/**
 * What a process counts of its calls to shards in other processes. Outlives topologies: a shard's
 * numbers go on when a new one comes into force. Counted, since calls under way hold it; any
 * thread.
 */

#include <stdbool.h>

#include "src/base/status.h"
#include "src/ids/topology.h"
#include "src/metrics/metrics.h"

struct shard_meter {
    struct metrics_counter started;
    struct metrics_counter ended[METRICS_STATUSES];
    struct metrics_histogram duration_us;
    atomic_bool reachable; /* as the connection last was */
};

struct cluster_meter {
    _Atomic(struct shard_meter *) shards[TOPOLOGY_MAX_SHARDS]; /* NULL: never called */
    struct metrics_histogram fan_out;                          /* shards that were asked at once */
    atomic_uint refs;
};

/** One reference; NULL without memory. */
struct cluster_meter *cluster_meter_new(void);
struct cluster_meter *cluster_meter_ref(struct cluster_meter *meter);
void cluster_meter_unref(struct cluster_meter *meter); /* NULL is fine */

/** Makes room for @shard; false without memory. */
bool cluster_meter_add(struct cluster_meter *meter, uint32_t shard);

/** That of a shard there is room for. */
static inline struct shard_meter *cluster_meter_of(struct cluster_meter *meter, uint32_t shard)
{
    return atomic_load_explicit(&meter->shards[shard], memory_order_acquire);
}

static inline void shard_meter_ended(struct shard_meter *meter, enum status_code code,
                                     int64_t duration_us)
{
    metrics_count(&meter->ended[code], 1);
    metrics_observe(&meter->duration_us, (uint64_t)duration_us);
}

#endif
