#ifndef SUTRA_SHARD_WAITING_H
#define SUTRA_SHARD_WAITING_H

/**
 * Lets a thread of its own wait for a callback. Never on the loop.
 */

#include <pthread.h>
#include <stdbool.h>

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

static inline void waiting_init(struct waiting *waiting)
{
    pthread_mutex_init(&waiting->lock, NULL);
    pthread_cond_init(&waiting->changed, NULL);
    waiting->done = false;
}

static inline void waiting_done(struct waiting *waiting)
{
    pthread_mutex_lock(&waiting->lock);
    waiting->done = true;
    pthread_cond_signal(&waiting->changed);
    pthread_mutex_unlock(&waiting->lock);
}

/** Returns after waiting_done() and ends the use of @waiting. */
static inline void waiting_wait(struct waiting *waiting)
{
    pthread_mutex_lock(&waiting->lock);
    while (!waiting->done)
        pthread_cond_wait(&waiting->changed, &waiting->lock);
    pthread_mutex_unlock(&waiting->lock);
    pthread_cond_destroy(&waiting->changed);
    pthread_mutex_destroy(&waiting->lock);
}

#endif
