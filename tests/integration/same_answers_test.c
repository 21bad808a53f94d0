/**
 * Answers do not depend on how many shards hold the concepts: the same 500 searches, and distances
 * of 600 pairs, over 1, 2, 4 and 8 shards are answered with the same bytes, before a codebook
 * exists, after one with coarse cells was trained, after concepts were overwritten, deleted and
 * added behind it, and after another training. While that one runs, every answer is that of before
 * or that of after.
 */

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/buf.h"
#include "src/base/clock.h"
#include "src/ids/concept_id.h"
#include "src/rpc/loop.h"
#include "src/rpc/sync_client.h"
#include "tests/support/fixture.h"

enum {
    CONCEPTS = 2500,
    SEARCHES = 500,
    PAIRS = 600,
    SEED = 20240229,
    CELLS = 32,
    MOST_DURING = 20000,
    CALL_US = 60 * 1000000,
};

enum phase { EXACT, TRAINED, CHANGED, RETRAINED, PHASES };

static const char *const phase_names[] = { "before a codebook", "with a codebook",
                                           "after changes behind the codebook",
                                           "after training again" };

/* The bytes of one reply. */
struct answer {
    uint8_t *data;
    size_t size;
};

static struct answer expected[PHASES][SEARCHES];
static struct answer expected_distances[PHASES][2]; /* exact, approximate */
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
    request->exact = n % 11 == 0;
    request->rerank = n % 3 == 0 ? (uint32_t)test_draw(SEED + 2, n, 500) : 0;
    request->nprobe = n % 4 == 0 ? (uint32_t)test_draw(SEED + 5, n, 2 * CELLS) : 0;
    if (!request->exact && request->rerank == 0 && request->nprobe == 0)
        request->recall_target = (float)test_draw(SEED + 6, n, 101) / 100;
    request->include_concepts = n % 5 == 0;
    return request;
}

static struct answer call(const char *method, const ProtobufCMessage *message)
{
    const struct rpc_request request = {
        .service = &sutra__v1__concept_service__descriptor,
        .method = method,
        .message = message,
        .deadline_us = clock_monotonic_us() + CALL_US,
    };
    struct answer answer = { 0 };
    struct rpc_result result;
    struct status st = { 0 };
    const uint8_t *data;

    rpc_sync_call_result(channel, &request, &result);
    cr_assert_eq(result.status.code, STATUS_OK, "%s: %s", method, result.status.message);
    cr_assert_eq(rpc_bytes_view(result.bytes, &f.arena, &data, &answer.size, &st), STATUS_OK);
    answer.data = malloc(answer.size + 1);
    cr_assert_not_null(answer.data);
    memcpy(answer.data, data, answer.size);
    rpc_result_deinit(&result);
    arena_reset(&f.arena);
    return answer;
}

static struct answer ask(uint64_t n)
{
    return call("Search", &request_number(n)->base);
}

/* Of all that ever were, so some are missing; some of a concept with itself. */
static struct answer ask_distances(bool approximate)
{
    Sutra__V1__DistanceRequest request = SUTRA__V1__DISTANCE_REQUEST__INIT;
    Sutra__V1__DistanceRequest__Pair *pairs[PAIRS];

