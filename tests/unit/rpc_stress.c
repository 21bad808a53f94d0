/**
 * Everything that src/rpc does at once, from several threads, for a fixed number of rounds: meant
 * to run under a thread or address sanitizer, which a plain main() suits better than a test runner.
 *
 * Threads: one loop for the servers and one for the clients, a pool of three in each server,
 * CALLERS callers. A front server forwards to a back server; callers mix unary calls, cancelled
 * calls, streams read to the end, streams dropped in the middle and changes of health. In every
 * other round the front server shuts down in the middle of it.
 */

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/health/v1/health.pb-c.h"
#include "src/rpc/health.h"
#include "src/rpc/sync_client.h"
#include "tests/unit/rpc_fixture.h"

enum { ROUNDS = 5, CALLERS = 3, CALLS = 120, ARENA_LIMIT = 1 << 20 };

static atomic_ulong answered;
static atomic_ulong failed;
static atomic_int steps_taken;    /* in this round */
static struct rpc_health *health; /* of the front server */

/* Serving. ------------------------------------------------------------------------------------ */

static void get(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    Sutra__V1__GetResponse reply = SUTRA__V1__GET_RESPONSE__INIT;
    Sutra__V1__Concept concept = SUTRA__V1__CONCEPT__INIT;
    struct status st = { 0 };

    (void)service;
    concept.id = ((const Sutra__V1__GetRequest *)message)->id;
    reply.concept = &concept;
    if (strlen(concept.id) % 3 == 0)
        status_set_field(&st, "id", "not of the right length");
    rpc_finish(call, &reply.base, &st);
}

/* Waits, politely, for the caller to lose interest. */
static void reinforce(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    struct status st = { 0 };

    (void)message;
    (void)service;
    while (!rpc_cancelled(call))
        sched_yield();
    status_set(&st, STATUS_CANCELLED, "over");
    rpc_finish(call, NULL, &st);
}

static void list_next(struct rpc_call *call, bool ok, void *ctx)
{
    unsigned *left = ctx;
    Sutra__V1__ListResponse reply = SUTRA__V1__LIST_RESPONSE__INIT;
    struct status st = { 0 };

    if (ok && (*left)-- > 0) {
        rpc_stream_send(call, &reply.base, list_next, left);
        return;
    }
    rpc_finish(call, NULL, &st);
}

static void list(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    unsigned *left = arena_calloc(rpc_arena(call), 1, sizeof *left);

    (void)message;
    (void)service;
    *left = 20;
    list_next(call, true, left);
}

static void import_message(struct rpc_call *call, struct rpc_message *message,
                           const struct status *end, void *ctx)
{
    Sutra__V1__ImportResponse reply = SUTRA__V1__IMPORT_RESPONSE__INIT;

    (void)ctx;
    if (message == NULL) {
        rpc_finish(call, NULL, end);
        return;
    }
    reply.settled_items = ((const Sutra__V1__ImportRequest *)message->body)->n_items;
    rpc_message_free(message);
    rpc_stream_send(call, &reply.base, NULL, NULL);
    rpc_stream_pull(call);
}

static void import(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    (void)message;
    rpc_stream_on_message(call, import_message, service);
    rpc_stream_pull(call);
}

static void forwarded(void *ctx, struct rpc_result *result)
{
    rpc_finish_forward(ctx, result);
}

static void forward(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    (void)message;
    rpc_call_unary(service,
                   &(struct rpc_request){ .path = rpc_method_path(call),
                                          .parent = call,
                                          .bytes = rpc_take_request_bytes(call) },
                   forwarded, call, NULL);
}

static const struct rpc_method back_methods[] = {
    { .name = "Get", .run = RPC_ON_POOL, .handler = get, .slots = 16 },
    { .name = "Reinforce", .run = RPC_ON_POOL, .handler = reinforce },
};

static const struct rpc_method front_methods[] = {
    { .name = "Get", .raw = true, .handler = forward, .slots = 16 },
    { .name = "Reinforce", .raw = true, .handler = forward },
    { .name = "List", .kind = RPC_SERVER_STREAM, .handler = list },
    { .name = "Import", .kind = RPC_BIDI, .run = RPC_ON_POOL, .handler = import },
};

/* Calling. ------------------------------------------------------------------------------------ */

struct caller {
    struct rpc_channel *channel;
    unsigned seed;
    struct latch latch; /* answers to asynchronous calls */
    int begun;
};

static void count(enum status_code code)
{
    atomic_fetch_add(code == STATUS_OK ? &answered : &failed, 1);
}

static void call_and_wait(struct caller *caller)
{
    struct arena arena;
    struct status st = { 0 };

    arena_init(&arena, ARENA_LIMIT);
    get_id(caller->channel, rand_r(&caller->seed) % 2 ? "moon" : "sun", &arena, &st);
    count(st.code);
    arena_deinit(&arena);
}

static void on_answer(void *ctx, struct rpc_result *result)
{
    struct caller *caller = ctx;

    count(result->status.code);
    latch_up(&caller->latch);
}

static void call_and_cancel(struct caller *caller)
{
    Sutra__V1__ReinforceRequest request = SUTRA__V1__REINFORCE_REQUEST__INIT;
    struct rpc_client_call *call;

    rpc_call_unary(caller->channel,
                   &(struct rpc_request){ .service = CONCEPTS,
                                          .method = "Reinforce",
                                          .message = &request.base,
                                          .deadline_us = deadline_in_ms(20) },
                   on_answer, caller, &call);
    caller->begun++;
    if (rand_r(&caller->seed) % 2)
        sched_yield();
    rpc_client_call_cancel(call);
    rpc_client_call_unref(call);
}

