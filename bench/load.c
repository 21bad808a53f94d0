/*
 * A load generator for any unary method of any gRPC server, and for streams that answer every
 * message with one:
 *
 *   load [OPTION]… TARGET METHOD REQUESTS
 *
 *   TARGET               host:port or unix:/path
 *   METHOD               a full path, "/sutra.v1.ConceptService/Get"
 *   REQUESTS             a file of encoded requests, each behind its size (uint32, little-endian);
 *                        sent one after the other, again and again
 *
 *   -n, --in-flight N    closed loop: so many calls are kept going (64)
 *   -r, --rate R         instead: R calls a second at fixed times
 *   -s, --seconds S      how long is measured (3)
 *   -w, --warm-up S      before that (1)
 *   -1, --once           every request once, without warming up
 *   -S, --stream         METHOD is a bidirectional stream: one of it, so many messages under way
 *   -o, --replies FILE   with -1 -n 1: replies go there, as requests are kept
 *   -p, --pid PID        whose processor time is wanted, too; repeatable
 *
 * At fixed times latency counts from when a call was due: a server that stalls is not let off the
 * calls that it kept from being made (coordinated omission).
 *
 * One thread sends and receives. Replies are counted, not decoded. Prints one JSON object: calls a
 * second, latencies, and processor time per call, which depends least on what else the machine
 * does. Fails at the first call that fails.
 */

#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/request_file.h"
#include "src/base/clock.h"
#include "src/rpc/client.h"

enum { MOST_SAMPLES = 1 << 24, MOST_PROCESSES = 16, SECOND_US = 1000000 };

struct process {
    const char *pid;
    clockid_t clock;
    int64_t cpu_us; /* when measuring began, and in the end what was used since */
};

struct load {
    const char *target;
    const char *method;
    unsigned in_flight;
    double rate; /* 0: closed loop */
    double seconds;
    double warm_up;
    bool once;
    bool streamed;
    FILE *replies;                                /* NULL: not wanted */
    struct process processes[MOST_PROCESSES + 1]; /* the first is our own */
    size_t process_count;

    struct requests requests;
    struct rpc_channel *channel;
    struct rpc_client_stream *stream; /* NULL: unary calls */
    struct lane **waiting;            /* [in_flight] a ring: the lanes of a stream, in the order of
                                       * their messages */
    size_t first_waiting;
    size_t waiting_count;
    uint32_t *samples; /* [count] latencies in us */

    /* The loop's, once calls are under way. */
    size_t count;
    uint64_t reply_bytes;
    int64_t start_us;
    int64_t began_us; /* measuring; 0: not yet */
    int64_t ended_us;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t next; /* request */
    size_t under_way;
};

/* A call, and in the closed loop the ones after it. */
struct lane {
    struct load *load;
    int64_t due_us;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(1);
}

/* ---- Processor time ----------------------------------------------------------------------- */

static int64_t cpu_us(const struct process *process)
{
    struct timespec ts;

    if (clock_gettime(process->clock, &ts) != 0)
        die(process->pid, "the process is gone");
    return (int64_t)ts.tv_sec * SECOND_US + ts.tv_nsec / 1000;
}

static void begin_measuring(struct load *load, int64_t now_us)
{
    load->began_us = now_us;
    for (size_t i = 0; i < load->process_count; i++)
        load->processes[i].cpu_us = cpu_us(&load->processes[i]);
}

static void end_measuring(struct load *load, int64_t now_us)
{
    load->ended_us = now_us;
    for (size_t i = 0; i < load->process_count; i++)
        load->processes[i].cpu_us = cpu_us(&load->processes[i]) - load->processes[i].cpu_us;
}

/* ---- Calls -------------------------------------------------------------------------------- */

static void answered(void *ctx, struct rpc_result *result);

static void send(struct lane *lane, struct rpc_bytes *bytes)
{
    struct load *load = lane->load;
    size_t last = (load->first_waiting + load->waiting_count++) % load->in_flight;

    load->waiting[last] = lane;
    rpc_client_stream_send(load->stream, bytes, NULL, NULL);
}

static bool take_request(struct load *load, struct rpc_bytes **ret)
{
    if (load->once && load->next == load->requests.n)
        return false;
    *ret = rpc_bytes_share(load->requests.bytes[load->next++ % load->requests.n]);
    return true;
}

static bool call(struct lane *lane)
{
    struct load *load = lane->load;
    struct rpc_bytes *bytes;

    if (!take_request(load, &bytes))
        return false;
    if (load->stream != NULL) {
        send(lane, bytes);
        return true;
    }
    rpc_call_unary(load->channel,
                   &(struct rpc_request){ .path = load->method,
                                          .bytes = bytes,
                                          .wait_for_ready = true,
                                          .deadline_us = lane->due_us + 60 * SECOND_US },
                   answered, lane, NULL);
    return true;
}

static void hold(struct load *load)
{
    pthread_mutex_lock(&load->lock);
    load->under_way++;
    pthread_mutex_unlock(&load->lock);
}

