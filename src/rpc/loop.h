#ifndef SUTRA_RPC_LOOP_H
#define SUTRA_RPC_LOOP_H

/**
 * The thread on which calls arrive and answers come back.
 *
 * A loop is one gRPC completion queue and the thread that reads it. Servers and client channels are
 * bound to a loop when they are made, and all their callbacks run on it, one after the other: what
 * only callbacks of one loop touch needs no lock. A callback therefore must never block. A process
 * usually has one loop; nothing is shared between several.
 */

#include <stdbool.h>

#include "src/base/status.h"
#include "src/metrics/metrics.h"

struct rpc_loop;

/** Settles the allocator for large messages (glibc would give memory back after each and fault it
 * in again), and keeps gRPC from looking for deadlocks of its own. Call once at the start of
 * main(), before any thread. */
void rpc_init(void);

/** Gives what gRPC would print on standard error to @fn: on any thread, and before any loop is
 * started. Which of it is said at all is up to $GRPC_VERBOSITY: errors only, unless it is set. */
void rpc_set_log(void (*fn)(const char *message));
/** "29.0.0": of gRPC's core. */
const char *rpc_library_version(void);

/** Starts the thread. RESOURCE_EXHAUSTED when there is none to be had. */
enum status_code rpc_loop_start(struct rpc_loop **ret_loop, struct status *st);

/** Ends the thread after everything that was under way has come back, then frees the loop. Its
 * servers are freed and its channels closed before. Accepts NULL. Not from the loop itself. */
void rpc_loop_stop(struct rpc_loop *loop);

/** Runs fn(ctx) on the loop, after what is queued already. Any thread, until rpc_loop_stop(). */
void rpc_loop_post(struct rpc_loop *loop, void (*fn)(void *ctx), void *ctx);

/** How long what is posted now waits for the loop, which is what every call waits for: measured, a
 * second at most. @ctx is a loop; not from the loop itself. */
metrics_collect_fn rpc_loop_collect;

/** Whether the caller is a callback of @loop. */
bool rpc_loop_is_current(const struct rpc_loop *loop);

#endif
