#include "src/base/ticker.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "src/base/clock.h"

struct ticker {
    int64_t period_ms;
    void (*tick)(void *ctx);
    void *ctx;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    bool stopping;
};

static bool wait_a_period(struct ticker *ticker)
{
    struct timespec until = clock_after_ms(ticker->period_ms);
    bool go_on;

    pthread_mutex_lock(&ticker->lock);
    while (!ticker->stopping &&
           pthread_cond_timedwait(&ticker->stop, &ticker->lock, &until) != ETIMEDOUT)
        continue;
    go_on = !ticker->stopping;
    pthread_mutex_unlock(&ticker->lock);
    return go_on;
}

static void *run(void *arg)
{
    struct ticker *ticker = arg;

    while (wait_a_period(ticker))
        ticker->tick(ticker->ctx);
    return NULL;
}

static void ticker_free(struct ticker *ticker)
{
    pthread_cond_destroy(&ticker->stop);
    pthread_mutex_destroy(&ticker->lock);
    free(ticker);
}

enum status_code ticker_start(int64_t period_ms, void (*tick)(void *ctx), void *ctx,
                              struct ticker **ret, struct status *st)
{
    struct ticker *ticker = calloc(1, sizeof *ticker);

    if (ticker == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    ticker->period_ms = period_ms;
    ticker->tick = tick;
    ticker->ctx = ctx;
    pthread_mutex_init(&ticker->lock, NULL);
    clock_cond_init(&ticker->stop);
    if (pthread_create(&ticker->thread, NULL, run, ticker) != 0) {
        ticker_free(ticker);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "cannot start a thread");
    }
    *ret = ticker;
    return STATUS_OK;
}

void ticker_stop(struct ticker *ticker)
{
    if (ticker == NULL)
        return;
    pthread_mutex_lock(&ticker->lock);
    ticker->stopping = true;
    pthread_cond_signal(&ticker->stop);
    pthread_mutex_unlock(&ticker->lock);
    pthread_join(ticker->thread, NULL);
    ticker_free(ticker);
}
