#define _GNU_SOURCE /* strverscmp */
#include "src/client/client.h"

#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/health/v1/health.pb-c.h"
#include "src/auth/token.h"
#include "src/base/clock.h"
#include "src/client/service_config.h"
#include "src/rpc/call.h"
#include "src/rpc/sync_client.h"

enum {
    DEFAULT_TIMEOUT_MS = 30 * 1000,
    ATTEMPTS = 5,
    FIRST_PAUSE_MS = 100, /* doubled each time */
    HEALTH_REPLY_BYTES = 64 * 1024,
    REPLY_BYTES = 256 << 20, /* the most that a server can be told to send */
};

struct client {
    char *address;
    uint32_t timeout_ms;
    struct rpc_loop *loop;
    struct rpc_tls *tls;
    struct rpc_channel *channel;
    struct rpc_channel *health; /* to ask also a server that says that it takes no calls */
    struct rpc_sync_calls calls;
};

/* What distinguishes one method from another. */
struct method {
    const ProtobufCServiceDescriptor *service;
    const char *name;
    const ProtobufCMessageDescriptor *reply;
};

const char *client_default_address(void)
{
    const char *address = getenv("SUTRA_ADDRESS");

    return address != NULL && address[0] != '\0' ? address : CLIENT_DEFAULT_ADDRESS;
}

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static enum status_code open_tls(const struct client_options *options, struct rpc_tls **ret,
                                 struct status *st)
{
    const struct rpc_tls_options tls = {
        .cert = options->tls_cert,
        .key = options->tls_key,
        .ca = options->tls_ca,
        .warn = options->warn,
    };

    if (!is_given(tls.cert) && !is_given(tls.key) && !is_given(tls.ca))
        return STATUS_OK;
    if (!is_given(tls.ca))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--tls-ca is missing: --tls-cert and --tls-key need it");
    return rpc_tls_open(&tls, ret, st);
}

static enum status_code open_channels(struct client *client, const struct client_options *options,
                                      struct status *st)
{
    struct rpc_channel_options channel = {
        .max_message_bytes = REPLY_BYTES,
        .tls = client->tls,
        .tls_name = is_given(options->tls_server_name) ? options->tls_server_name : NULL,
        .token = is_given(options->token) ? options->token : NULL,
        .insecure = options->insecure,
    };

    if (channel.token != NULL && token_check(channel.token, st) != STATUS_OK)
        return st->code;
    if (rpc_channel_open(client->loop, client->address, &channel, &client->health, st) != STATUS_OK)
        return st->code;
    channel.service_config = client_service_config;
    return rpc_channel_open(client->loop, client->address, &channel, &client->channel, st);
}

enum status_code client_open(const char *address, const struct client_options *options,
                             struct client **ret_client, struct status *st)
{
    static const struct client_options defaults = { 0 };
    struct client *client = calloc(1, sizeof *client);

    if (client == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    rpc_sync_calls_init(&client->calls);
    options = options != NULL ? options : &defaults;
    client->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    client->address = strdup(address != NULL ? address : client_default_address());
    if (client->address == NULL) {
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
        goto out;
    }
    if (open_tls(options, &client->tls, st) != STATUS_OK ||
        rpc_loop_start(&client->loop, st) != STATUS_OK ||
        open_channels(client, options, st) != STATUS_OK)
        goto out;
    *ret_client = client;
    client = NULL;
out:
    client_close(client);
    return st->code;
}

void client_close(struct client *client)
{
    if (client == NULL)
        return;
    rpc_channel_close(client->channel);
    rpc_channel_close(client->health);
    rpc_loop_stop(client->loop);
    rpc_tls_close(client->tls);
    rpc_sync_calls_deinit(&client->calls);
    free(client->address);
    free(client);
}

void client_cancel(struct client *client)
{
    rpc_sync_calls_cancel(&client->calls);
}

const char *client_address(const struct client *client)
{
    return client->address;
}

/* Whether the server has not even looked at the call. */
static bool was_refused(const struct status *st)
{
    return strcmp(st->reason, RPC_SERVER_STARTING) == 0;
}

/* One deadline holds for all attempts. Reads are repeated below this, by the service config. */
static enum status_code call(struct client *client, const struct method *method,
                             const ProtobufCMessage *message, struct arena *arena,
                             ProtobufCMessage **ret_reply, struct status *st)
{
    struct rpc_request request = {
        .service = method->service,
        .method = method->name,
        .message = message,
        .deadline_us = clock_monotonic_us() + (int64_t)client->timeout_ms * 1000,
    };

    for (int i = 1; rpc_sync_call_in(&client->calls, client->channel, &request, method->reply,
                                     arena, ret_reply, st) == STATUS_UNAVAILABLE &&
                    was_refused(st) && i < ATTEMPTS;
         i++) {
        bool go_on = rpc_sync_calls_pause(&client->calls, (int64_t)FIRST_PAUSE_MS << (i - 1));
        status_clear(st);
        if (!go_on)
            return status_set(st, STATUS_CANCELLED, "cancelled while the server was starting");
    }
    return st->code;
}

#define CLIENT_DEFINE(service_name, function, Method)                                              \
    enum status_code client_##function(                                                            \
        struct client *client, const Sutra__V1__##Method##Request *request, struct arena *arena,   \
        Sutra__V1__##Method##Response **ret_reply, struct status *st)                              \
    {                                                                                              \
        static const struct method method = {                                                      \
            .service = &sutra__v1__##service_name##_service__descriptor,                           \
            .name = #Method,                                                                       \
            .reply = &sutra__v1__##function##_response__descriptor,                                \
        };                                                                                         \
        ProtobufCMessage *reply = NULL;                                                            \
                                                                                                   \
        if (call(client, &method, &request->base, arena, &reply, st) == STATUS_OK)                 \
            *ret_reply = (Sutra__V1__##Method##Response *)reply;                                   \
        return st->code;                                                                           \
    }
CLIENT_METHODS(CLIENT_DEFINE)

/* Over the channel that does not ask itself first whether the server takes calls. */
static enum status_code ask_health(struct client *client, const char *method,
                                   const ProtobufCMessage *message,
                                   const ProtobufCMessageDescriptor *type, struct arena *arena,
                                   ProtobufCMessage **ret_reply, struct status *st)
{
    const struct rpc_request request = {
        .service = &grpc__health__v1__health__descriptor,
        .method = method,
        .message = message,
        .deadline_us = clock_monotonic_us() + (int64_t)client->timeout_ms * 1000,
    };

    return rpc_sync_call(client->health, &request, type, arena, ret_reply, st);
}

static bool is_serving(const Grpc__Health__V1__HealthCheckResponse *response)
{
    return response != NULL &&
           response->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
}

enum status_code client_health(struct client *client, const char *service, bool *ret_serving,
                               struct status *st)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct arena arena;

    arena_init(&arena, HEALTH_REPLY_BYTES);
    request.service = (char *)service;
    if (ask_health(client, "Check", &request.base,
                   &grpc__health__v1__health_check_response__descriptor, &arena, &reply,
                   st) == STATUS_OK)
        *ret_serving = is_serving((const Grpc__Health__V1__HealthCheckResponse *)reply);
    arena_deinit(&arena);
    return st->code;
}

static int by_name(const void *a, const void *b)
{
    return strverscmp(((const struct client_serving *)a)->service,
                      ((const struct client_serving *)b)->service);
}

enum status_code client_health_list(struct client *client, struct arena *arena,
                                    struct client_serving **ret_list, size_t *ret_count,
                                    struct status *st)
{
    Grpc__Health__V1__HealthListRequest request = GRPC__HEALTH__V1__HEALTH_LIST_REQUEST__INIT;
    const Grpc__Health__V1__HealthListResponse *list;
    ProtobufCMessage *reply = NULL;
    struct client_serving *servings;

