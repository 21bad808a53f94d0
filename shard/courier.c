#include "shard/courier.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shard/convert.h"
#include "shard/shard.h"
#include "shard/waiting.h"
#include "src/base/clock.h"
#include "src/cluster/scatter.h"
#include "src/log/log.h"
#include "src/serve/limits.h"
#include "sutra/internal/v1/shard_service.pb-c.h"

enum { BATCH = 4096, FIRST_PAUSE_MS = 50, LONGEST_PAUSE_MS = 2000, PATIENCE_MS = 10000 };

struct courier {
    struct shard *shard;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool work; /* something may be in the outbox */
    bool stopping;
    int64_t blocked_since_us; /* atomic; the first failure since all was delivered; 0: none */
    int64_t pause_ms;         /* before the next try; 0 after a success */
    /* Shards that failed in this round: what is for them waits, so that it arrives in order. */
    bool failed[TOPOLOGY_MAX_SHARDS];
};

/* ---- One round ---- */

/* A batch of entries, divided by the shards they go to. */
struct delivery {
    struct arena arena;
    struct placement *placement;
    struct store_outbox_entry *entries;
    size_t count;
    Sutra__Internal__V1__ApplyEdgesRequest *requests; /* [shard_count] */
    uint64_t **sequences;                             /* [shard_count][n_ops] */
    struct status *outcomes;                          /* [shard_count] */
    struct waiting waiting;                           /* for them */
};

static Sutra__Internal__V1__EdgeOp *make_op(const struct store_outbox_entry *entry,
                                            struct arena *arena)
{
    Sutra__Internal__V1__EdgeOp *op = arena_alloc(arena, sizeof *op);

    if (op == NULL)
        return NULL;
    sutra__internal__v1__edge_op__init(op);
    op->kind = (Sutra__Internal__V1__EdgeOp__Kind)entry->op.kind;
    op->stamp = entry->op.association.stamp;
    op->association = convert_association_back(&entry->op.association, arena);
    return op->association == NULL ? NULL : op;
}

static bool make_requests(struct delivery *d)
{
    uint32_t shards = d->placement->topology->shard_count;

    d->requests = arena_calloc(&d->arena, shards, sizeof *d->requests);
    d->sequences = arena_calloc(&d->arena, shards, sizeof *d->sequences);
    d->outcomes = arena_calloc(&d->arena, shards, sizeof *d->outcomes);
    if (d->requests == NULL || d->sequences == NULL || d->outcomes == NULL)
        return false;
    for (uint32_t s = 0; s < shards; s++) {
        sutra__internal__v1__apply_edges_request__init(&d->requests[s]);
        d->requests[s].ops = arena_calloc(&d->arena, d->count, sizeof *d->requests[s].ops);
        d->sequences[s] = arena_calloc(&d->arena, d->count, sizeof *d->sequences[s]);
        if (d->requests[s].ops == NULL || d->sequences[s] == NULL)
            return false;
    }
    for (size_t i = 0; i < d->count; i++) {
        uint32_t s = placement_owner(d->placement, d->entries[i].slot);
        Sutra__Internal__V1__ApplyEdgesRequest *request = &d->requests[s];
        request->ops[request->n_ops] = make_op(&d->entries[i], &d->arena);
        if (request->ops[request->n_ops] == NULL)
            return false;
        d->sequences[s][request->n_ops++] = d->entries[i].sequence;
    }
    return true;
}

/* Removes what arrived at shard @s; keeps the first failure in @st. */
static void settle(struct courier *courier, struct delivery *d, uint32_t s, struct status *st)
{
    struct status *outcome = &d->outcomes[s];

    if (outcome->code == STATUS_OK)
        store_outbox_remove(courier->shard->store, d->sequences[s], d->requests[s].n_ops, outcome);
    if (outcome->code == STATUS_OK)
        return;
    courier->failed[s] = true;
    if (st->code == STATUS_OK)
        *st = *outcome;
}

/* On the loop, perhaps: what touches the disk is left to the courier's thread. */
static void arrived(struct scatter *scatter, void *ctx)
{
    struct delivery *d = ctx;

    for (size_t i = 0; i < scatter->count; i++)
        d->outcomes[scatter->parts[i].shard] = scatter->parts[i].result.status;
    waiting_done(&d->waiting);
}

static bool has_post(const struct courier *courier, const struct delivery *d, uint32_t s)
{
    return d->requests[s].n_ops > 0 && !courier->failed[s];
}

static enum status_code send(struct courier *courier, struct delivery *d, struct status *st)
{
    uint32_t shards = d->placement->topology->shard_count;
    struct scatter *scatter = scatter_new(d->placement, NULL, "ApplyEdges", shards);

