#ifndef SUTRA_BASE_CLOCK_H
#define SUTRA_BASE_CLOCK_H

/** Two clocks: the wall's for what is stored, the monotonic for what is measured. Any thread. */

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/** Microseconds since 1970-01-01T00:00:00Z. */
static inline int64_t clock_wall_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/** Microseconds since an arbitrary start; never goes back. */
static inline int64_t clock_monotonic_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/** The monotonic clock's time in @ms from now, for pthread_cond_timedwait(). */
static inline struct timespec clock_after_ms(int64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += ms % 1000 * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/** pthread_cond_init() of one whose timed waits go by the monotonic clock. */
static inline void clock_cond_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

#endif
