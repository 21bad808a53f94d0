#include "tests/unit/rpc_fixture.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "src/base/clock.h"

enum { METHODS_MAX = 64 };

static void not_here(struct rpc_call *call, const ProtobufCMessage *request, void *service)
{
    struct status st = { 0 };

    (void)request;
    (void)service;
    status_set(&st, STATUS_UNIMPLEMENTED, "not in this test");
    rpc_finish(call, NULL, &st);
}

static enum rpc_kind kind_of(const char *method)
{
    if (strcmp(method, "Import") == 0)
        return RPC_BIDI;
    return strcmp(method, "List") == 0 ? RPC_SERVER_STREAM : RPC_UNARY;
}

static struct rpc_method method_for(const char *name, const struct rpc_fixture_setup *setup)
{
    for (size_t i = 0; i < setup->count; i++)
        if (strcmp(setup->methods[i].name, name) == 0)
            return setup->methods[i];
    return (struct rpc_method){ .name = name, .kind = kind_of(name), .handler = not_here };
}

static void add(struct rpc_server *server, const ProtobufCServiceDescriptor *descriptor,
                const struct rpc_fixture_setup *setup)
{
    struct rpc_method methods[METHODS_MAX];

    assert(descriptor->n_methods <= METHODS_MAX);
    for (unsigned i = 0; i < descriptor->n_methods; i++)
        methods[i] = method_for(descriptor->methods[i].name, setup);
    rpc_server_announce_service(server, descriptor, methods, descriptor->n_methods);
    if (!setup->announced || descriptor != CONCEPTS)
        rpc_server_open_service(server, descriptor, setup->service);
}

static struct rpc_server *start_at(struct rpc_loop *loop, const struct rpc_fixture_setup *setup,
                                   const char *address, int *ret_port)
{
    struct status st = { 0 };
    struct rpc_server *server = NULL;

    rpc_server_new(loop, &setup->options, &server, &st);
    assert(st.code == STATUS_OK);
    add(server, CONCEPTS, setup);
    add(server, EMBEDDING, setup);
    if (setup->more != NULL)
        setup->more(server, setup->service);
    rpc_server_listen(server, address, ret_port, &st);
    assert(st.code == STATUS_OK);
    rpc_server_start(server, &st);
    assert(st.code == STATUS_OK);
    return server;
}

struct rpc_server *rpc_fixture_server(struct rpc_loop *loop, const struct rpc_fixture_setup *setup,
                                      char target[64])
{
    int port = 0;
    struct rpc_server *server = start_at(loop, setup, "127.0.0.1:0", &port);

    snprintf(target, 64, "127.0.0.1:%d", port);
    return server;
}

struct rpc_server *rpc_fixture_server_at(struct rpc_loop *loop,
                                         const struct rpc_fixture_setup *setup, const char *address)
{
    return start_at(loop, setup, address, NULL);
}

void rpc_fixture_start(struct rpc_fixture *f, const struct rpc_fixture_setup *setup)
{
    struct status st = { 0 };

    rpc_loop_start(&f->loop, &st);
    assert(st.code == STATUS_OK);
    f->server = rpc_fixture_server(f->loop, setup, f->target);
    rpc_channel_open(f->loop, f->target, NULL, &f->channel, &st);
    assert(st.code == STATUS_OK);
}

void rpc_fixture_stop(struct rpc_fixture *f)
{
    rpc_channel_close(f->channel);
    rpc_server_free(f->server);
    rpc_loop_stop(f->loop);
}

void latch_up(struct latch *latch)
{
    pthread_mutex_lock(&latch->lock);
    latch->count++;
    pthread_cond_broadcast(&latch->changed);
    pthread_mutex_unlock(&latch->lock);
}

void latch_wait(struct latch *latch, int count)
{
    pthread_mutex_lock(&latch->lock);
    while (latch->count < count)
        pthread_cond_wait(&latch->changed, &latch->lock);
    pthread_mutex_unlock(&latch->lock);
}

int latch_count(struct latch *latch)
{
    int count;

    pthread_mutex_lock(&latch->lock);
    count = latch->count;
    pthread_mutex_unlock(&latch->lock);
    return count;
}

int64_t deadline_in_ms(int64_t ms)
{
    return clock_monotonic_us() + ms * 1000;
}

const char *get_id(struct rpc_channel *channel, const char *id, struct arena *arena,
                   struct status *st)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    ProtobufCMessage *reply;

    request.id = (char *)(uintptr_t)id;
    if (rpc_sync_call(channel,
                      &(struct rpc_request){ .service = CONCEPTS,
                                             .method = "Get",
                                             .message = &request.base,
                                             .deadline_us = deadline_in_ms(20000) },
                      &sutra__v1__get_response__descriptor, arena, &reply, st) != STATUS_OK)
        return NULL;
    return ((Sutra__V1__GetResponse *)reply)->concept->id;
}
