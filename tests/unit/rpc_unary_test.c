#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/rpc/details.h"
#include "tests/unit/rpc_fixture.h"

enum { ARENA_LIMIT = 1 << 20 };

TestSuite(rpc_unary, .timeout = 60);

static struct arena arena;
static struct status st;
static struct rpc_fixture f;

static void start(const struct rpc_method *methods, size_t count, void *service)
{
    arena_init(&arena, ARENA_LIMIT);
    rpc_fixture_start(
        &f, &(struct rpc_fixture_setup){ .methods = methods, .count = count, .service = service });
}

static void stop(void)
{
    rpc_fixture_stop(&f);
    arena_deinit(&arena);
}

static void get_echo(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    Sutra__V1__GetResponse reply = SUTRA__V1__GET_RESPONSE__INIT;
    Sutra__V1__Concept concept = SUTRA__V1__CONCEPT__INIT;
    struct status ok = { 0 };

    (void)service;
    concept.id = ((const Sutra__V1__GetRequest *)message)->id;
    reply.concept = &concept;
    rpc_finish(call, &reply.base, &ok);
}

static const struct rpc_method echo_on_loop = { .name = "Get", .handler = get_echo };
static const struct rpc_method echo_on_pool = { .name = "Get",
                                                .run = RPC_ON_POOL,
                                                .handler = get_echo };

Test(rpc_unary, answers_from_the_loop)
{
    start(&echo_on_loop, 1, NULL);
    cr_assert(eq(str, (char *)get_id(f.channel, "moon", &arena, &st), "moon"));
    cr_assert(eq(str, (char *)get_id(f.channel, "", &arena, &st), ""));
    stop();
}

Test(rpc_unary, answers_from_the_pool)
{
    start(&echo_on_pool, 1, NULL);
    for (int i = 0; i < 100; i++)
        cr_assert(eq(str, (char *)get_id(f.channel, "moon", &arena, &st), "moon"));
    stop();
}

Test(rpc_unary, answers_over_a_unix_socket)
{
    struct rpc_server *server = NULL;
    struct rpc_channel *channel = NULL;
    char address[128];

    snprintf(address, sizeof address, "unix:/tmp/sutra_rpc_test.%d", (int)getpid());
    start(&echo_on_loop, 1, NULL);
    rpc_server_new(f.loop, NULL, &server, &st);
    cr_assert(eq(int, rpc_server_listen(server, address, NULL, &st), STATUS_OK));
    cr_assert(eq(int, rpc_server_start(server, &st), STATUS_OK));
    cr_assert(eq(int, rpc_channel_open(f.loop, address, NULL, &channel, &st), STATUS_OK));
    cr_assert(eq(ptr, (void *)get_id(channel, "moon", &arena, &st), NULL));
    cr_assert(eq(int, st.code, STATUS_UNIMPLEMENTED), "%s", st.message);
    rpc_channel_close(channel);
    rpc_server_free(server);
    stop();
}

/* Errors. ------------------------------------------------------------------------------------- */

static void get_wrong_field(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    struct status bad = { 0 };

    (void)message;
    (void)service;
    status_set_field(&bad, "concept.id", "100%% wrong,\nthat is: größer");
    rpc_finish(call, NULL, &bad);
}

static void get_not_owned(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    struct status bad = { 0 };

    (void)message;
    (void)service;
    rpc_add_error_metadata(call, "owner", "3");
    rpc_add_error_metadata(call, "epoch", "17");
    status_set_reason(&bad, STATUS_FAILED_PRECONDITION, "SLOT_NOT_OWNED", "not mine");
    rpc_finish(call, NULL, &bad);
}

static void get_bytes_as_message(struct rpc_call *call, const ProtobufCMessage *message,
                                 void *service)
{
    struct status bad = { 0 };

    (void)message;
    (void)service;
    status_set_reason(&bad, STATUS_DATA_LOSS, "BROKEN", "path \xff\xfe/x");
    rpc_finish(call, NULL, &bad);
}

Test(rpc_unary, carries_the_field_of_a_bad_request)
{
    start(&(struct rpc_method){ .name = "Get", .handler = get_wrong_field }, 1, NULL);
    get_id(f.channel, "moon", &arena, &st);
    cr_assert(eq(int, st.code, STATUS_INVALID_ARGUMENT));
    cr_assert(eq(str, st.message, "100% wrong,\nthat is: größer"));
    cr_assert(eq(str, st.field, "concept.id"));
    cr_assert(eq(str, st.reason, ""));
    stop();
}

