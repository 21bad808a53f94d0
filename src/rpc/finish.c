#include <assert.h>
#include <grpc/support/alloc.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/rpc/call.h"
#include "src/rpc/call_impl.h"
#include "src/rpc/details.h"
#include "src/rpc/guard.h"

enum { DETAILS_LIMIT_BYTES = 64 * 1024 };

_Static_assert((int)STATUS_UNAUTHENTICATED == (int)GRPC_STATUS_UNAUTHENTICATED &&
                   (int)STATUS_UNAVAILABLE == (int)GRPC_STATUS_UNAVAILABLE &&
                   (int)STATUS_INVALID_ARGUMENT == (int)GRPC_STATUS_INVALID_ARGUMENT &&
                   (int)STATUS_CANCELLED == (int)GRPC_STATUS_CANCELLED,
               "status codes are gRPC's");

static void tell(struct rpc_call *call, const struct status *st, int64_t duration_us, bool slow)
{
    const struct rpc_server_options *options = &call->server->options;
    char *peer = grpc_call_get_peer(call->grpc);
    char *certificate = guard_certificate(call);
    struct rpc_call_summary summary = {
        .method = rpc_method_path(call),
        .peer = peer,
        .caller = call->caller != NULL ? call->caller->name : "",
        .certificate = certificate != NULL ? certificate : "",
        .role = guard_role(call),
        .refused = call->refused,
        .status = st,
        .trace = call_trace(call),
        .duration_us = duration_us,
        .slow = slow,
        .cancelled = rpc_cancelled(call),
    };

    pthread_mutex_lock(&call->lock);
    summary.asked = call->asked.known ? (int64_t)call->asked.number : -1;
    pthread_mutex_unlock(&call->lock);
    options->on_finished(&summary, options->on_finished_ctx);
    gpr_free(peer);
    free(certificate);
}

/* Streams take as long as their client likes. */
static bool is_slow(const struct rpc_call *call, int64_t duration_us)
{
    return duration_us > call->server->options.slow_us && call->method != NULL &&
           call->method->method.kind == RPC_UNARY;
}

static void report(struct rpc_call *call, const struct status *st)
{
    int64_t duration_us = clock_monotonic_us() - call->arrived_us;
    bool slow = is_slow(call, duration_us);

    meter_handled(call->meter, st->code, duration_us);
    if (rpc_cancelled(call))
        metrics_count(&call->meter->abandoned, 1);
    if (call->server->options.on_finished == NULL)
        return;
    if (slow || st->code != STATUS_OK || guard_role(call) == ROLE_ADMIN)
        tell(call, st, duration_us, slow);
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
    if (reply != NULL)
        meter_sent(call->meter, rpc_bytes_size(reply));
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
    if (call->counted)
        atomic_fetch_sub(&call->server->running, 1);
    if (call->limited)
        atomic_fetch_sub(&call->meter->in_progress, 1);
    call_unref(call);
}

static bool wants_reply(const struct rpc_call *call, const struct status *st)
{
    return st->code == STATUS_OK && call->method->method.kind == RPC_UNARY;
}

static void end_with_error(struct rpc_call *call, const struct status *st)
{
    end(call, NULL, st, pack_details(call, st));
}

/* Takes @reply. One that no client of ours would accept is an error that says so. */
static void end_with_reply(struct rpc_call *call, struct rpc_bytes *reply, const struct status *ok)
{
    size_t limit = call->server->options.max_message_bytes;
    size_t size = reply == NULL ? 0 : rpc_bytes_size(reply);
    struct status too_large = { 0 };

    assert((reply != NULL) == wants_reply(call, ok));
    if (size <= limit) {
        end(call, reply, ok, NULL);
        return;
    }
    rpc_bytes_free(reply);
    status_set_reason(&too_large, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED",
                      "the reply has %zu bytes, the limit of a message is %zu: ask for less", size,
                      limit);
    end_with_error(call, &too_large);
}

void rpc_finish(struct rpc_call *call, const ProtobufCMessage *reply, const struct status *st)
{
    if (st->code != STATUS_OK) {
        end_with_error(call, st);
        return;
    }
    assert(reply == NULL || call->method->method.raw || reply->descriptor == call->method->output);
    end_with_reply(call, reply == NULL ? NULL : rpc_bytes_pack(reply), st);
}

void rpc_finish_bytes(struct rpc_call *call, struct rpc_bytes *reply, const struct status *st)
{
    if (st->code != STATUS_OK) {
        rpc_bytes_free(reply);
        end_with_error(call, st);
        return;
    }
    end_with_reply(call, reply, st);
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
