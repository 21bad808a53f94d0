#include "src/rpc/call.h"

#include <assert.h>
#include <stdlib.h>

#include "src/rpc/bytes_impl.h"
#include "src/rpc/call_impl.h"

static void on_closed(struct rpc_tag *tag, bool ok);
static void on_sent(struct rpc_tag *tag, bool ok);

/* Life. --------------------------------------------------------------------------------------- */

struct rpc_call *call_new(struct rpc_server *server, const struct server_method *method)
{
    struct rpc_call *call = calloc(1, sizeof *call);

    assert(call != NULL); /* as gRPC's own allocator would */
    call->server = server;
    call->method = method;
    call->meter = method != NULL ? method->meter : server->unknown;
    call->close_tag.fn = on_closed;
    call->send_tag.fn = on_sent;
    call->message = grpc_empty_slice();
    atomic_init(&call->refs, 1);
    atomic_init(&call->cancelled, false);
    pthread_mutex_init(&call->lock, NULL);
    arena_init(&call->arena, server->options.arena_limit_bytes);
    grpc_metadata_array_init(&call->metadata);
    grpc_call_details_init(&call->details);
    pthread_mutex_lock(&server->lock);
    server->objects++;
    pthread_mutex_unlock(&server->lock);
    return call;
}

/* Off the server's books: the last step, after which the server may be gone. */
static void unlist(struct rpc_call *call)
{
    struct rpc_server *server = call->server;

    pthread_mutex_lock(&server->lock);
    if (call->live_previous != NULL)
        call->live_previous->live_next = call->live_next;
    else if (server->live == call)
        server->live = call->live_next;
    if (call->live_next != NULL)
        call->live_next->live_previous = call->live_previous;
    pthread_mutex_unlock(&server->lock);
}

static void forget(struct rpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    if (--server->objects == 0)
        pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static void call_free(struct rpc_call *call)
{
    struct rpc_server *server = call->server;

    unlist(call);
    if (call->has_trailer)
        grpc_slice_unref(call->trailer.value);
    grpc_slice_unref(call->message);
    rpc_bytes_free(call->reply);
    if (call->payload != NULL)
        grpc_byte_buffer_destroy(call->payload);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_details_destroy(&call->details);
    arena_deinit(&call->arena);
    pthread_mutex_destroy(&call->lock);
    if (call->grpc != NULL)
        grpc_call_unref(call->grpc);
    free(call);
    forget(server);
}

void call_ref(struct rpc_call *call)
{
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

void call_unref(struct rpc_call *call)
{
    if (atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) == 1)
        call_free(call);
}

/* Asking. ------------------------------------------------------------------------------------- */

struct arena *rpc_arena(struct rpc_call *call)
{
    return &call->arena;
}

const char *rpc_method_path(const struct rpc_call *call)
{
    return call->method != NULL ? call->method->path : "unknown";
}

int64_t rpc_deadline_us(const struct rpc_call *call)
{
    gpr_timespec monotonic = gpr_convert_clock_type(call->deadline, GPR_CLOCK_MONOTONIC);

    if (gpr_time_cmp(monotonic, gpr_inf_future(GPR_CLOCK_MONOTONIC)) == 0)
        return INT64_MAX;
    return monotonic.tv_sec * 1000000 + monotonic.tv_nsec / 1000;
}

size_t rpc_max_message_bytes(const struct rpc_call *call)
{
    return call->server->options.max_message_bytes;
}

bool rpc_cancelled(const struct rpc_call *call)
{
    return atomic_load_explicit(&call->cancelled, memory_order_relaxed);
}

const char *rpc_metadata(struct rpc_call *call, const char *key)
{
    for (size_t i = 0; i < call->metadata.count; i++) {
        const grpc_metadata *entry = &call->metadata.metadata[i];
        if (grpc_slice_str_cmp(entry->key, key) == 0)
            return arena_strndup(&call->arena, (const char *)GRPC_SLICE_START_PTR(entry->value),
                                 GRPC_SLICE_LENGTH(entry->value));
    }
    return NULL;
}

/* Of two headers none is to be believed. */
static const grpc_slice *find_traceparent(const struct rpc_call *call)
{
    const grpc_slice *found = NULL;

    for (size_t i = 0; i < call->metadata.count; i++) {
        const grpc_metadata *entry = &call->metadata.metadata[i];
        if (grpc_slice_str_cmp(entry->key, "traceparent") != 0)
            continue;
        if (found != NULL)
            return NULL;
        found = &entry->value;
    }
    return found;
}

const struct rpc_trace *call_trace(struct rpc_call *call)
{
    const grpc_slice *header;

    pthread_mutex_lock(&call->lock);
    if (!call->traced) {
        header = find_traceparent(call);
        if (header == NULL || !rpc_trace_continue((const char *)GRPC_SLICE_START_PTR(*header),
                                                  GRPC_SLICE_LENGTH(*header), &call->trace))
            rpc_trace_begin(&call->trace);
        call->traced = true;
    }
    pthread_mutex_unlock(&call->lock);
    return &call->trace;
}

void rpc_note_asked(struct rpc_call *call, uint32_t number, int64_t duration_us, bool failed)
{
    pthread_mutex_lock(&call->lock);
    if (!call->asked.known || (failed && !call->asked.failed) ||
        (failed == call->asked.failed && duration_us > call->asked.duration_us)) {
        call->asked.known = true;
        call->asked.failed = failed;
        call->asked.number = number;
        call->asked.duration_us = duration_us;
    }
    pthread_mutex_unlock(&call->lock);
}

const struct rpc_bytes *rpc_request_bytes(const struct rpc_call *call)
{
    assert(call->payload != NULL);
    return rpc_bytes_from_buffer(call->payload);
}

struct rpc_bytes *rpc_take_request_bytes(struct rpc_call *call)
{
    struct rpc_bytes *bytes = rpc_bytes_from_buffer(call->payload);

    assert(bytes != NULL);
    call->payload = NULL;
    return bytes;
}

/* Cancellation. ------------------------------------------------------------------------------- */

/* Under the lock. */
static grpc_op expect_close(struct rpc_call *call)
{
    grpc_op op = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER };

    op.data.recv_close_on_server.cancelled = &call->close_cancelled;
    call->close_posted = true;
    return op;
}