    if (ask_health(client, "List", &request.base,
                   &grpc__health__v1__health_list_response__descriptor, arena, &reply,
                   st) != STATUS_OK)
        return st->code;
    list = (const Grpc__Health__V1__HealthListResponse *)reply;
    servings = arena_calloc(arena, list->n_statuses, sizeof *servings);
    if (servings == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    for (size_t i = 0; i < list->n_statuses; i++)
        servings[i] =
            (struct client_serving){ list->statuses[i]->key, is_serving(list->statuses[i]->value) };
    qsort(servings, list->n_statuses, sizeof *servings, by_name);
    *ret_list = servings;
    *ret_count = list->n_statuses;
    return STATUS_OK;
}

/* A client_list and a client_import are the rpc layer's stream under a name that knows its types.
 */

static struct rpc_sync_stream *open_stream(struct client *client, const char *method,
                                           const ProtobufCMessage *message)
{
    struct rpc_request request = {
        .service = &sutra__v1__concept_service__descriptor,
        .method = method,
        .message = message,
    };

    return rpc_sync_stream_open(client->channel, &request);
}

static enum status_code stream_opened(const struct rpc_sync_stream *stream, struct status *st)
{
    if (stream == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    return STATUS_OK;
}

enum status_code client_list_open(struct client *client, const Sutra__V1__ListRequest *request,
                                  struct client_list **ret_list, struct status *st)
{
    struct rpc_sync_stream *stream = open_stream(client, "List", &request->base);

    if (stream_opened(stream, st) == STATUS_OK)
        *ret_list = (struct client_list *)stream;
    return st->code;
}

enum status_code client_list_next(struct client_list *list, struct arena *arena,
                                  Sutra__V1__ListResponse **ret_page, struct status *st)
{
    ProtobufCMessage *page = NULL;

    if (rpc_sync_stream_recv((struct rpc_sync_stream *)list, &sutra__v1__list_response__descriptor,
                             arena, &page, st) == STATUS_OK)
        *ret_page = (Sutra__V1__ListResponse *)page;
    return st->code;
}

void client_list_close(struct client_list *list)
{
    rpc_sync_stream_close((struct rpc_sync_stream *)list);
}

enum status_code client_import_open(struct client *client, struct client_import **ret_import,
                                    struct status *st)
{
    struct rpc_sync_stream *stream = open_stream(client, "Import", NULL);

    if (stream_opened(stream, st) == STATUS_OK)
        *ret_import = (struct client_import *)stream;
    return st->code;
}

bool client_import_send(struct client_import *import, const Sutra__V1__ImportRequest *request)
{
    return rpc_sync_stream_send((struct rpc_sync_stream *)import, &request->base);
}

void client_import_send_done(struct client_import *import)
{
    rpc_sync_stream_half_close((struct rpc_sync_stream *)import);
}

enum status_code client_import_receive(struct client_import *import, struct arena *arena,
                                       Sutra__V1__ImportResponse **ret_response, struct status *st)
{
    ProtobufCMessage *response = NULL;

    if (rpc_sync_stream_recv((struct rpc_sync_stream *)import,
                             &sutra__v1__import_response__descriptor, arena, &response,
                             st) == STATUS_OK)
        *ret_response = (Sutra__V1__ImportResponse *)response;
    return st->code;
}

void client_import_cancel(struct client_import *import)
{
    rpc_sync_stream_cancel((struct rpc_sync_stream *)import);
}

void client_import_close(struct client_import *import)
{
    rpc_sync_stream_close((struct rpc_sync_stream *)import);
}
