#include "src/base/pool.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/support/alloc_fault.h"

enum { JOBS = 1000, OFFERERS = 4 };

/* A gate that running jobs wait at. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int at_the_gate;
static bool open_gate;

struct work {
    struct pool_job job;
    int number;
    int runs;
};

static int order[JOBS];
static atomic_int done;

static struct work *work_of(struct pool_job *job)
{
    return (struct work *)job; /* its first member */
}

static void run_in_order(struct pool_job *job)
{
    struct work *work = work_of(job);

    work->runs++;
    order[atomic_fetch_add(&done, 1)] = work->number;
}

static void run_at_the_gate(struct pool_job *job)
{
    pthread_mutex_lock(&lock);
    at_the_gate++;
    pthread_cond_broadcast(&changed);
    while (!open_gate)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    run_in_order(job);
}

static void wait_at_the_gate(int jobs)
{
    pthread_mutex_lock(&lock);
    while (at_the_gate < jobs)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void let_through(void)
{
    pthread_mutex_lock(&lock);
    open_gate = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static struct pool *start(unsigned threads, size_t limit)
{
    struct pool *pool = NULL;
    struct status st = { 0 };

    cr_assert_eq(pool_start(threads, limit, &pool, &st), STATUS_OK, "%s", st.message);
    return pool;
}

Test(pool, one_thread_runs_jobs_in_their_order)
{
    static struct work work[JOBS];
    struct pool *pool = start(1, JOBS);

    for (int i = 0; i < JOBS; i++) {
        work[i] = (struct work){ .job.run = run_in_order, .number = i };
        cr_assert(pool_offer(pool, &work[i].job));
    }
    pool_stop(pool);
    cr_assert_eq(done, JOBS);
    for (int i = 0; i < JOBS; i++)
        cr_assert(order[i] == i && work[i].runs == 1);
}

/* All of them wait for each other: one thread fewer, and this would not end. */
Test(pool, its_threads_run_side_by_side)
{
    struct work work[3];
    struct pool *pool = start(3, 3);

    for (int i = 0; i < 3; i++) {
        work[i] = (struct work){ .job.run = run_at_the_gate, .number = i };
        cr_assert(pool_offer(pool, &work[i].job));
    }
    wait_at_the_gate(3);
    let_through();
    pool_stop(pool);
    cr_expect_eq(done, 3);
}

Test(pool, a_full_queue_refuses_offers_but_not_pushes)
{
    struct work work[5];
    struct pool *pool = start(1, 2);

    for (int i = 0; i < 5; i++)
        work[i] = (struct work){ .job.run = run_at_the_gate, .number = i };
    pool_push(pool, &work[0].job);
    wait_at_the_gate(1); /* it runs: the queue is empty */
    cr_expect(pool_offer(pool, &work[1].job));
    cr_expect(pool_offer(pool, &work[2].job));
    cr_expect_not(pool_offer(pool, &work[3].job));
    pool_push(pool, &work[4].job);
    cr_expect_not(pool_offer(pool, &work[3].job));
    let_through();
    pool_stop(pool);
    cr_expect_eq(done, 4);
    cr_expect_eq(order[3], 4);
}

Test(pool, there_is_room_again_when_jobs_have_begun)
{
    struct work first = { .job.run = run_at_the_gate };
    struct work second = { .job.run = run_in_order };
    struct pool *pool = start(1, 1);

    cr_assert(pool_offer(pool, &first.job));
    wait_at_the_gate(1);
    cr_expect(pool_offer(pool, &second.job));
    let_through();
    pool_stop(pool);
    cr_expect_eq(done, 2);
}

Test(pool, stopping_runs_what_waits)
{
    struct work work[20];
    struct pool *pool = start(2, 20);

    for (int i = 0; i < 20; i++) {
        work[i] = (struct work){ .job.run = i < 2 ? run_at_the_gate : run_in_order, .number = i };
        cr_assert(pool_offer(pool, &work[i].job));
    }
    wait_at_the_gate(2);
    let_through();
    pool_stop(pool);
    cr_expect_eq(done, 20);
}

/* A job may be queued again from its own run, and then be a different one. */
static struct pool *steps_pool;

static void last_step(struct pool_job *job)
{
    run_in_order(job);
    let_through();
}

static void first_step(struct pool_job *job)
{
    job->run = last_step;
    pool_push(steps_pool, job);
}

Test(pool, a_running_job_may_queue_itself)
{
    struct work work = { .job.run = first_step };

    steps_pool = start(1, 0);
    pool_push(steps_pool, &work.job);
    pthread_mutex_lock(&lock);
    while (!open_gate)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    pool_stop(steps_pool);
    cr_expect_eq(work.runs, 1);
}

struct offerer {
    struct pool *pool;
    struct work *work;
};

static void count(struct pool_job *job)
{
    work_of(job)->runs++;
    atomic_fetch_add(&done, 1);
}

static void *offer_many(void *arg)
{
    struct offerer *offerer = arg;

    for (int i = 0; i < JOBS; i++) {
        offerer->work[i].job.run = count;
        pool_push(offerer->pool, &offerer->work[i].job);
    }
    return NULL;
}

Test(pool, any_thread_may_queue_and_every_job_runs_once)
{
    static struct work work[OFFERERS][JOBS];
    struct offerer offerers[OFFERERS];
    pthread_t threads[OFFERERS];
    struct pool *pool = start(3, 0);

    for (int t = 0; t < OFFERERS; t++) {
        offerers[t] = (struct offerer){ pool, work[t] };
        cr_assert_eq(pthread_create(&threads[t], NULL, offer_many, &offerers[t]), 0);
    }
    for (int t = 0; t < OFFERERS; t++)
        pthread_join(threads[t], NULL);
    pool_stop(pool);
    cr_assert_eq(done, OFFERERS * JOBS);
    for (int t = 0; t < OFFERERS; t++)
        for (int i = 0; i < JOBS; i++)
            cr_assert_eq(work[t][i].runs, 1);
}

static atomic_int blocked;

static void look_at_signals(struct pool_job *job)
{
    sigset_t mask;

    (void)job;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    atomic_store(&blocked, sigismember(&mask, SIGTERM));
}

Test(pool, signals_are_left_to_the_other_threads)
{
    struct work work = { .job.run = look_at_signals };
    struct pool *pool = start(1, 1);
    sigset_t mask;

    cr_assert(pool_offer(pool, &work.job));
    pool_stop(pool);
    cr_expect_eq(blocked, 1);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    cr_expect_eq(sigismember(&mask, SIGTERM), 0, "the caller's mask is as it was");
}

Test(pool, stopping_nothing_is_fine)
{
    pool_stop(NULL);
}

Test(pool, does_not_start_without_memory)
{
    struct pool *pool = NULL;
    struct status st = { 0 };

    alloc_fault_at(1);
    cr_expect_eq(pool_start(2, 2, &pool, &st), STATUS_RESOURCE_EXHAUSTED);
    cr_assert(alloc_fault_clear());
    cr_expect_null(pool);
}
