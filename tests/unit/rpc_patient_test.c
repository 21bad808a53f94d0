/* Calls that outlive a restart of their server. */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "tests/unit/rpc_fixture.h"

TestSuite(rpc_patient, .timeout = 60);

enum { LONG_MS = 50000 };

static struct rpc_fixture f;
static struct rpc_channel *channel;

static void get_counted(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    Sutra__V1__GetResponse reply = SUTRA__V1__GET_RESPONSE__INIT;
    struct status ok = { 0 };

    (void)message;
    latch_up(service);
    rpc_finish(call, &reply.base, &ok);
}

static void end_with_it(struct rpc_call *call, void *ctx)
{
    struct status over = { 0 };

    (void)ctx;
    status_set(&over, STATUS_CANCELLED, "over");
    rpc_finish(call, NULL, &over);
}

static void get_forever(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    (void)message;
    latch_up(service);
    rpc_on_cancel(call, end_with_it, NULL);
}

static const struct rpc_method counted = { .name = "Get", .handler = get_counted };
static const struct rpc_method forever = { .name = "Get", .handler = get_forever };

static void start(const struct rpc_fixture_setup *setup, int64_t away_ms)
{
    const struct rpc_channel_options options = { .away_ms = away_ms };
    struct status st = { 0 };

    rpc_fixture_start(&f, setup);
    cr_assert(eq(int, rpc_channel_open(f.loop, f.target, &options, &channel, &st), STATUS_OK));
}

static void stop(void)
{
    rpc_channel_close(channel);
    rpc_fixture_stop(&f);
}

static void end_server(void)
{
    rpc_server_free(f.server);
    f.server = NULL;
    /* A write would be sent over a connection that is not known to be broken. */
    while (rpc_channel_is_connected(channel))
        sched_yield();
}

/* Another one, at the same address. */
static void start_server(const struct rpc_fixture_setup *setup)
{
    f.server = rpc_fixture_server_at(f.loop, setup, f.target);
}

struct answer {
    struct latch in;
    struct status status;
    int64_t deadline_us;
};

static void note(void *ctx, struct rpc_result *result)
{
    struct answer *answer = ctx;

    answer->status = result->status;
    latch_up(&answer->in);
}

static void call(bool repeatable, struct answer *answer)
{
    *answer = (struct answer){ .in = LATCH_INIT, .deadline_us = answer->deadline_us };
    rpc_call_patient(channel,
                     &(struct rpc_request){ .path = "/sutra.v1.ConceptService/Get",
                                            .bytes = rpc_bytes_copy(NULL, 0),
                                            .deadline_us = answer->deadline_us },
                     repeatable, note, answer);
}

static enum status_code call_and_wait(bool repeatable, struct answer *answer)
{
    call(repeatable, answer);
    latch_wait(&answer->in, 1);
    return answer->status.code;
}

static void outlives_a_restart(bool repeatable)
{
    struct latch calls = LATCH_INIT;
    const struct rpc_fixture_setup setup = { .methods = &counted, .count = 1, .service = &calls };
    struct answer answer = { 0 };

    start(&setup, LONG_MS);
    cr_assert(eq(int, call_and_wait(repeatable, &answer), STATUS_OK));
    end_server();
    call(repeatable, &answer);
    start_server(&setup);
    latch_wait(&answer.in, 1);
    cr_assert(eq(int, answer.status.code, STATUS_OK), "%s", answer.status.message);
    cr_assert(eq(int, latch_count(&calls), 2));
    stop();
}

Test(rpc_patient, reads_wait_for_a_server_that_is_not_there)
{
    outlives_a_restart(true);
}

Test(rpc_patient, writes_wait_for_a_server_that_is_not_there)
{
    outlives_a_restart(false);
}

/* The server is gone in the middle of the call. */
static enum status_code lose_an_answer(bool repeatable, struct latch *calls)
{
    const struct rpc_fixture_setup deaf = { .methods = &forever, .count = 1, .service = calls };
    const struct rpc_fixture_setup sane = { .methods = &counted, .count = 1, .service = calls };
    struct answer answer = { 0 };

    start(&deaf, LONG_MS);
    call(repeatable, &answer);
    latch_wait(calls, 1);
    end_server();
    start_server(&sane);
    latch_wait(&answer.in, 1);
    stop();
    return answer.status.code;
}

Test(rpc_patient, a_read_whose_answer_was_lost_is_made_again)
{
    struct latch calls = LATCH_INIT;

    cr_assert(eq(int, lose_an_answer(true, &calls), STATUS_OK));
    cr_assert(eq(int, latch_count(&calls), 2));
}

Test(rpc_patient, a_write_whose_answer_was_lost_is_not)
{
    struct latch calls = LATCH_INIT;

    cr_assert(eq(int, lose_an_answer(false, &calls), STATUS_UNAVAILABLE));
    cr_assert(eq(int, latch_count(&calls), 1));
}

Test(rpc_patient, a_write_that_was_refused_unseen_is_made_again)
{
    struct latch calls = LATCH_INIT;
    struct answer answer = { 0 };

    start(
        &(struct rpc_fixture_setup){
            .methods = &counted, .count = 1, .service = &calls, .announced = true },
        LONG_MS);
    call(false, &answer);
    rpc_server_open_service(f.server, CONCEPTS, &calls);
    latch_wait(&answer.in, 1);
    cr_assert(eq(int, answer.status.code, STATUS_OK), "%s", answer.status.message);
    cr_assert(eq(int, latch_count(&calls), 1));
    stop();
}

