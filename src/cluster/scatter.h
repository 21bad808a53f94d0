#ifndef SUTRA_CLUSTER_SCATTER_H
#define SUTRA_CLUSTER_SCATTER_H

/**
 * Requests to several shards at once, and one callback when all have answered.
 *
 * Every answer has its own place, and the last to arrive continues: no lock. A scatter frees
 * itself, and the answers it holds, when its callback has returned: it may outlive the call that
 * the callback finishes.
 */

#include <stdint.h>

#include "src/base/arena.h"
#include "src/cluster/placement.h"

struct scatter;

struct scatter_part {
    uint32_t shard;
    const ProtobufCMessage *request; /* lives until the scatter is done */
    struct rpc_bytes *bytes;         /* or instead of it, encoded; the scatter's own */
    struct rpc_result result;
    struct scatter *scatter;
};

/** On the thread of the last answer, or of scatter_run(). @scatter ends when it returns. */
typedef void scatter_done_fn(struct scatter *scatter, void *ctx);

struct scatter {
    struct placement *placement; /* borrowed */
    struct rpc_call *parent;
    int64_t deadline_us; /* as of shard_request; 0 unless set before scatter_run() */
    bool impatient;      /* the same */
    const char *method;
    struct scatter_part *parts; /* [count] */
    size_t count;
    size_t open; /* answers still to come, plus one while running */
    scatter_done_fn *done;
    void *ctx;
};

/** For at most @capacity parts, which scatter_add() adds; NULL without memory. @placement and
 * @parent must live until the callback. It ends by scatter_run(). */
struct scatter *scatter_new(struct placement *placement, struct rpc_call *parent,
                            const char *method, size_t capacity);

/** For a scatter that will not run after all. Accepts NULL. */
void scatter_free(struct scatter *scatter);

/** A scatter with the same request to every shard. */
struct scatter *scatter_new_all(struct placement *placement, struct rpc_call *parent,
                                const char *method, const ProtobufCMessage *request);

void scatter_add(struct scatter *scatter, uint32_t shard, const ProtobufCMessage *request);

/** Sends all parts. @done comes exactly once, also when there are none. */
void scatter_run(struct scatter *scatter, scatter_done_fn *done, void *ctx);

/** Shards that did not answer, where the caller said that it can do without. */
struct scatter_missing {
    bool allowed;
    uint32_t *shards; /* in the call's arena, ascending */
    size_t count;
};

/**
 * Looks for failures. The first by shard number becomes @st; but where @missing allows it, shards
 * that are UNAVAILABLE are added to it instead.
 */
enum status_code scatter_check(const struct scatter *scatter, struct arena *arena,
                               struct scatter_missing *missing, struct status *st);

/** Decodes the reply of a part that answered OK. */
enum status_code scatter_unpack(const struct scatter_part *part,
                                const ProtobufCMessageDescriptor *type, struct arena *arena,
                                ProtobufCMessage **ret, struct status *st);

#endif