    for (uint64_t i = 0; i < PAIRS; i++) {
        uint64_t a = test_draw(SEED + 7, i, CONCEPTS);
        uint64_t b = i % 10 == 0 ? a : test_draw(SEED + 8, i, CONCEPTS);
        pairs[i] = arena_alloc(&f.arena, sizeof *pairs[i]);
        sutra__v1__distance_request__pair__init(pairs[i]);
        pairs[i]->a = test_concept_id(a, &f.arena);
        pairs[i]->b = test_concept_id(b, &f.arena);
    }
    request.pairs = pairs;
    request.n_pairs = PAIRS;
    request.approximate = approximate;
    return call("Distance", &request.base);
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

static void expect_plausible(struct answer answer)
{
    Sutra__V1__DistanceResponse *reply =
        sutra__v1__distance_response__unpack(NULL, answer.size, answer.data);

    cr_assert_not_null(reply);
    cr_assert_eq(reply->n_distances, PAIRS);
    cr_expect_lt(reply->n_missing, PAIRS / 4);
    for (size_t i = 0; i < PAIRS; i++)
        cr_expect(i % 10 == 0 ? reply->distances[i] < 1e-6f : reply->distances[i] <= 2);
    sutra__v1__distance_response__free_unpacked(reply, NULL);
}

static void check_distances(enum phase phase, unsigned shards)
{
    for (int approximate = 0; approximate <= (phase == EXACT ? 0 : 1); approximate++) {
        struct answer answer = ask_distances(approximate == 1);
        struct answer *one = &expected_distances[phase][approximate];
        expect_plausible(answer);
        if (shards == 1) {
            *one = answer;
            continue;
        }
        cr_assert(answer.size == one->size && memcmp(answer.data, one->data, one->size) == 0,
                  "%s, distances differ over %u shards", phase_names[phase], shards);
        free(answer.data);
    }
}

/* One shard's answers are kept; the others' are compared with them. */
static void ask_all(enum phase phase, unsigned shards)
{
    check_distances(phase, shards);
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

static void train(uint64_t version)
{
    Sutra__V1__TrainCodebookRequest request = SUTRA__V1__TRAIN_CODEBOOK_REQUEST__INIT;
    Sutra__V1__TrainCodebookResponse *reply;
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    request.seed = SEED + version;
    request.sample = 1500;
    request.cells = CELLS;
    client_train_codebook(f.client, &request, &arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_eq(reply->codebook->version, version);
    cr_assert_eq(reply->codebook->cells, CELLS);
    cr_assert(reply->codebook->expected_recall > 0);
    arena_deinit(&arena);
}

/* ---- While training ---- */

struct during {
    uint64_t n;
    struct answer answer;
};

static struct during during[MOST_DURING];
static size_t during_count;
static atomic_bool trained;

static void *train_again(void *context)
{
    (void)context;
    train(2);
    atomic_store(&trained, true);
    return NULL;
}

/* What is answered meanwhile is kept: what comes after is not known yet. */
static void ask_while_training(void)
{
    pthread_t thread;

    atomic_store(&trained, false);
    during_count = 0;
    cr_assert_eq(pthread_create(&thread, NULL, train_again, NULL), 0);
    for (uint64_t n = 0; !atomic_load(&trained) && during_count < MOST_DURING; n++) {
        struct during *item = &during[during_count++];
        item->n = n * 37 % SEARCHES;
        item->answer = ask(item->n);
    }
    pthread_join(thread, NULL);
}

static bool is_answer(enum phase phase, const struct during *item)
{
    const struct answer *one = &expected[phase][item->n];

    return item->answer.size == one->size && memcmp(item->answer.data, one->data, one->size) == 0;
}

static void expect_old_or_new(unsigned shards)
{
    size_t old = 0;

    for (size_t i = 0; i < during_count; i++) {
        old += is_answer(CHANGED, &during[i]);
        if (!is_answer(CHANGED, &during[i]) && !is_answer(RETRAINED, &during[i]))
            compare(RETRAINED, during[i].n, during[i].answer, shards);
        free(during[i].answer.data);
    }
    cr_expect(old > 0, "some searches came before the new codebook");
}

static void run_over(unsigned shards)
{
    const struct test_cluster_options options = {
        .shards = shards,
        .router = true,
        /* and whether rows are in memory or on the disk */
        .shard_args = { "--train-threshold", "0", "--row-memory-mb", shards % 7 == 1 ? "0" : "64" },
    };

    test_fixture_start(&f, &options);
    connect_raw();
    test_fixture_write(&f, 0, CONCEPTS, 0);
    overwrite_and_delete(SEED + 3, 1);
    ask_all(EXACT, shards);
    train(1);
    ask_all(TRAINED, shards);
    overwrite_and_delete(SEED + 4, 2);
    test_fixture_write(&f, CONCEPTS, 300, 0);
    ask_all(CHANGED, shards);
    ask_while_training();
    ask_all(RETRAINED, shards);
    expect_old_or_new(shards);
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

/* ---- What is near lies in one shard ---- */

enum { CROWD = 150, OTHERS = 300, CROWD_SHARDS = 4 };

static const uint64_t CROWD_SEED = UINT32_MAX; /* no concept's vector */

static bool is_of_crowd(const char *id)
{
    return concept_id_trusted(id, strlen(id)).slot < SLOT_COUNT / CROWD_SHARDS;
}

/* Each a little farther from the vector of CROWD_SEED than the one before. */
static void crowd_around(Sutra__V1__ConceptInput *input, size_t place)
{
    float *vector = arena_alloc(&f.arena, TEST_DIMENSION * sizeof *vector);

    test_vector(CROWD_SEED, vector);
    vector[place % TEST_DIMENSION] += 0.0005f * (float)(1 + place);
    input->embedding = arena_alloc(&f.arena, sizeof *input->embedding);
    sutra__v1__embedding__init(input->embedding);
    input->embedding->values = vector;
    input->embedding->n_values = TEST_DIMENSION;
}

/* A crowd of the first shard's, and others anywhere. */
static void write_crowd(void)
{
    Sutra__V1__LearnBatchRequest request = SUTRA__V1__LEARN_BATCH_REQUEST__INIT;
    Sutra__V1__ConceptInput *items[CROWD + OTHERS];
    Sutra__V1__LearnBatchResponse *reply;
    struct status st = { 0 };
    size_t crowd = 0;
    size_t others = 0;

    for (uint64_t number = 0; crowd < CROWD || others < OTHERS; number++) {
        Sutra__V1__ConceptInput *input = test_concept(number, 0, &f.arena);
        bool near = is_of_crowd(input->id);
        if (near ? crowd == CROWD : others == OTHERS)
            continue;
        items[crowd + others] = input;
        if (near)
            crowd_around(input, crowd);
        *(near ? &crowd : &others) += 1;
    }
    request.items = items;
    request.n_items = CROWD + OTHERS;
    client_learn_batch(f.client, &request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    arena_reset(&f.arena);
}

/* A shard at first gives little more than its share of what is reranked; here that is not enough.
 */
Test(same_answers, also_where_one_shard_has_all_that_is_near, .fini = stop, .timeout = 300)
{
    const struct test_cluster_options options = { .shards = CROWD_SHARDS, .router = true };
    Sutra__V1__SearchRequest request = SUTRA__V1__SEARCH_REQUEST__INIT;
    Sutra__V1__Query query = SUTRA__V1__QUERY__INIT;
    Sutra__V1__SearchResponse *reply;
    struct status st = { 0 };

    test_fixture_start(&f, &options);
    write_crowd();
    query.by_case = SUTRA__V1__QUERY__BY_EMBEDDING;
    query.embedding = test_embedding(CROWD_SEED, &f.arena);
    request.query = &query;
    request.k = CROWD - 10;
    client_search(f.client, &request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_eq(reply->n_hits, CROWD - 10);
    for (size_t i = 0; i < reply->n_hits; i++)
        cr_expect(is_of_crowd(reply->hits[i]->id), "%s", reply->hits[i]->id);
}