static void ask_for_result(const char *method, struct rpc_result *result)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;

    rpc_sync_call_result(f.channel,
                         &(struct rpc_request){ .service = CONCEPTS,
                                                .method = method,
                                                .message = &request.base,
                                                .deadline_us = deadline_in_ms(20000) },
                         result);
}

Test(rpc_unary, carries_the_reason_and_its_pairs)
{
    struct rpc_result result;

    start(&(struct rpc_method){ .name = "Get", .handler = get_not_owned }, 1, NULL);
    ask_for_result("Get", &result);
    cr_assert(eq(int, result.status.code, STATUS_FAILED_PRECONDITION));
    cr_assert(eq(str, result.status.reason, "SLOT_NOT_OWNED"));
    cr_assert(eq(str, (char *)rpc_result_error_metadata(&result, "owner", &arena), "3"));
    cr_assert(eq(str, (char *)rpc_result_error_metadata(&result, "epoch", &arena), "17"));
    cr_assert(eq(ptr, (void *)rpc_result_error_metadata(&result, "slot", &arena), NULL));
    rpc_result_deinit(&result);
    stop();
}

Test(rpc_unary, sends_a_message_that_is_not_utf8_as_ascii)
{
    start(&(struct rpc_method){ .name = "Get", .handler = get_bytes_as_message }, 1, NULL);
    get_id(f.channel, "moon", &arena, &st);
    cr_assert(eq(str, st.message,
                 "path ?"
                 "?/x"));
    cr_assert(eq(str, st.reason, "BROKEN"));
    stop();
}

Test(rpc_unary, unknown_methods_are_unimplemented)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    struct rpc_result result;

    start(NULL, 0, NULL);
    for (int i = 0; i < 20; i++) {
        rpc_sync_call_result(f.channel,
                             &(struct rpc_request){ .path = "/sutra.v1.ConceptService/Nope",
                                                    .message = &request.base,
                                                    .deadline_us = deadline_in_ms(20000) },
                             &result);
        cr_assert(eq(int, result.status.code, STATUS_UNIMPLEMENTED));
        cr_assert(eq(str, result.status.message, "unknown method '/sutra.v1.ConceptService/Nope'"));
        rpc_result_deinit(&result);
    }
    stop();
}

Test(rpc_unary, nobody_there_is_unavailable)
{
    struct rpc_channel *channel = NULL;

    start(NULL, 0, NULL);
    rpc_channel_open(f.loop, "127.0.0.1:1", NULL, &channel, &st);
    get_id(channel, "moon", &arena, &st);
    cr_assert(eq(int, st.code, STATUS_UNAVAILABLE));
    rpc_channel_close(channel);
    stop();
}

Test(rpc_unary, malformed_targets_are_refused)
{
    const char *bad[] = { "", "host", "host:", "host:0", "host:65536", ":80", "unix:", "a:b" };
    struct rpc_channel *channel = NULL;

    start(NULL, 0, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct status refused = { 0 };
        cr_assert(eq(int, rpc_channel_open(f.loop, bad[i], NULL, &channel, &refused),
                     STATUS_INVALID_ARGUMENT));
    }
    stop();
}

/* Requests that are refused before the handler. ----------------------------------------------- */

static void send_bytes(const char *method, const void *data, size_t size, struct status *ret)
{
    struct rpc_result result;

    rpc_sync_call_result(f.channel,
                         &(struct rpc_request){ .service = CONCEPTS,
                                                .method = method,
                                                .bytes = rpc_bytes_copy(data, size),
                                                .deadline_us = deadline_in_ms(20000) },
                         &result);
    *ret = result.status;
    rpc_result_deinit(&result);
}

Test(rpc_unary, undecodable_bytes_are_invalid)
{
    start(&echo_on_loop, 1, NULL);
    send_bytes("Get", "\x0a\x7f", 2, &st);
    cr_assert(eq(int, st.code, STATUS_INVALID_ARGUMENT));
    cr_assert(eq(str, st.message, "message of type sutra.v1.GetRequest cannot be decoded"));
    stop();
}

