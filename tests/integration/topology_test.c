/**
 * Topology at run time: a missing shard is never silent, a changed file is taken up, and a shard
 * refuses what it does not own and who knows less than it.
 */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "src/base/clock.h"
#include "src/ids/concept_id.h"
#include "src/rpc/loop.h"
#include "src/rpc/sync_client.h"
#include "sutra/internal/v1/shard_service.pb-c.h"
#include "tests/support/fixture.h"

static const int64_t PATIENCE_US = 60 * 1000000LL;

static struct test_fixture f;

static void start(void)
{
    test_fixture_start(&f, &(struct test_cluster_options){ .shards = 2,
                                                           .router = true,
                                                           .router_args = { "--peer-wait-ms=0" } });
}

static void stop(void)
{
    test_fixture_stop(&f);
}

/* Of an even split over two shards. */
static unsigned owner(const char *id)
{
    return concept_id_trusted(id, strlen(id)).slot / (SLOT_COUNT / 2);
}

static Sutra__V1__SearchResponse *search(bool allow_partial, struct status *st)
{
    Sutra__V1__SearchRequest request = SUTRA__V1__SEARCH_REQUEST__INIT;
    Sutra__V1__Query query = SUTRA__V1__QUERY__INIT;
    Sutra__V1__SearchResponse *reply = NULL;

    request.query = &query;
    request.k = 20;
    request.allow_partial = allow_partial;
    query.by_case = SUTRA__V1__QUERY__BY_EMBEDDING;
    query.embedding = test_embedding(1, &f.arena);
    client_search(f.client, &request, &f.arena, &reply, st);
    return reply;
}

/* The router tries to connect now and then: a shard that is back is reached soon, not at once. */
static Sutra__V1__SearchResponse *search_when_back(struct status *st)
{
    int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;
    Sutra__V1__SearchResponse *reply;

    do {
        *st = (struct status){ 0 };
        reply = search(false, st);
    } while (st->code == STATUS_UNAVAILABLE && clock_monotonic_us() < deadline_us);
    return reply;
}

