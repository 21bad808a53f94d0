#ifndef SUTRA_CLUSTER_WRITE_WIRE_H
#define SUTRA_CLUSTER_WRITE_WIRE_H

/**
 * The requests of Learn, LearnBatch, Import and Put, of which all but the placement is for the
 * shards to read: their items are passed on as they came. Wire form; the four messages agree in the
 * numbers of their fields, and sutra.internal.v1.WriteRequest with them.
 */

#include "src/base/text_view.h"
#include "src/cluster/cluster_internal.h"
#include "src/rpc/bytes.h"

/* One encoded sutra.v1.ConceptInput. Views borrow from the request. */
struct write_item {
    struct text_view bytes;
    struct text_view id; /* empty: that of the content */
    struct text_view content;
    bool has_embedding;
    /* What is to be added to it; empty and NULL: nothing. */
    struct text_view new_id;
    const float *new_row; /* [LIMIT_DIMENSION] */
};

struct write_request {
    struct write_item *items; /* [n] */
    size_t n;
    Sutra__V1__Durability durability;
    bool skip_embedding;
};

/**
 * Reads a request of message @type, which any decoder of ConceptInput will accept afterwards.
 * Borrows from @bytes or @arena. INVALID_ARGUMENT: it cannot be decoded, or has too many items;
 * RESOURCE_EXHAUSTED.
 */
enum status_code write_request_read(const struct rpc_bytes *bytes,
                                    const ProtobufCMessageDescriptor *type, struct arena *arena,
                                    struct write_request *ret, struct status *st);

/** The same for Learn and Put: one item, `concept`. INVALID_ARGUMENT where it is missing. */
enum status_code write_request_read_one(const struct rpc_bytes *bytes,
                                        const ProtobufCMessageDescriptor *type, struct arena *arena,
                                        struct write_request *ret, struct status *st);

/** How many bytes its items take in a WriteRequest, about. */
size_t write_size(const struct write_request *request);

/** Appends an item of a WriteRequest. */
void write_put_item(struct buf *to, const struct write_item *item);

/** Appends the rest of one. */
void write_put_options(struct buf *to, Sutra__Internal__V1__WriteMode mode,
                       Sutra__V1__Durability durability);

#endif
