/**
 * The answers of a search do not depend on how many shards hold the concepts: the same 500 requests
 * over 1, 2, 4 and 8 shards are answered with the same bytes, before a codebook exists, after one
 * was trained, and after concepts were overwritten, deleted and added behind it.
 */

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/buf.h"
#include "src/base/clock.h"
#include "src/rpc/loop.h"
#include "src/rpc/sync_client.h"
#include "tests/support/fixture.h"

enum {
    CONCEPTS = 2500,
    SEARCHES = 500,
    SEED = 20240229,
    CALL_US = 60 * 1000000,
};

enum phase { EXACT, TRAINED, CHANGED, PHASES };

static const char *const phase_names[] = { "before a codebook", "with a codebook",
                                           "after changes behind the codebook" };

/* The bytes of one reply. */
struct answer {
    uint8_t *data;
    size_t size;
};

static struct answer expected[PHASES][SEARCHES];
static struct test_fixture f;
static struct rpc_loop *loop;
static struct rpc_channel *channel;

static void connect_raw(void)
{
    struct status st = { 0 };

    cr_assert_eq(rpc_loop_start(&loop, &st), STATUS_OK, "%s", st.message);
    cr_assert_eq(rpc_channel_open(loop, test_cluster_address(&f.cluster), NULL, &channel, &st),
                 STATUS_OK, "%s", st.message);
}

static void stop(void)
{
    rpc_channel_close(channel);
    rpc_loop_stop(loop);
    channel = NULL;
    loop = NULL;
    test_fixture_stop(&f);
}

/* Request @n: by vector, or by concept; k, rerank, exactness and payload vary. */
static Sutra__V1__SearchRequest *request_number(uint64_t n)
{
    Sutra__V1__SearchRequest *request = arena_alloc(&f.arena, sizeof *request);
    Sutra__V1__Query *query = arena_alloc(&f.arena, sizeof *query);

    sutra__v1__search_request__init(request);
    sutra__v1__query__init(query);
    if (n % 7 == 3) {
        query->by_case = SUTRA__V1__QUERY__BY_CONCEPT_ID;
        query->concept_id = test_concept_id(2 * test_draw(SEED, n, CONCEPTS / 10), &f.arena);
    } else {
        query->by_case = SUTRA__V1__QUERY__BY_EMBEDDING;
        query->embedding = test_embedding(UINT32_MAX + n, &f.arena);
    }
    request->query = query;
    request->k = (uint32_t)(1 + test_draw(SEED + 1, n, n % 50 == 0 ? 1000 : 20));
    request->rerank = n % 3 == 0 ? (uint32_t)test_draw(SEED + 2, n, 500) : 0;
    request->exact = n % 11 == 0;
    request->include_concepts = n % 5 == 0;
    return request;
}

static struct answer ask(uint64_t n)
{
    Sutra__V1__SearchRequest *search = request_number(n);
    const struct rpc_request request = {
        .service = &sutra__v1__concept_service__descriptor,
        .method = "Search",
        .message = &search->base,
        .deadline_us = clock_monotonic_us() + CALL_US,
    };
    struct answer answer = { 0 };
    struct rpc_result result;
    struct status st = { 0 };
    const uint8_t *data;

    rpc_sync_call_result(channel, &request, &result);
    cr_assert_eq(result.status.code, STATUS_OK, "search %lu: %s", n, result.status.message);
    cr_assert_eq(rpc_bytes_view(result.bytes, &f.arena, &data, &answer.size, &st), STATUS_OK);
    answer.data = malloc(answer.size + 1);
    cr_assert_not_null(answer.data);
    memcpy(answer.data, data, answer.size);
    rpc_result_deinit(&result);
    arena_reset(&f.arena);
    return answer;
}

static void describe(const char *title, struct answer answer)
{
    Sutra__V1__SearchResponse *reply =
        sutra__v1__search_response__unpack(NULL, answer.size, answer.data);

    cr_log_error("%s: %zu bytes, %zu hits", title, answer.size, reply == NULL ? 0 : reply->n_hits);
    for (size_t i = 0; reply != NULL && i < reply->n_hits && i < 12; i++)
        cr_log_error("  %s score %.9g, by codes %.9g", reply->hits[i]->id,
                     (double)reply->hits[i]->score, (double)reply->hits[i]->approximate_score);
    sutra__v1__search_response__free_unpacked(reply, NULL);
}