Test(topology, a_missing_shard_is_named_and_with_allow_partial_listed, .init = start, .fini = stop,
     .timeout = 120)
{
    Sutra__V1__SearchResponse *reply;
    struct status st = { 0 };

    test_fixture_write(&f, 0, 100, 0);
    test_cluster_kill_shard(&f.cluster, 1);
    search(false, &st);
    cr_expect_str_eq(st.reason, "SHARD_UNAVAILABLE", "%s", st.reason);
    test_expect_status(&st, STATUS_UNAVAILABLE, "", "shard 1");
    reply = search(true, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_eq(reply->n_shards_missing, 1);
    cr_expect_eq(reply->shards_missing[0], 1);
    cr_expect_gt(reply->n_hits, 0);
    for (size_t i = 0; i < reply->n_hits; i++)
        cr_expect_eq(owner(reply->hits[i]->id), 0);
    test_cluster_start_shard(&f.cluster, 1);
    reply = search_when_back(&st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_expect_eq(reply->n_hits, 20);
    cr_expect_eq(reply->n_shards_missing, 0);
}

static enum status_code get(uint64_t number, struct status *st)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    Sutra__V1__GetResponse *reply;

    request.id = test_concept_id(number, &f.arena);
    return client_get(f.client, &request, &f.arena, &reply, st);
}

Test(topology, what_the_other_shards_hold_stays_within_reach, .init = start, .fini = stop,
     .timeout = 120)
{
    test_fixture_write(&f, 0, 20, 0);
    test_cluster_kill_shard(&f.cluster, 0);
    for (uint64_t n = 0; n < 20; n++) {
        struct status st = { 0 };
        if (owner(test_concept_id(n, &f.arena)) == 1)
            cr_expect_eq(get(n, &st), STATUS_OK, "%s", st.message);
        else
            cr_expect_eq(get(n, &st), STATUS_UNAVAILABLE, "%s", st.message);
    }
}

Test(topology, a_batch_says_of_every_item_whether_its_shard_has_it, .init = start, .fini = stop,
     .timeout = 120)
{
    enum { ITEMS = 20 };
    const Sutra__V1__LearnBatchResponse *reply;
    Sutra__V1__ConceptInput *items[ITEMS];

    for (uint64_t i = 0; i < ITEMS; i++)
        items[i] = test_concept(i, 0, &f.arena);
    test_cluster_kill_shard(&f.cluster, 0);
    reply = test_fixture_learn(&f, items, ITEMS);
    for (size_t i = 0; i < ITEMS; i++) {
        const Sutra__V1__WriteResult *result = reply->results[i];
        cr_expect_str_eq(result->id, items[i]->id);
        if (owner(items[i]->id) == 1)
            cr_expect_null(result->status);
        else
            cr_expect(result->status != NULL && result->status->code == STATUS_UNAVAILABLE);
    }
}

static uint64_t epoch_of(struct client *client)
{
    Sutra__V1__GetTopologyRequest request = SUTRA__V1__GET_TOPOLOGY_REQUEST__INIT;
    Sutra__V1__GetTopologyResponse *reply = NULL;
    struct status st = { 0 };

    client_get_topology(client, &request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return reply->epoch;
}

static void wait_for_epoch(const char *address, uint64_t epoch)
{
    static const struct timespec pause = { .tv_nsec = 20 * 1000000 };
    struct client *client = test_client_open(address);
    int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;

    while (epoch_of(client) != epoch) {
        cr_assert_lt(clock_monotonic_us(), deadline_us, "%s stays at epoch %lu", address,
                     (unsigned long)epoch_of(client));
        arena_reset(&f.arena);
        nanosleep(&pause, NULL);
    }
    client_close(client);
}

static void write_topology(unsigned epoch, const char *slots_0, const char *slots_1)
{
    char json[512];

    snprintf(json, sizeof json,
             "{\"epoch\": %u, \"shards\": [{\"address\": \"%s\", \"slots\": \"%s\"},"
             " {\"address\": \"%s\", \"slots\": \"%s\"}]}",
             epoch, f.cluster.shards[0].address, slots_0, f.cluster.shards[1].address, slots_1);
    test_cluster_write_topology(&f.cluster, json);
}

static void wait_for_epoch_everywhere(uint64_t epoch)
{
    wait_for_epoch(f.cluster.router.address, epoch);
    wait_for_epoch(f.cluster.shards[0].address, epoch);
    wait_for_epoch(f.cluster.shards[1].address, epoch);
}

/* ShardService.Get of @id at @shard, as a router of @epoch would send it. */
static struct status ask_shard(unsigned shard, const char *id, const char *epoch)
{
    const struct rpc_metadata_pair metadata[] = { { "x-sutra-epoch", epoch } };
    Sutra__V1__GetRequest get_request = SUTRA__V1__GET_REQUEST__INIT;
    struct rpc_loop *loop = NULL;
    struct rpc_channel *channel = NULL;
    struct rpc_result result;
    struct status st = { 0 };
    const struct rpc_request request = {
        .service = &sutra__internal__v1__shard_service__descriptor,
        .method = "Get",
        .message = &get_request.base,
        .deadline_us = clock_monotonic_us() + PATIENCE_US,
        .metadata = metadata,
        .metadata_count = 1,
    };

    get_request.id = (char *)id;
    cr_assert_eq(rpc_loop_start(&loop, &st), STATUS_OK);
    cr_assert_eq(rpc_channel_open(loop, f.cluster.shards[shard].address, NULL, &channel, &st),
                 STATUS_OK);
    rpc_sync_call_result(channel, &request, &result);
    st = result.status;
    rpc_result_deinit(&result);
    rpc_channel_close(channel);
    rpc_loop_stop(loop);
    return st;
}

static const char *id_owned_by(unsigned shard)
{
    for (uint64_t n = 0;; n++)
        if (owner(test_concept_id(n, &f.arena)) == shard)
            return test_concept_id(n, &f.arena);
}

Test(topology, a_shard_refuses_what_it_does_not_own, .init = start, .fini = stop, .timeout = 120)
{
    struct status st;

    st = ask_shard(0, id_owned_by(0), "1");
    cr_expect_eq(st.code, STATUS_NOT_FOUND, "%s", st.message);
    st = ask_shard(0, id_owned_by(1), "1");
    cr_expect_eq(st.code, STATUS_FAILED_PRECONDITION, "%s", st.message);
    cr_expect_str_eq(st.reason, "SLOT_NOT_OWNED", "%s", st.reason);
}

Test(topology, a_changed_file_is_taken_up_and_a_stale_router_refused, .init = start, .fini = stop,
     .timeout = 120)
{
    struct status st;

    write_topology(2, "0-2047", "2048-4095");
    wait_for_epoch_everywhere(2);
    st = ask_shard(0, id_owned_by(0), "1");
    cr_expect_eq(st.code, STATUS_FAILED_PRECONDITION, "%s", st.message);
    cr_expect_str_eq(st.reason, "STALE_EPOCH", "%s", st.reason);
    st = ask_shard(0, id_owned_by(0), "2");
    cr_expect_eq(st.code, STATUS_NOT_FOUND, "%s", st.message);
    test_fixture_write(&f, 0, 50, 0);
    cr_expect_eq(test_fixture_stats(&f)->total->concepts, 50);
}

Test(topology, moved_slots_are_asked_for_at_their_new_owner, .init = start, .fini = stop,
     .timeout = 120)
{
    struct status st;

    write_topology(2, "2048-4095", "0-2047");
    wait_for_epoch_everywhere(2);
    st = ask_shard(0, id_owned_by(0), "2");
    cr_expect_eq(st.code, STATUS_FAILED_PRECONDITION, "%s", st.message);
    cr_expect_str_eq(st.reason, "SLOT_NOT_OWNED");
    st = ask_shard(1, id_owned_by(0), "2");
    cr_expect_eq(st.code, STATUS_NOT_FOUND, "%s", st.message);
}

Test(topology, a_bad_or_older_file_changes_nothing, .init = start, .fini = stop, .timeout = 120)
{
    write_topology(3, "0-2047", "2048-4095");
    wait_for_epoch_everywhere(3);
    write_topology(4, "0-2047", "2049-4095");
    write_topology(2, "0-2047", "2048-4095");
    test_cluster_write_topology(&f.cluster, "{\"epoch\": 9, ");
    write_topology(5, "0-1023", "1024-4095");
    wait_for_epoch_everywhere(5);
    cr_expect_eq(test_fixture_stats(&f)->n_shards, 2);
}

static void router_over(struct test_process *router, const char *first, const char *second)
{
    char shards[2 * TEST_ADDRESS_SIZE];
    char socket[TEST_ADDRESS_SIZE];

    snprintf(shards, sizeof shards, "%s,%s", first, second);
    snprintf(socket, sizeof socket, "unix:%s/other", f.cluster.folder);
    test_process_start(router, (const char *const[]){ "router/sutra-router", "--listen", socket,
                                                      "--shards", shards, NULL });
}

Test(topology, a_shard_at_another_place_than_the_router_thinks_is_noticed, .init = start,
     .fini = stop, .timeout = 120)
{
    Sutra__V1__StatsRequest request = SUTRA__V1__STATS_REQUEST__INIT;
    Sutra__V1__StatsResponse *reply = NULL;
    struct test_process router = { 0 };
    struct client *client;
    struct status st = { 0 };

    router_over(&router, f.cluster.shards[1].address, f.cluster.shards[0].address);
    client = test_client_open(router.address);
    client_stats(client, &request, &f.arena, &reply, &st);
    cr_expect_str_eq(st.reason, "WRONG_SHARD", "%s", st.reason);
    test_expect_status(&st, STATUS_FAILED_PRECONDITION, "", "this is shard 1");
    client_close(client);
    cr_expect_eq(test_process_stop(&router), 0);
}

Test(topology, data_of_foreign_slots_is_not_opened, .init = start, .fini = stop, .timeout = 120)
{
    struct test_output output;
    char data[96];

    test_fixture_write(&f, 0, 50, 0);
    test_cluster_stop_shard(&f.cluster, 0);
    snprintf(data, sizeof data, "%s/data0", f.cluster.folder);
    test_run((const char *const[]){ "shard/sutra-shard", "--data", data, "--listen", "127.0.0.1:0",
                                    "--shards", "a:1,b:1,c:1,d:1", NULL },
             &output);
    cr_expect_eq(output.status, 1);
    cr_expect_not_null(strstr(output.text, "holds concepts of slots 1024-2047"), "%s", output.text);
    test_cluster_start_shard(&f.cluster, 0);
}

Test(topology, a_shard_alone_owns_every_slot, .timeout = 120, .fini = stop)
{
    test_fixture_start(&f, &(struct test_cluster_options){ .shards = 1 });
    test_fixture_write(&f, 0, 100, 0);
    cr_expect_eq(test_fixture_stats(&f)->total->concepts, 100);
}

Test(topology, programs_say_what_is_wrong_with_their_options, .timeout = 120)
{
    static const char *const lines[][6] = {
        { "shard/sutra-shard", NULL },
        { "shard/sutra-shard", "--data", "/tmp/x", "--topology", "/nowhere.json", NULL },
        { "shard/sutra-shard", "--data", "/tmp/x", "--shard", "7", NULL },
        { "shard/sutra-shard", "--colour", NULL },
        { "router/sutra-router", NULL },
        { "router/sutra-router", "--topology", "/nowhere.json", NULL },
        { "router/sutra-router", "--shards", "a,,b", NULL },
    };
    static const char *const parts[] = { "data",     "/nowhere.json", "shard",        "--colour",
                                         "topology", "/nowhere.json", "empty address" };
    static struct test_output output;

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        test_run(lines[i], &output);
        cr_expect_gt(output.status, 0, "line %zu ends with %d", i, output.status);
        cr_expect_not_null(strstr(output.text, parts[i]), "line %zu: %s", i, output.text);
    }
}
