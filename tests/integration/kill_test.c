/**
 * kill -9 of a shard, ten times, while a writer writes: what was acknowledged is there after the
 * restart with its edges and its vector, and there is no half of anything.
 *
 * The moments are random in what has been written, not in time: a seed reproduces them.
 */

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/clock.h"
#include "tests/support/fixture.h"

enum { KILLS = 10, SHARDS = 2, BATCH = 16, EDGES = 2, SEED = 5, PAGE = 2000 };

static const int64_t PATIENCE_US = 120 * 1000000LL;

static struct test_fixture f;
static atomic_ulong acknowledged; /* concepts 0 … acknowledged − 1 */
static atomic_bool enough;

static void stop(void)
{
    test_fixture_stop(&f);
}

static Sutra__V1__ConceptInput *concept_with_edges(uint64_t number, struct arena *arena)
{
    Sutra__V1__ConceptInput *input = test_concept(number, 0, arena);

    test_concept_associate(input, number / 2, arena);
    test_concept_associate(input, number + 1, arena);
    return input;
}

static bool put_one(struct client *client, uint64_t number, struct arena *arena)
{
    Sutra__V1__PutRequest request = SUTRA__V1__PUT_REQUEST__INIT;
    Sutra__V1__PutResponse *reply;
    struct status st = { 0 };

    request.concept = concept_with_edges(number, arena);
    return client_put(client, &request, arena, &reply, &st) == STATUS_OK;
}

static bool learn_batch(struct client *client, uint64_t first, struct arena *arena)
{
    Sutra__V1__LearnBatchRequest request = SUTRA__V1__LEARN_BATCH_REQUEST__INIT;
    Sutra__V1__LearnBatchResponse *reply;
    Sutra__V1__ConceptInput *items[BATCH];
    struct status st = { 0 };

    request.n_items = BATCH;
    request.items = items;
    for (uint64_t i = 0; i < BATCH; i++)
        items[i] = concept_with_edges(first + i, arena);
    if (client_learn_batch(client, &request, arena, &reply, &st) != STATUS_OK)
        return false;
    for (size_t i = 0; i < reply->n_results; i++)
        if (reply->results[i]->status != NULL)
            return false;
    return reply->n_results == BATCH;
}

/* Writes concept after concept until it is enough; what is not acknowledged is written again. */
static void *write_on(void *arg)
{
    struct client *client = test_client_open(arg);
    struct arena arena;
    uint64_t next = 0;

    arena_init(&arena, 16 << 20);
    while (!atomic_load(&enough)) {
        bool in_batch = test_draw(SEED + 1, next, 4) == 0;
        bool written = in_batch ? learn_batch(client, next, &arena) : put_one(client, next, &arena);
        if (written)
            next += in_batch ? BATCH : 1;
        atomic_store(&acknowledged, next);
        arena_reset(&arena);
    }
    arena_deinit(&arena);
    client_close(client);
    return NULL;
}

static void wait_for_acknowledged(uint64_t count)
{
    static const struct timespec pause = { .tv_nsec = 1000000 };
    int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;

    while (atomic_load(&acknowledged) < count) {
        cr_assert_lt(clock_monotonic_us(), deadline_us, "the writer is stuck at %lu of %lu",
                     (unsigned long)atomic_load(&acknowledged), (unsigned long)count);
        nanosleep(&pause, NULL);
    }
}

static double cosine(const Sutra__V1__Embedding *stored, const Sutra__V1__Embedding *written)
{
    const float *b = (const float *)written->f32le.data;
    double dot = 0;
    float a[TEST_DIMENSION];

    if (stored == NULL || (stored->f32le.len != sizeof a && stored->n_values != TEST_DIMENSION))
        return 0;
    memcpy(a, stored->f32le.len > 0 ? (void *)stored->f32le.data : (void *)stored->values,
           sizeof a);
    for (size_t i = 0; i < TEST_DIMENSION; i++)
        dot += (double)a[i] * (double)b[i];
    return dot;
}

static void check_whole(const Sutra__V1__Concept *stored, uint64_t number)
{
    Sutra__V1__ConceptInput *written = test_concept(number, 0, &f.arena);

    cr_assert_str_eq(stored->id, written->id);
    cr_expect_str_eq(stored->content, written->content);
    cr_expect_eq(stored->created_us, written->created_us);
    cr_expect_gt(cosine(stored->embedding, written->embedding), 0.99, "the vector of %s",
                 stored->id);
}

