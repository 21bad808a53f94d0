#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "tests/unit/rpc_fixture.h"

TestSuite(rpc_server, .timeout = 60);

static struct arena arena;
static struct status st;
static struct rpc_fixture f;

static void start(const struct rpc_fixture_setup *setup)
{
    arena_init(&arena, 8 << 20);
    rpc_fixture_start(&f, setup);
}

static void stop(void)
{
    rpc_fixture_stop(&f);
    arena_deinit(&arena);
}

static void reply_id(struct rpc_call *call, char *id)
{
    Sutra__V1__GetResponse reply = SUTRA__V1__GET_RESPONSE__INIT;
    Sutra__V1__Concept concept = SUTRA__V1__CONCEPT__INIT;
    struct status ok = { 0 };

    concept.id = id;
    reply.concept = &concept;
    rpc_finish(call, &reply.base, &ok);
}

static void get_echo(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    (void)service;
    reply_id(call, ((const Sutra__V1__GetRequest *)message)->id);
}

static const struct rpc_method echo_on_loop = { .name = "Get",
                                                .role = ROLE_READER,
                                                .handler = get_echo };
static const struct rpc_method echo_on_pool = {
    .name = "Get", .run = RPC_ON_POOL, .handler = get_echo, .slots = 16
};

/* Many calls. --------------------------------------------------------------------------------- */

struct tally {
    struct latch answered;
    atomic_int ok;
    atomic_int exhausted;
    atomic_int unavailable;
    struct status last;
};

static void count_answer(void *ctx, struct rpc_result *result)
{
    struct tally *tally = ctx;

    if (result->status.code == STATUS_OK)
        atomic_fetch_add(&tally->ok, 1);
    if (result->status.code == STATUS_RESOURCE_EXHAUSTED)
        atomic_fetch_add(&tally->exhausted, 1);
    if (result->status.code == STATUS_UNAVAILABLE)
        atomic_fetch_add(&tally->unavailable, 1);
    if (result->status.code != STATUS_OK)
        tally->last = result->status;
    latch_up(&tally->answered);
}

static void call_many(int count, struct tally *tally)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;

    for (int i = 0; i < count; i++)
        rpc_call_unary(f.channel,
                       &(struct rpc_request){ .service = CONCEPTS,
                                              .method = "Get",
                                              .message = &request.base,
                                              .deadline_us = deadline_in_ms(30000) },
                       count_answer, tally, NULL);
}

/* How a new call fares; within a second, since one that meets the beginning of a shutdown may get
 * no answer of its own (src/rpc/server.c). */
static enum status_code probe(void)
{
    struct rpc_result result;
    enum status_code code;

    rpc_sync_call_result(f.channel,
                         &(struct rpc_request){ .path = "/sutra.v1.ConceptService/Learn",
                                                .bytes = rpc_bytes_copy(NULL, 0),
                                                .deadline_us = clock_monotonic_us() + 1000000 },
                         &result);
    code = result.status.code;
    rpc_result_deinit(&result);
    return code;
}

static void answers_all(const struct rpc_method *method)
{
    struct tally tally = { .answered = LATCH_INIT };

    start(&(struct rpc_fixture_setup){ .methods = method, .count = 1 });
    call_many(200, &tally);
    latch_wait(&tally.answered, 200);
    cr_assert(eq(int, tally.ok, 200), "%s", tally.last.message);
    cr_assert(eq(sz, rpc_server_calls(f.server), 0));
    stop();
}

Test(rpc_server, answers_two_hundred_calls_at_once_on_the_loop)
{
    answers_all(&echo_on_loop);
}

Test(rpc_server, answers_two_hundred_calls_at_once_on_the_pool)
{
    answers_all(&echo_on_pool);
}

/* Waits for the gate, on the pool. */
static void get_gated(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    latch_wait(service, 1);
    get_echo(call, message, NULL);
}

/* Keeps its calls until release() finishes them. */
struct keeper {
    pthread_mutex_t lock;
    struct rpc_call *calls[64];
    int count;
    struct latch kept;
};

