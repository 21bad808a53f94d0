/**
 * kill -9, ten times, while `sutra import` runs. Of a shard: the importer ends with the code for
 * "no answer". Of the importer itself. Either way it goes on with --resume, sends again no more
 * than what was under way, and at the end every item of the file is there once, with its vector and
 * its edges.
 */

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "src/base/clock.h"
#include "tests/support/fixture.h"

enum { ITEMS = 4000, KILLS = 10, SHARDS = 2, SEED = 11, EXIT_UNAVAILABLE = 4, PAGE = 1000 };

#define BATCH 10
#define WINDOW 4
#define TEXT(number) TEXT_OF(number)
#define TEXT_OF(number) #number

static const int64_t PATIENCE_US = 30 * 1000000LL;

static struct test_fixture f;
static struct test_process importer;
static char items_path[96];
static char state_path[96];

static void stop(void)
{
    if (importer.pid != 0)
        test_process_stop(&importer);
    test_fixture_stop(&f);
}

static void write_item(FILE *file, uint64_t number)
{
    Sutra__V1__ConceptInput *input = test_concept(number, 0, &f.arena);
    const float *vector = (const float *)input->embedding->f32le.data;

    fprintf(file, "{\"id\": \"%s\", \"content\": \"%s\", \"embedding\": [", input->id,
            input->content);
    for (size_t i = 0; i < TEST_DIMENSION; i++)
        fprintf(file, "%s%.4f", i > 0 ? "," : "", (double)vector[i]);
    fprintf(file, "], \"associations\": [{\"target\": \"c%lu\"}]}\n",
            (unsigned long)(number + 1) % ITEMS);
    arena_reset(&f.arena);
}

static void write_items(void)
{
    FILE *file;

    snprintf(items_path, sizeof items_path, "%s/items.jsonl", f.cluster.folder);
    snprintf(state_path, sizeof state_path, "%s/state.json", f.cluster.folder);
    file = fopen(items_path, "w");
    cr_assert_not_null(file);
    for (uint64_t number = 0; number < ITEMS; number++)
        write_item(file, number);
    cr_assert_eq(fclose(file), 0);
}

static void start_import(void)
{
    test_process_spawn(
        &importer, (const char *const[]){ "src/apps/cli/sutra", "--address",
                                          f.cluster.router.address, "import", items_path, "--state",
                                          state_path, "--resume", "--batch", TEXT(BATCH),
                                          "--window", TEXT(WINDOW), "--retry-seconds", "0", NULL });
}

static uint64_t count_concepts(void)
{
    uint64_t concepts = test_fixture_stats(&f)->total->concepts;

    arena_reset(&f.arena);
    return concepts;
}

static void wait_for_concepts(uint64_t count)
{
    static const struct timespec pause = { .tv_nsec = 500000 };
    int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;

    while (count_concepts() < count) {
        cr_assert_lt(clock_monotonic_us(), deadline_us, "the import stands still");
        nanosleep(&pause, NULL);
    }
}

static void start_import_and_wait(uint64_t round)
{
    uint64_t before = count_concepts();

    start_import();
    wait_for_concepts(before + 1 + test_draw(SEED + 1, round, ITEMS / (4 * KILLS)));
}

static void kill_importer(uint64_t round)
{
    start_import_and_wait(round);
    kill(importer.pid, SIGKILL);
    cr_assert_eq(test_process_wait(&importer), -1, "round %lu", (unsigned long)round);
}

static void kill_shard(uint64_t round)
{
    unsigned victim = (unsigned)test_draw(SEED, round, SHARDS);

    start_import_and_wait(round);
    test_cluster_kill_shard(&f.cluster, victim);
    cr_assert_eq(test_process_wait(&importer), EXIT_UNAVAILABLE, "round %lu", (unsigned long)round);
    test_cluster_start_shard(&f.cluster, victim);
}

/* How often they were written, all in all: a version grows by one per write. */
static uint64_t check_page(uint64_t first)
{
    Sutra__V1__BatchGetRequest request = SUTRA__V1__BATCH_GET_REQUEST__INIT;
    Sutra__V1__BatchGetResponse *reply = NULL;
    struct status st = { 0 };
    uint64_t writes = 0;

    request.n_ids = PAGE;
    request.ids = arena_calloc(&f.arena, PAGE, sizeof *request.ids);
    for (uint64_t i = 0; i < PAGE; i++)
        request.ids[i] = test_concept_id(first + i, &f.arena);
    client_batch_get(f.client, &request, &f.arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_eq(reply->n_missing, 0);
    for (uint64_t i = 0; i < PAGE; i++) {
        cr_expect_str_eq(reply->concepts[i]->content,
                         test_concept(first + i, 0, &f.arena)->content);
        writes += reply->concepts[i]->version;
    }
    arena_reset(&f.arena);
    return writes;
}

static void check_all(void)
{
    Sutra__V1__ShardStats *total;
    uint64_t writes = 0;

    for (uint64_t first = 0; first < ITEMS; first += PAGE)
        writes += check_page(first);
    cr_expect_leq(writes, ITEMS + KILLS * BATCH * WINDOW, "%lu writes", (unsigned long)writes);
    test_fixture_settle(&f);
    total = test_fixture_stats(&f)->total;
    cr_expect_eq(total->concepts, ITEMS);
    cr_expect_eq(total->vectors, ITEMS);
    cr_expect_eq(total->associations_out, ITEMS);
    cr_expect_eq(total->associations_in, ITEMS);
}

static void import_through(void (*kill_once)(uint64_t round))
{
    test_fixture_start(&f, &(struct test_cluster_options){
                               .shards = SHARDS,
                               .router = true,
                               .shard_args = { "--train-threshold", "0" },
                           });
    write_items();
    for (uint64_t round = 0; round < KILLS; round++)
        kill_once(round);
    cr_expect_lt(count_concepts(), ITEMS, "every kill hit a running import");
    start_import();
    cr_assert_eq(test_process_wait(&importer), 0);
    check_all();
}

Test(import_kill, of_shards_loses_and_repeats_nothing, .fini = stop, .timeout = 600)
{
    import_through(kill_shard);
}

Test(import_kill, of_the_importer_loses_and_repeats_nothing, .fini = stop, .timeout = 600)
{
    import_through(kill_importer);
}
