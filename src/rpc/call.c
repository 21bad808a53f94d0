#include "src/rpc/call.h"

#include <assert.h>
#include <grpc/support/alloc.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/rpc/bytes_impl.h"
#include "src/rpc/call_impl.h"
#include "src/rpc/details.h"

enum { DETAILS_LIMIT_BYTES = 64 * 1024 };

_Static_assert((int)STATUS_UNAUTHENTICATED == (int)GRPC_STATUS_UNAUTHENTICATED &&
                   (int)STATUS_UNAVAILABLE == (int)GRPC_STATUS_UNAVAILABLE &&
                   (int)STATUS_INVALID_ARGUMENT == (int)GRPC_STATUS_INVALID_ARGUMENT &&
                   (int)STATUS_CANCELLED == (int)GRPC_STATUS_CANCELLED,
               "status codes are gRPC's");

static void on_closed(struct rpc_tag *tag, bool ok);
static void on_sent(struct rpc_tag *tag, bool ok);

/* Life. --------------------------------------------------------------------------------------- */

struct rpc_call *call_new(struct rpc_server *server, const struct server_method *method)
{
    struct rpc_call *call = calloc(1, sizeof *call);

    assert(call != NULL); /* as gRPC's own allocator would */
    call->server = server;
    call->method = method;
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

/* Finishing. ---------------------------------------------------------------------------------- */

static void report(struct rpc_call *call, const struct status *st)
{
    const struct rpc_server_options *options = &call->server->options;
    struct rpc_call_summary summary = {
        .method = rpc_method_path(call),
        .peer = "",
        .status = st,
        .cancelled = rpc_cancelled(call),
    };
    char *peer = NULL;

    if (options->on_finished == NULL)
        return;
    if (st->code != STATUS_OK)
        summary.peer = peer = grpc_call_get_peer(call->grpc);
    summary.duration_us = clock_monotonic_us() - call->arrived_us;
    options->on_finished(&summary, options->on_finished_ctx);
    gpr_free(peer);
}

/* google.rpc.Status for @st, if there is more to say than code and message; NULL otherwise. */
static struct rpc_bytes *pack_details(struct rpc_call *call, const struct status *st)
{
    struct arena arena;
    Google__Rpc__Status *message;
    struct rpc_bytes *bytes = NULL;

    if (st->field[0] == '\0' && st->reason[0] == '\0')
        return NULL;
    arena_init(&arena, DETAILS_LIMIT_BYTES);
    message = rpc_status_to_message(st, call->pairs, call->pair_count, &arena);
    if (message != NULL)
        bytes = rpc_bytes_pack(&message->base);
    arena_deinit(&arena);
    return bytes;
}

static void set_message(struct rpc_call *call, const struct status *st)
{
    char text[STATUS_MESSAGE_SIZE];

    memcpy(text, st->message, sizeof text);
    rpc_make_utf8(text);
    call->message = grpc_slice_from_copied_string(text);
}

/* Takes @details (may be NULL). */
static void set_trailer(struct rpc_call *call, struct rpc_bytes *details)
{
    struct arena arena;
    struct status ignored = { 0 };
    const uint8_t *data;
    size_t size;

    if (details == NULL)
        return;
    arena_init(&arena, DETAILS_LIMIT_BYTES);
    if (rpc_bytes_view(details, &arena, &data, &size, &ignored) == STATUS_OK) {
        call->trailer.key = grpc_slice_from_static_string("grpc-status-details-bin");
        call->trailer.value = grpc_slice_from_copied_buffer((const char *)data, size);
        call->has_trailer = true;
    }
    arena_deinit(&arena);
    rpc_bytes_free(details);
}

/* Takes @reply and @details; both may be NULL. The caller's reference to @call ends here. */
static void end(struct rpc_call *call, struct rpc_bytes *reply, const struct status *st,
                struct rpc_bytes *details)
{
    report(call, st);
    pthread_mutex_lock(&call->lock);
    assert(!call->finished);
    call->finished = true;
    call->on_cancel = NULL;
    call->on_message = NULL;
    call->reply = reply;
    call->code = (grpc_status_code)st->code;
    if (st->code != STATUS_OK)
        set_message(call, st);
    set_trailer(call, details);
    call_pump(call);
    pthread_mutex_unlock(&call->lock);
    atomic_fetch_sub(&call->server->running, 1);
    call_unref(call);
}

static bool wants_reply(const struct rpc_call *call, const struct status *st)
{
    return st->code == STATUS_OK && call->method->method.kind == RPC_UNARY;
}

void rpc_finish(struct rpc_call *call, const ProtobufCMessage *reply, const struct status *st)
{
    if (st->code != STATUS_OK) {
        end(call, NULL, st, pack_details(call, st));
        return;
    }
    assert((reply != NULL) == wants_reply(call, st));
    assert(reply == NULL || call->method->method.raw || reply->descriptor == call->method->output);
    end(call, reply == NULL ? NULL : rpc_bytes_pack(reply), st, NULL);
}

void rpc_finish_bytes(struct rpc_call *call, struct rpc_bytes *reply, const struct status *st)
{
    if (st->code != STATUS_OK) {
        rpc_bytes_free(reply);
        rpc_finish(call, NULL, st);
        return;
    }
    assert((reply != NULL) == wants_reply(call, st));
    end(call, reply, st, NULL);
}

void rpc_finish_forward(struct rpc_call *call, struct rpc_result *result)
{
    struct rpc_result mine = rpc_result_move(result);

    if (mine.status.code != STATUS_OK && mine.details != NULL) {
        end(call, NULL, &mine.status, mine.details);
        mine.details = NULL;
    } else {
        rpc_finish_bytes(call, mine.bytes, &mine.status);
        mine.bytes = NULL;
    }
    rpc_result_deinit(&mine);
}

void rpc_add_error_metadata(struct rpc_call *call, const char *key, const char *value)
{
    struct rpc_metadata_pair pair = {
        .key = arena_strndup(&call->arena, key, strlen(key)),
        .value = arena_strndup(&call->arena, value, strlen(value)),
    };

    if (call->pair_count < ERROR_PAIRS_MAX && pair.key != NULL && pair.value != NULL)
        call->pairs[call->pair_count++] = pair;
}

void call_refuse(struct rpc_call *call, const struct status *st)
{
    rpc_finish(call, NULL, st);
}