static void get_kept(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    struct keeper *keeper = service;

    (void)message;
    pthread_mutex_lock(&keeper->lock);
    keeper->calls[keeper->count++] = call;
    pthread_mutex_unlock(&keeper->lock);
    latch_up(&keeper->kept);
}

static void release(struct keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    while (keeper->count > 0)
        reply_id(keeper->calls[--keeper->count], (char *)"late");
    pthread_mutex_unlock(&keeper->lock);
}

#define KEEPER_INIT                                                                                \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER, .kept = LATCH_INIT                                      \
    }

static const struct rpc_method kept = { .name = "Get", .handler = get_kept };

Test(rpc_server, more_calls_than_allowed_are_exhausting)
{
    struct keeper keeper = KEEPER_INIT;
    struct tally tally = { .answered = LATCH_INIT };

    start(&(struct rpc_fixture_setup){
        .options = { .max_calls = 10 }, .methods = &kept, .count = 1, .service = &keeper });
    call_many(15, &tally);
    latch_wait(&tally.answered, 5);
    latch_wait(&keeper.kept, 10);
    cr_assert(eq(int, tally.exhausted, 5));
    cr_assert(eq(str, tally.last.reason, "LIMIT_EXCEEDED"));
    cr_assert(ne(ptr, strstr(tally.last.message, "10"), NULL));
    cr_assert(eq(sz, rpc_server_calls(f.server), 10));
    release(&keeper);
    latch_wait(&tally.answered, 15);
    cr_assert(eq(int, tally.ok, 10));
    stop();
}

Test(rpc_server, a_full_pool_is_exhausting)
{
    struct latch gate = LATCH_INIT;
    struct tally tally = { .answered = LATCH_INIT };
    struct rpc_method gated = { .name = "Get", .run = RPC_ON_POOL, .handler = get_gated };

    start(&(struct rpc_fixture_setup){ .options = { .pool_threads = 1, .pool_queue = 3 },
                                       .methods = &gated,
                                       .count = 1,
                                       .service = &gate });
    call_many(10, &tally);
    latch_wait(&tally.answered,
               6); /* one runs, three wait; the thread may not have taken its own */
    latch_up(&gate);
    latch_wait(&tally.answered, 10);
    cr_assert(eq(int, tally.ok + tally.exhausted, 10));
    cr_assert(le(int, tally.ok, 4));
    cr_assert(ge(int, tally.ok, 3));
    cr_assert(eq(str, tally.last.reason, "LIMIT_EXCEEDED"));
    stop();
}

/* The call that waits for the only thread is dropped when its caller leaves. */
static void get_counted(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    struct latch *latches = service;

    latch_up(&latches[0]);
    latch_wait(&latches[1], 1);
    get_echo(call, message, NULL);
}

Test(rpc_server, a_cancelled_call_never_reaches_its_pool_handler)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    struct latch latches[2] = { LATCH_INIT, LATCH_INIT };
    struct tally tally = { .answered = LATCH_INIT };
    struct rpc_method method = { .name = "Get", .run = RPC_ON_POOL, .handler = get_counted };
    struct rpc_client_call *second;

    start(&(struct rpc_fixture_setup){
        .options = { .pool_threads = 1 }, .methods = &method, .count = 1, .service = latches });
    call_many(1, &tally);
    latch_wait(&latches[0], 1);
    rpc_call_unary(
        f.channel,
        &(struct rpc_request){ .service = CONCEPTS, .method = "Get", .message = &request.base },
        count_answer, &tally, &second);
    while (rpc_server_calls(f.server) < 2)
        sched_yield();
    rpc_client_call_cancel(second);
    rpc_client_call_unref(second);
    latch_wait(&tally.answered, 1);
    for (int i = 0; i < 20; i++) /* travel behind the cancellation on the same connection */
        probe();
    latch_up(&latches[1]);
    latch_wait(&tally.answered, 2);
    rpc_server_shutdown(f.server, 30000);
    cr_assert(eq(int, tally.ok, 1));
    cr_assert(eq(int, latch_count(&latches[0]), 1));
    stop();
}

