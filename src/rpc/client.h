#ifndef SUTRA_RPC_CLIENT_H
#define SUTRA_RPC_CLIENT_H

/**
 * Channels to servers, and calls that answer by callback on the channel's loop.
 *
 * A channel connects when it is first used and again whenever it must (100 ms to 500 ms between
 * attempts); calls fail meanwhile with UNAVAILABLE unless they wait. Any thread may call. What was
 * opened or called ends with exactly one `done`.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/arena.h"
#include "src/base/status.h"
#include "src/rpc/bytes.h"
#include "src/rpc/loop.h"
#include "src/rpc/tls.h"

struct rpc_call;
struct rpc_channel;
struct rpc_client_call;
struct rpc_client_stream;

/** 0 means the default. */
struct rpc_channel_options {
    size_t max_message_bytes; /* of a reply; 64 MiB, at most INT_MAX */
    int keepalive_ms;         /* silence after which the peer is asked for a sign of life; 10 s */
    int keepalive_timeout_ms; /* how long it may take to give one; 5 s */
    bool own_connection;      /* do not share one with other channels to the same target */
    int64_t away_ms;          /* see rpc_call_patient(); 0: none is */
    /* gRPC's, JSON: how calls are spread, retried and bounded in time. It must be well-formed: of
     * one that is not, every call fails. NULL: none. */
    const char *service_config;

    struct rpc_tls *tls;  /* outlives the channel; NULL, or without an authority: plaintext */
    const char *tls_name; /* must stand in the server's certificate; NULL: the target's host */
    const char *token;    /* of calls that have no parent; printable ASCII, copied; NULL: none */
    bool passes_tokens;   /* calls may have parents that came with one */
    bool insecure;        /* tokens may travel in plaintext to another machine */
};

/** @target is "host:port", "unix:/path", or several servers, of which one is called after the other
 * if the service config says so: "10.0.0.3:7400,10.0.0.4:7400", by their numbers; with TLS they
 * need a tls_name. @loop outlives the channel. @options may be NULL. Does not wait for the
 * connection. INVALID_ARGUMENT for a malformed target, FAILED_PRECONDITION where tokens would leave
 * this machine in plaintext. */
enum status_code rpc_channel_open(struct rpc_loop *loop, const char *target,
                                  const struct rpc_channel_options *options,
                                  struct rpc_channel **ret_channel, struct status *st);

enum rpc_channel_state {
    RPC_CHANNEL_UNDECIDED, /* a connection is being made, or was given up because nobody called */
    RPC_CHANNEL_READY,
    RPC_CHANNEL_FAILED, /* none can be made; it is tried again and again */
};

/** Whether there is a connection; one is made if there is none. Does not wait. Any thread. */
enum rpc_channel_state rpc_channel_look(struct rpc_channel *channel);

/** No further calls; those under way go on to their end. Accepts NULL. */
void rpc_channel_close(struct rpc_channel *channel);

/** A header, or a pair of an ErrorInfo. */
struct rpc_metadata_pair {
    const char *key;   /* lower case, not "-bin" */
    const char *value; /* printable ASCII */
};

/** What a call is made of. Everything is borrowed for the duration of the function it is given to,
 * except @bytes. */
struct rpc_request {
    /* Which method: a full path ("/sutra.v1.ConceptService/Get"), or a service and a name in it,
     * which is asserted to exist. */
    const char *path;
    const ProtobufCServiceDescriptor *service;
    const char *method;

    /* The message: one of the two. *Takes* @bytes. Streams that send their messages later have
     * neither. */
    const ProtobufCMessage *message;
    struct rpc_bytes *bytes;

    /* On whose behalf: its deadline holds for this call too, its cancellation and its end cancel
     * this call, the headers authorization, tracestate and x-* are passed on (what the parent may
     * not do, this call may not do for it: the channel's own token stays away), and so is the trace
     * (src/rpc/trace.h), which begins here if there is none yet. The parent must not be finished
     * before the function returns. */
    struct rpc_call *parent;

    int64_t deadline_us;                      /* clock_monotonic_us(); 0: none of its own */
    const struct rpc_metadata_pair *metadata; /* take precedence over the parent's */
    size_t metadata_count;
    bool wait_for_ready; /* wait for a connection, up to the deadline */
};

/** How a call ended. */
struct rpc_result {
    struct status status;      /* reason and field as the server's details gave them */
    struct rpc_bytes *bytes;   /* the reply of a unary call; NULL unless the status is OK */
    struct rpc_bytes *details; /* google.rpc.Status as received; NULL when there was none */
    bool unsent;               /* there was no connection to send it over */
};