    if (scatter == NULL || !make_requests(d)) {
        scatter_free(scatter);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    for (uint32_t s = 0; s < shards; s++)
        if (has_post(courier, d, s))
            scatter_add(scatter, s, &d->requests[s].base);
    scatter->deadline_us = clock_monotonic_us() + PATIENCE_MS * INT64_C(1000);
    waiting_init(&d->waiting);
    scatter_run(scatter, arrived, d);
    waiting_wait(&d->waiting);
    for (uint32_t s = 0; s < shards; s++)
        if (has_post(courier, d, s))
            settle(courier, d, s, st);
    return st->code;
}

/* Sends the entries behind *after; moves it. *ret_more is false at the end of the outbox. */
static enum status_code deliver_batch(struct courier *courier, uint64_t *after, bool *ret_more,
                                      struct status *st)
{
    struct delivery d = { 0 };

    arena_init(&d.arena, LIMIT_CALL_ARENA_BYTES);
    d.placement = cluster_placement(courier->shard->cluster);
    if (store_outbox_peek(courier->shard->store, *after, BATCH, &d.arena, &d.entries, &d.count,
                          st) == STATUS_OK &&
        d.count > 0) {
        *after = d.entries[d.count - 1].sequence;
        send(courier, &d, st);
    }
    *ret_more = d.count == BATCH;
    placement_unref(d.placement);
    arena_deinit(&d.arena);
    return st->code;
}

/* Goes through the outbox once, past what is for shards that cannot be reached. */
static enum status_code deliver_all(struct courier *courier, struct status *st)
{
    uint64_t after = 0;
    bool more = true;

    memset(courier->failed, 0, sizeof courier->failed);
    while (more && !__atomic_load_n(&courier->stopping, __ATOMIC_RELAXED)) {
        struct status failed = { 0 };
        if (deliver_batch(courier, &after, &more, &failed) != STATUS_OK && st->code == STATUS_OK)
            *st = failed;
    }
    return st->code;
}

/* ---- The thread ---- */

/* Waits for work, or for the end of a pause; false when it is time to stop. */
static bool wait_for_work(struct courier *courier)
{
    bool go_on;

    pthread_mutex_lock(&courier->lock);
    if (courier->pause_ms > 0) {
        struct timespec until = clock_after_ms(courier->pause_ms);
        while (!courier->stopping &&
               pthread_cond_timedwait(&courier->woken, &courier->lock, &until) != ETIMEDOUT)
            continue;
    } else {
        while (!courier->work && !courier->stopping)
            pthread_cond_wait(&courier->woken, &courier->lock);
    }
    courier->work = false;
    go_on = !courier->stopping;
    pthread_mutex_unlock(&courier->lock);
    return go_on;
}

static void after_success(struct courier *courier)
{
    courier->pause_ms = 0;
    __atomic_store_n(&courier->blocked_since_us, 0, __ATOMIC_RELAXED);
}

static void after_failure(struct courier *courier, const struct status *st)
{
    if (courier->pause_ms == 0) {
        log_line(LOG_WARN, "outbox_waits", LOG_TEXT("message", st->message));
        __atomic_store_n(&courier->blocked_since_us, clock_monotonic_us(), __ATOMIC_RELAXED);
    }
    courier->pause_ms = courier->pause_ms == 0 ? FIRST_PAUSE_MS : courier->pause_ms * 2;
    if (courier->pause_ms > LONGEST_PAUSE_MS)
        courier->pause_ms = LONGEST_PAUSE_MS;
}

static void *run(void *arg)
{
    struct courier *courier = arg;

    while (wait_for_work(courier)) {
        struct status st = { 0 };
        if (deliver_all(courier, &st) == STATUS_OK)
            after_success(courier);
        else
            after_failure(courier, &st);
    }
    return NULL;
}

enum status_code courier_start(struct shard *shard, struct courier **ret, struct status *st)
{
    struct courier *courier = calloc(1, sizeof *courier);

    if (courier == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    courier->shard = shard;
    courier->work = true; /* what the last run left */
    pthread_mutex_init(&courier->lock, NULL);
    clock_cond_init(&courier->woken);
    if (pthread_create(&courier->thread, NULL, run, courier) != 0) {
        pthread_cond_destroy(&courier->woken);
        pthread_mutex_destroy(&courier->lock);
        free(courier);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "cannot start a thread");
    }
    *ret = courier;
    return STATUS_OK;
}

void courier_wake(struct courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    courier->work = true;
    pthread_cond_signal(&courier->woken);
    pthread_mutex_unlock(&courier->lock);
}

int64_t courier_blocked_us(const struct courier *courier)
{
    int64_t since_us = __atomic_load_n(&courier->blocked_since_us, __ATOMIC_RELAXED);

    return since_us == 0 ? 0 : clock_monotonic_us() - since_us;
}

void courier_stop(struct courier *courier)
{
    if (courier == NULL)
        return;
    pthread_mutex_lock(&courier->lock);
    __atomic_store_n(&courier->stopping, true, __ATOMIC_RELAXED);
    pthread_cond_signal(&courier->woken);
    pthread_mutex_unlock(&courier->lock);
    pthread_join(courier->thread, NULL);
    pthread_cond_destroy(&courier->woken);
    pthread_mutex_destroy(&courier->lock);
    free(courier);
}
