/**
 * Codebooks over real processes: what a search says of its settings, and what it then finds; a
 * shard killed while codes are being replaced; how far a training is; formats of refinement rows.
 */

#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "src/base/clock.h"
#include "tests/support/fixture.h"

enum { CONCEPTS = 3000, QUERIES = 100, K = 10, CELLS = 32, SHARDS = 3, PATIENCE_S = 60 };

static struct test_fixture f;

static void stop(void)
{
    test_fixture_stop(&f);
}

static void start_with(const char *name, const char *value)
{
    const struct test_cluster_options options = {
        .shards = SHARDS,
        .router = true,
        .shard_args = { "--train-threshold", "0", name, value },
    };

    test_fixture_start(&f, &options);
    test_fixture_write(&f, 0, CONCEPTS, 0);
}

static void start(void)
{
    start_with(NULL, NULL);
}

/* ---- Asking ---- */

static enum status_code train(uint64_t seed, Sutra__V1__TrainCodebookResponse **ret,
                              struct status *st)
{
    Sutra__V1__TrainCodebookRequest request = SUTRA__V1__TRAIN_CODEBOOK_REQUEST__INIT;

    request.seed = seed;
    request.cells = CELLS;
    return client_train_codebook(f.client, &request, &f.arena, ret, st);
}

static Sutra__V1__TrainCodebookResponse *train_well(uint64_t seed)
{
    Sutra__V1__TrainCodebookResponse *reply = NULL;
    struct status st = { 0 };

    cr_assert_eq(train(seed, &reply, &st), STATUS_OK, "%s", st.message);
    return reply;
}

static Sutra__V1__SearchRequest *request_number(uint64_t n)
{
    Sutra__V1__SearchRequest *request = arena_alloc(&f.arena, sizeof *request);
    Sutra__V1__Query *query = arena_alloc(&f.arena, sizeof *query);

    sutra__v1__search_request__init(request);
    sutra__v1__query__init(query);
    query->by_case = SUTRA__V1__QUERY__BY_EMBEDDING;
    query->embedding = test_embedding(UINT32_MAX + n, &f.arena);
    request->query = query;
    request->k = K;
    return request;
}

static Sutra__V1__SearchResponse *search(Sutra__V1__SearchRequest *request)
{
    Sutra__V1__SearchResponse *reply = NULL;
    struct status st = { 0 };

    client_search(f.client, request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return reply;
}

static size_t common(const Sutra__V1__SearchResponse *a, const Sutra__V1__SearchResponse *b)
{
    size_t count = 0;

    for (size_t i = 0; i < a->n_hits; i++)
        for (size_t j = 0; j < b->n_hits; j++)
            count += strcmp(a->hits[i]->id, b->hits[j]->id) == 0;
    return count;
}

/* Recall@K of searches that aim at @target; what they expect in *ret_expected. */
static double recall_at(float target, float *ret_expected)
{
    size_t found = 0;

    for (uint64_t n = 0; n < QUERIES; n++) {
        Sutra__V1__SearchRequest *request = request_number(n);
        Sutra__V1__SearchResponse *aimed;
        request->recall_target = target;
        aimed = search(request);
        *ret_expected = aimed->settings->expected_recall;
        request = request_number(n);
        request->exact = true;
        found += common(search(request), aimed);
    }
    return (double)found / (QUERIES * K);
}

/* ---- Settings ---- */

Test(training, a_search_before_a_codebook_is_exact_and_says_so, .init = start, .fini = stop,
     .timeout = 120)
{
    Sutra__V1__SearchResponse *reply = search(request_number(1));

    cr_assert_eq(reply->n_hits, K);
    cr_expect_eq(reply->settings->codebook_version, 0);
    cr_expect_eq(reply->settings->expected_recall, 1);
}

Test(training, a_recall_target_is_reached_about_as_expected, .init = start, .fini = stop,
     .timeout = 240)
{
    static const float targets[] = { 0.5f, 0.9f, 0.99f };
    float before = 0;

    cr_expect_eq(train_well(1)->codebook->cells, CELLS);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        float expected = 0;
        double recall = recall_at(targets[i], &expected);
        cr_expect(expected >= targets[i], "%g is aimed at, %g expected", (double)targets[i],
                  (double)expected);
        cr_expect(expected >= before);
        /* Queries of a test are not the held-out ones: a binomial's three deviations and some. */
        cr_expect(recall > (double)targets[i] - 0.06, "%g is aimed at, %g is found",
                  (double)targets[i], recall);
        before = expected;
    }
}