/* Finishing from elsewhere. ------------------------------------------------------------------- */

static void *release_from_a_thread(void *ctx)
{
    release(ctx);
    return NULL;
}

Test(rpc_server, calls_are_finished_from_any_thread)
{
    struct keeper keeper = KEEPER_INIT;
    struct tally tally = { .answered = LATCH_INIT };
    pthread_t thread;

    start(&(struct rpc_fixture_setup){ .methods = &kept, .count = 1, .service = &keeper });
    call_many(50, &tally);
    latch_wait(&keeper.kept, 50);
    pthread_create(&thread, NULL, release_from_a_thread, &keeper);
    latch_wait(&tally.answered, 50);
    pthread_join(thread, NULL);
    cr_assert(eq(int, tally.ok, 50));
    stop();
}

/* Logging. ------------------------------------------------------------------------------------ */

struct log {
    struct latch lines;
    char method[64];
    char peer[128];
    struct status status;
    struct rpc_trace trace;
    int64_t duration_us;
    enum role role;
    bool slow;
    int64_t asked;
};

static void note_line(const struct rpc_call_summary *summary, void *ctx)
{
    struct log *log = ctx;

    snprintf(log->method, sizeof log->method, "%s", summary->method);
    snprintf(log->peer, sizeof log->peer, "%s", summary->peer);
    log->status = *summary->status;
    log->trace = *summary->trace;
    log->duration_us = summary->duration_us;
    log->role = summary->role;
    log->slow = summary->slow;
    log->asked = summary->asked;
    latch_up(&log->lines);
}

static void get_after_a_millisecond(struct rpc_call *call, const ProtobufCMessage *message,
                                    void *service)
{
    Sutra__V1__GetResponse reply = SUTRA__V1__GET_RESPONSE__INIT;
    Sutra__V1__Concept concept = SUTRA__V1__CONCEPT__INIT;
    int64_t until_us = clock_monotonic_us() + 1000;
    struct status ok = { 0 };

    (void)message;
    (void)service;
    while (clock_monotonic_us() <= until_us)
        continue;
    rpc_note_asked(call, 3, 10, false);
    rpc_note_asked(call, 4, 5, true);
    rpc_note_asked(call, 5, 20, false);
    reply.concept = &concept;
    rpc_finish(call, &reply.base, &ok);
}

static void expect_line(const struct log *log, enum status_code code, bool slow)
{
    cr_assert(eq(int, log->status.code, code));
    cr_assert(eq(int, log->slow, slow));
    cr_assert(ge(i64, log->duration_us, 0));
    cr_assert(ne(ptr, strstr(log->peer, "127.0.0.1"), NULL), "%s", log->peer);
    cr_assert(eq(sz, strlen(log->trace.trace_id), 32));
    cr_assert(eq(sz, strlen(log->trace.call_id), 16));
}

Test(rpc_server, tells_about_calls_that_failed)
{
    struct log log = { .lines = LATCH_INIT };

    start(&(struct rpc_fixture_setup){
        .options = { .on_finished = note_line, .on_finished_ctx = &log },
        .methods = &echo_on_loop,
        .count = 1 });
    get_id(f.channel, "moon", &arena, &st);
    cr_assert(eq(int, st.code, STATUS_OK));
    rpc_sync_call_result(f.channel,
                         &(struct rpc_request){ .path = "/sutra.v1.ConceptService/Learn",
                                                .bytes = rpc_bytes_copy("\x07", 1) },
                         &(struct rpc_result){ 0 });
    latch_wait(&log.lines, 1);
    cr_assert(eq(str, log.method, "/sutra.v1.ConceptService/Learn"));
    cr_assert(eq(i64, log.asked, -1));
    expect_line(&log, STATUS_INVALID_ARGUMENT, false);
    stop();
}

