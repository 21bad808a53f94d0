#ifndef SUTRA_BASE_CLOCK_H
#define SUTRA_BASE_CLOCK_H

/** Two clocks: the wall's for what is stored, the monotonic for what is measured. Any thread. */

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

#endif
