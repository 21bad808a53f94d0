/**
 * What the processes of a cluster count and log: a call through a router shows at the router and at
 * the shards, errors by their code, and both write of it under one trace.
 *
 * The router logs JSON, the shards logfmt. What they log goes into a file that the tests read.
 */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/buf.h"
#include "src/base/clock.h"
#include "src/rpc/sync_client.h"
#include "sutra/v1/concept_service.pb-c.h"
#include "tests/support/fixture.h"

enum { SHARDS = 2, ROUTER = SHARDS, PROCESSES };

static const int64_t PATIENCE_US = 60 * 1000000LL;

static struct test_fixture f;
static struct rpc_loop *loop;
static struct rpc_channel *channel;
static char log_path[] = "/tmp/sutra-metrics-test-XXXXXX";
static int ports[PROCESSES];

/* ---- Logs ---- */

/* From here on standard error, which the processes inherit, is the file. */
static void keep_logs(void)
{
    int fd = mkstemp(log_path);

    cr_assert_geq(fd, 0);
    cr_assert_eq(fcntl(fd, F_SETFL, O_APPEND), 0);
    cr_assert_geq(dup2(fd, STDERR_FILENO), 0);
    close(fd);
}

/* The whole file; the caller's. */
static char *logs(void)
{
    FILE *file = fopen(log_path, "r");
    struct buf text = { 0 };
    char piece[4096];
    size_t got;

    cr_assert_not_null(file);
    while ((got = fread(piece, 1, sizeof piece, file)) > 0)
        buf_append(&text, piece, got);
    fclose(file);
    buf_append_u8(&text, 0);
    cr_assert(!text.failed);
    return (char *)text.data;
}

static size_t count_lines(const char *part)
{
    char *all = logs();
    size_t count = 0;

    for (const char *at = strstr(all, part); at != NULL; at = strstr(at + 1, part))
        count++;
    free(all);
    return count;
}

/* The first line with all of @parts (NULL ends them); the caller's, NULL if there is none. */
static char *find_line(const char *const *parts)
{
    char *all = logs();
    char *rest = all;
    char *line;
    char *found = NULL;

    while (found == NULL && (line = strsep(&rest, "\n")) != NULL) {
        size_t i = 0;
        while (parts[i] != NULL && strstr(line, parts[i]) != NULL)
            i++;
        if (parts[i] == NULL)
            found = strdup(line);
    }
    free(all);
    return found;
}

/* The same, which must be there. */
#define expect_line(...) expect_line_with((const char *const[]){ __VA_ARGS__, NULL })
static char *expect_line_with(const char *const *parts)
{
    char *line = find_line(parts);

    cr_assert_not_null(line, "no line with %s", parts[0]);
    return line;
}

/* The value of a logfmt field without quotes; in @ret. */
static const char *field(const char *line, const char *key, char ret[128])
{
    char wanted[32];
    const char *at;

    snprintf(wanted, sizeof wanted, " %s=", key);
    at = strstr(line, wanted);
    cr_assert_not_null(at, "%s in %s", key, line);
    snprintf(ret, 128, "%.*s", (int)strcspn(at + strlen(wanted), " "), at + strlen(wanted));
    return ret;
}

/* ---- The cluster ---- */

/* In the order in which they were started. */
static void find_ports(void)
{
    char *all = logs();
    const char *at = all;

    for (int i = 0; i < PROCESSES; i++) {
        at = strstr(at, "metrics_ready");
        cr_assert_not_null(at, "%s", all);
        at = strstr(at, "127.0.0.1:");
        cr_assert_not_null(at, "%s", all);
        ports[i] = atoi(at + strlen("127.0.0.1:"));
    }
    free(all);
}

static void start_with(const char *router_slow_ms)
{
    struct status st = { 0 };

    keep_logs();
    test_fixture_start(
        &f, &(struct test_cluster_options){
                .shards = SHARDS,
                .router = true,
                .shard_args = { "--metrics-listen", "127.0.0.1:0", "--slow-ms", "0" },
                .router_args = { "--metrics-listen", "127.0.0.1:0", "--log-format", "json",
                                 "--peer-wait-ms", "0", "--slow-ms", router_slow_ms },
            });
    find_ports();
    cr_assert_eq(rpc_loop_start(&loop, &st), STATUS_OK);
    cr_assert_eq(rpc_channel_open(loop, test_cluster_address(&f.cluster), NULL, &channel, &st),
                 STATUS_OK);
}

static void start(void)
{
    start_with("0");
}

/* A router that finds everything slow, in front of shards that find nothing slow. */
static void start_impatient(void)
{
    start_with("1");
}

static void stop(void)
{
    rpc_channel_close(channel);
    rpc_loop_stop(loop);
    test_fixture_stop(&f);
    unlink(log_path);
}

