#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/rpc/bytes_impl.h"
#include "src/rpc/call_impl.h"
#include "src/rpc/client_impl.h"
#include "src/rpc/details.h"

enum { PATH_SIZE = 256, DETAILS_LIMIT_BYTES = 64 * 1024 };

/* Opening. ------------------------------------------------------------------------------------ */

static bool has_method(const struct rpc_request *request)
{
    for (unsigned i = 0; i < request->service->n_methods; i++)
        if (strcmp(request->service->methods[i].name, request->method) == 0)
            return true;
    return false;
}

static grpc_slice path_of(const struct rpc_request *request)
{
    char path[PATH_SIZE];
    int length;

    if (request->path != NULL)
        return grpc_slice_from_copied_string(request->path);
    assert(has_method(request));
    length = snprintf(path, sizeof path, "/%s/%s", request->service->name, request->method);
    assert(length > 0 && (size_t)length < sizeof path);
    return grpc_slice_from_copied_string(path);
}

static gpr_timespec deadline_of(const struct rpc_request *request)
{
    if (request->deadline_us == 0 || request->deadline_us == INT64_MAX)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return (gpr_timespec){ .tv_sec = request->deadline_us / 1000000,
                           .tv_nsec = (int32_t)(request->deadline_us % 1000000 * 1000),
                           .clock_type = GPR_CLOCK_MONOTONIC };
}

/* What other systems say of a trace is theirs: it goes no further than that trace. */
static bool travels(grpc_slice key, const struct rpc_trace *trace)
{
    if (GRPC_SLICE_LENGTH(key) > 2 && memcmp(GRPC_SLICE_START_PTR(key), "x-", 2) == 0)
        return true;
    if (grpc_slice_str_cmp(key, "tracestate") == 0)
        return trace->parent[0] != '\0';
    return grpc_slice_str_cmp(key, "authorization") == 0;
}

static bool is_given(const struct client_half *half, size_t given, grpc_slice key)
{
    for (size_t i = 0; i < given; i++)
        if (grpc_slice_eq(half->metadata[i].key, key))
            return true;
    return false;
}

static void add_header(struct client_half *half, grpc_slice key, grpc_slice value)
{
    half->metadata[half->metadata_count++] = (grpc_metadata){ .key = key, .value = value };
}

static void add_given(struct client_half *half, const struct rpc_request *request)
{
    for (size_t i = 0; i < request->metadata_count; i++)
        add_header(half, grpc_slice_from_copied_string(request->metadata[i].key),
                   grpc_slice_from_copied_string(request->metadata[i].value));
}

/* The trace goes on: who is asked hears that we are who asks. */
static void add_trace(struct client_half *half, size_t given, const struct rpc_trace *trace)
{
    grpc_slice key = grpc_slice_from_static_string("traceparent");
    char header[TRACE_HEADER_SIZE];

    if (is_given(half, given, key))
        return;
    rpc_trace_header(trace, header);
    add_header(half, key, grpc_slice_from_copied_string(header));
}

static void add_inherited(struct client_half *half, struct rpc_call *parent)
{
    const struct rpc_trace *trace = call_trace(parent);
    const grpc_metadata_array *from = &parent->metadata;
    size_t given = half->metadata_count;

    add_trace(half, given, trace);
    for (size_t i = 0; i < from->count; i++) {
        grpc_slice key = from->metadata[i].key;
        if (travels(key, trace) && !is_given(half, given, key))
            add_header(half, grpc_slice_ref(key), grpc_slice_ref(from->metadata[i].value));
    }
}

static void add_own_token(struct client_half *half, const struct rpc_channel *channel)
{
    grpc_slice key = grpc_slice_from_static_string("authorization");

    if (!is_given(half, half->metadata_count, key))
        add_header(half, key, grpc_slice_ref(channel->authorization));
}

static bool is_legal(const grpc_metadata *header)
{
    return grpc_header_key_is_legal(header->key) &&
           (grpc_is_binary_header(header->key) || grpc_header_nonbin_value_is_legal(header->value));
}

static void drop_headers(struct client_half *half)
{
    for (size_t i = 0; i < half->metadata_count; i++) {
        grpc_slice_unref(half->metadata[i].key);
        grpc_slice_unref(half->metadata[i].value);
    }
    half->metadata_count = 0;
}

