/**
 * Starting and stopping, as clients and Kubernetes see it: health before, during and after, running
 * calls at the end, signals, and a rolling restart that no reader notices.
 */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "grpc/health/v1/health.pb-c.h"
#include "src/base/clock.h"
#include "src/rpc/sync_client.h"
#include "tests/support/fixture.h"

static const int64_t PATIENCE_US = 60 * 1000000LL;

enum { CONCEPTS = 60 };

static struct test_fixture f;

static void stop(void)
{
    test_fixture_stop(&f);
}

/* ---- What is seen from outside, without any service config ---- */

struct observer {
    struct rpc_loop *loop;
    struct rpc_channel *channel;
    struct arena arena;
};

static struct observer o;

static void observe(const char *address)
{
    struct status st = { 0 };

    arena_init(&o.arena, 1 << 20);
    cr_assert_eq(rpc_loop_start(&o.loop, &st), STATUS_OK);
    cr_assert_eq(rpc_channel_open(o.loop, address, NULL, &o.channel, &st), STATUS_OK);
}

static void observe_no_more(void)
{
    rpc_channel_close(o.channel);
    rpc_loop_stop(o.loop);
    arena_deinit(&o.arena);
}

static struct rpc_sync_stream *watch(const char *name)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

    request.service = (char *)name;
    return rpc_sync_stream_open(o.channel,
                                &(struct rpc_request){ .path = "/grpc.health.v1.Health/Watch",
                                                       .message = &request.base,
                                                       .wait_for_ready = true });
}

/* What the stream says next; -1: that it has ended. */
static int next(struct rpc_sync_stream *stream)
{
    ProtobufCMessage *reply = NULL;
    struct status st = { 0 };

    rpc_sync_stream_recv(stream, &grpc__health__v1__health_check_response__descriptor, &o.arena,
                         &reply, &st);
    return reply == NULL ? -1 : (int)((Grpc__Health__V1__HealthCheckResponse *)reply)->status;
}

enum {
    SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING,
    NOT_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING,
};

static int check(const char *name)
{
    struct rpc_sync_stream *stream = watch(name);
    int now = next(stream);

    rpc_sync_stream_close(stream);
    return now;
}

/* One call that nobody repeats. */
static struct status get(const char *id)
{
    Sutra__V1__GetRequest request = SUTRA__V1__GET_REQUEST__INIT;
    struct rpc_result result;
    struct status st;

    request.id = (char *)id;
    rpc_sync_call_result(o.channel,
                         &(struct rpc_request){ .path = "/sutra.v1.ConceptService/Get",
                                                .message = &request.base,
                                                .deadline_us = clock_monotonic_us() + PATIENCE_US },
                         &result);
    st = result.status;
    rpc_result_deinit(&result);
    return st;
}

static void wait_until_refused(void)
{
    int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;

    while (get("c1").code != STATUS_UNAVAILABLE)
        cr_assert_lt(clock_monotonic_us(), deadline_us);
}

/* ---- Starting ---- */

/* A model whose first file is a pipe: the shard gets no further until somebody writes. */
static void make_blocking_model(const char *folder)
{
    char pipe[128];

    cr_assert_eq(mkdir(folder, 0700), 0);
    snprintf(pipe, sizeof pipe, "%s/config.json", folder);
    cr_assert_eq(mkfifo(pipe, 0600), 0);
}

/* What is read is well-formed, but there is no vocabulary: then there is no model. */
static void unblock(const char *folder)
{
    static const char config[] =
        "{\"hidden_size\": 384, \"num_hidden_layers\": 6, \"num_attention_heads\": 12,"
        " \"intermediate_size\": 1536, \"max_position_embeddings\": 512, \"vocab_size\": 30522,"
        " \"type_vocab_size\": 2, \"hidden_act\": \"gelu\", \"layer_norm_eps\": 1e-12}";
    char pipe[128];
    int fd;

    snprintf(pipe, sizeof pipe, "%s/config.json", folder);
    fd = open(pipe, O_WRONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, config, sizeof config - 1), sizeof config - 1);
    close(fd);
}

