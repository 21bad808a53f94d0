#include "src/base/ticker.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdbool.h>

#include "tests/support/alloc_fault.h"

/* A tick that counts, and that waits where it is told to. */
struct clockwork {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int ticks;
    bool hold; /* the tick waits until it is false */
    bool held;
};

static struct clockwork clockwork = { .lock = PTHREAD_MUTEX_INITIALIZER,
                                      .changed = PTHREAD_COND_INITIALIZER };

static void tick(void *ctx)
{
    struct clockwork *c = ctx;

    pthread_mutex_lock(&c->lock);
    c->ticks++;
    c->held = c->hold;
    pthread_cond_broadcast(&c->changed);
    while (c->hold)
        pthread_cond_wait(&c->changed, &c->lock);
    c->held = false;
    pthread_mutex_unlock(&c->lock);
}

static void wait_for_ticks(struct clockwork *c, int ticks)
{
    pthread_mutex_lock(&c->lock);
    while (c->ticks < ticks)
        pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

static struct ticker *start(int64_t period_ms)
{
    struct ticker *ticker = NULL;
    struct status st = { 0 };

    cr_assert_eq(ticker_start(period_ms, tick, &clockwork, &ticker, &st), STATUS_OK, "%s",
                 st.message);
    return ticker;
}

Test(ticker, ticks_again_and_again)
{
    struct ticker *ticker = start(1);

    wait_for_ticks(&clockwork, 5);
    ticker_stop(ticker);
}

/* The ticks of another give it the time to begin to wait. */
Test(ticker, does_not_wait_for_its_period_to_stop, .timeout = 60)
{
    static struct clockwork never = { .lock = PTHREAD_MUTEX_INITIALIZER,
                                      .changed = PTHREAD_COND_INITIALIZER };
    struct ticker *slow = NULL;
    struct ticker *fast;
    struct status st = { 0 };

    cr_assert_eq(ticker_start(INT64_C(24) * 3600 * 1000, tick, &never, &slow, &st), STATUS_OK);
    fast = start(1);
    wait_for_ticks(&clockwork, 20);
    ticker_stop(fast);
    ticker_stop(slow);
    cr_expect_eq(never.ticks, 0, "the first tick comes after a period");
}

static void *let_go(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&clockwork.lock);
    clockwork.hold = false;
    pthread_cond_broadcast(&clockwork.changed);
    pthread_mutex_unlock(&clockwork.lock);
    return NULL;
}

Test(ticker, stopping_waits_for_a_running_tick)
{
    struct ticker *ticker;
    pthread_t thread;

    clockwork.hold = true;
    ticker = start(1);
    wait_for_ticks(&clockwork, 1);
    cr_assert(clockwork.held);
    cr_assert_eq(pthread_create(&thread, NULL, let_go, NULL), 0);
    ticker_stop(ticker);
    cr_expect_not(clockwork.held, "the tick has ended");
    pthread_join(thread, NULL);
}

Test(ticker, stopping_nothing_is_fine)
{
    ticker_stop(NULL);
}

Test(ticker, does_not_start_without_memory)
{
    struct ticker *ticker = NULL;
    struct status st = { 0 };

    alloc_fault_at(1);
    cr_expect_eq(ticker_start(1, tick, &clockwork, &ticker, &st), STATUS_RESOURCE_EXHAUSTED);
    cr_assert(alloc_fault_clear());
    cr_expect_null(ticker);
    cr_expect_eq(clockwork.ticks, 0);
}
