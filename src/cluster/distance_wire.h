#ifndef SUTRA_CLUSTER_DISTANCE_WIRE_H
#define SUTRA_CLUSTER_DISTANCE_WIRE_H

/**
 * DistanceRequest and DistanceResponse as they lie in memory: to decode a thousand pairs by
 * protobuf-c would cost more than to compare them. Pure functions.
 */

#include "src/base/arena.h"
#include "src/base/buf.h"
#include "src/base/status.h"
#include "src/ids/concept_id.h"
#include "src/rpc/bytes.h"

struct distance_request {
    struct concept_id
        *ids; /* [2 * n]: of pair i those at i and n + i; borrowed from the bytes or the arena */
    size_t n;
    bool approximate;
};

/** Reads a request; the array lies in @arena. INVALID_ARGUMENT for bytes that are none, for more
 * than LIMIT_BATCH_ITEMS pairs, and, with its field ("pairs[3].a"), for an id that cannot be one.
 */
enum status_code distance_read(const struct rpc_bytes *bytes, struct arena *arena,
                               struct distance_request *ret, struct status *st);

/** Appends a response from @n similarities, NAN where a pair has none. */
void distance_put_response(struct buf *to, const float *similarities, size_t n);

#endif
