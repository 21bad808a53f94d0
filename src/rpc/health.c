#include "src/rpc/health.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/health/v1/health.pb-c.h"

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;

enum {
    LIST_MAX = 2048, /* a status for each of 1,024 shards, and the services */
    /* Of what clients without a token can keep here: */
    WATCHERS_MAX = 4096,
    WATCHED_MAX_BYTES = 4096,
};

struct entry {
    struct entry *next;
    serving_status serving;
    char name[];
};

/* What List says of one name. */
struct listed {
    Grpc__Health__V1__HealthListResponse__StatusesEntry entry;
    Grpc__Health__V1__HealthCheckResponse value;
};

/* One Watch call; lives in the call's arena. */
struct watcher {
    struct rpc_health *health;
    struct rpc_call *call;
    struct watcher *next;
    const char *service;
    serving_status told;
    bool telling; /* a message is on its way */
    bool gone;    /* off the list */
};

struct rpc_health {
    pthread_mutex_t lock; /* of all of this; taken before a call's lock */
    struct entry *entries;
    size_t count; /* of entries */
    struct watcher *watchers;
    const char *living; /* the only name that may be SERVING, once retired; else NULL */
};

static serving_status unknown(void)
{
    return GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
}

struct rpc_health *rpc_health_new(void)
{
    struct rpc_health *health = calloc(1, sizeof *health);

    if (health != NULL)
        pthread_mutex_init(&health->lock, NULL);
    return health;
}

void rpc_health_free(struct rpc_health *health)
{
    if (health == NULL)
        return;
    for (struct entry *entry = health->entries, *next; entry != NULL; entry = next) {
        next = entry->next;
        free(entry);
    }
    pthread_mutex_destroy(&health->lock);
    free(health);
}

/* Everything from here to "Calls" is under the lock. */

static struct entry *find(const struct rpc_health *health, const char *service)
{
    for (struct entry *entry = health->entries; entry != NULL; entry = entry->next)
        if (strcmp(entry->name, service) == 0)
            return entry;
    return NULL;
}

static serving_status serving_of(const struct rpc_health *health, const char *service)
{
    const struct entry *entry = find(health, service);

    return entry != NULL ? entry->serving : unknown();
}

static struct entry *find_or_add(struct rpc_health *health, const char *service)
{
    struct entry *entry = find(health, service);
    size_t size = strlen(service) + 1;

    if (entry != NULL)
        return entry;
    entry = calloc(1, sizeof *entry + size);
    assert(entry != NULL);
    memcpy(entry->name, service, size);
    entry->next = health->entries;
    health->entries = entry;
    health->count++;
    return entry;
}

static void on_told(struct rpc_call *call, bool ok, void *ctx);

/* Sends the state if the watcher does not know it and is not being told something already. */
static void tell(struct watcher *watcher)
{
    Grpc__Health__V1__HealthCheckResponse reply = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

    reply.status = serving_of(watcher->health, watcher->service);
    if (watcher->telling || watcher->gone || reply.status == watcher->told)
        return;
    watcher->told = reply.status;
    watcher->telling = true;
    rpc_stream_send(watcher->call, &reply.base, on_told, watcher);
}

static void tell_all(struct rpc_health *health)
{
    for (struct watcher *watcher = health->watchers; watcher != NULL; watcher = watcher->next)
        tell(watcher);
}

static void unlist(struct watcher *watcher)
{
    struct watcher **at = &watcher->health->watchers;

    while (*at != watcher)
        at = &(*at)->next;
    *at = watcher->next;
    watcher->gone = true;
}

/* Calls. -------------------------------------------------------------------------------------- */

static void on_told(struct rpc_call *call, bool ok, void *ctx)
{
    struct watcher *watcher = ctx;
    struct rpc_health *health = watcher->health;

    (void)call;
    (void)ok; /* a broken stream is cancelled */
    pthread_mutex_lock(&health->lock);
    watcher->telling = false;
    tell(watcher);
    pthread_mutex_unlock(&health->lock);
}

static void on_left(struct rpc_call *call, void *ctx)
{
    struct watcher *watcher = ctx;
    struct rpc_health *health = watcher->health;
    struct status st = { 0 };

    pthread_mutex_lock(&health->lock);
    unlist(watcher);
    pthread_mutex_unlock(&health->lock);
    status_set(&st, STATUS_CANCELLED, "the watcher has gone");
    rpc_finish(call, NULL, &st);
}

