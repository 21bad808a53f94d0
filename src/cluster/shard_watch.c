#include "src/cluster/shard_watch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/health/v1/health.pb-c.h"
#include "src/base/clock.h"
#include "src/cluster/cluster_internal.h"
#include "src/log/log.h"

/* Short, because ending waits for it; what is being waited for is noticed at once. */
enum { PAUSE_MS = 200, NAME_SIZE = 32, REPLY_BYTES = 4096 };

/* One shard of one topology. */
struct eye {
    struct eyes *eyes;
    uint32_t shard;
    struct rpc_client_stream *stream; /* NULL during a pause */
    bool told;                        /* by this stream */
    bool serving;
};

/* Those of one topology. They look until they are closed, and free themselves when the last of
 * their streams and pauses has ended. */
struct eyes {
    struct shard_watch *watch;
    struct placement *placement; /* referenced */
    size_t under_way;            /* streams and pauses */
    bool closed;
    struct eye eye[];
};

struct shard_watch {
    struct cluster *cluster;
    struct serve *serve;
    int64_t patience_us;

    /* On the loop only. */
    struct eyes *eyes; /* of the topology in force; NULL when it stops */
    bool within_reach;
    int64_t none_since_us; /* 0: some shard is there */
    bool counting;         /* a timer is under way, which looks whether the patience is over */

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t ended;
    size_t open; /* eyes and timers that exist, and the watch itself */
};

/* ---- Counting what exists ---- */

static void hold(struct shard_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    watch->open++;
    pthread_mutex_unlock(&watch->lock);
}

static void release(struct shard_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    if (--watch->open == 0)
        pthread_cond_signal(&watch->ended);
    pthread_mutex_unlock(&watch->lock);
}

static int64_t pause_until_us(void)
{
    return clock_monotonic_us() + PAUSE_MS * INT64_C(1000);
}

/* ---- Reach ---- */

static void weigh(struct shard_watch *watch);

static bool any_serves(const struct shard_watch *watch)
{
    uint32_t shards = watch->eyes->placement->topology->shard_count;

    for (uint32_t i = 0; i < shards; i++)
        if (watch->eyes->eye[i].serving)
            return true;
    return false;
}

static void counted(void *ctx)
{
    struct shard_watch *watch = ctx;

    watch->counting = false;
    if (watch->eyes != NULL)
        weigh(watch);
    release(watch);
}

static void count(struct shard_watch *watch)
{
    if (watch->counting)
        return;
    watch->counting = true;
    hold(watch);
    rpc_channel_await(watch->eyes->placement->channels[0], pause_until_us(), counted, watch);
}

static void set_reach(struct shard_watch *watch, bool within_reach)
{
    if (watch->within_reach == within_reach)
        return;
    watch->within_reach = within_reach;
    serve_set_reach(watch->serve, within_reach);
}

static void weigh(struct shard_watch *watch)
{
    int64_t now_us = clock_monotonic_us();

    if (any_serves(watch)) {
        watch->none_since_us = 0;
        set_reach(watch, true);
        return;
    }
    if (watch->none_since_us == 0)
        watch->none_since_us = now_us;
    if (watch->within_reach && now_us < watch->none_since_us + watch->patience_us)
        count(watch);
    else
        set_reach(watch, false);
}

/* ---- One shard ---- */

static void publish(const struct eye *eye)
{
    char name[NAME_SIZE];

    snprintf(name, sizeof name, "shard/%u", eye->shard);
    rpc_health_set(eye->eyes->watch->serve->health, name,
                   eye->serving ? RPC_SERVING : RPC_NOT_SERVING);
}

static void set_serving(struct eye *eye, bool serving)
{
    if (eye->serving == serving)
        return;
    eye->serving = serving;
    log_line(serving ? LOG_INFO : LOG_WARN, serving ? "shard_serves" : "shard_does_not_serve",
             LOG_NUMBER("shard", eye->shard),
             LOG_TEXT("address", eye->eyes->placement->topology->addresses[eye->shard]));
    publish(eye);
    weigh(eye->eyes->watch);
}

static bool says_serving(const struct rpc_bytes *bytes)
{
    struct arena arena;
    struct status ignored = { 0 };
    ProtobufCMessage *message;
    bool serving;

    arena_init(&arena, REPLY_BYTES);
    serving = rpc_bytes_unpack(bytes, &grpc__health__v1__health_check_response__descriptor, &arena,
                               &message, &ignored) == STATUS_OK &&
              ((const Grpc__Health__V1__HealthCheckResponse *)message)->status ==
                  GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    arena_deinit(&arena);
    return serving;
}

static void on_told(void *ctx, struct rpc_bytes *bytes)
{
    struct eye *eye = ctx;

    eye->told = true;
    if (!eye->eyes->closed)
        set_serving(eye, says_serving(bytes));
    rpc_bytes_free(bytes);
    rpc_client_stream_pull(eye->stream);
}

static void on_ended(void *ctx, struct rpc_result *result);

static void look(struct eye *eye, bool wait_for_ready)
{
    static const struct rpc_stream_events events = { .message = on_told, .done = on_ended };
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

    request.service = (char *)"readiness";
    eye->told = false;
    eye->eyes->under_way++;
    eye->stream = rpc_client_stream_open(eye->eyes->placement->channels[eye->shard],
                                         &(struct rpc_request){
                                             .service = &grpc__health__v1__health__descriptor,
                                             .method = "Watch",
                                             .message = &request.base,
                                             .wait_for_ready = wait_for_ready,
                                         },
                                         &events, eye);
    rpc_client_stream_pull(eye->stream);
}