Test(lifecycle, a_server_is_alive_before_it_is_ready, .fini = stop, .timeout = 120)
{
    char model[96], data[96], listen[128];
    struct test_process shard = { 0 };
    struct rpc_sync_stream *readiness;
    struct status st;

    test_fixture_start(&f, &(struct test_cluster_options){ .shards = 1 });
    snprintf(model, sizeof model, "%s/model", f.cluster.folder);
    snprintf(data, sizeof data, "%s/slow", f.cluster.folder);
    snprintf(listen, sizeof listen, "unix:%s/slow.socket", f.cluster.folder);
    make_blocking_model(model);
    test_process_spawn(&shard, (const char *const[]){ "shard/sutra-shard", "--data", data,
                                                      "--listen", listen, "--model", model, NULL });
    observe(listen);
    readiness = watch("readiness");
    cr_expect_eq(next(readiness), NOT_SERVING);
    cr_expect_eq(check("liveness"), SERVING);
    cr_expect_eq(check(""), NOT_SERVING);
    cr_expect_eq(check("sutra.v1.ConceptService"), NOT_SERVING);
    st = get("c1");
    cr_expect_str_eq(st.reason, "SERVER_STARTING");
    test_expect_status(&st, STATUS_UNAVAILABLE, "", "starting");
    unblock(model);
    cr_expect_eq(next(readiness), SERVING);
    cr_expect_eq(check(""), SERVING);
    cr_expect_eq(check("sutra.v1.ConceptService"), SERVING);
    cr_expect_eq(get("c1").code, STATUS_NOT_FOUND);
    rpc_sync_stream_close(readiness);
    observe_no_more();
    cr_expect_eq(test_process_stop(&shard), 0);
}

/* ---- Stopping ---- */

static void start_shard(const char *argument, const char *other)
{
    test_fixture_start(
        &f, &(struct test_cluster_options){ .shards = 1, .shard_args = { argument, other } });
    test_fixture_write(&f, 0, CONCEPTS, 0);
    observe(f.cluster.shards[0].address);
}

Test(lifecycle, a_draining_server_serves_until_the_second_signal, .fini = stop, .timeout = 120)
{
    struct rpc_sync_stream *readiness;

    start_shard("--drain-ms=600000", NULL);
    readiness = watch("readiness");
    cr_expect_eq(next(readiness), SERVING);
    kill(f.cluster.shards[0].pid, SIGTERM);
    cr_expect_eq(next(readiness), NOT_SERVING);
    cr_expect_eq(check(""), NOT_SERVING);
    cr_expect_eq(check("liveness"), SERVING);
    cr_expect_eq(get("c1").code, STATUS_OK);
    rpc_sync_stream_close(readiness);
    kill(f.cluster.shards[0].pid, SIGTERM);
    cr_expect_eq(test_process_wait(&f.cluster.shards[0]), -1, "ended by the signal");
    observe_no_more();
}

Test(lifecycle, a_drained_server_ends, .fini = stop, .timeout = 120)
{
    struct rpc_sync_stream *readiness;

    start_shard("--drain-ms=50", NULL);
    readiness = watch("readiness");
    cr_expect_eq(next(readiness), SERVING);
    kill(f.cluster.shards[0].pid, SIGINT);
    cr_expect_eq(next(readiness), NOT_SERVING);
    cr_expect_eq(next(readiness), -1, "watchers hold nobody up");
    cr_expect_eq(test_process_wait(&f.cluster.shards[0]), 0);
    rpc_sync_stream_close(readiness);
    observe_no_more();
}

/* An import with one request answered: a call that runs until we end it. */
static struct client_import *running_import(void)
{
    Sutra__V1__ImportRequest request = SUTRA__V1__IMPORT_REQUEST__INIT;
    Sutra__V1__ImportResponse *response = NULL;
    Sutra__V1__ConceptInput *item = test_concept(1000, 0, &f.arena);
    struct client_import *import = NULL;
    struct status st = { 0 };

    request.n_items = 1;
    request.items = &item;
    cr_assert_eq(client_import_open(f.client, &import, &st), STATUS_OK);
    cr_assert(client_import_send(import, &request));
    cr_assert_eq(client_import_receive(import, &f.arena, &response, &st), STATUS_OK);
    return import;
}