Test(rpc_unary, invalid_utf8_names_its_field)
{
    start((struct rpc_method[]){ { .name = "Learn", .handler = get_echo } }, 1, NULL);
    send_bytes("Learn", "\x0a\x04\x0a\x02\xc3\x28", 6, &st); /* concept { id: "\xc3\x28" } */
    cr_assert(eq(int, st.code, STATUS_INVALID_ARGUMENT));
    cr_assert(eq(str, st.field, "concept.id"), "%s: %s", st.field, st.message);
    stop();
}

Test(rpc_unary, a_message_that_outgrows_the_arena_is_exhausting)
{
    uint8_t ids[40000];

    for (size_t i = 0; i < sizeof ids; i += 2) /* repeated string ids, all empty */
        ids[i] = 0x0a, ids[i + 1] = 0;
    arena_init(&arena, ARENA_LIMIT);
    rpc_fixture_start(&f, &(struct rpc_fixture_setup){
                              .options = { .arena_limit_bytes = 100000 },
                          });
    send_bytes("BatchGet", ids, sizeof ids, &st);
    cr_assert(eq(int, st.code, STATUS_RESOURCE_EXHAUSTED), "%s", st.message);
    cr_assert(eq(str, st.reason, "LIMIT_EXCEEDED"));
    cr_assert(ne(ptr, strstr(st.message, "100000"), NULL));
    stop();
}

static void oversize(const struct rpc_method *methods, size_t count, const char *method)
{
    static uint8_t zeroes[300000];

    arena_init(&arena, ARENA_LIMIT);
    rpc_fixture_start(&f, &(struct rpc_fixture_setup){
                              .options = { .max_message_bytes = 100000 },
                              .methods = methods,
                              .count = count,
                          });
    send_bytes(method, zeroes, sizeof zeroes, &st);
    cr_assert(eq(int, st.code, STATUS_RESOURCE_EXHAUSTED), "%d: %s", st.code, st.message);
    cr_assert(ne(ptr, strstr(st.message, "100000"), NULL), "%s", st.message);
    cr_assert(eq(str, (char *)get_id(f.channel, "moon", &arena, &(struct status){ 0 }), "moon"));
    stop();
}

Test(rpc_unary, an_oversize_message_is_exhausting_and_names_the_limit)
{
    oversize(&echo_on_loop, 1, "Get");
}

Test(rpc_unary, an_oversize_message_is_refused_before_the_pool_too)
{
    oversize(&echo_on_pool, 1, "Get");
}

static void get_large(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    Sutra__V1__GetResponse reply = SUTRA__V1__GET_RESPONSE__INIT;
    Sutra__V1__Concept concept = SUTRA__V1__CONCEPT__INIT;
    struct status ok = { 0 };
    char content[2001];

    (void)service;
    memset(content, 'x', sizeof content);
    content[strcmp(((const Sutra__V1__GetRequest *)message)->id, "small") == 0 ? 10 : 2000] = '\0';
    concept.id = "a";
    concept.content = content;
    reply.concept = &concept;
    rpc_finish(call, &reply.base, &ok);
}

Test(rpc_unary, an_oversize_reply_is_an_error_that_names_the_limit)
{
    arena_init(&arena, ARENA_LIMIT);
    rpc_fixture_start(&f,
                      &(struct rpc_fixture_setup){
                          .options = { .max_message_bytes = 1000 },
                          .methods = &(struct rpc_method){ .name = "Get", .handler = get_large },
                          .count = 1,
                      });
    cr_assert(eq(ptr, (void *)get_id(f.channel, "large", &arena, &st), NULL));
    cr_assert(eq(int, st.code, STATUS_RESOURCE_EXHAUSTED), "%s", st.message);
    cr_assert(eq(str, st.reason, "LIMIT_EXCEEDED"));
    cr_assert(ne(ptr, strstr(st.message, "is 1000"), NULL), "%s", st.message);
    status_clear(&st);
    cr_assert(eq(str, (char *)get_id(f.channel, "small", &arena, &st), "a"));
    stop();
}

/* Deadlines and cancellation. ----------------------------------------------------------------- */

struct waiting {
    struct latch entered;
    struct latch cancelled;
    int64_t deadline_us;
    bool seen_cancelled;
};

static void finish_cancelled(struct rpc_call *call, void *ctx)
{
    struct waiting *waiting = ctx;
    struct status over = { 0 };

    waiting->seen_cancelled = rpc_cancelled(call);
    latch_up(&waiting->cancelled);
    status_set(&over, STATUS_CANCELLED, "over");
    rpc_finish(call, NULL, &over);
}

