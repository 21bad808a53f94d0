#ifndef SUTRA_RPC_CALL_IMPL_H
#define SUTRA_RPC_CALL_IMPL_H

/**
 * The inside of a call.
 *
 * A call exists from the moment the server waits for it. It is counted: one reference for the
 * handler, which rpc_finish() gives back, one for every batch that is under way, one for every
 * child call. All batches are started under @lock, which gRPC wants serialised.
 */

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "src/base/pool.h"
#include "src/rpc/call.h"
#include "src/rpc/client.h"
#include "src/rpc/loop_impl.h"
#include "src/rpc/send_queue.h"
#include "src/rpc/server_impl.h"

enum { ERROR_PAIRS_MAX = 8 };

struct rpc_call {
    struct rpc_server *server;
    const struct server_method *method; /* NULL: of a method that nobody registered */
    grpc_call *grpc;
    struct rpc_call *live_next, *live_previous; /* under the server's lock */

    /* How it arrived. */
    struct rpc_tag arrival_tag;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload; /* the request, until it is decoded or moved out */
    grpc_call_details details; /* without a method */
    int64_t arrived_us;
    struct method_meter *meter;
    const struct principal *caller; /* whose token came with it; NULL: nobody asked, or nobody's */
    bool refused;                   /* for want of a token or a role */
    bool counted;                   /* among the server's running calls */
    bool limited;                   /* counted in its method's meter too: it may have so many */
    struct pool_job job;            /* entering the handler, or delivering a message */
    struct arena arena;
    struct rpc_metadata_pair pairs[ERROR_PAIRS_MAX];
    size_t pair_count;

    atomic_uint refs;
    atomic_bool cancelled;
    pthread_mutex_t lock; /* of what follows */
    bool finished;
    bool traced; /* `trace` is filled in */
    struct rpc_trace trace;
    struct {
        bool known;
        bool failed;
        uint32_t number;
        int64_t duration_us;
    } asked; /* see rpc_note_asked() */

    /* RECV_CLOSE_ON_SERVER. */
    struct rpc_tag close_tag;
    bool close_posted;
    int close_cancelled;
    void (*on_cancel)(struct rpc_call *call, void *ctx);
    void *on_cancel_ctx;

    /* Sending: the queue, then the final batch. */
    struct rpc_tag send_tag;
    bool sending;
    bool opened; /* initial metadata was sent */
    struct send_queue queue;
    struct rpc_bytes *reply;
    grpc_status_code code;
    grpc_slice message;
    grpc_metadata trailer; /* grpc-status-details-bin */
    bool has_trailer;

    /* Receiving, of a stream. */
    struct rpc_tag receive_tag;
    bool pulling;
    bool ended;
    grpc_byte_buffer *incoming;
    bool receive_failed; /* there is no message, but no half-close either */
    rpc_on_message on_message;
    void *on_message_ctx;
};

/** A call of @method (NULL: any other) that waits for its arrival; one reference. */
struct rpc_call *call_new(struct rpc_server *server, const struct server_method *method);

void call_ref(struct rpc_call *call);
void call_unref(struct rpc_call *call);

/** Which trace it belongs to: that of its headers, else one that begins with it. Found out when it
 * is first asked for, which most calls never are; constant from then on. */
const struct rpc_trace *call_trace(struct rpc_call *call);

/** Learns of cancellations from here on. Idempotent. */
void call_watch_close(struct rpc_call *call);

/** Starts whatever can be sent now. Under the call's lock. */
void call_pump(struct rpc_call *call);

#endif