Test(lifecycle, a_running_call_ends_in_its_own_time, .fini = stop, .timeout = 120)
{
    Sutra__V1__ImportRequest request = SUTRA__V1__IMPORT_REQUEST__INIT;
    Sutra__V1__ImportResponse *response = NULL;
    Sutra__V1__ConceptInput *item;
    struct client_import *import;
    struct status st = { 0 };

    start_shard("--grace-ms=60000", NULL);
    item = test_concept(1001, 0, &f.arena);
    import = running_import();
    kill(f.cluster.shards[0].pid, SIGTERM);
    wait_until_refused();
    request.n_items = 1;
    request.items = &item;
    cr_assert(client_import_send(import, &request));
    cr_assert_eq(client_import_receive(import, &f.arena, &response, &st), STATUS_OK, "%s",
                 st.message);
    cr_expect_eq(response->settled_items, 2);
    client_import_send_done(import);
    cr_assert_eq(client_import_receive(import, &f.arena, &response, &st), STATUS_OK, "%s",
                 st.message);
    client_import_close(import);
    cr_expect_eq(test_process_wait(&f.cluster.shards[0]), 0);
    observe_no_more();
    test_cluster_start_shard(&f.cluster, 0);
    cr_expect_eq(test_fixture_stats(&f)->total->concepts, CONCEPTS + 2, "it was flushed");
}

Test(lifecycle, what_outlasts_the_grace_is_cancelled, .fini = stop, .timeout = 120)
{
    Sutra__V1__ImportResponse *response = NULL;
    struct client_import *import;
    struct status st = { 0 };

    start_shard("--grace-ms=100", NULL);
    import = running_import();
    kill(f.cluster.shards[0].pid, SIGTERM);
    cr_expect_eq(client_import_receive(import, &f.arena, &response, &st), STATUS_UNAVAILABLE);
    client_import_close(import);
    cr_expect_eq(test_process_wait(&f.cluster.shards[0]), 0);
    observe_no_more();
}

/* ---- What a router knows of its shards ---- */

Test(lifecycle, a_router_tells_which_shards_serve, .fini = stop, .timeout = 120)
{
    struct rpc_sync_stream *shard, *readiness;

    test_fixture_start(&f,
                       &(struct test_cluster_options){
                           .shards = 2, .router = true, .router_args = { "--peer-wait-ms=100" } });
    observe(f.cluster.router.address);
    readiness = watch("readiness");
    shard = watch("shard/1");
    for (int seen = 0; seen != SERVING;)
        cr_assert_neq(seen = next(shard), -1);
    for (int seen = 0; seen != SERVING;)
        cr_assert_neq(seen = next(readiness), -1);
    test_cluster_kill_shard(&f.cluster, 1);
    cr_expect_eq(next(shard), NOT_SERVING);
    cr_expect_eq(check("shard/0"), SERVING);
    cr_expect_eq(check("readiness"), SERVING, "one shard is there");
    test_cluster_start_shard(&f.cluster, 1);
    cr_expect_eq(next(shard), SERVING);
    test_cluster_stop_shard(&f.cluster, 0);
    test_cluster_stop_shard(&f.cluster, 1);
    cr_expect_eq(next(shard), NOT_SERVING);
    cr_expect_eq(next(readiness), NOT_SERVING);
    cr_expect_eq(check(""), SERVING, "it answers, if only that there is no shard");
    cr_expect_eq(check("shard/2"),
                 GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN);
    test_cluster_start_shard(&f.cluster, 0);
    test_cluster_start_shard(&f.cluster, 1);
    cr_expect_eq(next(readiness), SERVING);
    rpc_sync_stream_close(readiness);
    rpc_sync_stream_close(shard);
    observe_no_more();
}

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count;
    unsigned ok;
};

static void count_answer(void *ctx, struct rpc_result *result)
{
    struct answer *answer = ctx;

    if (result->status.code != STATUS_OK)
        fprintf(stderr, "%s: %s\n", status_code_name(result->status.code), result->status.message);
    pthread_mutex_lock(&answer->lock);
    answer->count++;
    answer->ok += result->status.code == STATUS_OK;
    pthread_cond_signal(&answer->changed);
    pthread_mutex_unlock(&answer->lock);
}

static void begin_call(const char *path, const ProtobufCMessage *request, struct answer *answer)
{
    rpc_call_unary(o.channel,
                   &(struct rpc_request){ .path = path,
                                          .message = request,
                                          .deadline_us = clock_monotonic_us() + PATIENCE_US },
                   count_answer, answer, NULL);
}