void call_watch_close(struct rpc_call *call)
{
    pthread_mutex_lock(&call->lock);
    if (!call->close_posted) {
        grpc_op op = expect_close(call);
        call_ref(call);
        rpc_start_batch(call->grpc, &op, 1, &call->close_tag);
    }
    pthread_mutex_unlock(&call->lock);
}

static void on_closed(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = RPC_TAG_OWNER(tag, struct rpc_call, close_tag);
    void (*fn)(struct rpc_call *, void *) = NULL;

    (void)ok;
    pthread_mutex_lock(&call->lock);
    if (call->close_cancelled) {
        atomic_store(&call->cancelled, true);
        fn = call->on_cancel;
        call->on_cancel = NULL;
    }
    pthread_mutex_unlock(&call->lock);
    if (fn != NULL)
        fn(call, call->on_cancel_ctx);
    call_unref(call);
}

void rpc_on_cancel(struct rpc_call *call, void (*fn)(struct rpc_call *call, void *ctx), void *ctx)
{
    bool already;

    pthread_mutex_lock(&call->lock);
    already = atomic_load(&call->cancelled);
    if (!already) {
        call->on_cancel = fn;
        call->on_cancel_ctx = ctx;
    }
    pthread_mutex_unlock(&call->lock);
    if (already)
        fn(call, ctx);
}

/* Sending. ------------------------------------------------------------------------------------ */

/* Adds what must precede the first message or the status. */
static size_t open_reply(struct rpc_call *call, grpc_op *ops)
{
    if (call->opened)
        return 0;
    call->opened = true;
    ops[0] = (grpc_op){ .op = GRPC_OP_SEND_INITIAL_METADATA };
    return 1;
}

static grpc_op send_message(struct rpc_bytes *bytes)
{
    grpc_op op = { .op = GRPC_OP_SEND_MESSAGE };

    op.data.send_message.send_message = rpc_bytes_buffer(bytes);
    return op;
}

static grpc_op send_status(struct rpc_call *call)
{
    grpc_op op = { .op = GRPC_OP_SEND_STATUS_FROM_SERVER };

    op.data.send_status_from_server.status = call->code;
    op.data.send_status_from_server.status_details = &call->message;
    op.data.send_status_from_server.trailing_metadata = &call->trailer;
    op.data.send_status_from_server.trailing_metadata_count = call->has_trailer;
    return op;
}

static void start_sending(struct rpc_call *call, const grpc_op *ops, size_t count)
{
    call->sending = true;
    call_ref(call);
    rpc_start_batch(call->grpc, ops, count, &call->send_tag);
}

static void send_next_message(struct rpc_call *call)
{
    grpc_op ops[2];
    size_t count = open_reply(call, ops);

    ops[count++] = send_message(call->queue.first->bytes);
    start_sending(call, ops, count);
}

static void send_end(struct rpc_call *call)
{
    grpc_op ops[4];
    size_t count = open_reply(call, ops);

    if (call->reply != NULL)
        ops[count++] = send_message(call->reply);
    ops[count++] = send_status(call);
    if (!call->close_posted)
        ops[count++] = expect_close(call);
    start_sending(call, ops, count);
}

void call_pump(struct rpc_call *call)
{
    if (call->sending)
        return;
    if (call->queue.first != NULL)
        send_next_message(call);
    else if (call->finished)
        send_end(call);
}

/* The event of a message, or of the end when the queue was empty. */
static void on_sent(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = RPC_TAG_OWNER(tag, struct rpc_call, send_tag);
    struct send_item *item = NULL;

    pthread_mutex_lock(&call->lock);
    if (call->queue.first != NULL) {
        item = send_queue_pop(&call->queue);
        call->sending = false;
        call_pump(call);
    }
    pthread_mutex_unlock(&call->lock);
    if (item != NULL) {
        if (item->call_sent != NULL)
            item->call_sent(call, ok, item->ctx);
        send_item_free(item);
    }
    call_unref(call);
}
