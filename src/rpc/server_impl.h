#ifndef SUTRA_RPC_SERVER_IMPL_H
#define SUTRA_RPC_SERVER_IMPL_H

/** What calls see of their server. */

#include <grpc/grpc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "src/base/pool.h"
#include "src/rpc/descriptors.h"
#include "src/rpc/loop_impl.h"
#include "src/rpc/meter.h"
#include "src/rpc/server.h"
#include "src/rpc/tls_impl.h"

/* One method as it was registered; lives as long as the server, at one address. */
struct server_method {
    struct server_method *next;
    struct rpc_method method;
    char *path;
    const ProtobufCMessageDescriptor *input;
    const ProtobufCMessageDescriptor *output;
    void *service;    /* set before `open` */
    atomic_bool open; /* else its calls are refused: it was only announced */
    void *handle;     /* gRPC's */
    struct method_meter *meter;
};

/* An address that is listened on with TLS. */
struct server_listener {
    struct server_listener *next;
    struct tls_listener *tls;
};

struct rpc_server {
    struct rpc_loop *loop;
    struct rpc_server_options options; /* no zeroes left */
    grpc_server *grpc;
    struct pool *pool;               /* NULL while no method needs one */
    struct server_method *methods;   /* newest first */
    struct server_service *services; /* oldest first */
    struct server_listener *listeners;
    struct descriptors *descriptors;
    bool started;
    atomic_bool stopping;
    atomic_size_t running;        /* calls that have arrived and are not finished */
    struct method_meter *unknown; /* of what nobody registered */
    struct metrics_counter refused[METER_REFUSALS];
    struct rpc_tag stopped_tag;
    bool draining; /* on the loop only: the shutdown has begun */

    pthread_mutex_t lock;   /* of what follows; taken before a call's lock, never after */
    pthread_cond_t changed; /* closing, quiet, or no objects left */
    struct rpc_call *live;  /* arrived and not yet freed */
    size_t objects;         /* calls that exist, including those that wait for an arrival */
    bool closing;           /* gRPC takes no more calls */
    bool quiet;             /* gRPC has reported the end of the shutdown */
};

#endif
