#ifndef SUTRA_CLUSTER_PLACEMENT_H
#define SUTRA_CLUSTER_PLACEMENT_H

/**
 * A topology with a way to every shard: a channel, or the shard in this process. Immutable and
 * reference-counted; a call holds one from its first look at the topology to its end, so that it
 * sees one epoch throughout.
 */

#include "src/cluster/meter.h"
#include "src/ids/topology.h"
#include "src/rpc/client.h"
#include "src/rpc/loop.h"

/** What a shard is asked: a method of sutra.internal.v1.ShardService. */
struct shard_request {
    const char *method;
    /* One of the two. @message must live until the call is done; @bytes is taken. */
    const ProtobufCMessage *message;
    struct rpc_bytes *bytes;
    struct rpc_call *parent; /* may be NULL; not finished before the call is done */
    int64_t deadline_us;     /* clock_monotonic_us(), for another process; 0: the parent's alone */
    bool impatient;          /* rather without this shard than late */
};

/** The shard in this process, if there is one. */
struct local_shard {
    uint32_t index;
    void *shard; /* NULL: none */
    /* Answers like a remote shard would; @done may come before the function returns, on any thread.
     */
    void (*call)(void *shard, const struct shard_request *request, rpc_done done, void *ctx);
};

struct placement {
    struct topology *topology;
    struct local_shard local;
    struct rpc_channel **channels; /* [shard_count]; NULL at the local one */
    struct cluster_meter *meter;   /* referenced; has room for all shards */
    uint32_t most_slots;           /* of one shard */
    uint32_t refs;
};

/** Takes references to @topology and @meter. @peers says how to connect. @local may be NULL. */
enum status_code placement_new(struct rpc_loop *loop, struct topology *topology,
                               const struct rpc_channel_options *peers,
                               const struct local_shard *local, struct cluster_meter *meter,
                               struct placement **ret, struct status *st);

struct placement *placement_ref(struct placement *placement);
void placement_unref(struct placement *placement); /* NULL is fine */

static inline uint32_t placement_owner(const struct placement *placement, uint16_t slot)
{
    return placement->topology->owner[slot];
}

/** Why a call to a shard failed when it was not there to be called. */
#define REASON_SHARD_UNAVAILABLE "SHARD_UNAVAILABLE"

/** Asks one shard; @done comes exactly once and possibly before the function returns. On behalf of
 * a caller it waits for a shard that restarts, see rpc_call_patient(), unless the request is
 * impatient. An UNAVAILABLE of the transport names the shard and has reason SHARD_UNAVAILABLE. */
void placement_call(struct placement *placement, uint32_t shard,
                    const struct shard_request *request, rpc_done done, void *ctx);

#endif
