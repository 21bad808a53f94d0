#ifndef SUTRA_RPC_SYNC_CLIENT_H
#define SUTRA_RPC_SYNC_CLIENT_H

/**
 * Client calls that block until they are answered, for the command line and for tests. Never from
 * a callback of the channel's loop, which is asserted: it would wait for itself.
 */

#include <pthread.h>

#include "src/rpc/client.h"

/** Unary calls that are under way, so that any thread can cancel them. */
struct rpc_sync_calls {
    pthread_mutex_t lock;
    pthread_cond_t cancelled;
    uint64_t cancels; /* how many there were */
    struct rpc_sync_member *first;
};

void rpc_sync_calls_init(struct rpc_sync_calls *calls);

/** No call may be under way. */
void rpc_sync_calls_deinit(struct rpc_sync_calls *calls);

/** Those that are under way now end with CANCELLED unless they have ended already; pauses end. */
void rpc_sync_calls_cancel(struct rpc_sync_calls *calls);

/** Waits between two attempts at one of @calls; false when they were cancelled meanwhile. */
bool rpc_sync_calls_pause(struct rpc_sync_calls *calls, int64_t ms);

/**
 * Makes a unary call and decodes the reply (a message of type @reply_type) into @arena. Returns
 * the call's status; see rpc_result_unpack(). @request->deadline_us 0 means no deadline: give one.
 */
enum status_code rpc_sync_call(struct rpc_channel *channel, const struct rpc_request *request,
                               const ProtobufCMessageDescriptor *reply_type, struct arena *arena,
                               ProtobufCMessage **ret_reply, struct status *st);

/** The same as one of @calls (NULL: of none). */
enum status_code rpc_sync_call_in(struct rpc_sync_calls *calls, struct rpc_channel *channel,
                                  const struct rpc_request *request,
                                  const ProtobufCMessageDescriptor *reply_type, struct arena *arena,
                                  ProtobufCMessage **ret_reply, struct status *st);

/** The same for encoded replies and raw details. The caller deinits *ret_result. */
void rpc_sync_call_result(struct rpc_channel *channel, const struct rpc_request *request,
                          struct rpc_result *ret_result);

/** One stream, used by one sending and one receiving thread at most. */
struct rpc_sync_stream;

/** See rpc_client_stream_open(). */
struct rpc_sync_stream *rpc_sync_stream_open(struct rpc_channel *channel,
                                             const struct rpc_request *request);

/** Blocks until the transport has accepted the message. False when the stream has ended: then
 * rpc_sync_stream_recv() says why. */
bool rpc_sync_stream_send(struct rpc_sync_stream *stream, const ProtobufCMessage *message);

/** See rpc_client_stream_half_close(). */
void rpc_sync_stream_half_close(struct rpc_sync_stream *stream);

/**
 * Blocks for the next message, decoded into @arena as @type. *ret_message is NULL and the status OK
 * at the regular end of the stream; otherwise the status with which it ended.
 */
enum status_code rpc_sync_stream_recv(struct rpc_sync_stream *stream,
                                      const ProtobufCMessageDescriptor *type, struct arena *arena,
                                      ProtobufCMessage **ret_message, struct status *st);

/** The stream ends with CANCELLED, which rpc_sync_stream_recv() says behind what has arrived,
 * unless it has ended already. */
void rpc_sync_stream_cancel(struct rpc_sync_stream *stream);

/** Cancels what is still under way, waits for its end and frees. Accepts NULL. */
void rpc_sync_stream_close(struct rpc_sync_stream *stream);

#endif