/* Answers only when cancelled. */
static void get_wait(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    struct waiting *waiting = service;

    (void)message;
    waiting->deadline_us = rpc_deadline_us(call);
    latch_up(&waiting->entered);
    rpc_on_cancel(call, finish_cancelled, waiting);
}

/* On the pool: polls instead. */
static void get_poll(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    struct waiting *waiting = service;

    (void)message;
    latch_up(&waiting->entered);
    while (!rpc_cancelled(call))
        sched_yield();
    finish_cancelled(call, waiting);
}

static void call_with_deadline(int64_t deadline_us)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    struct rpc_result result;

    rpc_sync_call_result(f.channel,
                         &(struct rpc_request){ .service = CONCEPTS,
                                                .method = "Get",
                                                .message = &request.base,
                                                .deadline_us = deadline_us },
                         &result);
    st = result.status;
    rpc_result_deinit(&result);
}

Test(rpc_unary, a_deadline_reaches_the_handler_and_ends_the_call)
{
    struct waiting waiting = { LATCH_INIT, LATCH_INIT, 0, false };
    int64_t deadline_us = deadline_in_ms(200);

    start(&(struct rpc_method){ .name = "Get", .handler = get_wait }, 1, &waiting);
    call_with_deadline(deadline_us);
    cr_assert(eq(int, st.code, STATUS_DEADLINE_EXCEEDED));
    latch_wait(&waiting.cancelled, 1);
    cr_assert(waiting.seen_cancelled);
    /* What travels is a time span, in whole milliseconds; the path takes some, too. */
    cr_assert(ge(i64, waiting.deadline_us, deadline_us - 1000000));
    cr_assert(le(i64, waiting.deadline_us, deadline_us + 1000000));
    stop();
}

Test(rpc_unary, a_pool_handler_sees_the_deadline_pass)
{
    struct waiting waiting = { LATCH_INIT, LATCH_INIT, 0, false };

    start(&(struct rpc_method){ .name = "Get", .run = RPC_ON_POOL, .handler = get_poll }, 1,
          &waiting);
    call_with_deadline(deadline_in_ms(100));
    cr_assert(eq(int, st.code, STATUS_DEADLINE_EXCEEDED));
    latch_wait(&waiting.cancelled, 1);
    stop();
}

static void get_deadline(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    *(int64_t *)service = rpc_deadline_us(call);
    get_echo(call, message, NULL);
}

Test(rpc_unary, no_deadline_is_the_largest_number)
{
    int64_t deadline_us = 0;

    start(&(struct rpc_method){ .name = "Get", .handler = get_deadline }, 1, &deadline_us);
    call_with_deadline(0);
    cr_assert(eq(int, st.code, STATUS_OK));
    cr_assert(eq(i64, deadline_us, INT64_MAX));
    stop();
}

struct answered {
    struct latch latch;
    struct status status;
};

static void note_answer(void *ctx, struct rpc_result *result)
{
    struct answered *answered = ctx;

    answered->status = result->status;
    latch_up(&answered->latch);
}

static struct rpc_client_call *begin(struct rpc_channel *channel, struct answered *answered)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    struct rpc_client_call *call;

    rpc_call_unary(
        channel,
        &(struct rpc_request){ .service = CONCEPTS, .method = "Get", .message = &request.base },
        note_answer, answered, &call);
    return call;
}

static void cancel_reaches(const struct rpc_method *method, struct waiting *waiting)
{
    struct answered answered = { .latch = LATCH_INIT };
    struct rpc_client_call *call;

    start(method, 1, waiting);
    call = begin(f.channel, &answered);
    latch_wait(&waiting->entered, 1);
    rpc_client_call_cancel(call);
    latch_wait(&answered.latch, 1);
    cr_assert(eq(int, answered.status.code, STATUS_CANCELLED));
    latch_wait(&waiting->cancelled, 1);
    rpc_client_call_cancel(call);
    rpc_client_call_unref(call);
    stop();
}

Test(rpc_unary, a_clients_cancel_reaches_a_loop_handler)
{
    struct waiting waiting = { LATCH_INIT, LATCH_INIT, 0, false };

    cancel_reaches(&(struct rpc_method){ .name = "Get", .handler = get_wait }, &waiting);
}

