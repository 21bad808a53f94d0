#ifndef SUTRA_BASE_POOL_H
#define SUTRA_BASE_POOL_H

/**
 * Threads for work that blocks, and the queue before them.
 *
 * Jobs live inside the structs they work on, so that queueing never allocates; a job is free for
 * another use when it has begun to run.
 */

#include <stdbool.h>
#include <stddef.h>

#include "src/base/status.h"

struct pool;

struct pool_job {
    struct pool_job *next;
    void (*run)(struct pool_job *job);
};

/** @limit bounds the jobs that wait. RESOURCE_EXHAUSTED without threads or memory. */
enum status_code pool_start(unsigned threads, size_t limit, struct pool **ret_pool,
                            struct status *st);

/** Runs what waits, ends the threads, frees. Accepts NULL. */
void pool_stop(struct pool *pool);

/** False when the queue is full. Any thread. */
bool pool_offer(struct pool *pool, struct pool_job *job);

/** Jobs that no thread has taken yet. Any thread. */
size_t pool_waiting(struct pool *pool);

/** Queues whatever the limit: for the next step of a call that was let in. Any thread. */
void pool_push(struct pool *pool, struct pool_job *job);

#endif
