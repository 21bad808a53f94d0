/* What the typed client says when nobody answers; with servers it is tested by the integration
 * tests. */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/client/client.h"
#include "tests/unit/rpc_fixture.h"

static struct arena arena;
static int listener = -1; /* bound, so that nobody else gets the port; not listening */
static char address[64];

static void begin(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof in;

    arena_init(&arena, 1 << 20);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&in, sizeof in), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&in, &size), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(in.sin_port));
}

static void end(void)
{
    close(listener);
    arena_deinit(&arena);
}

TestSuite(client, .init = begin, .fini = end, .timeout = 60);

static struct client *open_client(uint32_t timeout_ms)
{
    struct client_options options = { .timeout_ms = timeout_ms };
    struct client *client = NULL;
    struct status st = { 0 };

    cr_assert_eq(client_open(address, &options, &client, &st), STATUS_OK, "%s", st.message);
    return client;
}

Test(client, the_address_comes_from_the_environment)
{
    unsetenv("SUTRA_ADDRESS");
    cr_assert_str_eq(client_default_address(), CLIENT_DEFAULT_ADDRESS);
    setenv("SUTRA_ADDRESS", "", 1);
    cr_assert_str_eq(client_default_address(), CLIENT_DEFAULT_ADDRESS);
    setenv("SUTRA_ADDRESS", "example:1", 1);
    cr_assert_str_eq(client_default_address(), "example:1");
}

Test(client, opening_does_not_connect)
{
    struct client *client = open_client(0);

    cr_assert_str_eq(client_address(client), address);
    client_close(client);
}

Test(client, a_malformed_address_is_refused)
{
    struct client *client = NULL;
    struct status st = { 0 };

    cr_assert_eq(client_open("::::", NULL, &client, &st), STATUS_INVALID_ARGUMENT);
    cr_assert_null(client);
    client_close(NULL);
}

Test(client, calls_say_that_nobody_answers)
{
    struct client *client = open_client(0);
    Sutra__V1__GetRequest get = SUTRA__V1__GET_REQUEST__INIT;
    Sutra__V1__GetResponse *got = NULL;
    Sutra__V1__LearnRequest learn = SUTRA__V1__LEARN_REQUEST__INIT;
    Sutra__V1__LearnResponse *learnt = NULL;
    bool serving;
    struct status st = { 0 };

    cr_assert_eq(client_get(client, &get, &arena, &got, &st), STATUS_UNAVAILABLE);
    cr_assert_null(got);
    status_clear(&st);
    cr_assert_eq(client_learn(client, &learn, &arena, &learnt, &st), STATUS_UNAVAILABLE);
    status_clear(&st);
    cr_assert_eq(client_health(client, "", &serving, &st), STATUS_UNAVAILABLE);
    client_close(client);
}

/* A server that takes the connection and never says a word. */
Test(client, a_silent_server_costs_the_timeout)
{
    struct client *client;
    Sutra__V1__StatsRequest request = SUTRA__V1__STATS_REQUEST__INIT;
    Sutra__V1__StatsResponse *reply = NULL;
    struct status st = { 0 };

    cr_assert_eq(listen(listener, 4), 0);
    client = open_client(300);
    cr_assert_eq(client_stats(client, &request, &arena, &reply, &st), STATUS_DEADLINE_EXCEEDED);
    client_close(client);
}

static void *cancel_soon(void *client)
{
    usleep(50 * 1000);
    client_cancel(client);
    return NULL;
}

Test(client, a_call_can_be_cancelled_by_another_thread)
{
    struct client *client;
    Sutra__V1__LearnRequest request = SUTRA__V1__LEARN_REQUEST__INIT;
    Sutra__V1__LearnResponse *reply = NULL;
    struct status st = { 0 };
    pthread_t other;

    cr_assert_eq(listen(listener, 4), 0);
    client = open_client(20 * 1000);
    client_cancel(client); /* there is none */
    cr_assert_eq(pthread_create(&other, NULL, cancel_soon, client), 0);
    cr_assert_eq(client_learn(client, &request, &arena, &reply, &st), STATUS_CANCELLED, "%s",
                 st.message);
    pthread_join(other, NULL);
    client_close(client);
}

static void *cancel_in_a_pause(void *client)
{
    usleep(130 * 1000); /* the first is over after 100 ms, and the second after 300 */
    client_cancel(client);
    return NULL;
}

Test(client, a_call_can_be_cancelled_while_it_waits_for_a_server_that_starts)
{
    struct client *client = NULL;
    struct rpc_fixture f;
    Sutra__V1__LearnRequest request = SUTRA__V1__LEARN_REQUEST__INIT;
    Sutra__V1__LearnResponse *reply = NULL;
    struct status st = { 0 };
    pthread_t other;

    rpc_fixture_start(&f, &(struct rpc_fixture_setup){ .announced = true });
    cr_assert_eq(client_open(f.target, NULL, &client, &st), STATUS_OK, "%s", st.message);
    cr_assert_eq(pthread_create(&other, NULL, cancel_in_a_pause, client), 0);
    cr_assert_eq(client_learn(client, &request, &arena, &reply, &st), STATUS_CANCELLED, "%s",
                 st.message);
    pthread_join(other, NULL);
    client_close(client);
    rpc_fixture_stop(&f);
}

Test(client, an_import_that_is_cancelled_says_so)
{
    struct client_import *import = NULL;
    Sutra__V1__ImportResponse *reply = NULL;
    struct client *client;
    struct status st = { 0 };

    cr_assert_eq(listen(listener, 4), 0);
    client = open_client(0);
    cr_assert_eq(client_import_open(client, &import, &st), STATUS_OK);
    client_import_cancel(import);
    cr_assert_eq(client_import_receive(import, &arena, &reply, &st), STATUS_CANCELLED, "%s",
                 st.message);
    client_import_close(import);
    client_close(client);
}

Test(client, a_list_of_nobody_ends_with_unavailable)
{
    struct client *client = open_client(0);
    Sutra__V1__ListRequest request = SUTRA__V1__LIST_REQUEST__INIT;
    Sutra__V1__ListResponse *page = NULL;
    struct client_list *list = NULL;
    struct status st = { 0 };

    cr_assert_eq(client_list_open(client, &request, &list, &st), STATUS_OK);
    cr_assert_eq(client_list_next(list, &arena, &page, &st), STATUS_UNAVAILABLE);
    client_list_close(list);
    client_close(client);
}

Test(client, an_import_to_nobody_ends_with_unavailable)
{
    struct client *client = open_client(0);
    Sutra__V1__ImportRequest request = SUTRA__V1__IMPORT_REQUEST__INIT;
    Sutra__V1__ImportResponse *response = NULL;
    struct client_import *import = NULL;
    struct status st = { 0 };

    cr_assert_eq(client_import_open(client, &import, &st), STATUS_OK);
    cr_assert_not(client_import_send(import, &request));
    cr_assert_eq(client_import_receive(import, &arena, &response, &st), STATUS_UNAVAILABLE);
    client_import_close(import);
    client_import_close(NULL);
    client_close(client);
}
