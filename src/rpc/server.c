#include "src/rpc/server.h"
#include "src/rpc/address.h"

#include <assert.h>
#include <grpc/grpc_security.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/clock.h"
#include "src/rpc/arrival.h"
#include "src/rpc/call_impl.h"
#include "src/rpc/server_impl.h"

enum {
    MIB = 1024 * 1024,
    UNKNOWN_SLOTS = 4,
    CLOSING_MS = 500, /* for clients to close their connections once no call is left */
};

struct server_service {
    struct server_service *next;
    const char *name;
    bool open;
};

/* Making. ------------------------------------------------------------------------------------- */

static size_t or_default(size_t value, size_t fallback)
{
    return value != 0 ? value : fallback;
}

static struct rpc_server_options complete(const struct rpc_server_options *given)
{
    struct rpc_server_options options = { 0 };

    if (given != NULL)
        options = *given;
    options.max_message_bytes = or_default(options.max_message_bytes, 64 * MIB);
    options.max_calls = or_default(options.max_calls, 1024);
    options.arena_limit_bytes = or_default(options.arena_limit_bytes, 256 * MIB);
    options.pool_threads = (unsigned)or_default(options.pool_threads, 2);
    options.pool_queue = or_default(options.pool_queue, 256);
    if (options.slow_us == 0)
        options.slow_us = INT64_MAX;
    assert(options.max_message_bytes <= INT_MAX); /* what gRPC's option can say */
    return options;
}

static grpc_arg integer(const char *key, int value)
{
    return (grpc_arg){ .type = GRPC_ARG_INTEGER,
                       .key = (char *)(uintptr_t)key,
                       .value.integer = value };
}

/* What gRPC's arguments can say, where 0 means @fallback. */
static int or_limit(int64_t value, int fallback)
{
    if (value == 0)
        return fallback;
    return value < INT_MAX ? (int)value : INT_MAX;
}