Test(rpc_unary, a_clients_cancel_reaches_a_pool_handler)
{
    struct waiting waiting = { LATCH_INIT, LATCH_INIT, 0, false };

    cancel_reaches(&(struct rpc_method){ .name = "Get", .run = RPC_ON_POOL, .handler = get_poll },
                   &waiting);
}

static void get_cancelled(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    struct status over = { 0 };

    (void)message;
    (void)service;
    status_set(&over, STATUS_CANCELLED, "not you, me");
    rpc_finish(call, NULL, &over);
}

Test(rpc_unary, a_cancel_that_nobody_here_asked_for_is_unavailable)
{
    start(&(struct rpc_method){ .name = "Get", .handler = get_cancelled }, 1, NULL);
    get_id(f.channel, "moon", &arena, &st);
    cr_assert(eq(int, st.code, STATUS_UNAVAILABLE));
    stop();
}

/* Through a second server. -------------------------------------------------------------------- */

struct front {
    struct rpc_channel *back;
};

static void forwarded(void *ctx, struct rpc_result *result)
{
    rpc_finish_forward(ctx, result);
}

static void forward(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    const struct front *front = service;
    struct rpc_request request = { .path = rpc_method_path(call),
                                   .parent = call,
                                   .bytes = rpc_take_request_bytes(call),
                                   .metadata = &(struct rpc_metadata_pair){ "x-hop", "2" },
                                   .metadata_count = 1 };

    (void)message;
    rpc_call_unary(front->back, &request, forwarded, call, NULL);
}

struct two_servers {
    struct front front;
    struct rpc_server *back;
    struct rpc_loop *back_loop;
};

static void start_two(struct two_servers *two, const struct rpc_method *back, void *service)
{
    static const struct rpc_method method = { .name = "Get", .raw = true, .handler = forward };
    char target[64];

    rpc_loop_start(&two->back_loop, &st);
    two->back = rpc_fixture_server(
        two->back_loop,
        &(struct rpc_fixture_setup){ .methods = back, .count = 1, .service = service }, target);
    start(&method, 1, &two->front);
    rpc_channel_open(f.loop, target, NULL, &two->front.back, &st);
}

static void stop_two(struct two_servers *two)
{
    rpc_channel_close(two->front.back);
    stop();
    rpc_server_free(two->back);
    rpc_loop_stop(two->back_loop);
}

Test(rpc_unary, forwards_replies)
{
    struct two_servers two;

    start_two(&two, &echo_on_loop, NULL);
    cr_assert(eq(str, (char *)get_id(f.channel, "moon", &arena, &st), "moon"));
    stop_two(&two);
}

Test(rpc_unary, forwards_errors_with_their_details)
{
    struct two_servers two;
    struct rpc_result result;

    start_two(&two, &(struct rpc_method){ .name = "Get", .handler = get_not_owned }, NULL);
    ask_for_result("Get", &result);
    cr_assert(eq(int, result.status.code, STATUS_FAILED_PRECONDITION));
    cr_assert(eq(str, result.status.message, "not mine"));
    cr_assert(eq(str, (char *)rpc_result_error_metadata(&result, "owner", &arena), "3"));
    rpc_result_deinit(&result);
    stop_two(&two);
}

Test(rpc_unary, a_cancel_travels_through_a_child_call)
{
    struct waiting waiting = { LATCH_INIT, LATCH_INIT, 0, false };
    struct answered answered = { .latch = LATCH_INIT };
    struct two_servers two;
    struct rpc_client_call *call;

    start_two(&two, &(struct rpc_method){ .name = "Get", .handler = get_wait }, &waiting);
    call = begin(f.channel, &answered);
    latch_wait(&waiting.entered, 1);
    rpc_client_call_cancel(call);
    latch_wait(&waiting.cancelled, 1);
    latch_wait(&answered.latch, 1);
    rpc_client_call_unref(call);
    stop_two(&two);
}

Test(rpc_unary, a_deadline_travels_through_a_child_call)
{
    struct waiting waiting = { LATCH_INIT, LATCH_INIT, 0, false };
    struct two_servers two;

    start_two(&two, &(struct rpc_method){ .name = "Get", .handler = get_wait }, &waiting);
    call_with_deadline(deadline_in_ms(150));
    cr_assert(eq(int, st.code, STATUS_DEADLINE_EXCEEDED));
    latch_wait(&waiting.cancelled, 1);
    cr_assert(lt(i64, waiting.deadline_us, INT64_MAX));
    stop_two(&two);
}