Test(training, settings_that_are_given_are_taken_and_reported, .init = start, .fini = stop,
     .timeout = 120)
{
    Sutra__V1__SearchRequest *request = request_number(3);
    Sutra__V1__SearchResponse *reply;

    train_well(1);
    request->rerank = 40;
    request->nprobe = 7;
    reply = search(request);
    cr_expect_eq(reply->settings->codebook_version, 1);
    cr_expect_eq(reply->settings->rerank, 40);
    cr_expect_eq(reply->settings->nprobe, 7);
    cr_expect_eq(reply->settings->cells, CELLS);
    cr_expect_eq(reply->settings->cell_reach, 0);
    cr_expect_eq(reply->settings->expected_recall, 0, "nobody measured it");
    request->nprobe = 0;
    reply = search(request);
    cr_expect_eq(reply->settings->nprobe, CELLS, "all of them");
    request->rerank = 0;
    request->nprobe = 1;
    reply = search(request);
    cr_expect_eq(reply->settings->nprobe, 1);
    cr_expect_eq(reply->settings->rerank, 100);
    request->nprobe = 10 * CELLS;
    reply = search(request);
    cr_expect_eq(reply->settings->nprobe, CELLS);
    cr_expect(reply->settings->expected_recall > 0.9F, "of all cells it is known");
}

Test(training, a_recall_target_takes_only_cells_that_are_near, .init = start, .fini = stop,
     .timeout = 120)
{
    uint64_t cells = 0;

    train_well(1);
    for (uint64_t n = 0; n < QUERIES; n++) {
        Sutra__V1__SearchRequest *request = request_number(n);
        const Sutra__V1__SearchSettings *settings;
        request->recall_target = 0.9F;
        settings = search(request)->settings;
        cr_expect(settings->nprobe >= 1 && settings->nprobe <= CELLS);
        cr_expect_gt(settings->cell_reach, 0);
        cells += settings->nprobe;
    }
    cr_expect_lt(cells, QUERIES * CELLS / 2);
}

/* ---- Progress ---- */

static atomic_bool trained;

static void *train_once(void *context)
{
    Sutra__V1__TrainCodebookRequest request = SUTRA__V1__TRAIN_CODEBOOK_REQUEST__INIT;
    Sutra__V1__TrainCodebookResponse *reply;
    struct status *st = context;
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    request.cells = CELLS;
    client_train_codebook(f.client, &request, &arena, &reply, st);
    arena_deinit(&arena);
    atomic_store(&trained, true);
    return NULL;
}

Test(training, stats_tell_how_far_it_is, .init = start, .fini = stop, .timeout = 120)
{
    bool seen[8] = { false };
    struct status st = { 0 };
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, train_once, &st), 0);
    while (!atomic_load(&trained)) {
        const Sutra__V1__ShardStats *total = test_fixture_stats(&f)->total;
        cr_assert_not_null(total->training);
        cr_assert(total->training->fraction >= 0 && total->training->fraction <= 1);
        cr_assert_leq(total->reencoded, total->reencode_total + 256 * SHARDS);
        seen[total->training->stage] = true;
        arena_reset(&f.arena);
    }
    pthread_join(thread, NULL);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_expect(seen[SUTRA__V1__TRAINING_STATS__STAGE__STAGE_TRAINING]);
    cr_expect_eq(test_fixture_stats(&f)->total->training->stage,
                 SUTRA__V1__TRAINING_STATS__STAGE__STAGE_UNSPECIFIED);
}

/* ---- A shard that dies on the way ---- */

static bool all_search_with(uint64_t version)
{
    Sutra__V1__StatsResponse *stats = test_fixture_stats(&f);

    for (size_t i = 0; i < stats->n_shards; i++)
        if (stats->shards[i]->codebook->version != version || stats->shards[i]->reencode_total != 0)
            return false;
    return true;
}

