#include <assert.h>
#include <stdlib.h>

#include "src/rpc/bytes_impl.h"
#include "src/rpc/client_impl.h"

/* One reference for the batch, one for whoever wants to cancel. */
struct rpc_client_call {
    struct client_half half;
    struct rpc_tag tag;
    grpc_byte_buffer *reply;
    atomic_uint refs;
};

void rpc_client_call_unref(struct rpc_client_call *call)
{
    if (call == NULL || atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) != 1)
        return;
    client_half_deinit(&call->half);
    free(call);
}

void rpc_client_call_cancel(struct rpc_client_call *call)
{
    client_half_cancel(&call->half);
}

static void on_answered(struct rpc_tag *tag, bool ok)
{
    struct rpc_client_call *call = RPC_TAG_OWNER(tag, struct rpc_client_call, tag);
    struct rpc_bytes *reply = rpc_bytes_from_buffer(call->reply);

    (void)ok; /* the status knows */
    client_half_report(&call->half, reply, true);
    rpc_client_call_unref(call);
}

static void start(struct rpc_client_call *call)
{
    grpc_op ops[] = {
        client_half_send_metadata(&call->half),   client_half_send_request(&call->half),
        { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT }, client_half_receive_metadata(&call->half),
        { .op = GRPC_OP_RECV_MESSAGE },           client_half_receive_status(&call->half),
    };

    ops[4].data.recv_message.recv_message = &call->reply;
    rpc_start_batch(call->half.grpc, ops, sizeof ops / sizeof ops[0], &call->tag);
}

void rpc_call_unary(struct rpc_channel *channel, const struct rpc_request *request, rpc_done done,
                    void *ctx, struct rpc_client_call **ret_call)
{
    struct rpc_client_call *call = calloc(1, sizeof *call);

    assert(call != NULL); /* as gRPC's own allocator would */
    client_half_init(&call->half, channel, request, done, ctx);
    assert(call->half.request != NULL);
    call->tag.fn = on_answered;
    atomic_init(&call->refs, 1);
    if (ret_call != NULL) {
        atomic_store(&call->refs, 2);
        *ret_call = call;
    }
    start(call);
}