Test(rpc_unary, a_dead_clients_call_is_cancelled_at_the_back)
{
    struct waiting waiting = { LATCH_INIT, LATCH_INIT, 0, false };
    struct answered answered = { .latch = LATCH_INIT };
    struct two_servers two;

    start_two(&two, &(struct rpc_method){ .name = "Get", .handler = get_wait }, &waiting);
    rpc_client_call_unref(begin(f.channel, &answered));
    latch_wait(&waiting.entered, 1);
    rpc_server_shutdown(f.server, 0); /* the front cancels; its child goes with it */
    latch_wait(&waiting.cancelled, 1);
    latch_wait(&answered.latch, 1);
    cr_assert(eq(int, answered.status.code, STATUS_UNAVAILABLE), "%s", answered.status.message);
    stop_two(&two);
}

/* Encoded replies. ---------------------------------------------------------------------------- */

static void get_garbage(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    struct status ok = { 0 };

    (void)message;
    (void)service;
    rpc_finish_bytes(call, rpc_bytes_copy("\x0a\x7f", 2), &ok);
}

Test(rpc_unary, a_reply_that_cannot_be_decoded_is_the_servers_fault)
{
    start(&(struct rpc_method){ .name = "Get", .handler = get_garbage }, 1, NULL);
    get_id(f.channel, "moon", &arena, &st);
    cr_assert(eq(int, st.code, STATUS_INTERNAL));
    cr_assert(eq(str, st.message, "reply: message of type sutra.v1.GetResponse cannot be decoded"));
    stop();
}

static void get_bytes_and_error(struct rpc_call *call, const ProtobufCMessage *message,
                                void *service)
{
    struct status bad = { 0 };

    (void)message;
    (void)service;
    status_set(&bad, STATUS_ABORTED, "after all");
    rpc_finish_bytes(call, rpc_bytes_copy("x", 1), &bad);
}

Test(rpc_unary, an_error_drops_the_encoded_reply)
{
    start(&(struct rpc_method){ .name = "Get", .handler = get_bytes_and_error }, 1, NULL);
    get_id(f.channel, "moon", &arena, &st);
    cr_assert(eq(int, st.code, STATUS_ABORTED));
    stop();
}

/* Headers. ------------------------------------------------------------------------------------ */

static void get_headers(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    Sutra__V1__GetResponse reply = SUTRA__V1__GET_RESPONSE__INIT;
    Sutra__V1__Concept concept = SUTRA__V1__CONCEPT__INIT;
    struct status ok = { 0 };
    const char *names[] = { "authorization", "traceparent", "tracestate",
                            "x-hop",         "x-other",     "accept" };
    struct buf text = { 0 };

    (void)message;
    (void)service;
    for (size_t i = 0; i < 6; i++) {
        const char *value = rpc_metadata(call, names[i]);
        buf_printf(&text, "%s|", value != NULL ? value : "-");
    }
    buf_append_u8(&text, 0);
    concept.id = (char *)text.data;
    reply.concept = &concept;
    rpc_finish(call, &reply.base, &ok);
    buf_deinit(&text);
}

/* What the second server gets of the headers that the first one got. */
static const char *passed_on(const struct rpc_metadata_pair *headers, size_t count)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    static char got[256];
    struct two_servers two;
    ProtobufCMessage *reply;

    start_two(&two, &(struct rpc_method){ .name = "Get", .handler = get_headers }, NULL);
    rpc_sync_call(f.channel,
                  &(struct rpc_request){ .service = CONCEPTS,
                                         .method = "Get",
                                         .message = &request.base,
                                         .metadata = headers,
                                         .metadata_count = count,
                                         .deadline_us = deadline_in_ms(20000) },
                  &sutra__v1__get_response__descriptor, &arena, &reply, &st);
    cr_assert(eq(int, st.code, STATUS_OK), "%s", st.message);
    snprintf(got, sizeof got, "%s", ((Sutra__V1__GetResponse *)reply)->concept->id);
    stop_two(&two);
    return got;
}

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

