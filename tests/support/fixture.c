#include "tests/support/fixture.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

#include "src/base/clock.h"
#include "src/base/size.h"

enum { ARENA_BYTES = 512 << 20, BATCH = 500, TIMEOUT_MS = 120000, SETTLE_POLLS = 6000 };

struct client *test_client_open(const char *address)
{
    const struct client_options options = { .timeout_ms = TIMEOUT_MS };
    struct client *client = NULL;
    struct status st = { 0 };

    cr_assert_eq(client_open(address, &options, &client, &st), STATUS_OK, "%s", st.message);
    return client;
}

void test_fixture_start(struct test_fixture *f, const struct test_cluster_options *options)
{
    arena_init(&f->arena, ARENA_BYTES);
    test_cluster_start(&f->cluster, options);
    f->client = test_client_open(test_cluster_address(&f->cluster));
}

void test_fixture_stop(struct test_fixture *f)
{
    client_close(f->client);
    f->client = NULL;
    arena_deinit(&f->arena);
    test_cluster_stop(&f->cluster);
}

Sutra__V1__LearnBatchResponse *test_fixture_learn(struct test_fixture *f,
                                                  Sutra__V1__ConceptInput **items, size_t n)
{
    Sutra__V1__LearnBatchRequest request = SUTRA__V1__LEARN_BATCH_REQUEST__INIT;
    Sutra__V1__LearnBatchResponse *reply = NULL;
    struct status st = { 0 };

    request.n_items = n;
    request.items = items;
    client_learn_batch(f->client, &request, &f->arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_eq(reply->n_results, n);
    return reply;
}

static void write_batch(struct test_fixture *f, uint64_t first, size_t count, unsigned generation)
{
    Sutra__V1__ConceptInput **items =
        arena_calloc(&f->arena, count, sizeof(Sutra__V1__ConceptInput *));
    const Sutra__V1__LearnBatchResponse *reply;

    for (size_t i = 0; i < count; i++)
        items[i] = test_concept(first + i, generation, &f->arena);
    reply = test_fixture_learn(f, items, count);
    for (size_t i = 0; i < count; i++)
        cr_assert_null(reply->results[i]->status, "item %zu: %s", i,
                       reply->results[i]->status->message);
    arena_reset(&f->arena);
}

void test_fixture_write(struct test_fixture *f, uint64_t first, uint64_t count, unsigned generation)
{
    for (uint64_t done = 0; done < count; done += BATCH)
        write_batch(f, first + done, size_min(BATCH, count - done), generation);
}

void test_fixture_delete(struct test_fixture *f, uint64_t number)
{
    Sutra__V1__DeleteRequest request = SUTRA__V1__DELETE_REQUEST__INIT;
    Sutra__V1__DeleteResponse *reply;
    struct status st = { 0 };

    request.id = test_concept_id(number, &f->arena);
    client_delete(f->client, &request, &f->arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert(reply->existed);
    arena_reset(&f->arena);
}

Sutra__V1__StatsResponse *test_fixture_stats(struct test_fixture *f)
{
    Sutra__V1__StatsRequest request = SUTRA__V1__STATS_REQUEST__INIT;
    Sutra__V1__StatsResponse *reply = NULL;
    struct status st = { 0 };

    client_stats(f->client, &request, &f->arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return reply;
}

void test_fixture_settle(struct test_fixture *f)
{
    static const struct timespec pause = { .tv_nsec = 10 * 1000000 };

    for (int i = 0; i < SETTLE_POLLS; i++) {
        Sutra__V1__ShardStats *total = test_fixture_stats(f)->total;
        if (total->outbox_pending == 0)
            return;
        arena_reset(&f->arena);
        nanosleep(&pause, NULL); /* between two looks, not instead of one */
    }
    cr_assert(false, "associations are still under way after a minute");
}

void test_expect_status(struct status *st, enum status_code code, const char *field,
                        const char *part)
{
    cr_expect_eq(st->code, code, "%s (wanted %s): %s", status_code_name(st->code),
                 status_code_name(code), st->message);
    cr_expect_str_eq(st->field, field, "field '%s' (wanted '%s'): %s", st->field, field,
                     st->message);
    cr_expect_not_null(strstr(st->message, part), "'%s' does not say '%s'", st->message, part);
    status_clear(st);
}
