#include "src/base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work; /* a job waits, or the pool stops */
    struct pool_job *first;
    struct pool_job **end;
    size_t waiting;
    size_t limit;
    bool stopping;
    unsigned thread_count;
    pthread_t threads[];
};

/* The next job; NULL when there will be none. */
static struct pool_job *take(struct pool *pool)
{
    struct pool_job *job;

    pthread_mutex_lock(&pool->lock);
    while (pool->first == NULL && !pool->stopping)
        pthread_cond_wait(&pool->work, &pool->lock);
    job = pool->first;
    if (job != NULL) {
        pool->first = job->next;
        if (pool->first == NULL)
            pool->end = &pool->first;
        pool->waiting--;
    }
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static void *run(void *arg)
{
    struct pool *pool = arg;
    struct pool_job *job;

    while ((job = take(pool)) != NULL)
        job->run(job);
    return NULL;
}

static struct pool *pool_new(unsigned threads, size_t limit)
{
    struct pool *pool = calloc(1, sizeof *pool + threads * sizeof pool->threads[0]);

    if (pool == NULL)
        return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->end = &pool->first;
    pool->limit = limit;
    return pool;
}

static bool start_threads(struct pool *pool, unsigned threads)
{
    sigset_t all, before;
    bool ok = true;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (ok && pool->thread_count < threads) {
        ok = pthread_create(&pool->threads[pool->thread_count], NULL, run, pool) == 0;
        pool->thread_count += ok;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

enum status_code pool_start(unsigned threads, size_t limit, struct pool **ret_pool,
                            struct status *st)
{
    struct pool *pool = pool_new(threads, limit);

    if (pool == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (!start_threads(pool, threads)) {
        pool_stop(pool);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no %u threads for a pool", threads);
    }
    *ret_pool = pool;
    return STATUS_OK;
}

void pool_stop(struct pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static bool push(struct pool *pool, struct pool_job *job, bool limited)
{
    bool room;

    job->next = NULL;
    pthread_mutex_lock(&pool->lock);
    room = !limited || pool->waiting < pool->limit;
    if (room) {
        *pool->end = job;
        pool->end = &job->next;
        pool->waiting++;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    return room;
}

bool pool_offer(struct pool *pool, struct pool_job *job)
{
    return push(pool, job, true);
}

void pool_push(struct pool *pool, struct pool_job *job)
{
    push(pool, job, false);
}

size_t pool_waiting(struct pool *pool)
{
    size_t waiting;

    pthread_mutex_lock(&pool->lock);
    waiting = pool->waiting;
    pthread_mutex_unlock(&pool->lock);
    return waiting;
}
