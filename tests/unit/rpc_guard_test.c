#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/rpc_fixture.h"

enum { ARENA_LIMIT = 1 << 20 };

TestSuite(rpc_guard, .timeout = 60);

/* SHA-256 of "alpha" and "beta". */
static const char file[] =
    "alice reader sha256:8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8\n"
    "bob writer sha256:f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753\n";

/* The last call that ended. */
struct seen {
    struct latch ended;
    char caller[64];
    bool refused;
    enum role role;
};

static struct rpc_fixture f;
static struct tokens *tokens;
static struct seen seen = { .ended = LATCH_INIT };
static bool entered;

static void note(const struct rpc_call_summary *summary, void *ctx)
{
    (void)ctx;
    snprintf(seen.caller, sizeof seen.caller, "%s", summary->caller);
    seen.refused = summary->refused;
    seen.role = summary->role;
    latch_up(&seen.ended);
}

static void answer(struct rpc_call *call, const ProtobufCMessage *request, void *service)
{
    Sutra__V1__GetResponse reply = SUTRA__V1__GET_RESPONSE__INIT;
    struct status ok = { 0 };

    (void)request;
    (void)service;
    entered = true;
    rpc_finish(call, &reply.base, &ok);
}

static const struct rpc_method get = { .name = "Get", .role = ROLE_WRITER, .handler = answer };
static const struct rpc_method get_without_role = { .name = "Get", .handler = answer };

static void start(const struct rpc_method *method)
{
    struct status st = { 0 };

    cr_assert_eq(tokens_parse(file, sizeof file - 1, &tokens, &st), STATUS_OK, "%s", st.message);
    rpc_fixture_start(&f, &(struct rpc_fixture_setup){
                              .options = { .tokens = tokens,
                                           .slow_us = -1, /* so that every call is told of */
                                           .on_finished = note },
                              .methods = method,
                              .count = 1 });
}

static void stop(void)
{
    rpc_fixture_stop(&f);
    tokens_close(tokens);
}

/* Get on @channel with the headers given. */
static struct status call(struct rpc_channel *channel, const struct rpc_metadata_pair *headers,
                          size_t count)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    struct rpc_result result;
    struct status st;

    rpc_sync_call_result(channel,
                         &(struct rpc_request){ .service = CONCEPTS,
                                                .method = "Get",
                                                .message = &request.base,
                                                .metadata = headers,
                                                .metadata_count = count,
                                                .deadline_us = deadline_in_ms(20000) },
                         &result);
    st = result.status;
    rpc_result_deinit(&result);
    return st;
}

static struct status call_as(const char *authorization)
{
    return call(f.channel, &(struct rpc_metadata_pair){ "authorization", authorization }, 1);
}

Test(rpc_guard, a_call_with_enough_of_a_role_is_answered)
{
    start(&get);
    cr_expect_eq(call_as("Bearer beta").code, STATUS_OK);
    latch_wait(&seen.ended, 1);
    cr_expect_str_eq(seen.caller, "bob");
    cr_expect_eq(seen.role, ROLE_WRITER);
    cr_expect_not(seen.refused);
    stop();
}

Test(rpc_guard, a_call_with_too_little_is_refused_and_not_entered)
{
    struct status st;

    start(&get);
    st = call_as("Bearer alpha");
    cr_expect_eq(st.code, STATUS_PERMISSION_DENIED);
    cr_expect_str_eq(st.reason, "ROLE_TOO_SMALL");
    latch_wait(&seen.ended, 1);
    cr_expect_str_eq(seen.caller, "alice");
    cr_expect(seen.refused);
    cr_expect_not(entered);
    stop();
}

Test(rpc_guard, a_method_that_says_nothing_needs_an_admin)
{
    start(&get_without_role);
    cr_expect_eq(call_as("Bearer beta").code, STATUS_PERMISSION_DENIED);
    latch_wait(&seen.ended, 1);
    cr_expect_eq(seen.role, ROLE_ADMIN);
    stop();
}

/* Which of the two would count? */
Test(rpc_guard, two_headers_are_none)
{
    static const struct rpc_metadata_pair twice[] = { { "authorization", "Bearer beta" },
                                                      { "authorization", "Bearer beta" } };
    struct status st;

    start(&get);
    st = call(f.channel, twice, 2);
    cr_expect_eq(st.code, STATUS_UNAUTHENTICATED);
    cr_expect_str_eq(st.reason, "TOKEN_MALFORMED");
    cr_expect_not(entered);
    stop();
}

/* ---- Tokens of channels ---- */

static struct rpc_channel *open_with(const char *token)
{
    const struct rpc_channel_options options = { .token = token };
    struct rpc_channel *channel = NULL;
    struct status st = { 0 };

    cr_assert_eq(rpc_channel_open(f.loop, f.target, &options, &channel, &st), STATUS_OK);
    return channel;
}

Test(rpc_guard, a_channel_shows_its_token)
{
    struct rpc_channel *channel;

    start(&get);
    channel = open_with("beta");
    cr_expect_eq(call(channel, NULL, 0).code, STATUS_OK);
    /* A header of the call wins over it. */
    cr_expect_eq(
        call(channel, &(struct rpc_metadata_pair){ "authorization", "Bearer alpha" }, 1).code,
        STATUS_PERMISSION_DENIED);
    rpc_channel_close(channel);
    stop();
}

static void forwarded(void *ctx, struct rpc_result *result)
{
    rpc_finish_forward(ctx, result);
}

static void forward(struct rpc_call *parent, const ProtobufCMessage *request, void *service)
{
    struct rpc_channel *const *back = service;

    (void)request;
    rpc_call_unary(*back,
                   &(struct rpc_request){ .service = CONCEPTS,
                                          .method = "Get",
                                          .bytes = rpc_take_request_bytes(parent),
                                          .parent = parent },
                   forwarded, parent, NULL);
}

/* Else whoever may call a router could do what only the router may. */
Test(rpc_guard, a_call_for_another_is_made_with_the_others_token_only)
{
    static const struct rpc_method method = { .name = "Get", .raw = true, .handler = forward };
    static const struct rpc_metadata_pair header = { "authorization", "Bearer beta" };
    struct rpc_channel *back;
    struct rpc_channel *to_front = NULL;
    struct rpc_server *front;
    char target[64];
    struct status st = { 0 };

    start(&get);
    back = open_with("beta");
    front = rpc_fixture_server(
        f.loop, &(struct rpc_fixture_setup){ .methods = &method, .count = 1, .service = &back },
        target);
    cr_assert_eq(rpc_channel_open(f.loop, target, NULL, &to_front, &st), STATUS_OK);
    cr_expect_eq(call(to_front, NULL, 0).code, STATUS_UNAUTHENTICATED);
    cr_expect_eq(call(to_front, &header, 1).code, STATUS_OK);
    rpc_channel_close(to_front);
    rpc_channel_close(back);
    rpc_server_free(front);
    stop();
}