static void watch(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    const Grpc__Health__V1__HealthCheckRequest *request = (const void *)message;
    struct rpc_health *health = service;
    struct watcher *watcher = arena_calloc(rpc_arena(call), 1, sizeof *watcher);
    struct status st = { 0 };

    if (rpc_arena(call)->used_bytes > WATCHED_MAX_BYTES)
        status_set(&st, STATUS_INVALID_ARGUMENT, "the request is larger than any name");
    else if (watcher == NULL)
        status_set(&st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (st.code != STATUS_OK) {
        rpc_finish(call, NULL, &st);
        return;
    }
    watcher->health = health;
    watcher->call = call;
    watcher->service = request->service;
    pthread_mutex_lock(&health->lock);
    watcher->next = health->watchers;
    health->watchers = watcher;
    tell(watcher);
    pthread_mutex_unlock(&health->lock);
    rpc_on_cancel(call, on_left, watcher);
}

static void check(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    const Grpc__Health__V1__HealthCheckRequest *request = (const void *)message;
    Grpc__Health__V1__HealthCheckResponse reply = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    struct rpc_health *health = service;
    struct status st = { 0 };

    pthread_mutex_lock(&health->lock);
    reply.status = serving_of(health, request->service);
    pthread_mutex_unlock(&health->lock);
    if (reply.status == unknown())
        status_set(&st, STATUS_NOT_FOUND, "unknown service '%s'", request->service);
    rpc_finish(call, &reply.base, &st);
}

/* Under the lock; its names live in the arena. */
static enum status_code fill_list(const struct rpc_health *health, struct arena *arena,
                                  Grpc__Health__V1__HealthListResponse *reply, struct status *st)
{
    if (health->count > LIST_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "%zu services are too many for a list",
                          health->count);
    reply->statuses = arena_calloc(arena, health->count, sizeof *reply->statuses);
    for (const struct entry *entry = health->entries; entry != NULL; entry = entry->next) {
        struct listed *listed = arena_alloc(arena, sizeof *listed);
        char *name = arena_strndup(arena, entry->name, strlen(entry->name));
        if (reply->statuses == NULL || listed == NULL || name == NULL)
            return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
        grpc__health__v1__health_list_response__statuses_entry__init(&listed->entry);
        grpc__health__v1__health_check_response__init(&listed->value);
        listed->entry.key = name;
        listed->entry.value = &listed->value;
        listed->value.status = entry->serving;
        reply->statuses[reply->n_statuses++] = &listed->entry;
    }
    return STATUS_OK;
}

static void list(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    Grpc__Health__V1__HealthListResponse reply = GRPC__HEALTH__V1__HEALTH_LIST_RESPONSE__INIT;
    struct rpc_health *health = service;
    struct status st = { 0 };

    (void)message;
    pthread_mutex_lock(&health->lock);
    fill_list(health, rpc_arena(call), &reply, &st);
    pthread_mutex_unlock(&health->lock);
    rpc_finish(call, &reply.base, &st);
}

void rpc_health_register(struct rpc_health *health, struct rpc_server *server, enum role role)
{
    const struct rpc_method methods[] = {
        { .name = "Check",
          .kind = RPC_UNARY,
          .run = RPC_ON_LOOP,
          .handler = check,
          .role = role,
          .vital = true },
        { .name = "List",
          .kind = RPC_UNARY,
          .run = RPC_ON_LOOP,
          .handler = list,
          .role = role,
          .vital = true },
        { .name = "Watch",
          .kind = RPC_SERVER_STREAM,
          .run = RPC_ON_LOOP,
          .handler = watch,
          .role = role,
          .endless = true,
          .vital = true,
          .most = WATCHERS_MAX },
    };

    rpc_server_add_service(server, &grpc__health__v1__health__descriptor, methods,
                           sizeof methods / sizeof methods[0], health);
}

static serving_status allowed(const struct rpc_health *health, const char *service,
                              enum rpc_serving serving)
{
    if (health->living != NULL && strcmp(health->living, service) != 0)
        return (serving_status)RPC_NOT_SERVING;
    return (serving_status)serving;
}

void rpc_health_set(struct rpc_health *health, const char *service, enum rpc_serving serving)
{
    pthread_mutex_lock(&health->lock);
    find_or_add(health, service)->serving = allowed(health, service, serving);
    tell_all(health);
    pthread_mutex_unlock(&health->lock);
}

void rpc_health_remove(struct rpc_health *health, const char *service)
{
    struct entry **at = &health->entries;
    struct entry *entry;

    pthread_mutex_lock(&health->lock);
    while (*at != NULL && strcmp((*at)->name, service) != 0)
        at = &(*at)->next;
    entry = *at;
    if (entry != NULL) {
        *at = entry->next;
        health->count--;
        tell_all(health);
    }
    pthread_mutex_unlock(&health->lock);
    free(entry);
}

void rpc_health_retire(struct rpc_health *health, const char *living)
{
    pthread_mutex_lock(&health->lock);
    health->living = living;
    for (struct entry *entry = health->entries; entry != NULL; entry = entry->next)
        entry->serving = allowed(health, entry->name, (enum rpc_serving)entry->serving);
    tell_all(health);
    pthread_mutex_unlock(&health->lock);
}
