#ifndef SUTRA_RPC_LOOP_IMPL_H
#define SUTRA_RPC_LOOP_IMPL_H

/** What the other files of src/rpc see of a loop. */

#include <grpc/grpc.h>
#include <stdbool.h>
#include <stddef.h>

#include "src/rpc/loop.h"

/** What a completion queue's events point to; lives inside the struct whose operation completes. */
struct rpc_tag {
    void (*fn)(struct rpc_tag *tag, bool ok);
};

/** The struct that holds the tag. */
#define RPC_TAG_OWNER(tag, type, member) ((type *)(void *)((char *)(tag)-offsetof(type, member)))

/** Marks @tag as handed to the queue: what was written before is seen by its callback. The queue
 * sees to that by itself, but inside a library where a thread sanitizer does not look. */
void rpc_tag_hand_over(struct rpc_tag *tag);

grpc_completion_queue *rpc_loop_queue(struct rpc_loop *loop);

/** A loop runs on until everything that holds it has let go: calls that expect events do. */
void rpc_loop_hold(struct rpc_loop *loop);
void rpc_loop_release(struct rpc_loop *loop);

/** Starts a batch; asserts that it could be started. @tag's owner must stay until its event. */
void rpc_start_batch(grpc_call *call, const grpc_op *ops, size_t count, struct rpc_tag *tag);

#endif
