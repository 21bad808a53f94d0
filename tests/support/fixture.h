#ifndef SUTRA_TESTS_SUPPORT_FIXTURE_H
#define SUTRA_TESTS_SUPPORT_FIXTURE_H

/**
 * A running cluster, a client of it, and an arena for requests and replies. Functions fail the test
 * where a call fails that should not.
 */

#include "src/client/client.h"
#include "tests/support/cluster.h"
#include "tests/support/concepts.h"

struct test_fixture {
    struct test_cluster cluster;
    struct client *client;
    struct arena arena;
};

void test_fixture_start(struct test_fixture *f, const struct test_cluster_options *options);

/** For .fini: also fine on `{0}` and after a failure. */
void test_fixture_stop(struct test_fixture *f);

/** A client of any address. */
struct client *test_client_open(const char *address);

/** What LearnBatch answers; one result per item is asserted, not that they were written. */
Sutra__V1__LearnBatchResponse *test_fixture_learn(struct test_fixture *f,
                                                  Sutra__V1__ConceptInput **items, size_t n);

/** Calls put for each of concepts @first … @first + @count − 1, in batches of LearnBatch; every
 * one is acknowledged. Resets the arena. */
void test_fixture_write(struct test_fixture *f, uint64_t first, uint64_t count,
                        unsigned generation);

void test_fixture_delete(struct test_fixture *f, uint64_t number);

Sutra__V1__StatsResponse *test_fixture_stats(struct test_fixture *f);

/** Waits until every association has reached the shard of its target: asks Stats until no record
 * is under way, at most a minute. */
void test_fixture_settle(struct test_fixture *f);

/** The status is @code, names @field ("": none), and says @part. Clears it. */
void test_expect_status(struct status *st, enum status_code code, const char *field,
                        const char *part);

#endif