static void read_list(struct caller *caller)
{
    Sutra__V1__ListRequest request = SUTRA__V1__LIST_REQUEST__INIT;
    struct rpc_sync_stream *stream = rpc_sync_stream_open(
        caller->channel,
        &(struct rpc_request){ .service = CONCEPTS, .method = "List", .message = &request.base });
    int pages = rand_r(&caller->seed) % 2 ? 1000 : 3; /* to the end, or dropped */
    ProtobufCMessage *message = NULL;
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, ARENA_LIMIT);
    do
        rpc_sync_stream_recv(stream, &sutra__v1__list_response__descriptor, &arena, &message, &st);
    while (st.code == STATUS_OK && message != NULL && --pages > 0);
    count(st.code);
    rpc_sync_stream_close(stream);
    arena_deinit(&arena);
}

static void converse(struct caller *caller)
{
    Sutra__V1__ImportRequest request = SUTRA__V1__IMPORT_REQUEST__INIT;
    struct rpc_sync_stream *stream = rpc_sync_stream_open(
        caller->channel, &(struct rpc_request){ .service = CONCEPTS, .method = "Import" });
    ProtobufCMessage *message = NULL;
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, ARENA_LIMIT);
    for (int i = 0; i < 5 && st.code == STATUS_OK; i++) {
        rpc_sync_stream_send(stream, &request.base);
        rpc_sync_stream_recv(stream, &sutra__v1__import_response__descriptor, &arena, &message,
                             &st);
    }
    if (rand_r(&caller->seed) % 2)
        rpc_sync_stream_half_close(stream);
    count(st.code);
    rpc_sync_stream_close(stream);
    arena_deinit(&arena);
}

static void watch_health(struct caller *caller)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct rpc_sync_stream *stream = rpc_sync_stream_open(
        caller->channel,
        &(struct rpc_request){ .path = "/grpc.health.v1.Health/Watch", .message = &request.base });
    ProtobufCMessage *message;
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, ARENA_LIMIT);
    rpc_sync_stream_recv(stream, &grpc__health__v1__health_check_response__descriptor, &arena,
                         &message, &st);
    count(st.code);
    rpc_health_set(health, "", rand_r(&caller->seed) % 2 ? RPC_SERVING : RPC_NOT_SERVING);
    rpc_sync_stream_close(stream);
    arena_deinit(&arena);
}

static void *run_caller(void *ctx)
{
    static void (*const steps[])(struct caller *) = { call_and_wait, call_and_cancel, read_list,
                                                      converse, watch_health };
    struct caller *caller = ctx;

    for (int i = 0; i < CALLS; i++) {
        steps[(unsigned)rand_r(&caller->seed) % 5](caller);
        atomic_fetch_add(&steps_taken, 1);
    }
    latch_wait(&caller->latch, caller->begun);
    return NULL;
}

/* One round. ---------------------------------------------------------------------------------- */

struct round {
    struct rpc_loop *loops[2]; /* servers, clients */
    struct rpc_server *back, *front;
    struct rpc_channel *to_back, *to_front;
    struct caller callers[CALLERS];
    pthread_t threads[CALLERS];
};

static void add_health(struct rpc_server *server, void *service)
{
    (void)service;
    rpc_health_register(health, server, ROLE_ANYONE);
}

static void round_start(struct round *r)
{
    struct status st = { 0 };
    char target[64];

    atomic_store(&steps_taken, 0);
    health = rpc_health_new();
    rpc_loop_start(&r->loops[0], &st);
    rpc_loop_start(&r->loops[1], &st);
    r->back = rpc_fixture_server(r->loops[0],
                                 &(struct rpc_fixture_setup){ .options = { .pool_threads = 3 },
                                                              .methods = back_methods,
                                                              .count = 2 },
                                 target);
    rpc_channel_open(r->loops[0], target, NULL, &r->to_back, &st);
    r->front = rpc_fixture_server(r->loops[0],
                                  &(struct rpc_fixture_setup){ .options = { .pool_threads = 3 },
                                                               .methods = front_methods,
                                                               .count = 4,
                                                               .service = r->to_back,
                                                               .more = add_health },
                                  target);
    rpc_channel_open(r->loops[1], target, NULL, &r->to_front, &st);
    assert(st.code == STATUS_OK);
}

static void round_run(struct round *r, unsigned seed)
{
    for (unsigned i = 0; i < CALLERS; i++) {
        r->callers[i] = (struct caller){ .channel = r->to_front,
                                         .seed = seed * CALLERS + i,
                                         .latch = LATCH_INIT };
        pthread_create(&r->threads[i], NULL, run_caller, &r->callers[i]);
    }
    if (seed % 2) {
        while (atomic_load(&steps_taken) < CALLERS * CALLS / 2)
            sched_yield();
        rpc_server_shutdown(r->front, 5);
    }
    for (unsigned i = 0; i < CALLERS; i++)
        pthread_join(r->threads[i], NULL);
}

static void round_stop(struct round *r)
{
    rpc_channel_close(r->to_front);
    rpc_server_free(r->front);
    rpc_channel_close(r->to_back);
    rpc_server_free(r->back);
    rpc_health_free(health);
    rpc_loop_stop(r->loops[1]);
    rpc_loop_stop(r->loops[0]);
}

int main(void)
{
    rpc_init();
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct round r = { 0 };
        round_start(&r);
        round_run(&r, i);
        round_stop(&r);
    }
    printf("answered=%lu failed=%lu\n", atomic_load(&answered), atomic_load(&failed));
    return atomic_load(&answered) > 0 ? 0 : 1;
}
