#ifndef SUTRA_CLUSTER_BATCH_GET_WIRE_H
#define SUTRA_CLUSTER_BATCH_GET_WIRE_H

/**
 * BatchGetRequest and BatchGetResponse as they lie in memory: decoding and encoding a thousand ids
 * and records by protobuf-c would cost more than looking them up. Pure functions.
 */

#include "src/base/arena.h"
#include "src/base/buf.h"
#include "src/base/status.h"
#include "src/ids/concept_id.h"
#include "src/rpc/bytes.h"

/** Fields of BatchGetResponse. */
enum {
    BATCH_GET_CONCEPTS = 1,
    BATCH_GET_MISSING = 2,
    BATCH_GET_SHARDS_MISSING = 3,
    BATCH_GET_COLUMNS = 4,
};

/** An encoded sutra.v1.Concept, borrowed; data NULL: there is none. */
struct concept_record {
    const uint8_t *data;
    size_t size;
};

struct batch_get_request {
    struct concept_id *ids; /* [n], borrowed from the bytes or the arena */
    size_t n;
    bool include_embedding;
    bool allow_partial;
    bool columns;
};

/** Reads a request; the array lies in @arena. INVALID_ARGUMENT for bytes that are none, for more
 * than LIMIT_BATCH_ITEMS ids, and, with its field ("ids[3]"), for an id that cannot be one. */
enum status_code batch_get_read(const struct rpc_bytes *bytes, struct arena *arena,
                                struct batch_get_request *ret, struct status *st);

/** Appends one id to a request. */
void batch_get_put_id(struct buf *to, const struct concept_id *id);

/** Appends what else is set, after the ids. */
void batch_get_put_options(struct buf *to, bool include_embedding);

#endif
