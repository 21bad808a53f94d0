/**
 * A client that knows no proto file: grpcurl lists, describes and calls every service through
 * reflection, on the router and on a shard, and health answers for each.
 *
 * $SUTRA_GRPCURL is the program, as tests/run gives it; without one the tests are skipped.
 */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fixture.h"

static struct test_fixture f;
static struct test_process shard;
static struct test_process router;
static struct test_output output;

/* Whoever is asked: both processes, on ports, because that is how people call them. */
static const char *addresses[2];

static void port_of(const struct test_process *process, const char **ret)
{
    cr_assert_eq(strncmp(process->address, "127.0.0.1:", 10), 0, "%s", process->address);
    *ret = process->address;
}

static void start(void)
{
    char data[96];

    if (getenv("SUTRA_GRPCURL") == NULL)
        cr_skip_test("SUTRA_GRPCURL is not set");
    test_fixture_start(&f, &(struct test_cluster_options){ .shards = 1 });
    snprintf(data, sizeof data, "%s/more", f.cluster.folder);
    test_process_start(&shard, (const char *const[]){ "shard/sutra-shard", "--listen",
                                                      "127.0.0.1:0", "--data", data, NULL });
    test_process_start(&router,
                       (const char *const[]){ "router/sutra-router", "--listen", "127.0.0.1:0",
                                              "--shards", f.cluster.shards[0].address, NULL });
    port_of(&shard, &addresses[0]);
    port_of(&router, &addresses[1]);
}

static void stop(void)
{
    if (router.pid != 0)
        cr_expect_eq(test_process_stop(&router), 0);
    if (shard.pid != 0)
        cr_expect_eq(test_process_stop(&shard), 0);
    test_fixture_stop(&f);
}

/* grpcurl -plaintext [-d @body] @address @words…; fails the test unless it succeeds. */
static const char *grpcurl(const char *address, const char *body, const char *verb,
                           const char *what)
{
    const char *argv[10] = { getenv("SUTRA_GRPCURL"), "-plaintext", "-emit-defaults" };
    int count = 3;

    if (body != NULL) {
        argv[count++] = "-d";
        argv[count++] = body;
    }
    argv[count++] = address;
    argv[count++] = verb;
    argv[count] = what;
    test_run(argv, &output);
    cr_assert_eq(output.status, 0, "grpcurl %s %s %s: %s", address, verb, what == NULL ? "" : what,
                 output.text);
    return output.text;
}

static void expect_says(const char *text, const char *part, const char *address)
{
    cr_expect_not_null(strstr(text, part), "%s: '%s' is not in: %s", address, part, text);
}

static const char *const services[] = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "sutra.v1.AdminService",
    "sutra.v1.ConceptService",
    "sutra.v1.EmbeddingService",
};
enum { SERVICES = sizeof services / sizeof services[0] };

Test(grpcurl, lists_and_describes_every_service, .init = start, .fini = stop, .timeout = 120)
{
    for (size_t a = 0; a < 2; a++) {
        const char *listed = grpcurl(addresses[a], NULL, "list", NULL);
        for (size_t s = 0; s < SERVICES; s++)
            expect_says(listed, services[s], addresses[a]);
        cr_expect_null(strstr(listed, "internal"), "the internal service is not shown");
        for (size_t s = 0; s < SERVICES; s++)
            expect_says(grpcurl(addresses[a], NULL, "describe", services[s]), "rpc ", addresses[a]);
        expect_says(grpcurl(addresses[a], NULL, "describe", "sutra.v1.SearchRequest"), "rerank",
                    addresses[a]);
    }
}

Test(grpcurl, hears_of_the_health_of_every_service, .init = start, .fini = stop, .timeout = 120)
{
    char body[128];

    for (size_t a = 0; a < 2; a++) {
        for (size_t s = 3; s < SERVICES; s++) {
            snprintf(body, sizeof body, "{\"service\": \"%s\"}", services[s]);
            expect_says(grpcurl(addresses[a], body, "grpc.health.v1.Health/Check", NULL),
                        "\"SERVING\"", addresses[a]);
        }
    }
}

Test(grpcurl, reflects_in_the_older_version_too, .init = start, .fini = stop, .timeout = 120)
{
    static const char *const methods[] = {
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    };

    for (size_t a = 0; a < 2; a++)
        for (size_t m = 0; m < 2; m++)
            expect_says(grpcurl(addresses[a], "{\"listServices\": \"\"}", methods[m], NULL),
                        "sutra.v1.ConceptService", addresses[a]);
}

/* An embedding of 384 numbers as JSON: all @value. */
static const char *numbers(const char *value)
{
    static char text[384 * 8];
    size_t length = 0;

    for (int i = 0; i < TEST_DIMENSION; i++)
        length +=
            (size_t)snprintf(text + length, sizeof text - length, "%s%s", i > 0 ? "," : "", value);
    return text;
}