static void release(struct load *load)
{
    pthread_mutex_lock(&load->lock);
    load->under_way--;
    pthread_cond_signal(&load->changed);
    pthread_mutex_unlock(&load->lock);
}

static void end_lane(struct lane *lane)
{
    struct load *load = lane->load;

    free(lane);
    release(load);
}

static void count(struct load *load, const struct lane *lane, int64_t now_us, size_t bytes)
{
    if (load->began_us == 0 || load->ended_us != 0 || lane->due_us < load->began_us ||
        load->count == MOST_SAMPLES)
        return;
    load->samples[load->count++] = (uint32_t)(now_us - lane->due_us);
    load->reply_bytes += bytes;
}

/* In the closed loop time passes here. */
static bool go_on(struct load *load, int64_t now_us)
{
    double seconds = (double)(now_us - load->start_us) / SECOND_US;

    if (load->once)
        return true;
    if (load->began_us == 0 && seconds >= load->warm_up)
        begin_measuring(load, now_us);
    if (load->began_us != 0 && load->ended_us == 0 && seconds >= load->warm_up + load->seconds)
        end_measuring(load, now_us);
    return load->ended_us == 0;
}

static void take_answer(struct lane *lane, const struct rpc_bytes *reply)
{
    struct load *load = lane->load;
    int64_t now_us = clock_monotonic_us();

    count(load, lane, now_us, rpc_bytes_size(reply));
    if (load->replies != NULL)
        reply_write(load->replies, reply);
    if (!go_on(load, now_us) || load->rate > 0) {
        end_lane(lane);
        return;
    }
    lane->due_us = now_us;
    if (!call(lane))
        end_lane(lane);
}

static void answered(void *ctx, struct rpc_result *result)
{
    struct lane *lane = ctx;

    if (result->status.code != STATUS_OK)
        die(lane->load->method, result->status.message);
    take_answer(lane, result->bytes);
}

static struct lane *new_lane(struct load *load, int64_t due_us)
{
    struct lane *lane = malloc(sizeof *lane);

    if (lane == NULL)
        die("calls", "out of memory");
    *lane = (struct lane){ load, due_us };
    hold(load);
    return lane;
}

static void wait_for_all(struct load *load)
{
    pthread_mutex_lock(&load->lock);
    while (load->under_way > 0)
        pthread_cond_wait(&load->changed, &load->lock);
    pthread_mutex_unlock(&load->lock);
}

static void start_lanes(void *ctx)
{
    struct load *load = ctx;

    load->start_us = clock_monotonic_us();
    if (load->once)
        begin_measuring(load, load->start_us);
    for (unsigned i = 0; i < load->in_flight; i++) {
        struct lane *lane = new_lane(load, load->start_us);
        if (!call(lane))
            end_lane(lane);
    }
    if (load->stream != NULL)
        rpc_client_stream_pull(load->stream);
    release(load);
}

/* ---- Streams ------------------------------------------------------------------------------ */

static void received(void *ctx, struct rpc_bytes *message)
{
    struct load *load = ctx;
    struct lane *lane = load->waiting[load->first_waiting];

    if (load->waiting_count-- == 0)
        die(load->method, "the server answered something that was not asked");
    load->first_waiting = (load->first_waiting + 1) % load->in_flight;
    take_answer(lane, message);
    rpc_bytes_free(message);
    rpc_client_stream_pull(load->stream);
}

static void stream_ended(void *ctx, struct rpc_result *result)
{
    struct load *load = ctx;

    if (result->status.code != STATUS_OK)
        die(load->method, result->status.message);
    release(load);
}

static void open_stream(struct load *load)
{
    static const struct rpc_stream_events events = { .message = received, .done = stream_ended };

    load->waiting = calloc(load->in_flight, sizeof(struct lane *));
    if (load->waiting == NULL)
        die("stream", "out of memory");
    load->stream = rpc_client_stream_open(
        load->channel, &(struct rpc_request){ .path = load->method, .wait_for_ready = true },
        &events, load);
}

static void close_stream(struct load *load)
{
    hold(load);
    rpc_client_stream_half_close(load->stream);
    wait_for_all(load);
    rpc_client_stream_unref(load->stream);
    free(load->waiting);
}

/* ---- Runs --------------------------------------------------------------------------------- */

static void run_closed(struct load *load, struct rpc_loop *loop)
{
    if (load->streamed)
        open_stream(load);
    hold(load);
    rpc_loop_post(loop, start_lanes, load);
    wait_for_all(load);
    if (load->ended_us == 0)
        end_measuring(load, clock_monotonic_us());
    if (load->stream != NULL)
        close_stream(load);
}

static void sleep_until(int64_t due_us)
{
    int64_t left_us = due_us - clock_monotonic_us();
    struct timespec pause = { left_us / SECOND_US, left_us % SECOND_US * 1000 };

    if (left_us > 0)
        nanosleep(&pause, NULL);
}

