#ifndef SUTRA_RPC_SERVER_H
#define SUTRA_RPC_SERVER_H

/**
 * A gRPC server whose methods are described by protobuf-c descriptors.
 *
 * Life: new → announce or add services → listen (any number) → start → open what was announced →
 * shutdown → free. All of it from one thread that is not the loop's. Unknown methods are answered
 * UNIMPLEMENTED, calls above max_calls or a method's own limit and requests for a full pool
 * RESOURCE_EXHAUSTED (reason LIMIT_EXCEEDED), messages above max_message_bytes RESOURCE_EXHAUSTED
 * by gRPC itself. Compressed messages are refused.
 *
 * What is refused because the server is starting is UNAVAILABLE, reason SERVER_STARTING: nothing
 * was done, and any call, also one that writes, may be sent again.
 *
 * A server with tokens answers UNAUTHENTICATED to calls without one of them ("authorization: Bearer
 * TOKEN") and PERMISSION_DENIED where the role of the token is too small for the method, before
 * anything of the request is read.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/auth/tokens.h"
#include "src/base/status.h"
#include "src/metrics/metrics.h"
#include "src/rpc/call.h"
#include "src/rpc/loop.h"
#include "src/rpc/tls.h"
#include "src/rpc/trace.h"

struct rpc_server;

enum rpc_kind {
    RPC_UNARY,
    RPC_SERVER_STREAM,
    RPC_BIDI,
};

enum rpc_run {
    RPC_ON_LOOP, /* must not block */
    RPC_ON_POOL, /* on a thread of the server's pool; may block. Not entered if nobody waits by then
                  */
};

/** Answers one call. @request lies in rpc_arena(call); it is NULL for raw methods and for RPC_BIDI.
 * @service is what rpc_server_add_service() was given. */
typedef void (*rpc_handler)(struct rpc_call *call, const ProtobufCMessage *request, void *service);

struct rpc_method {
    const char *name; /* as in the .proto: "Get" */
    enum rpc_kind kind;
    enum rpc_run run;
    rpc_handler handler;
    enum role role; /* what a caller must be; admin unless said otherwise */
    bool raw;       /* requests stay encoded: rpc_request_bytes(), rpc_message.bytes */
    bool endless;   /* a stream that clients keep open: cancelled when a shutdown begins */
    bool vital;     /* not counted, and answered however many calls are in progress */
    size_t most;    /* calls of it in progress, others are refused; 0: as many as of all methods */
    unsigned slots; /* calls that may arrive in one burst without waiting for the loop; 0: 4 */
};

/** What the program may want to log of a call that failed or took long. Lives during the callback.
 */
struct rpc_call_summary {
    const char *method;      /* path */
    const char *peer;        /* address as gRPC prints it */
    const char *caller;      /* name of the token; "" without one that is known */
    const char *certificate; /* subject of the client's; "" without one */
    enum role role;          /* what the method needs */
    bool refused;            /* for want of a token or a role */
    const struct status *status;
    const struct rpc_trace *trace;
    int64_t duration_us; /* from arrival to finish */
    bool slow;           /* longer than slow_us; streams never are */
    bool cancelled;      /* nobody waited for the answer any more */
    int64_t asked;       /* see rpc_note_asked(); -1: nobody was */
};

/** 0 means the default. */
struct rpc_server_options {
    size_t max_message_bytes; /* 64 MiB; at most INT_MAX */
    size_t max_calls;         /* 1024, of all methods together */
    size_t max_streams;       /* calls of one connection at a time, others wait; no limit */

    /* After this time, ±10 %, a connection takes no further calls (its client opens another, and
     * loses none); what still runs on it after the grace is cancelled. Never. */
    int64_t max_connection_age_ms;
    int64_t max_connection_age_grace_ms; /* for ever */

    int64_t keepalive_ms; /* silence after which a client is asked for a sign of life; 60 s */
    int64_t keepalive_timeout_ms; /* how long it may take to give one; 20 s */

    size_t arena_limit_bytes; /* 256 MiB per call, and per message of a stream */
    unsigned pool_threads;    /* 2; started only if a method needs them */
    size_t pool_queue;        /* 256 calls that wait for a thread */

    /* Both outlive the server. */
    struct rpc_tls *tls;         /* NULL, or without a certificate: plaintext */
    const struct tokens *tokens; /* NULL: everybody may call everything */

    int64_t slow_us; /* what a call takes that took long; never */

    /* Called once per call that failed, took long or needed an admin, on the thread that finishes
     * it; must be quick. May be NULL. */
    void (*on_finished)(const struct rpc_call_summary *summary, void *ctx);
    void *on_finished_ctx;
};

/** @loop outlives the server. @options may be NULL; it is copied. */
enum status_code rpc_server_new(struct rpc_loop *loop, const struct rpc_server_options *options,
                                struct rpc_server **ret_server, struct status *st);

/**
 * Serves every method of @descriptor. Asserts that @methods names each of them exactly once, names
 * nothing else, and that the kinds agree with the .proto (services that are not in the embedded
 * descriptors are not checked for kinds). @methods is copied; @service outlives the server.
 */
void rpc_server_add_service(struct rpc_server *server, const ProtobufCServiceDescriptor *descriptor,
                            const struct rpc_method *methods, size_t count, void *service);

/** The same for a service that is not there yet: from the start of the server to
 * rpc_server_open_service() its calls are refused with SERVER_STARTING. */
void rpc_server_announce_service(struct rpc_server *server,
                                 const ProtobufCServiceDescriptor *descriptor,
                                 const struct rpc_method *methods, size_t count);

/** Lets calls in to a service that was announced. */
void rpc_server_open_service(struct rpc_server *server,
                             const ProtobufCServiceDescriptor *descriptor, void *service);

/** "127.0.0.1:0", "[::]:7000" or "unix:/path"; *ret_port is the port bound (1 for a unix socket;
 * may be NULL). INVALID_ARGUMENT for what is no address, UNAVAILABLE when it cannot be bound. */
enum status_code rpc_server_listen(struct rpc_server *server, const char *address, int *ret_port,
                                   struct status *st);

/** Begins to answer. */
enum status_code rpc_server_start(struct rpc_server *server, struct status *st);

/**
 * Stops listening, refuses new calls, waits up to @grace_ms for running ones, cancels the rest and
 * returns when every call has been finished by its handler. Clients that call at this very moment
 * see CANCELLED: let health say NOT_SERVING first, and wait for clients to notice. Idempotent. Not
 * from the loop or the pool.
 */
void rpc_server_shutdown(struct rpc_server *server, int64_t grace_ms);

/** Shuts down without grace if that was not done, and frees. Accepts NULL. */
void rpc_server_free(struct rpc_server *server);

/** Calls that have arrived and are not finished, without those of vital methods. Any thread. */
size_t rpc_server_calls(const struct rpc_server *server);

/** What it has counted; @ctx is a started server. */
metrics_collect_fn rpc_server_collect;

/** Full names of the services added so far, in that order; NULL at @index and beyond the last. */
const char *rpc_server_service_name(const struct rpc_server *server, size_t index);

/** Whether the service at @index takes calls, or was only announced. */
bool rpc_server_service_is_open(const struct rpc_server *server, size_t index);

#endif