/* A header that gRPC refuses would wreck the call: it is cancelled instead, before it starts. */
static void check_headers(struct client_half *half)
{
    for (size_t i = 0; i < half->metadata_count; i++)
        if (!is_legal(&half->metadata[i])) {
            grpc_call_cancel_with_status(half->grpc, GRPC_STATUS_INVALID_ARGUMENT,
                                         "a header has an illegal name or value", NULL);
            drop_headers(half);
            return;
        }
}

static void add_headers(struct client_half *half, const struct rpc_channel *channel,
                        const struct rpc_request *request)
{
    size_t most = request->metadata_count;

    if (half->parent != NULL)
        most += half->parent->metadata.count + 1;
    else if (channel->has_token)
        most++;
    if (most == 0)
        return;
    half->metadata = calloc(most, sizeof *half->metadata);
    assert(half->metadata != NULL); /* as gRPC's own allocator would */
    add_given(half, request);
    if (half->parent != NULL)
        add_inherited(half, half->parent);
    else if (channel->has_token)
        add_own_token(half, channel);
    check_headers(half);
}

static grpc_call *create(struct rpc_channel *channel, const struct rpc_request *request)
{
    grpc_slice path = path_of(request);
    grpc_call *call = grpc_channel_create_call(
        channel->grpc, request->parent != NULL ? request->parent->grpc : NULL,
        GRPC_PROPAGATE_DEADLINE | GRPC_PROPAGATE_CANCELLATION, rpc_loop_queue(channel->loop), path,
        NULL, deadline_of(request), NULL);

    grpc_slice_unref(path);
    return call;
}

void client_half_init(struct client_half *half, struct rpc_channel *channel,
                      const struct rpc_request *request, rpc_done done, void *ctx)
{
    assert(request->message == NULL || request->bytes == NULL);
    *half = (struct client_half){
        .loop = channel->loop, .tls = channel->tls, .done = done, .ctx = ctx
    };
    half->message = grpc_empty_slice();
    half->parent = request->parent;
    half->request = request->message != NULL ? rpc_bytes_pack(request->message) : request->bytes;
    half->metadata_flags = request->wait_for_ready
                               ? GRPC_INITIAL_METADATA_WAIT_FOR_READY |
                                     GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET
                               : 0;
    atomic_init(&half->cancelled, false);
    grpc_metadata_array_init(&half->initial);
    grpc_metadata_array_init(&half->trailing);
    rpc_loop_hold(half->loop);
    if (half->parent != NULL)
        call_ref(half->parent);
    half->grpc = create(channel, request);
    add_headers(half, channel, request);
}

void client_half_deinit(struct client_half *half)
{
    drop_headers(half);
    free(half->metadata);
    rpc_bytes_free(half->request);
    grpc_metadata_array_destroy(&half->initial);
    grpc_metadata_array_destroy(&half->trailing);
    grpc_slice_unref(half->message);
    grpc_call_unref(half->grpc);
    if (half->parent != NULL)
        call_unref(half->parent);
    rpc_loop_release(half->loop);
}

void client_half_cancel(struct client_half *half)
{
    atomic_store(&half->cancelled, true);
    grpc_call_cancel(half->grpc, NULL);
}

/* Operations. --------------------------------------------------------------------------------- */

grpc_op client_half_send_metadata(struct client_half *half)
{
    grpc_op op = { .op = GRPC_OP_SEND_INITIAL_METADATA, .flags = half->metadata_flags };

    op.data.send_initial_metadata.metadata = half->metadata;
    op.data.send_initial_metadata.count = half->metadata_count;
    return op;
}

grpc_op client_half_send_request(struct client_half *half)
{
    grpc_op op = { .op = GRPC_OP_SEND_MESSAGE };

    op.data.send_message.send_message = rpc_bytes_buffer(half->request);
    return op;
}

grpc_op client_half_receive_metadata(struct client_half *half)
{
    grpc_op op = { .op = GRPC_OP_RECV_INITIAL_METADATA };

    op.data.recv_initial_metadata.recv_initial_metadata = &half->initial;
    return op;
}

grpc_op client_half_receive_status(struct client_half *half)
{
    grpc_op op = { .op = GRPC_OP_RECV_STATUS_ON_CLIENT };

    op.data.recv_status_on_client.trailing_metadata = &half->trailing;
    op.data.recv_status_on_client.status = &half->code;
    op.data.recv_status_on_client.status_details = &half->message;
    return op;
}

/* The end. ------------------------------------------------------------------------------------ */