/* Nobody repeats these calls but the router: one that reads, one that asks all shards, one that
 * writes. */
Test(lifecycle, calls_wait_for_a_shard_that_restarts, .fini = stop, .timeout = 120)
{
    Sutra__V1__GetRequest get_request = SUTRA__V1__GET_REQUEST__INIT;
    Sutra__V1__StatsRequest stats = SUTRA__V1__STATS_REQUEST__INIT;
    Sutra__V1__PutRequest put = SUTRA__V1__PUT_REQUEST__INIT;
    struct answer answer = { .lock = PTHREAD_MUTEX_INITIALIZER,
                             .changed = PTHREAD_COND_INITIALIZER };

    test_fixture_start(
        &f, &(struct test_cluster_options){
                .shards = 1, .router = true, .router_args = { "--peer-wait-ms=60000" } });
    test_fixture_write(&f, 0, CONCEPTS, 0);
    observe(f.cluster.router.address);
    get_request.id = (char *)"c1";
    put.concept = test_concept(CONCEPTS, 0, &f.arena);
    test_cluster_stop_shard(&f.cluster, 0);
    begin_call("/sutra.v1.ConceptService/Get", &get_request.base, &answer);
    begin_call("/sutra.v1.AdminService/Stats", &stats.base, &answer);
    begin_call("/sutra.v1.ConceptService/Put", &put.base, &answer);
    test_cluster_start_shard(&f.cluster, 0);
    pthread_mutex_lock(&answer.lock);
    while (answer.count < 3)
        pthread_cond_wait(&answer.changed, &answer.lock);
    pthread_mutex_unlock(&answer.lock);
    cr_expect_eq(answer.ok, 3);
    observe_no_more();
    cr_expect_eq(test_fixture_stats(&f)->total->concepts, CONCEPTS + 1);
}

/* ---- A rolling restart ---- */

enum { READERS = 4, ROUTERS = 2, SHARDS = 3, READS_BETWEEN = 100 };

static struct test_process routers[ROUTERS];
static atomic_bool reading;
static atomic_ulong reads, failed_reads;
static char routers_address[2 * TEST_ADDRESS_SIZE];

static void read_once(struct client *client, uint64_t number, struct arena *arena,
                      struct status *st)
{
    Sutra__V1__GetRequest get_request = SUTRA__V1__GET_REQUEST__INIT;
    Sutra__V1__BatchGetRequest batch = SUTRA__V1__BATCH_GET_REQUEST__INIT;
    Sutra__V1__SearchRequest search = SUTRA__V1__SEARCH_REQUEST__INIT;
    Sutra__V1__DistanceRequest distance = SUTRA__V1__DISTANCE_REQUEST__INIT;
    Sutra__V1__DistanceRequest__Pair pair = SUTRA__V1__DISTANCE_REQUEST__PAIR__INIT;
    Sutra__V1__DistanceRequest__Pair *the_pair = &pair;
    Sutra__V1__Query query = SUTRA__V1__QUERY__INIT;
    Sutra__V1__GetResponse *got = NULL;
    Sutra__V1__BatchGetResponse *batched = NULL;
    Sutra__V1__SearchResponse *found = NULL;
    Sutra__V1__DistanceResponse *distances = NULL;
    char *ids[] = { test_concept_id(number % CONCEPTS, arena),
                    test_concept_id((number + 1) % CONCEPTS, arena),
                    test_concept_id((number + 2) % CONCEPTS, arena) };

    switch (number % 4) {
    case 0:
        get_request.id = ids[0];
        client_get(client, &get_request, arena, &got, st);
        break;
    case 1:
        batch.n_ids = 3;
        batch.ids = ids;
        client_batch_get(client, &batch, arena, &batched, st);
        break;
    case 2:
        query.by_case = SUTRA__V1__QUERY__BY_EMBEDDING;
        query.embedding = test_embedding(number, arena);
        search.query = &query;
        search.k = 5;
        client_search(client, &search, arena, &found, st);
        break;
    default:
        pair.a = ids[0];
        pair.b = ids[1];
        distance.n_pairs = 1;
        distance.pairs = &the_pair;
        client_distance(client, &distance, arena, &distances, st);
    }
}