Test(rpc_server, tells_about_calls_that_took_long)
{
    struct log log = { .lines = LATCH_INIT };

    start(&(struct rpc_fixture_setup){
        .options = { .on_finished = note_line, .on_finished_ctx = &log, .slow_us = 900 },
        .methods = &(struct rpc_method){ .name = "Get", .handler = get_after_a_millisecond },
        .count = 1 });
    get_id(f.channel, "moon", &arena, &st);
    latch_wait(&log.lines, 1);
    expect_line(&log, STATUS_OK, true);
    cr_assert(eq(i64, log.asked, 4));
    stop();
}

/* Counting. ----------------------------------------------------------------------------------- */

/* A line of the page of the server's metrics. */
static void expect_metric(const char *line)
{
    struct metrics metrics = { 0 };
    struct buf page = { 0 };

    metrics_add(&metrics, rpc_server_collect, f.server);
    buf_append(&page, "\n", 1);
    metrics_render(&metrics, METRICS_TEXT, &page);
    buf_append_u8(&page, 0);
    cr_expect(ne(ptr, strstr((char *)page.data, line), NULL), "%s in %s", line, page.data);
    buf_deinit(&page);
}

#define OF_GET "{service=\"sutra.v1.ConceptService\",method=\"Get\""
#define OF_LEARN "{service=\"sutra.v1.ConceptService\",method=\"Learn\""

Test(rpc_server, counts_calls_by_method_and_code)
{
    start(&(struct rpc_fixture_setup){ .methods = &echo_on_loop, .count = 1 });
    expect_metric("\nsutra_rpc_server_started_total" OF_GET "} 0\n");
    expect_metric("\nsutra_rpc_server_handled_total" OF_GET ",code=\"OK\"} 0\n");
    for (int i = 0; i < 3; i++)
        get_id(f.channel, "moon", &arena, &st);
    rpc_sync_call_result(f.channel,
                         &(struct rpc_request){ .path = "/sutra.v1.ConceptService/Learn",
                                                .bytes = rpc_bytes_copy("\x07", 1) },
                         &(struct rpc_result){ 0 });
    rpc_sync_call_result(f.channel,
                         &(struct rpc_request){ .path = "/sutra.v1.ConceptService/Nothing",
                                                .bytes = rpc_bytes_copy("", 0) },
                         &(struct rpc_result){ 0 });
    expect_metric("\nsutra_rpc_server_started_total" OF_GET "} 3\n");
    expect_metric("\nsutra_rpc_server_handled_total" OF_GET ",code=\"OK\"} 3\n");
    expect_metric("\nsutra_rpc_server_in_flight" OF_GET "} 0\n");
    expect_metric("\nsutra_rpc_server_duration_seconds_count" OF_GET "} 3\n");
    expect_metric("\nsutra_rpc_server_received_bytes_total" OF_GET "} 18\n"); /* tag, size, moon */
    expect_metric("\nsutra_rpc_server_sent_bytes_total" OF_GET "} 24\n");
    expect_metric("\nsutra_rpc_server_handled_total" OF_LEARN ",code=\"INVALID_ARGUMENT\"} 1\n");
    expect_metric("\nsutra_rpc_server_handled_total{service=\"unknown\",method=\"unknown\","
                  "code=\"UNIMPLEMENTED\"} 1\n");
    expect_metric("\nsutra_rpc_server_refused_total{reason=\"undecodable\"} 1\n");
    expect_metric("\nsutra_rpc_server_refused_total{reason=\"unknown_method\"} 1\n");
    stop();
}

/* Starting. ----------------------------------------------------------------------------------- */

Test(rpc_server, an_announced_service_is_starting_until_it_is_opened)
{
    start(&(struct rpc_fixture_setup){ .methods = &echo_on_loop, .count = 1, .announced = true });
    cr_assert(not(rpc_server_service_is_open(f.server, 0)));
    cr_assert(eq(ptr, (void *)get_id(f.channel, "moon", &arena, &st), NULL));
    cr_assert(eq(int, st.code, STATUS_UNAVAILABLE));
    cr_assert(eq(str, st.reason, "SERVER_STARTING"));
    rpc_server_open_service(f.server, CONCEPTS, NULL);
    cr_assert(rpc_server_service_is_open(f.server, 0));
    status_clear(&st);
    cr_assert(eq(str, (char *)get_id(f.channel, "moon", &arena, &st), "moon"));
    stop();
}