static void check_page(uint64_t first, uint64_t count)
{
    Sutra__V1__BatchGetRequest request = SUTRA__V1__BATCH_GET_REQUEST__INIT;
    Sutra__V1__BatchGetResponse *reply = NULL;
    struct status st = { 0 };

    request.include_embedding = true;
    request.n_ids = count;
    request.ids = arena_calloc(&f.arena, count, sizeof *request.ids);
    for (uint64_t i = 0; i < count; i++)
        request.ids[i] = test_concept_id(first + i, &f.arena);
    client_batch_get(f.client, &request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_eq(reply->n_missing, 0, "%zu acknowledged concepts are missing, %s first",
                 reply->n_missing, request.ids[reply->n_missing > 0 ? reply->missing[0] : 0]);
    for (uint64_t i = 0; i < count; i++)
        check_whole(reply->concepts[i], first + i);
    arena_reset(&f.arena);
}

static void check_all_there(uint64_t count)
{
    for (uint64_t first = 0; first < count; first += PAGE)
        check_page(first, count - first < PAGE ? count - first : PAGE);
}

static void check_edges(uint64_t number)
{
    Sutra__V1__NeighborsRequest request = SUTRA__V1__NEIGHBORS_REQUEST__INIT;
    Sutra__V1__NeighborsResponse *reply = NULL;
    struct status st = { 0 };

    request.id = test_concept_id(number, &f.arena);
    request.direction = SUTRA__V1__DIRECTION__DIRECTION_OUT;
    client_neighbors(f.client, &request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_expect_eq(reply->n_associations, EDGES, "concept %lu", (unsigned long)number);
    request.direction = SUTRA__V1__DIRECTION__DIRECTION_IN;
    client_neighbors(f.client, &request, &f.arena, &reply, &st);
    cr_expect_geq(reply->n_associations, number > 0 ? 1 : 0, "concept %lu", (unsigned long)number);
    arena_reset(&f.arena);
}

/* Every concept has its vector and both its edges, every edge both its ends: also what was written
 * but not acknowledged is there whole or not at all. */
static void check_nothing_half(uint64_t at_least)
{
    Sutra__V1__ShardStats *total;

    test_fixture_settle(&f);
    total = test_fixture_stats(&f)->total;
    cr_expect_geq(total->concepts, at_least);
    cr_expect_eq(total->vectors, total->concepts, "%lu vectors, %lu concepts", total->vectors,
                 total->concepts);
    cr_expect_eq(total->associations_out, EDGES * total->concepts, "%lu associations, %lu concepts",
                 total->associations_out, total->concepts);
    cr_expect_eq(total->associations_in, total->associations_out, "%lu arrived, %lu left",
                 total->associations_in, total->associations_out);
    arena_reset(&f.arena);
}

static void kill_once(uint64_t round)
{
    unsigned victim = (unsigned)test_draw(SEED + 2, round, SHARDS);
    uint64_t before;

    wait_for_acknowledged(atomic_load(&acknowledged) + 1 + test_draw(SEED + 3, round, 150));
    test_cluster_kill_shard(&f.cluster, victim);
    before = atomic_load(&acknowledged);
    test_cluster_start_shard(&f.cluster, victim);
    check_all_there(before);
}

Test(kill, ten_times_during_writes_loses_nothing_acknowledged, .fini = stop, .timeout = 600)
{
    const struct test_cluster_options options = {
        .shards = SHARDS,
        .router = true,
        .shard_args = { "--train-threshold", "600" },
    };
    pthread_t writer;
    uint64_t count;

    test_fixture_start(&f, &options);
    cr_assert_eq(pthread_create(&writer, NULL, write_on, f.cluster.router.address), 0);
    for (uint64_t round = 0; round < KILLS; round++)
        kill_once(round);
    wait_for_acknowledged(atomic_load(&acknowledged) + 50);
    atomic_store(&enough, true);
    pthread_join(writer, NULL);
    count = atomic_load(&acknowledged);
    check_all_there(count);
    check_nothing_half(count);
    for (uint64_t number = 0; number < count; number++)
        check_edges(number);
}