static void wait_until_all_search_with(uint64_t version)
{
    static const struct timespec pause = { .tv_nsec = 50 * 1000000 };
    int64_t deadline_us = clock_monotonic_us() + PATIENCE_S * INT64_C(1000000);

    while (!all_search_with(version)) {
        cr_assert_lt(clock_monotonic_us(), deadline_us, "a shard stays behind");
        nanosleep(&pause, NULL);
        arena_reset(&f.arena);
    }
}

static void wait_for_stage(Sutra__V1__TrainingStats__Stage stage)
{
    while (test_fixture_stats(&f)->total->training->stage < stage) {
        cr_assert_not(atomic_load(&trained), "it was over before it was seen");
        arena_reset(&f.arena);
    }
}

static void expect_no_concept_lost(void)
{
    Sutra__V1__StatsResponse *stats = test_fixture_stats(&f);
    Sutra__V1__SearchRequest *request = request_number(5);
    Sutra__V1__SearchResponse *all;

    cr_expect_eq(stats->total->vectors, CONCEPTS);
    cr_expect_eq(stats->total->vectors_encoded, CONCEPTS);
    request->rerank = CONCEPTS;
    all = search(request);
    request = request_number(5);
    request->exact = true;
    cr_expect_eq(common(all, search(request)), K, "reranking everything is exact");
}

Test(training, a_shard_killed_while_reencoding_catches_up, .init = start, .fini = stop,
     .timeout = 240)
{
    struct status st = { 0 };
    pthread_t thread;

    train_well(1);
    atomic_store(&trained, false);
    cr_assert_eq(pthread_create(&thread, NULL, train_once, &st), 0);
    wait_for_stage(SUTRA__V1__TRAINING_STATS__STAGE__STAGE_REENCODING);
    test_cluster_kill_shard(&f.cluster, SHARDS - 1);
    pthread_join(thread, NULL);
    test_cluster_start_shard(&f.cluster, SHARDS - 1);
    wait_until_all_search_with(2);
    expect_no_concept_lost();
}

/* ---- Refinement ---- */

static void start_float16(void)
{
    start_with("--refinement", "float16");
}

Test(training, float16_rows_are_closer_to_what_was_sent, .init = start_float16, .fini = stop,
     .timeout = 120)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    Sutra__V1__GetResponse *reply = NULL;
    float sent[TEST_DIMENSION];
    float stored[TEST_DIMENSION];
    struct status st = { 0 };

    train_well(1);
    expect_no_concept_lost();
    cr_expect_str_eq(test_fixture_stats(&f)->shards[0]->refinement, "float16");
    request.id = test_concept_id(7, &f.arena);
    request.include_embedding = true;
    client_get(f.client, &request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    memcpy(stored, reply->concept->embedding->f32le.data, sizeof stored);
    memcpy(sent, test_concept(7, 0, &f.arena)->embedding->f32le.data, sizeof sent);
    for (size_t i = 0; i < TEST_DIMENSION; i++)
        cr_expect(fabsf(sent[i] - stored[i]) < 1e-3f * fabsf(sent[i]) + 1e-6f, "%zu: %g, %g", i,
                  (double)sent[i], (double)stored[i]);
}

static void start_none(void)
{
    start_with("--refinement", "none");
}

Test(training, without_rows_codes_are_all_that_is_kept, .init = start_none, .fini = stop,
     .timeout = 120)
{
    Sutra__V1__TrainCodebookResponse *reply;
    Sutra__V1__SearchResponse *before;
    Sutra__V1__SearchResponse *after;
    struct status st = { 0 };

    train_well(1);
    test_fixture_write(&f, CONCEPTS, 200, 0);
    cr_expect_eq(train(2, &reply, &st), STATUS_FAILED_PRECONDITION);
    test_expect_status(&st, STATUS_FAILED_PRECONDITION, "", "the vectors were not kept");
    before = search(request_number(3));
    cr_assert_eq(before->n_hits, K);
    cr_expect_eq(before->hits[0]->score, before->hits[0]->approximate_score);
    for (unsigned i = 0; i < SHARDS; i++) {
        test_cluster_kill_shard(&f.cluster, i);
        test_cluster_start_shard(&f.cluster, i);
    }
    after = search(request_number(3));
    cr_expect_eq(common(before, after), K, "the same from the codes alone");
    cr_expect_eq(test_fixture_stats(&f)->total->vectors_encoded, CONCEPTS + 200);
}