/* Connections. -------------------------------------------------------------------------------- */

struct peers {
    char last[128];
    atomic_int count; /* of connections, one after the other */
};

static void note_peer(const struct rpc_call_summary *summary, void *ctx)
{
    struct peers *peers = ctx;

    if (strcmp(peers->last, summary->peer) == 0)
        return;
    snprintf(peers->last, sizeof peers->last, "%s", summary->peer);
    atomic_fetch_add(&peers->count, 1);
}

/* Calls that fail name their peer: those of the fixture that nobody implements do. */
Test(rpc_server, an_old_connection_is_replaced_without_losing_a_call)
{
    struct peers peers = { 0 };

    start(&(struct rpc_fixture_setup){ .options = { .max_connection_age_ms = 50,
                                                    .max_connection_age_grace_ms = 30000,
                                                    .on_finished = note_peer,
                                                    .on_finished_ctx = &peers } });
    while (atomic_load(&peers.count) < 5)
        cr_assert(eq(int, probe(), STATUS_UNIMPLEMENTED));
    stop();
}

Test(rpc_server, a_call_beyond_the_streams_of_a_connection_waits)
{
    struct keeper keeper = KEEPER_INIT;
    struct tally tally = { .answered = LATCH_INIT };

    start(&(struct rpc_fixture_setup){
        .options = { .max_streams = 1 }, .methods = &kept, .count = 1, .service = &keeper });
    cr_assert(eq(int, probe(), STATUS_UNIMPLEMENTED)); /* what the server allows is known now */
    call_many(1, &tally);
    latch_wait(&keeper.kept, 1);
    cr_assert(eq(int, probe(), STATUS_DEADLINE_EXCEEDED));
    release(&keeper);
    latch_wait(&tally.answered, 1);
    cr_assert(eq(int, probe(), STATUS_UNIMPLEMENTED));
    stop();
}

static int connect_raw(void);

/* One that greets, and then says nothing, not even to a ping. */
Test(rpc_server, a_client_that_gives_no_sign_of_life_is_left)
{
    static const char greeting[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                   "\0\0\0\4\0\0\0\0\0"; /* empty SETTINGS */
    char answer[4096];
    int fd;

    start(&(struct rpc_fixture_setup){
        .options = { .keepalive_ms = 100, .keepalive_timeout_ms = 100 } });
    fd = connect_raw();
    cr_assert(gt(int, (int)send(fd, greeting, sizeof greeting - 1, MSG_NOSIGNAL), 0));
    while (read(fd, answer, sizeof answer) > 0) /* to the end of the connection */
        ;
    close(fd);
    stop();
}

/* Foreign bytes. ------------------------------------------------------------------------------ */

static int connect_raw(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_port = htons((uint16_t)atoi(strchr(f.target, ':') + 1));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    cr_assert(eq(int, connect(fd, (struct sockaddr *)&address, sizeof address), 0));
    return fd;
}

/* Sends, then reads until the server hangs up or there is nothing for it to say. */
static void throw_bytes(const void *data, size_t size)
{
    int fd = connect_raw();
    char answer[4096];

    cr_assert(eq(int, (int)send(fd, data, size, MSG_NOSIGNAL), (int)size));
    shutdown(fd, SHUT_WR);
    while (read(fd, answer, sizeof answer) > 0)
        ;
    close(fd);
}

Test(rpc_server, survives_garbage)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    unsigned seed = 20240607;
    uint8_t bytes[2048];

    start(&(struct rpc_fixture_setup){ .methods = &echo_on_loop, .count = 1 });
    throw_bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
    throw_bytes("\0", 1);
    for (int round = 0; round < 30; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)(rand_r(&seed) >> 7);
        if (round % 2)
            memcpy(bytes, preface, sizeof preface - 1);
        throw_bytes(bytes, sizeof bytes);
    }
    cr_assert(eq(str, (char *)get_id(f.channel, "moon", &arena, &st), "moon"));
    stop();
}

