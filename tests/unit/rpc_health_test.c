#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "grpc/health/v1/health.pb-c.h"
#include "src/rpc/health.h"
#include "tests/unit/rpc_fixture.h"

#define STATUS_OF(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

TestSuite(rpc_health, .timeout = 60);

static struct arena arena;
static struct status st;
static struct rpc_fixture f;
static struct rpc_health *health;

static void add_health(struct rpc_server *server, void *service)
{
    (void)service;
    rpc_health_register(health, server, ROLE_ANYONE);
}

static void start(void)
{
    health = rpc_health_new();
    arena_init(&arena, 1 << 20);
    rpc_fixture_start(&f, &(struct rpc_fixture_setup){ .more = add_health });
}

static void stop(void)
{
    rpc_fixture_stop(&f);
    rpc_health_free(health);
    arena_deinit(&arena);
}

static int check(const char *service)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    ProtobufCMessage *reply;

    request.service = (char *)service;
    status_clear(&st);
    if (rpc_sync_call(f.channel,
                      &(struct rpc_request){ .path = "/grpc.health.v1.Health/Check",
                                             .message = &request.base,
                                             .deadline_us = deadline_in_ms(20000) },
                      &grpc__health__v1__health_check_response__descriptor, &arena, &reply,
                      &st) != STATUS_OK)
        return -1;
    return (int)((Grpc__Health__V1__HealthCheckResponse *)reply)->status;
}

static struct rpc_sync_stream *watch(const char *service)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

    request.service = (char *)service;
    return rpc_sync_stream_open(
        f.channel,
        &(struct rpc_request){ .path = "/grpc.health.v1.Health/Watch", .message = &request.base });
}

static int next(struct rpc_sync_stream *stream)
{
    ProtobufCMessage *reply;

    status_clear(&st);
    rpc_sync_stream_recv(stream, &grpc__health__v1__health_check_response__descriptor, &arena,
                         &reply, &st);
    return reply == NULL ? -1 : (int)((Grpc__Health__V1__HealthCheckResponse *)reply)->status;
}

Test(rpc_health, check_tells_the_state)
{
    start();
    cr_assert(eq(int, check(""), -1));
    cr_assert(eq(int, st.code, STATUS_NOT_FOUND));
    rpc_health_set(health, "", RPC_SERVING);
    rpc_health_set(health, "a", RPC_NOT_SERVING);
    cr_assert(eq(int, check(""), STATUS_OF(SERVING)));
    cr_assert(eq(int, check("a"), STATUS_OF(NOT_SERVING)));
    cr_assert(eq(int, check("b"), -1));
    rpc_health_remove(health, "a");
    cr_assert(eq(int, check("a"), -1));
    stop();
}

static int listed(const char *service)
{
    Grpc__Health__V1__HealthListRequest request = GRPC__HEALTH__V1__HEALTH_LIST_REQUEST__INIT;
    const Grpc__Health__V1__HealthListResponse *list;
    ProtobufCMessage *reply;

    status_clear(&st);
    if (rpc_sync_call(f.channel,
                      &(struct rpc_request){ .path = "/grpc.health.v1.Health/List",
                                             .message = &request.base,
                                             .deadline_us = deadline_in_ms(20000) },
                      &grpc__health__v1__health_list_response__descriptor, &arena, &reply,
                      &st) != STATUS_OK)
        return -1;
    list = (const Grpc__Health__V1__HealthListResponse *)reply;
    for (size_t i = 0; i < list->n_statuses; i++)
        if (strcmp(list->statuses[i]->key, service) == 0)
            return (int)list->statuses[i]->value->status;
    return -1;
}

Test(rpc_health, list_tells_the_state_of_every_name)
{
    start();
    rpc_health_set(health, "", RPC_SERVING);
    rpc_health_set(health, "a", RPC_NOT_SERVING);
    cr_assert(eq(int, listed(""), STATUS_OF(SERVING)));
    cr_assert(eq(int, listed("a"), STATUS_OF(NOT_SERVING)));
    cr_assert(eq(int, listed("b"), -1));
    cr_assert(eq(int, st.code, STATUS_OK));
    stop();
}

Test(rpc_health, a_list_has_an_end)
{
    char name[16];

    start();
    for (int i = 0; i < 2049; i++) {
        snprintf(name, sizeof name, "s%d", i);
        rpc_health_set(health, name, RPC_SERVING);
    }
    cr_assert(eq(int, listed("s1"), -1));
    cr_assert(eq(int, st.code, STATUS_RESOURCE_EXHAUSTED));
    rpc_health_remove(health, "s1");
    cr_assert(eq(int, listed("s2"), STATUS_OF(SERVING)));
    stop();
}

Test(rpc_health, what_is_retired_does_not_serve_again_but_lives)
{
    start();
    rpc_health_set(health, "", RPC_SERVING);
    rpc_health_set(health, "alive", RPC_SERVING);
    rpc_health_retire(health, "alive");
    cr_assert(eq(int, check(""), STATUS_OF(NOT_SERVING)));
    cr_assert(eq(int, check("alive"), STATUS_OF(SERVING)));
    rpc_health_set(health, "", RPC_SERVING);
    rpc_health_set(health, "late", RPC_SERVING);
    cr_assert(eq(int, check(""), STATUS_OF(NOT_SERVING)));
    cr_assert(eq(int, check("late"), STATUS_OF(NOT_SERVING)));
    stop();
}

static void keep(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    (void)message;
    *(struct rpc_call **)service = call;
}

static void ignore(void *ctx, struct rpc_result *result)
{
    (void)result;
    latch_up(ctx);
}