static void *read_on(void *ctx)
{
    struct client *client = test_client_open(routers_address);
    struct arena arena;

    arena_init(&arena, 16 << 20);
    for (uint64_t i = (uint64_t)(uintptr_t)ctx; atomic_load(&reading); i++) {
        struct status st = { 0 };
        read_once(client, i, &arena, &st);
        if (st.code != STATUS_OK && atomic_fetch_add(&failed_reads, 1) < 10)
            fprintf(stderr, "read %lu: %s %s\n", (unsigned long)i, status_code_name(st.code),
                    st.message);
        atomic_fetch_add(&reads, 1);
        arena_reset(&arena);
    }
    arena_deinit(&arena);
    client_close(client);
    return NULL;
}

/* Connections that @port has taken and not closed, as one of the kernel's two tables has them. */
static int connections_in(const char *table, unsigned port)
{
    FILE *file = fopen(table, "r");
    char line[256];
    unsigned local, state;
    int count = 0;

    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        count += sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &local, &state) == 2 &&
                 local == port && state == 1;
    fclose(file);
    return count;
}

static int connections_to(unsigned port)
{
    return connections_in("/proc/net/tcp", port) + connections_in("/proc/net/tcp6", port);
}

/* The next router goes when everybody can do without it, as those who roll out pods wait too. The
 * readers share one connection. */
static void wait_for_readers(const struct test_process *router)
{
    static const struct timespec pause = { .tv_nsec = 5 * 1000000 };
    unsigned port = (unsigned)strtoul(strrchr(router->address, ':') + 1, NULL, 10);
    int64_t deadline_us = clock_monotonic_us() + PATIENCE_US;

    while (connections_to(port) == 0) {
        cr_assert_lt(clock_monotonic_us(), deadline_us, "readers do not come back");
        nanosleep(&pause, NULL);
    }
}

/* So that what follows meets readers in the middle of their work. */
static void let_them_read(void)
{
    static const struct timespec pause = { .tv_nsec = 5 * 1000000 };
    unsigned long until = atomic_load(&reads) + READS_BETWEEN;

    while (atomic_load(&reads) < until)
        nanosleep(&pause, NULL);
}

/* Whatever port it gets at first is its own from then on. */
static void start_router(struct test_process *router)
{
    const char *listen = router->address[0] != '\0' ? router->address : "127.0.0.1:0";
    char address[TEST_ADDRESS_SIZE];
    char no_model[96];

    snprintf(address, sizeof address, "%s", listen);
    snprintf(no_model, sizeof no_model, "%s/no-model", f.cluster.folder);
    test_process_start(router, (const char *const[]){ "router/sutra-router", "--listen", address,
                                                      "--topology", f.cluster.topology, "--model",
                                                      no_model, NULL });
}

static void start_routers(void)
{
    test_fixture_start(&f, &(struct test_cluster_options){ .shards = SHARDS });
    for (int i = 0; i < ROUTERS; i++)
        start_router(&routers[i]);
    snprintf(routers_address, sizeof routers_address, "%s,%s", routers[0].address,
             routers[1].address);
    test_fixture_write(&f, 0, CONCEPTS, 0);
}

static void restart_all(void)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        test_cluster_stop_shard(&f.cluster, i);
        test_cluster_start_shard(&f.cluster, i);
        let_them_read();
    }
    for (int i = 0; i < ROUTERS; i++) {
        cr_assert_eq(test_process_stop(&routers[i]), 0);
        start_router(&routers[i]);
        wait_for_readers(&routers[i]);
        let_them_read();
    }
}

Test(lifecycle, nobody_who_reads_notices_a_rolling_restart, .fini = stop, .timeout = 300)
{
    pthread_t readers[READERS];

    start_routers();
    atomic_store(&reading, true);
    for (size_t i = 0; i < READERS; i++)
        cr_assert_eq(pthread_create(&readers[i], NULL, read_on, (void *)(uintptr_t)(i * 1000)), 0);
    let_them_read();
    restart_all();
    restart_all();
    atomic_store(&reading, false);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    cr_expect_eq(atomic_load(&failed_reads), 0, "%lu of %lu reads failed",
                 atomic_load(&failed_reads), atomic_load(&reads));
    for (int i = 0; i < ROUTERS; i++)
        cr_expect_eq(test_process_stop(&routers[i]), 0);
}