/* Addresses. ---------------------------------------------------------------------------------- */

Test(rpc_server, a_taken_port_is_an_error)
{
    struct rpc_server *second = NULL;

    start(&(struct rpc_fixture_setup){ .methods = &echo_on_loop, .count = 1 });
    rpc_server_new(f.loop, NULL, &second, &st);
    cr_assert(eq(int, rpc_server_listen(second, f.target, NULL, &st), STATUS_UNAVAILABLE));
    cr_assert(ne(ptr, strstr(st.message, f.target), NULL));
    rpc_server_free(second); /* never started */
    stop();
}

Test(rpc_server, a_taken_socket_is_an_error_and_stays_its_owners)
{
    struct rpc_server *second = NULL;
    struct rpc_server *first = NULL;
    char address[64];

    start(&(struct rpc_fixture_setup){ .methods = &echo_on_loop, .count = 1 });
    snprintf(address, sizeof address, "unix:/tmp/sutra-rpc-test-%d", (int)getpid());
    rpc_server_new(f.loop, NULL, &first, &st);
    rpc_server_new(f.loop, NULL, &second, &st);
    cr_assert(eq(int, rpc_server_listen(first, address, NULL, &st), STATUS_OK), "%s", st.message);
    cr_assert(eq(int, rpc_server_start(first, &st), STATUS_OK));
    cr_assert(eq(int, rpc_server_listen(second, address, NULL, &st), STATUS_UNAVAILABLE));
    cr_assert(ne(ptr, strstr(st.message, "in use"), NULL), "%s", st.message);
    rpc_server_free(second);
    cr_assert(eq(int, access(address + strlen("unix:"), F_OK), 0));
    rpc_server_free(first);
    stop();
}

Test(rpc_server, what_is_no_address_is_an_error)
{
    static const char *const wrong[] = { "", "localhost", ":1", "a:", "a:65536", "a:-1", "unix:" };

    start(&(struct rpc_fixture_setup){ .methods = &echo_on_loop, .count = 1 });
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct status refused = { 0 };
        cr_assert(
            eq(int, rpc_server_listen(f.server, wrong[i], NULL, &refused), STATUS_INVALID_ARGUMENT),
            "%s", wrong[i]);
    }
    stop();
}

/* Shutting down. ------------------------------------------------------------------------------ */

static void *shut_down(void *ctx)
{
    rpc_server_shutdown(f.server, *(int64_t *)ctx);
    return NULL;
}

Test(rpc_server, running_calls_end_within_the_grace)
{
    struct keeper keeper = KEEPER_INIT;
    struct tally tally = { .answered = LATCH_INIT };
    int64_t grace_ms = 30000;
    pthread_t thread;

    start(&(struct rpc_fixture_setup){ .methods = &kept, .count = 1, .service = &keeper });
    call_many(5, &tally);
    latch_wait(&keeper.kept, 5);
    pthread_create(&thread, NULL, shut_down, &grace_ms);
    while (probe() != STATUS_UNAVAILABLE) /* new calls are refused at last */
        ;
    cr_assert(eq(int, latch_count(&tally.answered), 0));
    release(&keeper);
    pthread_join(thread, NULL);
    latch_wait(&tally.answered, 5);
    cr_assert(eq(int, tally.ok, 5), "%s", tally.last.message);
    stop();
}

static void end_with_it(struct rpc_call *call, void *ctx)
{
    struct status over = { 0 };

    latch_up(ctx);
    status_set(&over, STATUS_CANCELLED, "over");
    rpc_finish(call, NULL, &over);
}

static void get_forever(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    struct latch *latches = service;

    (void)message;
    latch_up(&latches[0]);
    rpc_on_cancel(call, end_with_it, &latches[1]);
}

