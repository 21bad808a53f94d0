#ifndef SUTRA_SHARD_TASK_H
#define SUTRA_SHARD_TASK_H

/**
 * Something the trainer does with all shards, and how it asks them: one question at a time, waiting
 * for the answers. Never on the loop, nor on the last thread of the pool.
 */

#include <stdbool.h>
#include <stdint.h>

#include "src/base/arena.h"
#include "src/base/status.h"
#include "src/cluster/scatter.h"

struct shard;
struct trainer;

struct task {
    struct trainer *trainer;
    struct shard *shard;
    struct placement *placement;
    struct rpc_call *caller; /* on whose behalf; NULL: the trainer's own */
};

/** Fits the callbacks of src/vector; @task is a struct task. */
bool task_cancelled(void *task);

static inline uint32_t task_shards(const struct task *task)
{
    return task->placement->topology->shard_count;
}

/** Asks every shard, or only @only unless that is UINT32_MAX. @ret_replies [shards] in @arena, by
 * shard number; NULL: not wanted. */
enum status_code task_ask(const struct task *task, const char *method, uint32_t only,
                          const ProtobufCMessage *request, const ProtobufCMessageDescriptor *reply,
                          struct arena *arena, ProtobufCMessage ***ret_replies, struct status *st);

/** Stats of every shard: [shards] of Sutra__V1__ShardStats. */
enum status_code task_ask_stats(const struct task *task, struct arena *arena,
                                ProtobufCMessage ***ret, struct status *st);

/** The vectors that they hold together. */
uint64_t task_count_vectors(const struct task *task, ProtobufCMessage *const *stats);

#endif