Test(rpc_patient, a_server_that_stays_away_is_waited_for_once)
{
    enum { AWAY_MS = 1500 };
    struct answer answer = { 0 };
    int64_t began_us;

    start(&(struct rpc_fixture_setup){ 0 }, AWAY_MS);
    end_server();
    began_us = clock_monotonic_us();
    cr_assert(eq(int, call_and_wait(true, &answer), STATUS_UNAVAILABLE));
    cr_assert(ge(i64, clock_monotonic_us() - began_us, AWAY_MS * 1000));
    began_us = clock_monotonic_us();
    cr_assert(eq(int, call_and_wait(true, &answer), STATUS_UNAVAILABLE));
    cr_assert(eq(int, call_and_wait(false, &answer), STATUS_UNAVAILABLE));
    cr_assert(lt(i64, clock_monotonic_us() - began_us, AWAY_MS * 1000));
    stop();
}

/* What takes connections, and never says a word; to be closed. */
static int listen_deaf(const char *target)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atoi(strchr(target, ':') + 1)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    cr_assert(eq(int, bind(fd, (struct sockaddr *)&address, sizeof address), 0));
    cr_assert(eq(int, listen(fd, 16), 0));
    return fd;
}

Test(rpc_patient, a_deadline_that_passes_does_not_say_that_a_server_is_back)
{
    enum { AWAY_MS = 1500 };
    struct answer answer = { 0 };
    struct answer late = { 0 };
    int64_t began_us;
    int deaf;

    start(&(struct rpc_fixture_setup){ 0 }, AWAY_MS);
    end_server();
    cr_assert(eq(int, call_and_wait(true, &answer), STATUS_UNAVAILABLE));
    deaf = listen_deaf(f.target);
    do
        late.deadline_us = deadline_in_ms(100);
    while (call_and_wait(true, &late) == STATUS_UNAVAILABLE);
    cr_assert(eq(int, late.status.code, STATUS_DEADLINE_EXCEEDED));
    close(deaf);
    began_us = clock_monotonic_us();
    cr_assert(eq(int, call_and_wait(true, &answer), STATUS_UNAVAILABLE));
    cr_assert(lt(i64, clock_monotonic_us() - began_us, AWAY_MS * 1000));
    stop();
}

Test(rpc_patient, a_server_that_came_back_late_is_waited_for_the_next_time)
{
    enum { AWAY_MS = 1000 };
    struct latch calls = LATCH_INIT;
    const struct rpc_fixture_setup setup = { .methods = &counted, .count = 1, .service = &calls };
    struct answer answer = { 0 };
    int64_t began_us;

    start(&setup, AWAY_MS);
    end_server();
    cr_assert(eq(int, call_and_wait(false, &answer), STATUS_UNAVAILABLE));
    start_server(&setup);
    while (call_and_wait(false, &answer) != STATUS_OK)
        cr_assert(eq(int, answer.status.code, STATUS_UNAVAILABLE));
    end_server();
    began_us = clock_monotonic_us();
    cr_assert(eq(int, call_and_wait(false, &answer), STATUS_UNAVAILABLE));
    cr_assert(ge(i64, clock_monotonic_us() - began_us, AWAY_MS * 1000));
    stop();
}

Test(rpc_patient, a_deadline_ends_the_wait)
{
    struct answer answer = { 0 };

    start(&(struct rpc_fixture_setup){ 0 }, LONG_MS);
    end_server();
    answer.deadline_us = deadline_in_ms(300);
    cr_assert(eq(int, call_and_wait(true, &answer), STATUS_DEADLINE_EXCEEDED));
    stop();
}

struct proxy {
    struct rpc_call *call;
    struct latch asked, answered;
    struct status status;
};

static void proxied(void *ctx, struct rpc_result *result)
{
    struct proxy *proxy = ctx;

    proxy->status = result->status;
    rpc_finish(proxy->call, NULL, &result->status);
    latch_up(&proxy->answered);
}

/* Asks on behalf of its caller. */
static void get_by_proxy(struct rpc_call *parent, const ProtobufCMessage *message, void *service)
{
    struct proxy *proxy = service;

    (void)message;
    proxy->call = parent;
    rpc_call_patient(channel,
                     &(struct rpc_request){ .path = "/sutra.v1.ConceptService/Get",
                                            .bytes = rpc_bytes_copy(NULL, 0),
                                            .parent = parent },
                     true, proxied, proxy);
    latch_up(&proxy->asked);
}

static void ignore(void *ctx, struct rpc_result *result)
{
    (void)ctx;
    (void)result;
}

Test(rpc_patient, nobody_waits_for_a_caller_that_has_gone)
{
    const struct rpc_method method = { .name = "Get", .handler = get_by_proxy };
    const struct rpc_channel_options options = { .away_ms = LONG_MS };
    struct proxy proxy = { .asked = LATCH_INIT, .answered = LATCH_INIT };
    struct rpc_client_call *caller;
    struct status st = { 0 };

    rpc_fixture_start(
        &f, &(struct rpc_fixture_setup){ .methods = &method, .count = 1, .service = &proxy });
    cr_assert(eq(int, rpc_channel_open(f.loop, "127.0.0.1:1", &options, &channel, &st), STATUS_OK));
    rpc_call_unary(f.channel,
                   &(struct rpc_request){ .path = "/sutra.v1.ConceptService/Get",
                                          .bytes = rpc_bytes_copy(NULL, 0) },
                   ignore, NULL, &caller);
    latch_wait(&proxy.asked, 1);
    rpc_client_call_cancel(caller);
    latch_wait(&proxy.answered, 1);
    cr_assert(eq(int, proxy.status.code, STATUS_CANCELLED), "%s", proxy.status.message);
    rpc_client_call_unref(caller);
    stop();
}