static struct rpc_bytes *find_details(const struct client_half *half)
{
    for (size_t i = 0; i < half->trailing.count; i++) {
        const grpc_metadata *entry = &half->trailing.metadata[i];
        if (grpc_slice_str_cmp(entry->key, "grpc-status-details-bin") == 0)
            return rpc_bytes_copy(GRPC_SLICE_START_PTR(entry->value),
                                  GRPC_SLICE_LENGTH(entry->value));
    }
    return NULL;
}

/* Adds what the details know; they are a foreign server's, and may be anything. */
static void read_details(const struct rpc_bytes *details, struct status *st)
{
    struct arena arena;
    struct status told = { 0 };
    struct status ignored = { 0 };
    ProtobufCMessage *message;

    if (details == NULL)
        return;
    arena_init(&arena, DETAILS_LIMIT_BYTES);
    if (rpc_bytes_unpack(details, &google__rpc__status__descriptor, &arena, &message, &ignored) ==
        STATUS_OK)
        rpc_status_from_message((const Google__Rpc__Status *)message, &told);
    memcpy(st->field, told.field, sizeof st->field);
    memcpy(st->reason, told.reason, sizeof st->reason);
    arena_deinit(&arena);
}

static bool wanted_the_end(const struct client_half *half)
{
    return atomic_load(&half->cancelled) || (half->parent != NULL && rpc_cancelled(half->parent));
}

static enum status_code code_of(const struct client_half *half)
{
    if (half->code < GRPC_STATUS_OK || half->code > GRPC_STATUS_UNAUTHENTICATED)
        return STATUS_UNKNOWN;
    if (half->code == GRPC_STATUS_CANCELLED && !wanted_the_end(half))
        return STATUS_UNAVAILABLE;
    return (enum status_code)half->code;
}

/* What gRPC's words for a connection that did not come about mean to who has to mend it. */
static const struct {
    const char *words;
    bool tls;
    const char *meaning;
} connection_errors[] = {
    { "certificate verify failed", true,
      "the server's certificate has expired, or is not from an authority in --tls-ca" },
    { "wrong version number", true, "the server does not speak TLS" },
    { "Socket closed", true, "the server may want a certificate (--tls-cert, --tls-key)" },
    { "Connection reset", true, "the server may want a certificate (--tls-cert, --tls-key)" },
    { "Broken pipe", true, "the server may want a certificate (--tls-cert, --tls-key)" },
    { "Socket closed", false, "the server may want TLS (--tls-ca)" },
    { "Connection reset", false, "the server may want TLS (--tls-ca)" },
};

/* By gRPC's words for a call that found no connection, the only sign that there is. */
static bool was_unsent(const struct status *st)
{
    static const char one[] = "failed to connect to all addresses";
    static const char several[] = "connections to all backends failing";

    return strncmp(st->message, one, sizeof one - 1) == 0 ||
           strncmp(st->message, several, sizeof several - 1) == 0;
}

static void explain_connection(const struct client_half *half, struct status *st)
{
    size_t length = strlen(st->message);

    for (size_t i = 0; i < sizeof connection_errors / sizeof connection_errors[0]; i++)
        if (connection_errors[i].tls == half->tls &&
            strstr(st->message, connection_errors[i].words) != NULL) {
            snprintf(st->message + length, sizeof st->message - length, ": %s",
                     connection_errors[i].meaning);
            return;
        }
}

static void explain(const struct client_half *half, bool missing_reply, struct rpc_result *result)
{
    enum status_code code = code_of(half);

    if (code != STATUS_OK) {
        status_set(&result->status, code, "%.*s", (int)GRPC_SLICE_LENGTH(half->message),
                   (const char *)GRPC_SLICE_START_PTR(half->message));
        result->details = find_details(half);
        read_details(result->details, &result->status);
        result->unsent =
            code == STATUS_UNAVAILABLE && result->details == NULL && was_unsent(&result->status);
        if (result->unsent)
            explain_connection(half, &result->status);
    } else if (missing_reply) {
        status_set(&result->status, STATUS_INTERNAL, "the server answered OK without a message");
    }
}

void client_half_report(struct client_half *half, struct rpc_bytes *reply, bool unary)
{
    struct rpc_result result = { 0 };

    explain(half, unary && reply == NULL, &result);
    if (result.status.code == STATUS_OK)
        result.bytes = reply;
    else
        rpc_bytes_free(reply);
    half->done(half->ctx, &result);
    rpc_result_deinit(&result);
}
