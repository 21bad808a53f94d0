/**
 * What one call costs: unary echo over loopback, client and server in one process.
 *
 *   rpc_bench [in_flight [seconds [host:port | unix:/path]]]
 *
 * Keeps @in_flight calls going (64) for @seconds (3) and prints calls per second and latency
 * percentiles, and the processor time per call of both sides together, which depends least on what
 * else the machine does. One loop for the server and one for the client.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/clock.h"
#include "src/rpc/client.h"
#include "src/rpc/server.h"
#include "sutra/v1/embedding_service.pb-c.h"

enum { SAMPLES_MAX = 4 * 1000 * 1000, CONTENT_BYTES = 200 };

#define EMBEDDING sutra__v1__embedding_service__descriptor

struct bench {
    struct rpc_channel *channel;
    int64_t until_us;
    uint32_t *samples; /* [SAMPLES_MAX] latencies in us; written by the client's loop */
    size_t count;
    unsigned under_way;
    pthread_mutex_t lock;
    pthread_cond_t ended;
};

/* One of the calls that are kept going. */
struct lane {
    struct bench *bench;
    int64_t began_us;
};

/* Serving. ------------------------------------------------------------------------------------ */

static void embed(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    struct status st = { 0 };

    (void)message;
    (void)service;
    status_set(&st, STATUS_UNIMPLEMENTED, "not here");
    rpc_finish(call, NULL, &st);
}

static void info(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    Sutra__V1__InfoResponse reply = SUTRA__V1__INFO_RESPONSE__INIT;
    struct status st = { 0 };

    (void)message;
    reply.model = service;
    rpc_finish(call, &reply.base, &st);
}

static struct rpc_server *serve(struct rpc_loop *loop, const char *address, char target[128])
{
    static const struct rpc_method methods[] = {
        { .name = "Embed", .handler = embed },
        { .name = "Info", .handler = info, .slots = 16 },
    };
    static char content[CONTENT_BYTES + 1];
    struct rpc_server *server;
    struct status st = { 0 };
    int port;

    memset(content, 'x', CONTENT_BYTES);
    if (rpc_server_new(loop, NULL, &server, &st) != STATUS_OK)
        return NULL;
    rpc_server_add_service(server, &EMBEDDING, methods, 2, content);
    if (rpc_server_listen(server, address, &port, &st) != STATUS_OK ||
        rpc_server_start(server, &st) != STATUS_OK)
        return NULL;
    if (strncmp(address, "unix:", 5) == 0)
        snprintf(target, 128, "%s", address);
    else
        snprintf(target, 128, "127.0.0.1:%d", port);
    return server;
}

/* Calling. ------------------------------------------------------------------------------------ */

static void answered(void *ctx, struct rpc_result *result);

static void call(struct lane *lane)
{
    Sutra__V1__InfoRequest request = SUTRA__V1__INFO_REQUEST__INIT;

    lane->began_us = clock_monotonic_us();
    rpc_call_unary(lane->bench->channel,
                   &(struct rpc_request){ .service = &EMBEDDING,
                                          .method = "Info",
                                          .message = &request.base,
                                          .deadline_us = lane->began_us + 10 * 1000000 },
                   answered, lane, NULL);
}

static void end_lane(struct bench *bench)
{
    pthread_mutex_lock(&bench->lock);
    if (--bench->under_way == 0)
        pthread_cond_signal(&bench->ended);
    pthread_mutex_unlock(&bench->lock);
}

static void answered(void *ctx, struct rpc_result *result)
{
    struct lane *lane = ctx;
    struct bench *bench = lane->bench;
    int64_t now_us = clock_monotonic_us();

    if (result->status.code != STATUS_OK) {
        fprintf(stderr, "call failed: %s\n", result->status.message);
        exit(1);
    }
    if (bench->count < SAMPLES_MAX)
        bench->samples[bench->count++] = (uint32_t)(now_us - lane->began_us);
    if (now_us < bench->until_us)
        call(lane);
    else
        end_lane(bench);
}

static void run(struct bench *bench, struct lane *lanes, unsigned in_flight)
{
    bench->under_way = in_flight;
    for (unsigned i = 0; i < in_flight; i++) {
        lanes[i].bench = bench;
        call(&lanes[i]);
    }
    pthread_mutex_lock(&bench->lock);
    while (bench->under_way > 0)
        pthread_cond_wait(&bench->ended, &bench->lock);
    pthread_mutex_unlock(&bench->lock);
}

/* Reporting. ---------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static int64_t processor_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void report(struct bench *bench, unsigned in_flight, int64_t elapsed_us, int64_t cpu_us)
{
    size_t n = bench->count;

    qsort(bench->samples, n, sizeof bench->samples[0], ascending);
    printf("in_flight=%u calls=%zu calls_per_s=%.0f p50_us=%u p99_us=%u p999_us=%u "
           "cpu_us_per_call=%.1f\n",
           in_flight, n, (double)n * 1e6 / (double)elapsed_us, bench->samples[n / 2],
           bench->samples[n * 99 / 100], bench->samples[n * 999 / 1000],
           (double)cpu_us / (double)n);
}

int main(int argc, char **argv)
{
    unsigned in_flight = argc > 1 ? (unsigned)atoi(argv[1]) : 64;
    int seconds = argc > 2 ? atoi(argv[2]) : 3;
    const char *address = argc > 3 ? argv[3] : "127.0.0.1:0";
    struct bench bench = { .lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER };
    struct lane *lanes = calloc(in_flight, sizeof *lanes);
    struct rpc_loop *loops[2];
    struct rpc_server *server;
    struct status st = { 0 };
    char target[128];
    int64_t began_us, cpu_us;

    rpc_init();
    bench.samples = calloc(SAMPLES_MAX, sizeof bench.samples[0]);
    if (rpc_loop_start(&loops[0], &st) != STATUS_OK || rpc_loop_start(&loops[1], &st) != STATUS_OK)
        return 1;
    server = serve(loops[0], address, target);
    if (in_flight == 0 || lanes == NULL || bench.samples == NULL || server == NULL ||
        rpc_channel_open(loops[1], target, NULL, &bench.channel, &st) != STATUS_OK)
        return 1;
    began_us = clock_monotonic_us();
    cpu_us = processor_us();
    bench.until_us = began_us + (int64_t)seconds * 1000000;
    run(&bench, lanes, in_flight);
    report(&bench, in_flight, clock_monotonic_us() - began_us, processor_us() - cpu_us);
    rpc_channel_close(bench.channel);
    rpc_server_free(server);
    rpc_loop_stop(loops[1]);
    rpc_loop_stop(loops[0]);
    free(bench.samples);
    free(lanes);
    return 0;
}
