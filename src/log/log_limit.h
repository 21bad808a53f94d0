#ifndef SUTRA_LOG_LOG_LIMIT_H
#define SUTRA_LOG_LOG_LIMIT_H

/**
 * How many lines may be written about what strangers can cause at will: LOG_LIMIT_BURST at once,
 * and LOG_LIMIT_PER_SECOND from then on. What is not written is counted, and the next line says how
 * many there were.
 *
 * `LOG_LIMIT_INIT` is a limit that nothing was counted against yet. Any thread.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { LOG_LIMIT_BURST = 50, LOG_LIMIT_PER_SECOND = 5 };

struct log_limit {
    pthread_mutex_t lock;
    int64_t full_at_us; /* when the burst will be whole again if nothing is written until then */
    uint64_t suppressed;
};

#define LOG_LIMIT_INIT                                                                             \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                          \
    }

/** Whether a line may be written at @now_us; if so, *ret_suppressed is how many could not since the
 * last one that could. */
bool log_limit_take(struct log_limit *limit, int64_t now_us, uint64_t *ret_suppressed);

/** Gives how many lines were not written since the last that was, and forgets them. */
uint64_t log_limit_suppressed(struct log_limit *limit);

#endif