static grpc_server *create_grpc_server(const struct rpc_server_options *options)
{
    grpc_arg args[] = {
        integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)options->max_message_bytes),
        integer(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        integer(GRPC_ARG_ALLOW_REUSEPORT, 0),
        integer(GRPC_ARG_ENABLE_CHANNELZ, 0),
        /* A compressed message of any size could hide behind a small one. */
        integer(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        integer(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        integer(GRPC_ARG_MAX_CONCURRENT_STREAMS, or_limit((int64_t)options->max_streams, INT_MAX)),
        integer(GRPC_ARG_MAX_CONNECTION_AGE_MS, or_limit(options->max_connection_age_ms, INT_MAX)),
        integer(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                or_limit(options->max_connection_age_grace_ms, INT_MAX)),
        /* Clients may ask for signs of life; we ask for them too. */
        integer(GRPC_ARG_KEEPALIVE_TIME_MS, or_limit(options->keepalive_ms, 60 * 1000)),
        integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, or_limit(options->keepalive_timeout_ms, 20 * 1000)),
        integer(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        integer(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 500),
    };
    grpc_channel_args list = { .num_args = sizeof args / sizeof args[0], .args = args };

    return grpc_server_create(&list, NULL);
}

enum status_code rpc_server_new(struct rpc_loop *loop, const struct rpc_server_options *options,
                                struct rpc_server **ret_server, struct status *st)
{
    struct rpc_server *server = calloc(1, sizeof *server);

    if (server != NULL)
        server->unknown = calloc(1, sizeof *server->unknown);
    if (server == NULL || server->unknown == NULL) {
        free(server);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    server->loop = loop;
    server->options = complete(options);
    server->descriptors = descriptors_open();
    server->grpc = create_grpc_server(&server->options);
    atomic_init(&server->stopping, false);
    atomic_init(&server->running, 0);
    pthread_mutex_init(&server->lock, NULL);
    clock_cond_init(&server->changed);
    grpc_server_register_completion_queue(server->grpc, rpc_loop_queue(loop), NULL);
    *ret_server = server;
    return STATUS_OK;
}

/* Services. ----------------------------------------------------------------------------------- */

static char *join_path(const char *service, const char *method)
{
    size_t size = strlen(service) + strlen(method) + sizeof "//";
    char *path = malloc(size);

    assert(path != NULL);
    snprintf(path, size, "/%s/%s", service, method);
    return path;
}

static const ProtobufCMethodDescriptor *find(const ProtobufCServiceDescriptor *service,
                                             const char *name)
{
    for (unsigned i = 0; i < service->n_methods; i++)
        if (strcmp(service->methods[i].name, name) == 0)
            return &service->methods[i];
    return NULL;
}

static bool kind_agrees(const struct rpc_server *server, const char *service,
                        const struct rpc_method *method)
{
    bool client_streams, server_streams;

    if (!descriptors_method(server->descriptors, service, method->name, &client_streams,
                            &server_streams))
        return true;
    return client_streams == (method->kind == RPC_BIDI) &&
           server_streams == (method->kind != RPC_UNARY);
}

static bool is_named_once(const struct rpc_method *methods, size_t count, const char *name)
{
    size_t seen = 0;

    for (size_t i = 0; i < count; i++)
        seen += strcmp(methods[i].name, name) == 0;
    return seen == 1;
}

static void add_method(struct rpc_server *server, const ProtobufCServiceDescriptor *descriptor,
                       const struct rpc_method *method)
{
    const ProtobufCMethodDescriptor *described = find(descriptor, method->name);
    struct server_method *added = calloc(1, sizeof *added);

    assert(described != NULL && added != NULL);
    added->meter = calloc(1, sizeof *added->meter);
    assert(added->meter != NULL);
    assert(kind_agrees(server, descriptor->name, method));
    added->method = *method;
    added->path = join_path(descriptor->name, method->name);
    added->input = described->input;
    added->output = described->output;
    atomic_init(&added->open, false);
    added->handle = grpc_server_register_method(server->grpc, added->path, NULL,
                                                method->kind == RPC_BIDI
                                                    ? GRPC_SRM_PAYLOAD_NONE
                                                    : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER,
                                                0);
    assert(added->handle != NULL);
    added->next = server->methods;
    server->methods = added;
}

static void add_service_name(struct rpc_server *server, const char *name)
{
    struct server_service *service = calloc(1, sizeof *service);
    struct server_service **end = &server->services;

    assert(service != NULL);
    service->name = name;
    while (*end != NULL)
        end = &(*end)->next;
    *end = service;
}

void rpc_server_announce_service(struct rpc_server *server,
                                 const ProtobufCServiceDescriptor *descriptor,
                                 const struct rpc_method *methods, size_t count)
{
    assert(!server->started && count == descriptor->n_methods);
    for (size_t i = 0; i < count; i++) {
        assert(is_named_once(methods, count, methods[i].name));
        add_method(server, descriptor, &methods[i]);
    }
    add_service_name(server, descriptor->name);
}

static bool belongs_to(const struct server_method *method,
                       const ProtobufCServiceDescriptor *descriptor)
{
    size_t length = strlen(descriptor->name);

    return strncmp(method->path + 1, descriptor->name, length) == 0 &&
           method->path[length + 1] == '/';
}

void rpc_server_open_service(struct rpc_server *server,
                             const ProtobufCServiceDescriptor *descriptor, void *service)
{
    for (struct server_service *s = server->services; s != NULL; s = s->next)
        s->open |= strcmp(s->name, descriptor->name) == 0;
    for (struct server_method *m = server->methods; m != NULL; m = m->next)
        if (belongs_to(m, descriptor)) {
            m->service = service;
            atomic_store_explicit(&m->open, true, memory_order_release);
        }
}

void rpc_server_add_service(struct rpc_server *server, const ProtobufCServiceDescriptor *descriptor,
                            const struct rpc_method *methods, size_t count, void *service)
{
    rpc_server_announce_service(server, descriptor, methods, count);
    rpc_server_open_service(server, descriptor, service);
}

static const struct server_service *service_at(const struct rpc_server *server, size_t index)
{
    const struct server_service *service = server->services;

    while (service != NULL && index-- > 0)
        service = service->next;
    return service;
}

const char *rpc_server_service_name(const struct rpc_server *server, size_t index)
{
    const struct server_service *service = service_at(server, index);

    return service != NULL ? service->name : NULL;
}

bool rpc_server_service_is_open(const struct rpc_server *server, size_t index)
{
    return service_at(server, index)->open;
}

/* Starting. ----------------------------------------------------------------------------------- */

/* Keeps what the credentials of an address need as long as the server. Takes @tls (may be NULL). */
static void keep_listener(struct rpc_server *server, struct tls_listener *tls)
{
    struct server_listener *listener = calloc(1, sizeof *listener);

    assert(listener != NULL);
    *listener = (struct server_listener){ .next = server->listeners, .tls = tls };
    server->listeners = listener;
}

static int bind_port(struct rpc_server *server, const char *address)
{
    struct tls_listener *tls;
    grpc_server_credentials *credentials = tls_server_credentials(server->options.tls, &tls);
    int port = grpc_server_add_http2_port(server->grpc, address, credentials);

    grpc_server_credentials_release(credentials);
    keep_listener(server, tls);
    return port;
}

enum status_code rpc_server_listen(struct rpc_server *server, const char *address, int *ret_port,
                                   struct status *st)
{
    int port;

    if (!rpc_address_valid(address, 0))
        return status_set(st, STATUS_INVALID_ARGUMENT, "'%s' is neither host:port nor unix:/path",
                          address);
    if (rpc_address_in_use(address))
        return status_set(st, STATUS_UNAVAILABLE, "cannot listen on '%s': it is in use", address);
    port = bind_port(server, address);
    if (port == 0)
        return status_set(st, STATUS_UNAVAILABLE, "cannot listen on '%s'", address);
    if (ret_port != NULL)
        *ret_port = port;
    return STATUS_OK;
}

static bool needs_pool(const struct rpc_server *server)
{
    for (const struct server_method *m = server->methods; m != NULL; m = m->next)
        if (m->method.run == RPC_ON_POOL)
            return true;
    return false;
}

enum status_code rpc_server_start(struct rpc_server *server, struct status *st)
{
    const struct rpc_server_options *options = &server->options;

    if (needs_pool(server) &&
        pool_start(options->pool_threads, options->pool_queue, &server->pool, st) != STATUS_OK)
        return st->code;
    server->started = true;
    grpc_server_start(server->grpc);
    for (struct server_method *m = server->methods; m != NULL; m = m->next)
        for (size_t i = 0; i < or_default(m->method.slots, 4); i++)
            arrival_await(server, m);
    for (int i = 0; i < UNKNOWN_SLOTS; i++)
        arrival_await(server, NULL);
    return STATUS_OK;
}

/* Stopping. ----------------------------------------------------------------------------------- */

static void on_quiet(struct rpc_tag *tag, bool ok)
{
    struct rpc_server *server = RPC_TAG_OWNER(tag, struct rpc_server, stopped_tag);

    (void)ok;
    pthread_mutex_lock(&server->lock);
    server->quiet = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

/* Calls that would not end by themselves. */
static void cancel_endless(struct rpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    for (struct rpc_call *call = server->live; call != NULL; call = call->live_next)
        if (call->method != NULL && call->method->method.endless)
            grpc_call_cancel_with_status(call->grpc, GRPC_STATUS_UNAVAILABLE,
                                         "the server is shutting down", NULL);
    pthread_mutex_unlock(&server->lock);
}

static bool is_closing(const struct rpc_server *server)
{
    return server->closing;
}

/* Whether gRPC has closed every connection. */
static bool is_quiet(const struct rpc_server *server)
{
    return server->quiet;
}

/* Whether no call is left, running or awaited. */
static bool has_no_calls(const struct rpc_server *server)
{
    return server->objects == 0;
}

/* Waits for @reached up to @limit_ms (-1: as long as it takes). */
static bool wait_until(struct rpc_server *server, bool (*reached)(const struct rpc_server *server),
                       int64_t limit_ms)
{
    int64_t until_us = clock_monotonic_us() + limit_ms * 1000;
    struct timespec until = { .tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000 };
    bool done;
    int error = 0;

    pthread_mutex_lock(&server->lock);
    while (!(done = reached(server)) && error == 0)
        error = limit_ms < 0 ? pthread_cond_wait(&server->changed, &server->lock)
                             : pthread_cond_timedwait(&server->changed, &server->lock, &until);
    pthread_mutex_unlock(&server->lock);
    return done;
}

static void begin_shutdown(void *ctx)
{
    struct rpc_server *server = ctx;

    server->draining = true;
    server->stopped_tag.fn = on_quiet;
    rpc_tag_hand_over(&server->stopped_tag);
    grpc_server_shutdown_and_notify(server->grpc, rpc_loop_queue(server->loop),
                                    &server->stopped_tag);
    cancel_endless(server);
    pthread_mutex_lock(&server->lock);
    server->closing = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

/* What arrived before gRPC refuses calls is answered, but for what would not end by itself.
 *
 * gRPC drops the awaited calls first and refuses new ones a moment later: what arrives in between
 * is given to nobody and answered by nobody. On the loop that moment is all but never met, since it
 * is the loop that reads from the connections; and a call met by it ends with the last of those
 * that do run, instead of after the grace. */
void rpc_server_shutdown(struct rpc_server *server, int64_t grace_ms)
{
    assert(!rpc_loop_is_current(server->loop));
    if (atomic_exchange(&server->stopping, true))
        return;
    rpc_loop_post(server->loop, begin_shutdown, server);
    wait_until(server, is_closing, -1);
    if (!wait_until(server, has_no_calls, grace_ms) ||
        !wait_until(server, is_quiet, grace_ms < CLOSING_MS ? grace_ms : CLOSING_MS))
        grpc_server_cancel_all_calls(server->grpc);
    wait_until(server, has_no_calls, -1);
    wait_until(server, is_quiet, -1);
}

static void free_methods(struct server_method *method)
{
    while (method != NULL) {
        struct server_method *next = method->next;
        free(method->path);
        free(method->meter);
        free(method);
        method = next;
    }
}

static void free_services(struct server_service *service)
{
    while (service != NULL) {
        struct server_service *next = service->next;
        free(service);
        service = next;
    }
}

static void free_listeners(struct server_listener *listener)
{
    while (listener != NULL) {
        struct server_listener *next = listener->next;
        tls_listener_free(listener->tls);
        free(listener);
        listener = next;
    }
}

void rpc_server_free(struct rpc_server *server)
{
    if (server == NULL)
        return;
    rpc_server_shutdown(server, 0);
    pool_stop(server->pool);
    grpc_server_destroy(server->grpc);
    free_methods(server->methods);
    free_services(server->services);
    free_listeners(server->listeners);
    free(server->unknown);
    descriptors_close(server->descriptors);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

size_t rpc_server_calls(const struct rpc_server *server)
{
    return atomic_load(&server->running);
}