/* The calls that are due are made together: at high rates sleeping between two is not possible. */
static void run_at_rate(struct load *load)
{
    double all = load->rate * (load->warm_up + load->seconds);

    load->start_us = clock_monotonic_us();
    for (double i = 0; i < all; i++) {
        int64_t due_us = load->start_us + (int64_t)(i / load->rate * SECOND_US);
        sleep_until(due_us);
        call(new_lane(load, due_us));
    }
    wait_for_all(load);
    if (load->ended_us == 0)
        end_measuring(load, clock_monotonic_us());
}

/* ---- Results ------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static uint32_t percentile(const struct load *load, double share)
{
    return load->samples[(size_t)((double)(load->count - 1) * share)];
}

static void report(struct load *load)
{
    double seconds = (double)(load->ended_us - load->began_us) / SECOND_US;
    double calls = (double)load->count;

    if (load->count == 0)
        die(load->method, "no call was answered while measuring");
    qsort(load->samples, load->count, sizeof load->samples[0], ascending);
    printf("{\"calls\": %zu, \"seconds\": %.6f, \"rate\": %.1f, \"reply_bytes\": %.1f, "
           "\"p50_us\": %u, \"p90_us\": %u, \"p99_us\": %u, \"p999_us\": %u, \"max_us\": %u, "
           "\"cpu_us\": {",
           load->count, seconds, calls / seconds, (double)load->reply_bytes / calls,
           percentile(load, 0.5), percentile(load, 0.9), percentile(load, 0.99),
           percentile(load, 0.999), percentile(load, 1));
    for (size_t i = 0; i < load->process_count; i++)
        printf("%s\"%s\": %.2f", i > 0 ? ", " : "", load->processes[i].pid,
               (double)load->processes[i].cpu_us / calls);
    printf("}}\n");
}

/* ---- The command line --------------------------------------------------------------------- */

static void add_process(struct load *load, const char *pid)
{
    struct process *process = &load->processes[load->process_count++];

    if (load->process_count > MOST_PROCESSES)
        die("--pid", "too many");
    process->pid = pid;
    if (clock_getcpuclockid((pid_t)atoi(pid), &process->clock) != 0)
        die(pid, "no such process");
}

static void set_option(struct load *load, int option)
{
    switch (option) {
    case 'n':
        load->in_flight = (unsigned)atoi(optarg);
        break;
    case 'r':
        load->rate = atof(optarg);
        break;
    case 's':
        load->seconds = atof(optarg);
        break;
    case 'w':
        load->warm_up = atof(optarg);
        break;
    case '1':
        load->once = true;
        break;
    case 'S':
        load->streamed = true;
        break;
    case 'o':
        load->replies = fopen(optarg, "wb");
        if (load->replies == NULL)
            die(optarg, "cannot be written");
        break;
    case 'p':
        add_process(load, optarg);
        break;
    default:
        exit(2);
    }
}

static void read_options(struct load *load, int argc, char **argv)
{
    static const struct option options[] = {
        { "in-flight", required_argument, NULL, 'n' },
        { "rate", required_argument, NULL, 'r' },
        { "seconds", required_argument, NULL, 's' },
        { "warm-up", required_argument, NULL, 'w' },
        { "once", no_argument, NULL, '1' },
        { "stream", no_argument, NULL, 'S' },
        { "replies", required_argument, NULL, 'o' },
        { "pid", required_argument, NULL, 'p' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "n:r:s:w:1So:p:", options, NULL)) != -1)
        set_option(load, option);
    if (argc - optind != 3 || load->in_flight == 0 ||
        (load->replies != NULL && (!load->once || load->in_flight != 1)) ||
        (load->streamed && load->rate > 0)) {
        fprintf(stderr, "usage: load [OPTION]... TARGET METHOD REQUESTS\n");
        exit(2);
    }
    load->target = argv[optind];
    load->method = argv[optind + 1];
    load->requests = requests_read(argv[optind + 2]);
}

int main(int argc, char **argv)
{
    struct load load = {
        .in_flight = 64,
        .seconds = 3,
        .warm_up = 1,
        .processes = { { .pid = "client", .clock = CLOCK_PROCESS_CPUTIME_ID } },
        .process_count = 1,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    struct rpc_loop *loop = NULL;
    struct status st = { 0 };

    rpc_init();
    read_options(&load, argc, argv);
    load.samples = malloc(MOST_SAMPLES * sizeof load.samples[0]);
    if (load.samples == NULL || rpc_loop_start(&loop, &st) != STATUS_OK ||
        rpc_channel_open(loop, load.target, NULL, &load.channel, &st) != STATUS_OK)
        die(load.target, st.message);
    if (load.rate > 0)
        run_at_rate(&load);
    else
        run_closed(&load, loop);
    report(&load);
    rpc_channel_close(load.channel);
    rpc_loop_stop(loop);
    requests_free(&load.requests);
    free(load.samples);
    if (load.replies != NULL && fclose(load.replies) != 0)
        die("replies", "cannot be written");
    return 0;
}
