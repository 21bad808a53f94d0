#include <assert.h>
#include <grpc/grpc_security.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/auth/token.h"
#include "src/rpc/address.h"
#include "src/rpc/client_impl.h"
#include "src/rpc/tls_impl.h"

enum { MIB = 1024 * 1024 };

static grpc_arg integer(const char *key, int value)
{
    return (grpc_arg){ .type = GRPC_ARG_INTEGER,
                       .key = (char *)(uintptr_t)key,
                       .value.integer = value };
}

static int or_default(int value, int fallback)
{
    return value != 0 ? value : fallback;
}

static grpc_arg string(const char *key, const char *value)
{
    return (grpc_arg){ .type = GRPC_ARG_STRING,
                       .key = (char *)(uintptr_t)key,
                       .value.string = (char *)(uintptr_t)value };
}

/* Moves those that are given to the front; returns how many. */
static size_t without_null(grpc_arg *args, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (args[i].type != GRPC_ARG_STRING || args[i].value.string != NULL)
            args[kept++] = args[i];
    return kept;
}

static grpc_channel *create(const char *target, const struct rpc_channel_options *options)
{
    int max_message = or_default((int)options->max_message_bytes, 64 * MIB);
    grpc_arg args[] = {
        integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, max_message),
        integer(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        integer(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
        integer(GRPC_ARG_ENABLE_CHANNELZ, 0),
        integer(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        integer(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        integer(GRPC_ARG_KEEPALIVE_TIME_MS, or_default(options->keepalive_ms, 10 * 1000)),
        integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, or_default(options->keepalive_timeout_ms, 5 * 1000)),
        integer(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        integer(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100),
        /* A server that was replaced has another address under its name, on Kubernetes always; as
         * it is, gRPC would go on calling the old one for half a minute. */
        integer(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000),
        /* What this bounds, despite its name, is how long one attempt may take: a busy peer needs
         * more than the 100 ms between attempts to answer a handshake. */
        integer(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5 * 1000),
        integer(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500),
        integer(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, options->own_connection),
        /* What is sent is kept until it is answered anyway: calls of any size can be retried. */
        integer(GRPC_ARG_PER_RPC_RETRY_BUFFER_SIZE, INT_MAX),
        /* Not always given: */
        string(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, options->tls_name),
        string(GRPC_ARG_SERVICE_CONFIG, options->service_config),
    };
    grpc_channel_args list = { .num_args = without_null(args, sizeof args / sizeof args[0]),
                               .args = args };
    grpc_channel_credentials *credentials = tls_channel_credentials(options->tls);
    grpc_channel *channel = grpc_channel_create(target, credentials, &list);

    grpc_channel_credentials_release(credentials);
    return channel;
}

static enum status_code check_target(const char *target, const struct rpc_channel_options *options,
                                     struct status *st)
{
    bool tokens = options->token != NULL || options->passes_tokens;
    bool tls = rpc_tls_connects(options->tls);

    if (tokens && !options->insecure && !tls && !rpc_address_is_local(target))
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "tokens would travel in plaintext to '%s': use TLS (--tls-ca), or say "
                          "--insecure",
                          target);
    if (tls && options->tls_name == NULL && rpc_address_is_list(target))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "with TLS the several servers of '%s' need one name that is in all their "
                          "certificates (--tls-server-name)",
                          target);
    return STATUS_OK;
}

/* What gRPC connects to, for free(); NULL, and @st, if it is not to. */
static char *resolve(const char *target, const struct rpc_channel_options *options,
                     struct status *st)
{
    char *grpc_target = rpc_address_target(target);

    if (grpc_target == NULL)
        status_set(st, STATUS_INVALID_ARGUMENT, "'%s' is neither host:port nor unix:/path", target);
    else if (check_target(target, options, st) != STATUS_OK) {
        free(grpc_target);
        grpc_target = NULL;
    }
    return grpc_target;
}

static grpc_slice authorization_of(const char *token)
{
    char value[sizeof "Bearer " + TOKEN_MAX_BYTES];
    int length = snprintf(value, sizeof value, "Bearer %s", token);
    grpc_slice slice = grpc_slice_from_copied_string(value);

    assert(length > 0 && (size_t)length < sizeof value);
    explicit_bzero(value, sizeof value);
    return slice;
}

enum status_code rpc_channel_open(struct rpc_loop *loop, const char *target,
                                  const struct rpc_channel_options *options,
                                  struct rpc_channel **ret_channel, struct status *st)
{
    static const struct rpc_channel_options defaults = { 0 };
    struct rpc_channel *channel;
    char *grpc_target;

    options = options != NULL ? options : &defaults;
    assert(options->max_message_bytes <= INT_MAX);
    grpc_target = resolve(target, options, st);
    if (grpc_target == NULL)
        return st->code;
    channel = calloc(1, sizeof *channel);
    if (channel == NULL) {
        free(grpc_target);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    channel->loop = loop;
    channel->grpc = create(grpc_target, options);
    free(grpc_target);
    channel->tls = rpc_tls_connects(options->tls);
    channel->has_token = options->token != NULL;
    if (channel->has_token)
        channel->authorization = authorization_of(options->token);
    channel->away_ms = options->away_ms;
    atomic_init(&channel->away_since_us, 0);
    *ret_channel = channel;
    return STATUS_OK;
}

void rpc_channel_close(struct rpc_channel *channel)
{
    if (channel == NULL)
        return;
    grpc_channel_destroy(channel->grpc);
    if (channel->has_token)
        grpc_slice_unref(channel->authorization);
    free(channel);
}

/* Waiting. ------------------------------------------------------------------------------------ */

struct awaited {
    struct rpc_tag tag;
    struct rpc_loop *loop;
    void (*fn)(void *ctx);
    void *ctx;
};

static void on_change(struct rpc_tag *tag, bool ok)
{
    struct awaited *awaited = RPC_TAG_OWNER(tag, struct awaited, tag);

    (void)ok; /* false: the time is over */
    awaited->fn(awaited->ctx);
    rpc_loop_release(awaited->loop);
    free(awaited);
}

void rpc_channel_await(struct rpc_channel *channel, int64_t until_us, void (*fn)(void *ctx),
                       void *ctx)
{
    struct awaited *awaited = malloc(sizeof *awaited);
    gpr_timespec until = { .tv_sec = until_us / 1000000,
                           .tv_nsec = (int32_t)(until_us % 1000000 * 1000),
                           .clock_type = GPR_CLOCK_MONOTONIC };

    assert(awaited != NULL); /* as gRPC's own allocator would */
    *awaited =
        (struct awaited){ .tag = { on_change }, .loop = channel->loop, .fn = fn, .ctx = ctx };
    rpc_loop_hold(channel->loop);
    rpc_tag_hand_over(&awaited->tag);
    grpc_channel_watch_connectivity_state(channel->grpc,
                                          grpc_channel_check_connectivity_state(channel->grpc, 1),
                                          until, rpc_loop_queue(channel->loop), &awaited->tag);
}

bool rpc_channel_is_connected(struct rpc_channel *channel)
{
    return grpc_channel_check_connectivity_state(channel->grpc, 1) == GRPC_CHANNEL_READY;
}

enum rpc_channel_state rpc_channel_look(struct rpc_channel *channel)
{
    switch (grpc_channel_check_connectivity_state(channel->grpc, 1)) {
    case GRPC_CHANNEL_READY:
        return RPC_CHANNEL_READY;
    case GRPC_CHANNEL_TRANSIENT_FAILURE:
    case GRPC_CHANNEL_SHUTDOWN:
        return RPC_CHANNEL_FAILED;
    default:
        return RPC_CHANNEL_UNDECIDED;
    }
}
