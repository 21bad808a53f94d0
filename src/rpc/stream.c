#include <assert.h>
#include <stdlib.h>

#include "src/rpc/bytes_impl.h"
#include "src/rpc/call.h"
#include "src/rpc/call_impl.h"

/* Sending. ------------------------------------------------------------------------------------ */

void rpc_stream_send_bytes(struct rpc_call *call, struct rpc_bytes *bytes, rpc_sent done, void *ctx)
{
    struct send_item *item;

    meter_sent(call->meter, rpc_bytes_size(bytes));
    item = send_item_new(bytes, ctx);
    assert(call->method->method.kind != RPC_UNARY);
    item->call_sent = done;
    pthread_mutex_lock(&call->lock);
    assert(!call->finished);
    send_queue_push(&call->queue, item);
    call_pump(call);
    pthread_mutex_unlock(&call->lock);
}

void rpc_stream_send(struct rpc_call *call, const ProtobufCMessage *message, rpc_sent done,
                     void *ctx)
{
    assert(call->method->method.raw || message->descriptor == call->method->output);
    rpc_stream_send_bytes(call, rpc_bytes_pack(message), done, ctx);
}

/* Receiving. ---------------------------------------------------------------------------------- */

void rpc_message_free(struct rpc_message *message)
{
    if (message == NULL)
        return;
    rpc_bytes_free(message->bytes);
    arena_deinit(&message->arena);
    free(message);
}

/* Fills in bytes or body; takes @bytes. */
static enum status_code fill(struct rpc_message *message, const struct rpc_call *call,
                             struct rpc_bytes *bytes, struct status *st)
{
    ProtobufCMessage *body = NULL;

    if (call->method->method.raw) {
        message->bytes = bytes;
        return rpc_bytes_check_plain(bytes, st);
    }
    rpc_bytes_unpack(bytes, call->method->input, &message->arena, &body, st);
    rpc_bytes_free(bytes);
    message->body = body;
    return st->code;
}

/* Takes @bytes. NULL and a status when it cannot be decoded. */
static struct rpc_message *message_new(const struct rpc_call *call, struct rpc_bytes *bytes,
                                       struct status *st)
{
    struct rpc_message *message = calloc(1, sizeof *message);

    assert(message != NULL); /* as gRPC's own allocator would */
    arena_init(&message->arena, call->server->options.arena_limit_bytes);
    if (fill(message, call, bytes, st) == STATUS_OK)
        return message;
    rpc_message_free(message);
    return NULL;
}

/* Why there was no message. */
static void explain_end(struct rpc_call *call, struct status *st)
{
    if (call->receive_failed || rpc_cancelled(call) ||
        grpc_call_failed_before_recv_message(call->grpc))
        status_set(st, STATUS_CANCELLED, "the caller has gone, or its message was too large");
}

/* Hands what has arrived to the receiver, if the call was not finished meanwhile. */
static void deliver(struct rpc_call *call)
{
    struct rpc_message *message = NULL;
    struct status st = { 0 };
    rpc_on_message fn;

    if (call->incoming != NULL) {
        struct rpc_bytes *bytes = rpc_bytes_from_buffer(call->incoming);
        meter_received(call->meter, rpc_bytes_size(bytes));
        message = message_new(call, bytes, &st);
    } else {
        explain_end(call, &st);
    }
    call->incoming = NULL;
    pthread_mutex_lock(&call->lock);
    call->pulling = false;
    call->ended = message == NULL;
    fn = call->on_message;
    pthread_mutex_unlock(&call->lock);
    if (fn != NULL)
        fn(call, message, &st, call->on_message_ctx);
    else
        rpc_message_free(message);
    call_unref(call);
}

static void deliver_on_pool(struct pool_job *job)
{
    deliver(RPC_TAG_OWNER(job, struct rpc_call, job));
}

static void on_received(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = RPC_TAG_OWNER(tag, struct rpc_call, receive_tag);

    call->receive_failed = !ok;
    if (call->method->method.run == RPC_ON_LOOP) {
        deliver(call);
        return;
    }
    call->job.run = deliver_on_pool;
    pool_push(call->server->pool, &call->job);
}

void rpc_stream_on_message(struct rpc_call *call, rpc_on_message fn, void *ctx)
{
    pthread_mutex_lock(&call->lock);
    assert(call->method->method.kind == RPC_BIDI && call->on_message == NULL);
    call->on_message = fn;
    call->on_message_ctx = ctx;
    pthread_mutex_unlock(&call->lock);
}

void rpc_stream_pull(struct rpc_call *call)
{
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };

    op.data.recv_message.recv_message = &call->incoming;
    pthread_mutex_lock(&call->lock);
    assert(call->on_message != NULL && !call->pulling && !call->ended);
    call->pulling = true;
    call->receive_tag.fn = on_received;
    call_ref(call);
    rpc_start_batch(call->grpc, &op, 1, &call->receive_tag);
    pthread_mutex_unlock(&call->lock);
}
