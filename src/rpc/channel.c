#include <assert.h>
#include <grpc/grpc_security.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "src/rpc/address.h"
#include "src/rpc/client_impl.h"

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
        /* What this bounds, despite its name, is how long one attempt may take: a busy peer needs
         * more than the 100 ms between attempts to answer a handshake. */
        integer(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5 * 1000),
        integer(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500),
        integer(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, options->own_connection),
    };
    grpc_channel_args list = { .num_args = sizeof args / sizeof args[0], .args = args };
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create(target, credentials, &list);

    grpc_channel_credentials_release(credentials);
    return channel;
}

enum status_code rpc_channel_open(struct rpc_loop *loop, const char *target,
                                  const struct rpc_channel_options *options,
                                  struct rpc_channel **ret_channel, struct status *st)
{
    static const struct rpc_channel_options defaults = { 0 };
    struct rpc_channel *channel;

    assert(options == NULL || options->max_message_bytes <= INT_MAX);
    if (!rpc_address_valid(target, 1))
        return status_set(st, STATUS_INVALID_ARGUMENT, "'%s' is neither host:port nor unix:/path",
                          target);
    channel = calloc(1, sizeof *channel);
    if (channel == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    channel->loop = loop;
    channel->grpc = create(target, options != NULL ? options : &defaults);
    *ret_channel = channel;
    return STATUS_OK;
}

void rpc_channel_close(struct rpc_channel *channel)
{
    if (channel == NULL)
        return;
    grpc_channel_destroy(channel->grpc);
    free(channel);
}