/* ---- Metrics ---- */

static int connect_to(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* The page of a process; the caller's. */
static char *page_of(int process)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
    int fd = connect_to(ports[process]);
    struct buf text = { 0 };
    char piece[4096];
    ssize_t got;

    cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    while ((got = read(fd, piece, sizeof piece)) > 0)
        buf_append(&text, piece, (size_t)got);
    close(fd);
    buf_append_u8(&text, 0);
    cr_assert(!text.failed);
    return (char *)text.data;
}

/* Of a sample, with its labels as they are written; -1 if it is not there. */
static double metric(int process, const char *sample)
{
    char *page = page_of(process);
    const char *at = page;
    double value = -1;

    while ((at = strstr(at, sample)) != NULL && (at[-1] != '\n' || at[strlen(sample)] != ' '))
        at++;
    if (at != NULL)
        value = strtod(at + strlen(sample), NULL);
    free(page);
    return value;
}

static double handled(int process, const char *service, const char *method, const char *code)
{
    char sample[256];

    snprintf(sample, sizeof sample,
             "sutra_rpc_server_handled_total{service=\"%s\",method=\"%s\",code=\"%s\"}", service,
             method, code);
    return metric(process, sample);
}

#define CONCEPTS "sutra.v1.ConceptService"
#define INTERNAL "sutra.internal.v1.ShardService"

/* ---- Calls ---- */

static enum status_code call(const char *method, const ProtobufCMessage *request,
                             const char *traceparent)
{
    struct rpc_metadata_pair header = { "traceparent", traceparent };
    struct rpc_result result;
    enum status_code code;

    rpc_sync_call_result(channel,
                         &(struct rpc_request){ .service = &sutra__v1__concept_service__descriptor,
                                                .method = method,
                                                .message = request,
                                                .metadata = &header,
                                                .metadata_count = traceparent != NULL,
                                                .deadline_us = clock_monotonic_us() + PATIENCE_US },
                         &result);
    code = result.status.code;
    rpc_result_deinit(&result);
    return code;
}

static enum status_code get(const char *id)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;

    request.id = (char *)id;
    return call("Get", &request.base, NULL);
}

/* The shard refuses it: ABORTED. */
static enum status_code delete_another_version(const char *id, const char *traceparent)
{
    Sutra__V1__DeleteRequest request = SUTRA__V1__DELETE_REQUEST__INIT;

    request.id = (char *)id;
    request.condition_case = SUTRA__V1__DELETE_REQUEST__CONDITION_IF_VERSION;
    request.if_version = 77;
    return call("Delete", &request.base, traceparent);
}

static enum status_code search(void)
{
    Sutra__V1__SearchRequest request = SUTRA__V1__SEARCH_REQUEST__INIT;
    Sutra__V1__Query query = SUTRA__V1__QUERY__INIT;

    query.by_case = SUTRA__V1__QUERY__BY_CONCEPT_ID;
    query.concept_id = test_concept_id(1, &f.arena);
    request.query = &query;
    request.k = 3;
    return call("Search", &request.base, NULL);
}

/* ---- Tests ---- */