Test(rpc_unary, passes_on_only_the_headers_that_travel)
{
    const struct rpc_metadata_pair headers[] = {
        { "authorization", "Bearer x" }, { "x-hop", "1" },        { "x-other", "kept" },
        { "accept", "dropped" },         { "tracestate", "a=1" }, { "traceparent", "00-1" },
    };
    const char *got = passed_on(headers, 6);

    /* The trace, which was none, began anew: what others said of it is dropped. */
    cr_assert(eq(int, strncmp(got, "Bearer x|00-", 12), 0), "%s", got);
    cr_assert(eq(str, (char *)got + 12 + 32 + 1 + 16, "-00|-|2|kept|-|"), "%s", got);
}

Test(rpc_unary, a_trace_goes_on_and_its_part_has_a_new_id)
{
    const struct rpc_metadata_pair headers[] = { { "traceparent", "00-" TRACE "-" PARENT "-01" },
                                                 { "tracestate", "a=1" } };
    const char *got = passed_on(headers, 2);

    cr_assert(eq(int, strncmp(got, "-|00-" TRACE "-", 5 + 32 + 1), 0), "%s", got);
    cr_assert(eq(ptr, strstr(got, PARENT), NULL), "%s", got);
    cr_assert(ne(ptr, strstr(got, "-01|a=1|2|"), NULL), "%s", got);
}

Test(rpc_unary, of_two_traces_none_is_believed)
{
    const struct rpc_metadata_pair headers[] = { { "traceparent", "00-" TRACE "-" PARENT "-01" },
                                                 { "traceparent", "00-" TRACE "-" PARENT "-01" } };
    const char *got = passed_on(headers, 2);

    cr_assert(eq(ptr, strstr(got, TRACE), NULL), "%s", got);
}

Test(rpc_unary, an_illegal_header_fails_the_call_only)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    struct rpc_result result;

    start(&echo_on_loop, 1, NULL);
    rpc_sync_call_result(
        f.channel,
        &(struct rpc_request){ .service = CONCEPTS,
                               .method = "Get",
                               .message = &request.base,
                               .metadata = &(struct rpc_metadata_pair){ "X-Bad", "line\nfeed" },
                               .metadata_count = 1 },
        &result);
    cr_assert(eq(int, result.status.code, STATUS_INVALID_ARGUMENT));
    rpc_result_deinit(&result);
    cr_assert(eq(str, (char *)get_id(f.channel, "moon", &arena, &st), "moon"));
    stop();
}

/* Misuse. ------------------------------------------------------------------------------------- */

static void get_twice(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    Sutra__V1__GetResponse reply = SUTRA__V1__GET_RESPONSE__INIT;
    struct status ok = { 0 };

    (void)message;
    (void)service;
    rpc_finish(call, &reply.base, &ok);
    rpc_finish(call, &reply.base, &ok);
}

Test(rpc_unary, finishing_twice_asserts, .signal = SIGABRT)
{
    start(&(struct rpc_method){ .name = "Get", .handler = get_twice }, 1, NULL);
    get_id(f.channel, "moon", &arena, &st);
}

Test(rpc_unary, a_method_without_a_handler_asserts, .signal = SIGABRT)
{
    struct rpc_method info = { .name = "Info", .handler = get_echo };
    struct rpc_server *server = NULL;

    rpc_loop_start(&f.loop, &st);
    rpc_server_new(f.loop, NULL, &server, &st);
    rpc_server_add_service(server, EMBEDDING, &info, 1, NULL);
}

Test(rpc_unary, a_handler_for_an_unknown_name_asserts, .signal = SIGABRT)
{
    struct rpc_method methods[] = { { .name = "Info", .handler = get_echo },
                                    { .name = "Embedd", .handler = get_echo } };
    struct rpc_server *server = NULL;

    rpc_loop_start(&f.loop, &st);
    rpc_server_new(f.loop, NULL, &server, &st);
    rpc_server_add_service(server, EMBEDDING, methods, 2, NULL);
}

Test(rpc_unary, a_kind_that_differs_from_the_proto_asserts, .signal = SIGABRT)
{
    struct rpc_method methods[] = { { .name = "Info", .handler = get_echo },
                                    { .name = "Embed", .kind = RPC_BIDI, .handler = get_echo } };
    struct rpc_server *server = NULL;

    rpc_loop_start(&f.loop, &st);
    rpc_server_new(f.loop, NULL, &server, &st);
    rpc_server_add_service(server, EMBEDDING, methods, 2, NULL);
}
