#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "src/base/clock.h"
#include "src/rpc/loop.h"

enum { PATIENCE_MS = 1000 };

/* A question to the loop: how long until you come to this? It may be answered when nobody waits any
 * more. */
struct probe {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    int64_t asked_us;
    int64_t answered_us; /* 0: not yet */
    unsigned refs;
};

static struct probe *probe_new(void)
{
    struct probe *probe = calloc(1, sizeof *probe);

    assert(probe != NULL); /* as gRPC's own allocator would */
    probe->refs = 2;
    probe->asked_us = clock_monotonic_us();
    pthread_mutex_init(&probe->lock, NULL);
    clock_cond_init(&probe->answered);
    return probe;
}

/* Called with the lock held, which it gives up. */
static void probe_unref(struct probe *probe)
{
    unsigned left = --probe->refs;

    pthread_mutex_unlock(&probe->lock);
    if (left > 0)
        return;
    pthread_cond_destroy(&probe->answered);
    pthread_mutex_destroy(&probe->lock);
    free(probe);
}

static void answer(void *ctx)
{
    struct probe *probe = ctx;

    pthread_mutex_lock(&probe->lock);
    probe->answered_us = clock_monotonic_us();
    pthread_cond_signal(&probe->answered);
    probe_unref(probe);
}

/* How long it took, or has been waited for in vain. */
static int64_t wait_for_answer(struct probe *probe)
{
    struct timespec until = clock_after_ms(PATIENCE_MS);
    int64_t lag_us;

    pthread_mutex_lock(&probe->lock);
    while (probe->answered_us == 0 &&
           pthread_cond_timedwait(&probe->answered, &probe->lock, &until) != ETIMEDOUT)
        continue;
    lag_us =
        (probe->answered_us != 0 ? probe->answered_us : clock_monotonic_us()) - probe->asked_us;
    probe_unref(probe);
    return lag_us;
}

void rpc_loop_collect(void *ctx, struct metrics_page *page)
{
    struct rpc_loop *loop = ctx;
    struct probe *probe = probe_new();

    assert(!rpc_loop_is_current(loop));
    rpc_loop_post(loop, answer, probe);
    metrics_gauge_value(page, "sutra_rpc_loop_lag_seconds",
                        "How long the loop took to come to what it was given during this scrape.",
                        (double)wait_for_answer(probe) * 1e-6);
}