/** Whether nobody answered, or only a server that takes no calls yet: UNAVAILABLE without details,
 * or RPC_SERVER_STARTING. What a handler says of itself comes with details as a rule. */
bool rpc_result_was_away(const struct rpc_result *result);

/** Releases what @result owns; `{0}` is fine. */
void rpc_result_deinit(struct rpc_result *result);

/** Moves *from out, leaves it `{0}`. */
struct rpc_result rpc_result_move(struct rpc_result *from);

/** Decodes an OK result; @st gets the call's status when it is not OK, INTERNAL when the reply
 * cannot be decoded. See rpc_bytes_unpack(). */
enum status_code rpc_result_unpack(const struct rpc_result *result,
                                   const ProtobufCMessageDescriptor *type, struct arena *arena,
                                   ProtobufCMessage **ret_message, struct status *st);

/** @result is released after the callback returns; move out what is to stay. A CANCELLED that
 * neither this side nor the parent asked for is reported as UNAVAILABLE: the server went away. */
typedef void (*rpc_done)(void *ctx, struct rpc_result *result);

/**
 * Makes a unary call. @done comes always, exactly once, on the loop, never inside this function.
 * @ret_call (may be NULL) receives a reference for rpc_client_call_cancel(), to be given back with
 * rpc_client_call_unref().
 */
void rpc_call_unary(struct rpc_channel *channel, const struct rpc_request *request, rpc_done done,
                    void *ctx, struct rpc_client_call **ret_call);

/**
 * A unary call that outlives a restart of its server: a failure for which the server was away is
 * not reported, but the call is made again as soon as the server is back, until it has been away
 * for the channel's away_ms, the deadline is over or the parent is cancelled. So it costs callers
 * a wait when a server goes, and nothing when it does not come back: later calls fail at once.
 *
 * One that is not @repeatable is only sent to a server that is there, and made again only where it
 * was refused unseen (RPC_SERVER_STARTING): it is done once at most.
 *
 * Everything that @request points to lives until @done, and the parent is not finished before.
 */
void rpc_call_patient(struct rpc_channel *channel, const struct rpc_request *request,
                      bool repeatable, rpc_done done, void *ctx);

/** fn(ctx) on the loop when the connection has come or gone, at @until_us (clock_monotonic_us()) at
 * the latest; connects if there is no connection. Closing the channel is a change too; a time far
 * away holds up rpc_loop_stop() until then. */
void rpc_channel_await(struct rpc_channel *channel, int64_t until_us, void (*fn)(void *ctx),
                       void *ctx);

/** Whether there is a connection, as far as is known. */
bool rpc_channel_is_connected(struct rpc_channel *channel);

/** The call ends with CANCELLED unless it has ended already. Any thread, any time, repeatedly. */
void rpc_client_call_cancel(struct rpc_client_call *call);

/** Accepts NULL. */
void rpc_client_call_unref(struct rpc_client_call *call);

/* Streams. ------------------------------------------------------------------------------------ */

struct rpc_stream_events {
    /* What rpc_client_stream_pull() asked for. *Takes* @message; never NULL: the end is `done`. */
    void (*message)(void *ctx, struct rpc_bytes *message);
    /* The stream ended. The last callback, but for sends that were begun after it. */
    rpc_done done;
};

/**
 * Opens a stream. A request with a message sends it and half-closes (server streaming); one without
 * leaves the sending side open (bidirectional). Returns a reference for the functions below, to be
 * given back with rpc_client_stream_unref(). Reads nothing before the first pull.
 */
struct rpc_client_stream *rpc_client_stream_open(struct rpc_channel *channel,
                                                 const struct rpc_request *request,
                                                 const struct rpc_stream_events *events, void *ctx);

/** Queues one message; *takes* @bytes. sent(ctx, ok) (may be NULL) on the loop when the transport
 * has accepted it, or the stream broke. Any thread. Asserts that the stream is not half-closed. */
void rpc_client_stream_send(struct rpc_client_stream *stream, struct rpc_bytes *bytes,
                            void (*sent)(void *ctx, bool ok), void *ctx);

/** Says, after everything that was queued, that no more will be sent. Once. */
void rpc_client_stream_half_close(struct rpc_client_stream *stream);

/** Asks for one message; the next pull at the earliest inside its callback. `done` comes when
 * all messages have been pulled, or the stream broke: keep pulling. Does nothing after the end. */
void rpc_client_stream_pull(struct rpc_client_stream *stream);

/** As rpc_client_call_cancel(). */
void rpc_client_stream_cancel(struct rpc_client_stream *stream);

/** Accepts NULL. Does not cancel. */
void rpc_client_stream_unref(struct rpc_client_stream *stream);

#endif
