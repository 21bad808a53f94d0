#ifndef SUTRA_SERVE_LIMITS_H
#define SUTRA_SERVE_LIMITS_H

/**
 * Every limit a request can meet. AdminService.GetLimits answers with these very numbers.
 */

#include "src/base/buf.h"
#include "src/base/status.h"

enum {
    LIMIT_DIMENSION = 384,
    LIMIT_CONTENT_BYTES = 1 << 20,
    LIMIT_ATTRIBUTES = 64,
    LIMIT_ATTRIBUTE_BYTES = 4096, /* key and value each; also source and category */
    LIMIT_LABEL_BYTES = 64,
    LIMIT_ASSOCIATIONS = 10000, /* per item */
    LIMIT_BATCH_ITEMS = 10000,
    LIMIT_BATCH_QUERIES = 1000,
    LIMIT_PAGE_ITEMS = 10000,
    LIMIT_K = 1000,
    LIMIT_RERANK = 10000,
    LIMIT_CALLS = 4096,

    DEFAULT_RERANK = 100,
    DEFAULT_PAGE_ITEMS = 256,
    DEFAULT_NEIGHBORS = 100,

    /* Memory of one call: its message, unpacked, and the reply. */
    LIMIT_CALL_ARENA_BYTES = 256 << 20,
};

/** What a search that asks for nothing else aims at: its share of the exact hits. */
#define DEFAULT_RECALL_TARGET 0.99f

/** RESOURCE_EXHAUSTED for a call whose arena is full. */
static inline enum status_code limit_call_memory(struct status *st)
{
    return status_set_reason(st, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED",
                             "the call needs more than the %d MiB of memory that a call may use",
                             LIMIT_CALL_ARENA_BYTES >> 20);
}

/** RESOURCE_EXHAUSTED for a reply that is, or would be, larger than a message may be: @most is the
 * server's --max-message-mb, see rpc_max_message_bytes(). */
static inline enum status_code limit_reply_size(size_t size, size_t most, struct status *st)
{
    if (size <= most)
        return STATUS_OK;
    return status_set_reason(st, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED",
                             "the reply exceeds %zu bytes, the limit of a message: ask for less",
                             most);
}

/** The same for an encoded reply, and for one that failed. */
static inline enum status_code limit_reply(const struct buf *reply, size_t most, struct status *st)
{
    if (reply->failed)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    return limit_reply_size(reply->size, most, st);
}

#endif