static void call_with_vectors(const char *address)
{
    static char body[8192];

    snprintf(body, sizeof body,
             "{\"concept\": {\"id\": \"a\", \"content\": \"one\", \"embedding\": {\"values\": "
             "[%s]}, \"associations\": [{\"target\": \"b\", \"label\": \"next\"}]}}",
             numbers("0.5"));
    expect_says(grpcurl(address, body, "sutra.v1.ConceptService/Learn", NULL), "\"created\": true",
                address);
    snprintf(body, sizeof body,
             "{\"items\": [{\"id\": \"b\", \"content\": \"two\", \"embedding\": {\"values\": "
             "[%s]}}]}",
             numbers("-1"));
    expect_says(grpcurl(address, body, "sutra.v1.ConceptService/LearnBatch", NULL), "\"b\"",
                address);
    expect_says(grpcurl(address, body, "sutra.v1.ConceptService/Import", NULL),
                "\"settledItems\": \"1\"", address);
    snprintf(body, sizeof body, "{\"k\": 2, \"query\": {\"embedding\": {\"values\": [%s]}}}",
             numbers("1"));
    expect_says(grpcurl(address, body, "sutra.v1.ConceptService/Search", NULL), "\"a\"", address);
    snprintf(body, sizeof body, "{\"k\": 2, \"queries\": [{\"embedding\": {\"values\": [%s]}}]}",
             numbers("1"));
    expect_says(grpcurl(address, body, "sutra.v1.ConceptService/BatchSearch", NULL), "\"a\"",
                address);
}

Test(grpcurl, calls_every_verb, .init = start, .fini = stop, .timeout = 300)
{
    static const struct {
        const char *method;
        const char *body;
        const char *answer;
    } calls[] = {
        { "ConceptService/Put", "{\"concept\": {\"id\": \"c\", \"content\": \"x\"}}", "\"c\"" },
        { "ConceptService/Get", "{\"id\": \"a\"}", "\"one\"" },
        { "ConceptService/BatchGet", "{\"ids\": [\"a\", \"zz\"]}", "\"missing\"" },
        { "ConceptService/List", "{\"limit\": 2}", "\"cursor\"" },
        { "ConceptService/Associate",
          "{\"association\": {\"source\": \"c\", \"target\": \"a\", \"type\": "
          "\"ASSOCIATION_TYPE_CAUSAL\"}}",
          "\"created\": true" },
        { "ConceptService/Neighbors", "{\"id\": \"c\"}", "ASSOCIATION_TYPE_CAUSAL" },
        { "ConceptService/Distance", "{\"pairs\": [{\"a\": \"a\", \"b\": \"b\"}]}",
          "\"distances\"" },
        { "ConceptService/Reinforce", "{\"id\": \"a\"}", "\"accessCount\": \"1\"" },
        { "ConceptService/Dissociate",
          "{\"key\": {\"source\": \"c\", \"target\": \"a\", \"type\": "
          "\"ASSOCIATION_TYPE_CAUSAL\"}}",
          "\"existed\": true" },
        { "ConceptService/Delete", "{\"id\": \"c\"}", "\"existed\": true" },
        { "AdminService/Stats", "{}", "\"concepts\": \"2\"" },
        { "AdminService/GetTopology", "{}", "\"slotCount\": 4096" },
        { "AdminService/GetLimits", "{}", "\"maxBatchItems\": 10000" },
    };
    char method[64];

    for (size_t a = 0; a < 2; a++) {
        call_with_vectors(addresses[a]);
        for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
            snprintf(method, sizeof method, "sutra.v1.%s", calls[i].method);
            expect_says(grpcurl(addresses[a], calls[i].body, method, NULL), calls[i].answer,
                        addresses[a]);
        }
    }
}

static void call_with_model(const char *address)
{
    expect_says(grpcurl(address, "{\"texts\": [\"tides\"], \"asValues\": true}",
                        "sutra.v1.EmbeddingService/Embed", NULL),
                "\"values\"", address);
    expect_says(grpcurl(address, "{}", "sutra.v1.EmbeddingService/Info", NULL), "MiniLM", address);
}

Test(grpcurl, embeds_text, .init = start, .fini = stop, .timeout = 120)
{
    call_with_model(addresses[0]);
    call_with_model(addresses[1]);
}

Test(grpcurl, sees_the_message_of_an_error, .init = start, .fini = stop, .timeout = 120)
{
    for (size_t a = 0; a < 2; a++) {
        test_run((const char *const[]){ getenv("SUTRA_GRPCURL"), "-plaintext", "-d",
                                        "{\"id\": \"\"}", addresses[a],
                                        "sutra.v1.ConceptService/Get", NULL },
                 &output);
        cr_expect_neq(output.status, 0);
        expect_says(output.text, "InvalidArgument", addresses[a]);
        expect_says(output.text, "id is empty", addresses[a]);
        expect_says(output.text, "google.rpc.BadRequest", addresses[a]);
    }
}