static void get(struct latch *answered)
{
    rpc_call_unary(f.channel,
                   &(struct rpc_request){ .path = "/sutra.v1.ConceptService/Get",
                                          .bytes = rpc_bytes_copy(NULL, 0),
                                          .deadline_us = deadline_in_ms(20000) },
                   ignore, answered, NULL);
}

Test(rpc_health, a_server_with_too_much_to_do_is_alive)
{
    const struct rpc_method method = { .name = "Get", .handler = keep };
    struct latch answered = LATCH_INIT;
    struct rpc_call *kept = NULL;
    struct rpc_sync_stream *stream;
    struct status ok = { 0 };

    health = rpc_health_new();
    arena_init(&arena, 1 << 20);
    rpc_fixture_start(&f, &(struct rpc_fixture_setup){ .options = { .max_calls = 1 },
                                                       .methods = &method,
                                                       .count = 1,
                                                       .service = &kept,
                                                       .more = add_health });
    rpc_health_set(health, "", RPC_SERVING);
    stream = watch("");
    cr_assert(eq(int, next(stream), STATUS_OF(SERVING)));
    cr_assert(eq(sz, rpc_server_calls(f.server), 0));
    get(&answered);
    get(&answered); /* refused */
    latch_wait(&answered, 1);
    cr_assert(eq(sz, rpc_server_calls(f.server), 1));
    cr_assert(eq(int, check(""), STATUS_OF(SERVING)));
    cr_assert(eq(int, listed(""), STATUS_OF(SERVING)));
    status_set(&ok, STATUS_NOT_FOUND, "enough");
    rpc_finish(kept, NULL, &ok);
    latch_wait(&answered, 2);
    rpc_sync_stream_close(stream);
    stop();
}

Test(rpc_health, watch_pushes_changes_only)
{
    struct rpc_sync_stream *stream;

    start();
    rpc_health_set(health, "a", RPC_SERVING);
    stream = watch("a");
    cr_assert(eq(int, next(stream), STATUS_OF(SERVING)));
    rpc_health_set(health, "a", RPC_SERVING);
    rpc_health_set(health, "b", RPC_SERVING);
    rpc_health_set(health, "a", RPC_NOT_SERVING);
    cr_assert(eq(int, next(stream), STATUS_OF(NOT_SERVING)));
    rpc_health_set(health, "a", RPC_SERVING);
    cr_assert(eq(int, next(stream), STATUS_OF(SERVING)));
    rpc_sync_stream_close(stream);
    stop();
}

Test(rpc_health, watching_an_unknown_service_waits_for_it)
{
    struct rpc_sync_stream *stream;

    start();
    stream = watch("later");
    cr_assert(eq(int, next(stream), STATUS_OF(SERVICE_UNKNOWN)));
    rpc_health_set(health, "later", RPC_SERVING);
    cr_assert(eq(int, next(stream), STATUS_OF(SERVING)));
    rpc_sync_stream_close(stream);
    stop();
}

Test(rpc_health, a_slow_watcher_gets_the_newest_state)
{
    struct rpc_sync_stream *stream;
    int last;

    start();
    rpc_health_set(health, "a", RPC_SERVING);
    stream = watch("a");
    cr_assert(eq(int, next(stream), STATUS_OF(SERVING)));
    for (int i = 0; i < 1000; i++)
        rpc_health_set(health, "a", i % 2 ? RPC_SERVING : RPC_NOT_SERVING);
    rpc_health_set(health, "a", RPC_NOT_SERVING);
    do
        last = next(stream);
    while (last == STATUS_OF(SERVING));
    cr_assert(eq(int, last, STATUS_OF(NOT_SERVING)));
    rpc_sync_stream_close(stream);
    stop();
}

Test(rpc_health, nobody_watches_a_name_that_no_service_could_have)
{
    static char name[1 << 20];
    struct rpc_sync_stream *stream;

    start();
    memset(name, 'a', sizeof name - 1);
    stream = watch(name);
    cr_assert(eq(int, next(stream), -1));
    cr_assert(eq(int, st.code, STATUS_INVALID_ARGUMENT));
    rpc_sync_stream_close(stream);
    stop();
}

Test(rpc_health, watchers_have_a_limit_of_their_own)
{
    enum { WATCHERS = 4096 };
    static struct rpc_sync_stream *streams[WATCHERS];
    struct rpc_sync_stream *stream;

    start();
    for (int i = 0; i < WATCHERS; i++)
        streams[i] = watch("a");
    for (int i = 0; i < WATCHERS; i++)
        cr_assert(eq(int, next(streams[i]), STATUS_OF(SERVICE_UNKNOWN)));
    stream = watch("a");
    cr_assert(eq(int, next(stream), -1));
    cr_assert(eq(int, st.code, STATUS_RESOURCE_EXHAUSTED));
    rpc_sync_stream_close(stream);
    rpc_health_set(health, "a", RPC_SERVING);
    cr_assert(eq(int, check("a"), STATUS_OF(SERVING)));
    for (int i = 0; i < WATCHERS; i++)
        rpc_sync_stream_close(streams[i]);
    stop();
}

Test(rpc_health, watchers_do_not_hold_up_a_shutdown)
{
    struct rpc_sync_stream *stream;

    start();
    stream = watch("a");
    cr_assert(eq(int, next(stream), STATUS_OF(SERVICE_UNKNOWN)));
    rpc_server_shutdown(f.server, INT32_MAX); /* would time the test out */
    cr_assert(eq(int, next(stream), -1));
    cr_assert(ne(int, st.code, STATUS_OK));
    rpc_sync_stream_close(stream);
    stop();
}