Test(metrics, a_call_is_counted_at_the_router_and_at_the_shards, .init = start, .fini = stop,
     .timeout = 120)
{
    test_fixture_write(&f, 0, 100, 1);
    cr_expect_eq(handled(ROUTER, CONCEPTS, "Search", "OK"), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(search(), STATUS_OK);
    cr_expect_eq(handled(ROUTER, CONCEPTS, "Search", "OK"), 3);
    for (int shard = 0; shard < SHARDS; shard++)
        cr_expect_geq(handled(shard, INTERNAL, "Candidates", "OK"), 3);
    cr_expect_geq(metric(ROUTER, "sutra_cluster_shard_calls_total{shard=\"0\",code=\"OK\"}"), 4);
    cr_expect_geq(metric(ROUTER, "sutra_cluster_shard_duration_seconds_count{shard=\"1\"}"), 4);
    cr_expect_geq(metric(ROUTER, "sutra_cluster_fan_out_shards_count"), 4);
    cr_expect_eq(metric(ROUTER, "sutra_rpc_server_duration_seconds_count{service=\"" CONCEPTS
                                "\",method=\"Search\"}"),
                 3);
    cr_expect_eq(metric(ROUTER, "sutra_cluster_shards"), SHARDS);
}

Test(metrics, errors_are_counted_by_their_code, .init = start, .fini = stop, .timeout = 120)
{
    test_fixture_write(&f, 0, 10, 1);
    cr_assert_eq(get("nobody"), STATUS_NOT_FOUND);
    cr_assert_eq(get(""), STATUS_INVALID_ARGUMENT);
    cr_assert_eq(delete_another_version(test_concept_id(1, &f.arena), NULL), STATUS_ABORTED);
    cr_expect_eq(handled(ROUTER, CONCEPTS, "Get", "NOT_FOUND"), 1);
    cr_expect_eq(handled(ROUTER, CONCEPTS, "Get", "INVALID_ARGUMENT"), 1);
    cr_expect_eq(handled(ROUTER, CONCEPTS, "Delete", "ABORTED"), 1);
    cr_expect_eq((handled(0, INTERNAL, "Delete", "ABORTED") == 1) +
                     (handled(1, INTERNAL, "Delete", "ABORTED") == 1),
                 1);
}

Test(metrics, a_shard_tells_of_what_it_holds, .init = start, .fini = stop, .timeout = 120)
{
    const Sutra__V1__StatsResponse *stats;

    test_fixture_write(&f, 0, 500, 1);
    test_fixture_settle(&f);
    stats = test_fixture_stats(&f);
    for (int i = 0; i < SHARDS; i++) {
        const Sutra__V1__ShardStats *shard = stats->shards[i];
        cr_expect_eq(metric(i, "sutra_shard_number"), i);
        cr_expect_eq(metric(i, "sutra_store_concepts"), (double)shard->concepts);
        cr_expect_eq(metric(i, "sutra_store_vectors"), (double)shard->vectors);
        cr_expect_eq(metric(i, "sutra_segment_vectors"), (double)shard->vectors);
        cr_expect_eq(metric(i, "sutra_store_associations{half=\"out\"}"),
                     (double)shard->associations_out);
        cr_expect_eq(metric(i, "sutra_store_outbox_entries"), 0);
        cr_expect_eq(metric(i, "sutra_shard_outbox_blocked_seconds"), 0);
        cr_expect_gt(metric(i, "sutra_store_sync_duration_seconds_count"), 0);
        cr_expect_gt(metric(i, "sutra_store_log_written_bytes_total"), 0);
        cr_expect_gt(metric(i, "sutra_store_log_bytes"), 0);
        cr_expect_gt(metric(i, "sutra_rocksdb_memtable_bytes{family=\"concepts\"}"), 0);
        cr_expect_eq(metric(i, "sutra_training_stage{stage=\"none\"}"), 1);
    }
}

Test(metrics, reads_hit_the_record_cache_the_second_time, .init = start, .fini = stop,
     .timeout = 120)
{
    static const char hits[] = "sutra_store_record_cache_lookups_total{result=\"hit\"}";
    static const char misses[] = "sutra_store_record_cache_lookups_total{result=\"miss\"}";
    const char *id = NULL;
    double before[2];

    test_fixture_write(&f, 0, 1, 1);
    id = test_concept_id(0, &f.arena);
    before[0] = metric(0, hits) + metric(1, hits);
    before[1] = metric(0, misses) + metric(1, misses);
    cr_assert_eq(get(id), STATUS_OK);
    cr_expect_eq(metric(0, misses) + metric(1, misses), before[1] + 1);
    cr_assert_eq(get(id), STATUS_OK);
    cr_expect_eq(metric(0, hits) + metric(1, hits), before[0] + 1);
    cr_expect_eq(metric(0, misses) + metric(1, misses), before[1] + 1);
}

Test(metrics, a_shard_that_is_gone_shows_at_the_router, .init = start, .fini = stop, .timeout = 120)
{
    static const char calls[] = "sutra_cluster_shard_calls_total{shard=\"1\",code=\"UNAVAILABLE\"}";
    int64_t until_us = clock_monotonic_us() + PATIENCE_US;
    char reachable[256];

    test_fixture_write(&f, 0, 10, 1);
    snprintf(reachable, sizeof reachable,
             "sutra_cluster_shard_reachable{shard=\"1\",address=\"unix:%s/shard1\"}",
             f.cluster.folder);
    while (metric(ROUTER, reachable) != 1)
        cr_assert_lt(clock_monotonic_us(), until_us);
    test_cluster_kill_shard(&f.cluster, 1);
    while (metric(ROUTER, reachable) != 0)
        cr_assert_lt(clock_monotonic_us(), until_us);
    cr_expect_eq(search(), STATUS_UNAVAILABLE);
    cr_expect_gt(metric(ROUTER, calls), 0);
    test_cluster_start_shard(&f.cluster, 1);
    while (metric(ROUTER, reachable) != 1)
        cr_assert_lt(clock_monotonic_us(), until_us);
}

/* The router's first line of @event with @part. */
static json_t *router_line(const char *event, const char *part)
{
    char wanted[64];
    json_t *json;
    char *line;

    snprintf(wanted, sizeof wanted, "\"event\":\"%s\"", event);
    line = expect_line(wanted, part);
    json = json_loads(line, 0, NULL);
    cr_assert_not_null(json, "%s", line);
    free(line);
    return json;
}

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static const char *text_of(const json_t *line, const char *key)
{
    const char *text = json_string_value(json_object_get(line, key));

    cr_assert_not_null(text, "%s", key);
    return text;
}

Test(metrics, a_failed_call_has_one_trace_in_the_logs_of_router_and_shard, .init = start,
     .fini = stop, .timeout = 120)
{
    char value[128];
    json_t *router;
    char *shard;

    test_fixture_write(&f, 0, 1, 1);
    cr_assert_eq(delete_another_version(test_concept_id(0, &f.arena), "00-" TRACE "-" PARENT "-01"),
                 STATUS_ABORTED);
    router = router_line("call_failed", TRACE);
    shard = expect_line("event=call_failed", "trace=" TRACE);
    cr_expect_str_eq(text_of(router, "method"), "/" CONCEPTS "/Delete");
    cr_expect_str_eq(text_of(router, "code"), "ABORTED");
    cr_expect_str_eq(text_of(router, "parent"), PARENT);
    cr_expect(json_is_integer(json_object_get(router, "duration_us")));
    cr_expect_str_eq(field(shard, "method", value), "/" INTERNAL "/Delete");
    cr_expect_str_eq(field(shard, "code", value), "ABORTED");
    cr_expect_str_eq(field(shard, "parent", value), text_of(router, "call"));
    cr_expect_eq(atoi(field(shard, "shard", value)),
                 (int)json_integer_value(json_object_get(router, "asked_shard")));
    json_decref(router);
    free(shard);
}

Test(metrics, a_call_without_a_trace_gets_one_that_the_shard_hears_of, .init = start, .fini = stop,
     .timeout = 120)
{
    char trace[160];
    json_t *router;

    test_fixture_write(&f, 0, 1, 1);
    cr_assert_eq(delete_another_version(test_concept_id(0, &f.arena), "00-hostile\\x-\"-"),
                 STATUS_ABORTED);
    router = router_line("call_failed", "/Delete");
    cr_expect_eq(strlen(text_of(router, "trace")), 32);
    cr_expect_null(json_object_get(router, "parent"));
    snprintf(trace, sizeof trace, "trace=%s", text_of(router, "trace"));
    free(expect_line("event=call_failed", trace));
    json_decref(router);
}

Test(metrics, a_slow_call_is_a_line_where_it_is_thought_slow, .init = start_impatient, .fini = stop,
     .timeout = 120)
{
    json_t *router;

    test_fixture_write(&f, 0, 2000, 1); /* more than a millisecond's work, and synced */
    router = router_line("call_slow", "/" CONCEPTS "/LearnBatch");
    cr_expect_str_eq(text_of(router, "code"), "OK");
    cr_expect_eq(strlen(text_of(router, "trace")), 32);
    cr_expect_eq(strlen(text_of(router, "call")), 16);
    cr_expect_geq(json_integer_value(json_object_get(router, "duration_us")), 1000);
    cr_expect(json_is_integer(json_object_get(router, "asked_shard")));
    cr_expect_eq(count_lines("call_failed"), 0);
    cr_expect_eq(count_lines("event=call_slow"), 0); /* of the shards, which write logfmt */
    json_decref(router);
}

Test(metrics, a_storm_of_failures_is_not_a_storm_of_lines, .init = start, .fini = stop,
     .timeout = 120)
{
    enum { CALLS = 1000 };
    size_t written;

    for (int i = 0; i < CALLS; i++)
        cr_assert_eq(get(""), STATUS_INVALID_ARGUMENT);
    written = count_lines("\"call_failed\"");
    cr_expect_gt(written, 0);
    cr_expect_eq((double)written + metric(ROUTER, "sutra_log_left_out_lines_total"), CALLS);
    cr_expect_lt(written, CALLS / 2);
    cr_expect_eq(handled(ROUTER, CONCEPTS, "Get", "INVALID_ARGUMENT"), CALLS);
}

Test(metrics, programs_say_where_they_cannot_listen, .timeout = 60)
{
    struct test_output output;

    test_run((const char *const[]){ "src/apps/embed/sutra-embed", "--listen", "127.0.0.1:0",
                                    "--metrics-listen", "nowhere", NULL },
             &output);
    cr_expect_eq(output.status, 1);
    cr_expect_not_null(strstr(output.text, "sutra-embed: metrics: 'nowhere' is not host:port"),
                       "%s", output.text);
    test_run((const char *const[]){ "src/apps/embed/sutra-embed", "--log-format", "xml", NULL },
             &output);
    cr_expect_eq(output.status, 1);
    cr_expect_not_null(strstr(output.text, "--log-format is 'xml'; logfmt and json are known"),
                       "%s", output.text);
}