static void compare(enum phase phase, uint64_t n, struct answer answer, unsigned shards)
{
    struct answer one = expected[phase][n];

    if (answer.size == one.size && memcmp(answer.data, one.data, one.size) == 0)
        return;
    describe("one shard", one);
    describe("several", answer);
    cr_assert(false, "%s, search %lu differs over %u shards", phase_names[phase], n, shards);
}

/* One shard's answers are kept; the others' are compared with them. */
static void ask_all(enum phase phase, unsigned shards)
{
    for (uint64_t n = 0; n < SEARCHES; n++) {
        struct answer answer = ask(n);
        if (shards == 1) {
            expected[phase][n] = answer;
            continue;
        }
        compare(phase, n, answer, shards);
        free(answer.data);
    }
}

/* Concepts with odd numbers come and go; queries by concept use even ones. */
static void overwrite_and_delete(uint64_t seed, unsigned generation)
{
    for (uint64_t i = 0; i < 100; i++)
        test_fixture_write(&f, test_draw(seed, i, CONCEPTS), 1, generation);
    for (uint64_t i = 0; i < 100; i++)
        test_fixture_delete(&f, 1 + 2 * (i + 100 * generation));
}

static void train(void)
{
    Sutra__V1__TrainCodebookRequest request = SUTRA__V1__TRAIN_CODEBOOK_REQUEST__INIT;
    Sutra__V1__TrainCodebookResponse *reply;
    struct status st = { 0 };

    request.seed = SEED;
    request.sample = 1500;
    client_train_codebook(f.client, &request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_eq(reply->codebook->version, 1);
    arena_reset(&f.arena);
}

static void run_over(unsigned shards)
{
    const struct test_cluster_options options = {
        .shards = shards,
        .router = true,
        .shard_args = { "--train-threshold", "0" },
    };

    test_fixture_start(&f, &options);
    connect_raw();
    test_fixture_write(&f, 0, CONCEPTS, 0);
    overwrite_and_delete(SEED + 3, 1);
    ask_all(EXACT, shards);
    train();
    ask_all(TRAINED, shards);
    overwrite_and_delete(SEED + 4, 2);
    test_fixture_write(&f, CONCEPTS, 300, 0);
    ask_all(CHANGED, shards);
    stop();
}

Test(same_answers, over_1_2_4_and_8_shards, .fini = stop, .timeout = 600)
{
    static const unsigned shard_counts[] = { 1, 2, 4, 8 };

    for (size_t i = 0; i < sizeof shard_counts / sizeof shard_counts[0]; i++)
        run_over(shard_counts[i]);
    cr_expect_neq(memcmp(expected[EXACT][1].data, expected[EXACT][2].data, 10), 0,
                  "searches differ from each other");
}

static void search_with(struct client *client, Sutra__V1__SearchResponse **ret)
{
    struct status st = { 0 };

    client_search(client, request_number(1), &f.arena, ret, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
}

Test(same_answers, from_the_router_and_from_every_shard, .fini = stop, .timeout = 300)
{
    const struct test_cluster_options options = { .shards = 3, .router = true };
    Sutra__V1__SearchResponse *by_router;

    test_fixture_start(&f, &options);
    test_fixture_write(&f, 0, 400, 0);
    search_with(f.client, &by_router);
    for (unsigned i = 0; i < 3; i++) {
        struct client *client = test_client_open(f.cluster.shards[i].address);
        Sutra__V1__SearchResponse *by_shard;
        search_with(client, &by_shard);
        cr_assert_eq(by_shard->n_hits, by_router->n_hits);
        for (size_t h = 0; h < by_shard->n_hits; h++)
            cr_expect_str_eq(by_shard->hits[h]->id, by_router->hits[h]->id, "shard %u, %zu", i, h);
        client_close(client);
    }
}