/* One stream or pause less; true when @eyes are closed, and perhaps gone. */
static bool is_over(struct eyes *eyes)
{
    struct shard_watch *watch = eyes->watch;

    eyes->under_way--;
    if (!eyes->closed)
        return false;
    if (eyes->under_way > 0)
        return true;
    placement_unref(eyes->placement);
    free(eyes);
    release(watch);
    return true;
}

static void on_paused(void *ctx)
{
    struct eye *eye = ctx;

    if (!is_over(eye->eyes))
        look(eye, true);
}

/* A connection may have come of age, which says nothing of the shard: who had something to say is
 * asked again at once, and has gone only if that fails. */
static void on_ended(void *ctx, struct rpc_result *result)
{
    struct eye *eye = ctx;

    (void)result;
    rpc_client_stream_unref(eye->stream);
    eye->stream = NULL;
    if (is_over(eye->eyes))
        return;
    if (eye->told) {
        look(eye, false);
        return;
    }
    set_serving(eye, false);
    eye->eyes->under_way++;
    rpc_channel_await(eye->eyes->placement->channels[eye->shard], pause_until_us(), on_paused, eye);
}

/* ---- All shards of a topology ---- */

static bool is_same_shard(const struct eyes *a, const struct eyes *b, uint32_t shard)
{
    return a != NULL && shard < a->placement->topology->shard_count &&
           strcmp(a->placement->topology->addresses[shard],
                  b->placement->topology->addresses[shard]) == 0;
}

/* *Takes* the reference to @placement. NULL without memory. */
static struct eyes *eyes_new(struct shard_watch *watch, struct placement *placement)
{
    uint32_t shards = placement->topology->shard_count;
    struct eyes *eyes = calloc(1, sizeof *eyes + shards * sizeof eyes->eye[0]);

    if (eyes == NULL) {
        placement_unref(placement);
        return NULL;
    }
    eyes->watch = watch;
    eyes->placement = placement;
    eyes->under_way = 1; /* until they are closed */
    for (uint32_t i = 0; i < shards; i++)
        eyes->eye[i] = (struct eye){ .eyes = eyes, .shard = i };
    hold(watch);
    return eyes;
}

static void eyes_open(struct eyes *eyes, const struct eyes *before)
{
    for (uint32_t i = 0; i < eyes->placement->topology->shard_count; i++) {
        struct eye *eye = &eyes->eye[i];
        eye->serving = is_same_shard(before, eyes, i) && before->eye[i].serving;
        publish(eye);
        look(eye, false);
    }
}

static void eyes_close(struct eyes *eyes)
{
    eyes->closed = true;
    for (uint32_t i = 0; i < eyes->placement->topology->shard_count; i++)
        if (eyes->eye[i].stream != NULL)
            rpc_client_stream_cancel(eyes->eye[i].stream);
    is_over(eyes);
}

static void forget_shards(struct shard_watch *watch, uint32_t from, uint32_t to)
{
    char name[NAME_SIZE];

    for (uint32_t i = from; i < to; i++) {
        snprintf(name, sizeof name, "shard/%u", i);
        rpc_health_remove(watch->serve->health, name);
    }
}

static void replace_eyes(void *ctx)
{
    struct eyes *eyes = ctx;
    struct shard_watch *watch = eyes->watch;
    struct eyes *before = watch->eyes;

    watch->eyes = eyes;
    eyes_open(eyes, before);
    weigh(watch);
    if (before == NULL)
        return;
    forget_shards(watch, eyes->placement->topology->shard_count,
                  before->placement->topology->shard_count);
    eyes_close(before);
}

static void on_placement(void *ctx, struct placement *placement)
{
    struct shard_watch *watch = ctx;
    struct eyes *eyes = eyes_new(watch, placement_ref(placement));

    if (eyes == NULL)
        log_line(LOG_ERROR, "shards_not_watched", LOG_TEXT("message", "out of memory"));
    else
        rpc_loop_post(watch->cluster->loop, replace_eyes, eyes);
}

/* ---- Life ---- */

enum status_code shard_watch_start(struct cluster *cluster, struct serve *serve,
                                   int64_t patience_ms, struct shard_watch **ret, struct status *st)
{
    struct shard_watch *watch = calloc(1, sizeof *watch);
    struct placement *placement;

    if (watch == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    watch->cluster = cluster;
    watch->serve = serve;
    watch->patience_us = patience_ms * 1000;
    watch->open = 1;
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->ended, NULL);
    serve_set_reach(serve, false);
    placement = cluster_placement(cluster);
    on_placement(watch, placement);
    placement_unref(placement);
    cluster_on_placement(cluster, on_placement, watch);
    *ret = watch;
    return STATUS_OK;
}

static void close_eyes(void *ctx)
{
    struct shard_watch *watch = ctx;
    struct eyes *eyes = watch->eyes;

    watch->eyes = NULL;
    if (eyes != NULL)
        eyes_close(eyes);
    release(watch);
}

void shard_watch_stop(struct shard_watch *watch)
{
    if (watch == NULL)
        return;
    cluster_on_placement(watch->cluster, NULL, NULL);
    rpc_loop_post(watch->cluster->loop, close_eyes, watch);
    pthread_mutex_lock(&watch->lock);
    while (watch->open > 0)
        pthread_cond_wait(&watch->ended, &watch->lock);
    pthread_mutex_unlock(&watch->lock);
    pthread_cond_destroy(&watch->ended);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}