Test(rpc_server, what_outlasts_the_grace_is_cancelled)
{
    struct latch latches[2] = { LATCH_INIT, LATCH_INIT };
    struct tally tally = { .answered = LATCH_INIT };
    struct rpc_method method = { .name = "Get", .handler = get_forever };

    start(&(struct rpc_fixture_setup){ .methods = &method, .count = 1, .service = latches });
    call_many(7, &tally);
    latch_wait(&latches[0], 7);
    rpc_server_shutdown(f.server, 20);
    cr_assert(eq(int, latch_count(&latches[1]), 7));
    latch_wait(&tally.answered, 7);
    cr_assert(eq(int, tally.unavailable, 7), "%s", tally.last.message);
    stop();
}

Test(rpc_server, a_call_may_be_finished_after_its_cancellation)
{
    struct keeper keeper = KEEPER_INIT;
    struct tally tally = { .answered = LATCH_INIT };
    int64_t grace_ms = 0;
    pthread_t thread;

    start(&(struct rpc_fixture_setup){ .methods = &kept, .count = 1, .service = &keeper });
    call_many(3, &tally);
    latch_wait(&keeper.kept, 3);
    pthread_create(&thread, NULL, shut_down, &grace_ms);
    latch_wait(&tally.answered, 3); /* cancelled for the client; the handler is late */
    release(&keeper);
    pthread_join(thread, NULL);
    cr_assert(eq(int, tally.unavailable, 3), "%s", tally.last.message);
    stop();
}

Test(rpc_server, an_idle_server_stops_at_once)
{
    int64_t began_us;

    start(&(struct rpc_fixture_setup){ .methods = &echo_on_loop, .count = 1 });
    get_id(f.channel, "moon", &arena, &st);
    began_us = clock_monotonic_us();
    rpc_server_shutdown(f.server, 30000);
    cr_assert(lt(i64, clock_monotonic_us() - began_us, 20000000)); /* not the grace */
    rpc_server_shutdown(f.server, 30000);
    stop();
}

/* Coming back. -------------------------------------------------------------------------------- */

static enum status_code get_patiently(struct rpc_channel *channel)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    struct rpc_result result;
    enum status_code code;

    rpc_sync_call_result(channel,
                         &(struct rpc_request){ .service = CONCEPTS,
                                                .method = "Get",
                                                .message = &request.base,
                                                .wait_for_ready = true,
                                                .deadline_us = deadline_in_ms(30000) },
                         &result);
    code = result.status.code;
    rpc_result_deinit(&result);
    return code;
}

Test(rpc_server, a_patient_call_survives_a_restart)
{
    struct rpc_server *again = NULL;

    start(&(struct rpc_fixture_setup){ .methods = &echo_on_loop, .count = 1 });
    cr_assert(eq(int, get_patiently(f.channel), STATUS_OK));
    rpc_server_free(f.server);
    f.server = NULL;
    cr_assert(eq(int, probe(), STATUS_UNAVAILABLE));
    cr_assert(eq(int, rpc_server_new(f.loop, NULL, &again, &st), STATUS_OK));
    cr_assert(eq(int, rpc_server_listen(again, f.target, NULL, &st), STATUS_OK), "%s", st.message);
    cr_assert(eq(int, rpc_server_start(again, &st), STATUS_OK));
    cr_assert(eq(int, get_patiently(f.channel), STATUS_UNIMPLEMENTED)); /* of the new server */
    rpc_server_free(again);
    stop();
}

/* The loop. ----------------------------------------------------------------------------------- */

static void note_loop(void *ctx)
{
    bool *on_loop = ctx;

    *on_loop = rpc_loop_is_current(f.loop);
}

Test(rpc_server, posted_functions_run_on_the_loop_before_it_stops)
{
    bool on_loop = false;

    rpc_loop_start(&f.loop, &st);
    rpc_loop_post(f.loop, note_loop, &on_loop);
    cr_assert(not(rpc_loop_is_current(f.loop)));
    rpc_loop_stop(f.loop);
    cr_assert(on_loop);
}
