#ifndef SUTRA_RPC_CLIENT_IMPL_H
#define SUTRA_RPC_CLIENT_IMPL_H

/** What unary calls and streams have in common: how they are opened and how they end. */

#include <grpc/grpc.h>
#include <stdatomic.h>

#include "src/rpc/client.h"
#include "src/rpc/loop_impl.h"

struct rpc_channel {
    struct rpc_loop *loop;
    grpc_channel *grpc;
    bool tls;
    bool has_token;
    grpc_slice authorization; /* "Bearer …", of calls without a parent */
    int64_t away_ms;
    _Atomic int64_t away_since_us; /* as patient calls found; 0: it is there */
};

/* The client's half of one gRPC call. */
struct client_half {
    struct rpc_loop *loop; /* held */
    grpc_call *grpc;
    bool tls;
    struct rpc_call *parent; /* referenced; may be NULL */
    atomic_bool cancelled;   /* by us */

    grpc_metadata *metadata; /* sent */
    size_t metadata_count;
    uint32_t metadata_flags;
    struct rpc_bytes *request; /* NULL for streams that send later */

    /* Received. */
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code code;
    grpc_slice message;

    rpc_done done;
    void *ctx;
};

/** Creates the gRPC call and everything that is sent with it; takes request->bytes. */
void client_half_init(struct client_half *half, struct rpc_channel *channel,
                      const struct rpc_request *request, rpc_done done, void *ctx);
void client_half_deinit(struct client_half *half);

void client_half_cancel(struct client_half *half);

/** The operations of every call. */
grpc_op client_half_send_metadata(struct client_half *half);
grpc_op client_half_send_request(struct client_half *half);
grpc_op client_half_receive_metadata(struct client_half *half);
grpc_op client_half_receive_status(struct client_half *half);

/** Tells `done` how it ended. Takes @reply (may be NULL; a unary call must have one to be OK). */
void client_half_report(struct client_half *half, struct rpc_bytes *reply, bool unary);

#endif
