#ifndef SUTRA_RPC_CALL_H
#define SUTRA_RPC_CALL_H

/**
 * One call that a server is answering, as its handler sees it.
 *
 * A call belongs to its handler from the moment the handler is entered until the handler finishes
 * it: exactly once, from any thread, then or later, whatever happened meanwhile; a second finish
 * asserts. After that the pointer must not be used. Memory in rpc_arena() stays until the last
 * callback of the call has returned, so a callback's context is best put there.
 *
 * Callbacks (rpc_on_cancel, sends, messages) run on the server's loop unless said otherwise. One
 * that was about to run when another thread finished the call still runs, with a context that must
 * tell it so; none comes after that, except that every send's `done` is called, always.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "src/base/arena.h"
#include "src/base/status.h"
#include "src/rpc/bytes.h"

struct rpc_call;
struct rpc_result;

/** Why a call was refused before its handler saw it. */
#define RPC_SERVER_STARTING "SERVER_STARTING"

/* Asking. ------------------------------------------------------------------------------------- */

/** The request's memory, bounded by the server's arena_limit_bytes. One thread at a time. */
struct arena *rpc_arena(struct rpc_call *call);

/** "/sutra.v1.ConceptService/Get"; lives as long as the server. */
const char *rpc_method_path(const struct rpc_call *call);

/** On the clock of clock_monotonic_us(); INT64_MAX when the caller set none. */
int64_t rpc_deadline_us(const struct rpc_call *call);

/** The most that a message of this server, a reply too, may have. */
size_t rpc_max_message_bytes(const struct rpc_call *call);

/** True once the client cancelled or died, or the deadline passed: nobody waits for the answer.
 * One atomic load, any thread: meant to be polled. The call must still be finished. */
bool rpc_cancelled(const struct rpc_call *call);

/** fn(call, ctx) once, on the loop, when the call becomes cancelled; at once, on the caller's
 * thread, if it is already. One per call. */
void rpc_on_cancel(struct rpc_call *call, void (*fn)(struct rpc_call *call, void *ctx), void *ctx);

/** The first value of a request header (lower-case @key, not "-bin"), NUL-terminated in the call's
 * arena; NULL when there is none. */
const char *rpc_metadata(struct rpc_call *call, const char *key);

/** The request of a raw method. Lives as long as the call. */
const struct rpc_bytes *rpc_request_bytes(const struct rpc_call *call);

/** The same, moved to the caller; once. */
struct rpc_bytes *rpc_take_request_bytes(struct rpc_call *call);

/** Says that another server, of which @number says something to the reader of a log, was asked on
 * behalf of @call, took so long and failed or not. What is logged of the call names the one that
 * took longest of those that
 * failed, else of all. Any thread; @call need not be finished yet. */
void rpc_note_asked(struct rpc_call *call, uint32_t number, int64_t duration_us, bool failed);

/* Finishing. ---------------------------------------------------------------------------------- */

/**
 * Ends the call. A unary call answers @reply if @st is OK; a stream ends after everything that was
 * sent, and @reply is NULL. Otherwise the caller gets the status, with google.rpc.Status in
 * grpc-status-details-bin: BadRequest if st->field is set, ErrorInfo (domain "sutra.v1") if
 * st->reason is. A reply above max_message_bytes becomes RESOURCE_EXHAUSTED (reason
 * LIMIT_EXCEEDED). Both arguments are borrowed.
 */
void rpc_finish(struct rpc_call *call, const ProtobufCMessage *reply, const struct status *st);

/** The same with a reply that is encoded already. *Takes* @reply (NULL where @st is not OK). */
void rpc_finish_bytes(struct rpc_call *call, struct rpc_bytes *reply, const struct status *st);

/** Passes on what another server answered: its reply, or its status with details verbatim.
 * Empties @result. */
void rpc_finish_forward(struct rpc_call *call, struct rpc_result *result);

/** Adds a pair to the ErrorInfo that a later rpc_finish() sends with a reason: ("owner", "3"). Both
 * are copied. Pairs beyond the eighth are left out. */
void rpc_add_error_metadata(struct rpc_call *call, const char *key, const char *value);

/* Streaming out (RPC_SERVER_STREAM, RPC_BIDI). ------------------------------------------------ */

/** Says what became of a send: @ok false when the stream broke. After rpc_finish() @call only names
 * the call. */
typedef void (*rpc_sent)(struct rpc_call *call, bool ok, void *ctx);

/**
 * Queues one message; sends leave in the order of their calls. @message is encoded before the
 * function returns. @done (may be NULL) is called on the loop when the transport has accepted the
 * message: a handler that waits for it holds one message in memory, and is held back by a slow
 * reader. Any thread. What is queued is bounded by the handler alone.
 */
void rpc_stream_send(struct rpc_call *call, const ProtobufCMessage *message, rpc_sent done,
                     void *ctx);

/** The same for an encoded message. *Takes* @bytes. */
void rpc_stream_send_bytes(struct rpc_call *call, struct rpc_bytes *bytes, rpc_sent done,
                           void *ctx);

/* Streaming in (RPC_BIDI). -------------------------------------------------------------------- */

/** One message of a request stream, with memory of its own: several may be in work at once. */
struct rpc_message {
    const ProtobufCMessage *body; /* NULL for raw methods */
    struct rpc_bytes *bytes;      /* of a raw method; may be moved out (set it NULL) */
    struct arena arena;           /* bounded like the call's */
};

/** Accepts NULL. Any thread; also after the call was finished. */
void rpc_message_free(struct rpc_message *message);

/**
 * Receives what rpc_stream_pull() asked for. *Takes* @message. NULL means that no more will come,
 * and @st says why: OK at the client's half-close, CANCELLED, or what is wrong with the message
 * that could not be decoded, ready for rpc_finish(). Runs on the loop, for an RPC_ON_POOL method on
 * the pool.
 */
typedef void (*rpc_on_message)(struct rpc_call *call, struct rpc_message *message,
                               const struct status *st, void *ctx);

/** Sets the receiver; once, before the first pull. */
void rpc_stream_on_message(struct rpc_call *call, rpc_on_message fn, void *ctx);

/** Asks for one message. Not pulling is what holds a fast client back. One pull at a time (the next
 * at the earliest inside the receiver), none after the end; both assert. Any thread. */
void rpc_stream_pull(struct rpc_call *call);

#endif
