#include "src/rpc/arrival.h"

#include <assert.h>

#include "src/base/clock.h"
#include "src/rpc/bytes_impl.h"
#include "src/rpc/call_impl.h"
#include "src/rpc/guard.h"

static void on_arrival(struct rpc_tag *tag, bool ok);

void arrival_await(struct rpc_server *server, const struct server_method *method)
{
    struct rpc_call *call = call_new(server, method);
    grpc_completion_queue *queue = rpc_loop_queue(server->loop);
    grpc_call_error error;

    call->arrival_tag.fn = on_arrival;
    rpc_tag_hand_over(&call->arrival_tag);
    if (method == NULL)
        error = grpc_server_request_call(server->grpc, &call->grpc, &call->details, &call->metadata,
                                         queue, queue, &call->arrival_tag);
    else
        error = grpc_server_request_registered_call(
            server->grpc, method->handle, &call->grpc, &call->deadline, &call->metadata,
            method->method.kind == RPC_BIDI ? NULL : &call->payload, queue, queue,
            &call->arrival_tag);
    assert(error == GRPC_CALL_OK);
    (void)error;
}

/* Onto the list that a shutdown goes through. */
static void list(struct rpc_call *call)
{
    struct rpc_server *server = call->server;

    pthread_mutex_lock(&server->lock);
    call->live_next = server->live;
    if (server->live != NULL)
        server->live->live_previous = call;
    server->live = call;
    pthread_mutex_unlock(&server->lock);
}

static enum status_code unknown_method(const struct rpc_call *call, struct status *st)
{
    const grpc_slice *name = &call->details.method;

    return status_set(st, STATUS_UNIMPLEMENTED, "unknown method '%.*s'",
                      (int)GRPC_SLICE_LENGTH(*name), (const char *)GRPC_SLICE_START_PTR(*name));
}

static enum status_code full(const struct rpc_server *server, struct status *st)
{
    return status_set_reason(st, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED",
                             "%zu calls are in progress, the limit of this server",
                             server->options.max_calls);
}

static enum status_code crowded(const struct rpc_call *call, struct status *st)
{
    return status_set_reason(st, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED",
                             "%zu calls of %s are in progress, the limit of this server",
                             call->method->method.most, rpc_method_path(call));
}

/* Whether the method's own limit leaves room for the call, which takes it. */
static bool has_room(struct rpc_call *call)
{
    size_t most = call->method->method.most;

    if (most == 0)
        return true;
    call->limited = true;
    return atomic_fetch_add(&call->meter->in_progress, 1) < most;
}

/* What tells whether a server works must not fail because it works hard. */
static bool is_counted(const struct rpc_call *call)
{
    return call->method == NULL || !call->method->method.vital;
}

/* Counts a call that does not reach its handler; returns @code. */
static enum status_code refuse(struct rpc_call *call, enum meter_refusal reason,
                               enum status_code code)
{
    metrics_count(&call->server->refused[reason], 1);
    return code;
}

/* Whether the call may go on to its handler. */
static enum status_code admit(struct rpc_call *call, struct status *st)
{
    const struct rpc_server *server = call->server;

    if (guard_admit(call, st) != STATUS_OK)
        return refuse(call, REFUSED_CALLER, st->code);
    if (call->method == NULL)
        return refuse(call, REFUSED_UNKNOWN_METHOD, unknown_method(call, st));
    if (server->draining && call->method->method.endless)
        return refuse(call, REFUSED_STOPPING,
                      status_set(st, STATUS_UNAVAILABLE, "the server is shutting down"));
    if (!atomic_load_explicit(&call->method->open, memory_order_acquire))
        return refuse(call, REFUSED_STARTING,
                      status_set_reason(st, STATUS_UNAVAILABLE, RPC_SERVER_STARTING,
                                        "the server is starting"));
    if (is_counted(call) && atomic_load(&server->running) > server->options.max_calls)
        return refuse(call, REFUSED_TOO_MANY_CALLS, full(server, st));
    if (!has_room(call))
        return refuse(call, REFUSED_TOO_MANY_CALLS, crowded(call, st));
    if (call->payload == NULL && call->method->method.kind != RPC_BIDI)
        return status_set(st, STATUS_INVALID_ARGUMENT, "the request has no message");
    return STATUS_OK;
}

/* The request, decoded; NULL when the handler gets none. */
static enum status_code decode(struct rpc_call *call, ProtobufCMessage **ret_request,
                               struct status *st)
{
    *ret_request = NULL;
    if (call->payload == NULL)
        return STATUS_OK;
    if (call->method->method.raw)
        return rpc_bytes_check_plain(rpc_bytes_from_buffer(call->payload), st);
    if (rpc_bytes_unpack(rpc_bytes_from_buffer(call->payload), call->method->input, &call->arena,
                         ret_request, st) != STATUS_OK)
        return st->code;
    grpc_byte_buffer_destroy(call->payload);
    call->payload = NULL;
    return STATUS_OK;
}

static void enter(struct rpc_call *call)
{
    const struct server_method *method = call->method;
    ProtobufCMessage *request;
    struct status st = { 0 };

    if (decode(call, &request, &st) == STATUS_OK) {
        method->method.handler(call, request, method->service);
        return;
    }
    refuse(call, REFUSED_UNDECODABLE, st.code);
    rpc_finish(call, NULL, &st);
}

/* After the wait for a thread there may be nobody left to answer. */
static void enter_on_pool(struct pool_job *job)
{
    struct rpc_call *call = RPC_TAG_OWNER(job, struct rpc_call, job);
    struct status st = { 0 };

    if (!rpc_cancelled(call)) {
        enter(call);
        return;
    }
    status_set(&st, STATUS_CANCELLED, "the caller has gone");
    rpc_finish(call, NULL, &st);
}

/* On the pool the handler takes its time: cancellations are watched from the start. */
static void send_to_pool(struct rpc_call *call)
{
    struct rpc_server *server = call->server;
    struct status st = { 0 };

    call_watch_close(call);
    call->job.run = enter_on_pool;
    if (pool_offer(server->pool, &call->job))
        return;
    status_set_reason(&st, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED",
                      "%zu calls wait for a thread, the limit of this server",
                      server->options.pool_queue);
    refuse(call, REFUSED_QUEUE_FULL, st.code);
    rpc_finish(call, NULL, &st);
}

/* On the loop most handlers finish before they return, and the close is then part of their
 * reply's batch; only for the others it is worth a batch of its own. (Children that the handler
 * has made are cancelled with the call also if the close is asked for after them.) */
static void run_on_loop(struct rpc_call *call)
{
    call_ref(call);
    enter(call);
    call_watch_close(call);
    call_unref(call);
}

static void on_arrival(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = RPC_TAG_OWNER(tag, struct rpc_call, arrival_tag);
    struct status st = { 0 };

    if (!ok) { /* the server stops */
        call_unref(call);
        return;
    }
    arrival_await(call->server, call->method);
    call->arrived_us = clock_monotonic_us();
    list(call);
    metrics_count(&call->meter->started, 1);
    if (call->payload != NULL)
        meter_received(call->meter, rpc_bytes_size(rpc_bytes_from_buffer(call->payload)));
    call->counted = is_counted(call);
    if (call->counted)
        atomic_fetch_add(&call->server->running, 1);
    if (admit(call, &st) != STATUS_OK)
        rpc_finish(call, NULL, &st);
    else if (call->method->method.run == RPC_ON_POOL)
        send_to_pool(call);
    else
        run_on_loop(call);
}
