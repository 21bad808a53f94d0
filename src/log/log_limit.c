#include "src/log/log_limit.h"

enum { LINE_US = 1000000 / LOG_LIMIT_PER_SECOND };

static uint64_t take_suppressed(struct log_limit *limit)
{
    uint64_t suppressed = limit->suppressed;

    limit->suppressed = 0;
    return suppressed;
}

bool log_limit_take(struct log_limit *limit, int64_t now_us, uint64_t *ret_suppressed)
{
    bool taken;

    pthread_mutex_lock(&limit->lock);
    if (limit->full_at_us < now_us)
        limit->full_at_us = now_us;
    taken = limit->full_at_us + LINE_US <= now_us + (int64_t)LOG_LIMIT_BURST * LINE_US;
    if (taken) {
        limit->full_at_us += LINE_US;
        *ret_suppressed = take_suppressed(limit);
    } else {
        limit->suppressed++;
    }
    pthread_mutex_unlock(&limit->lock);
    return taken;
}

uint64_t log_limit_suppressed(struct log_limit *limit)
{
    uint64_t suppressed;

    pthread_mutex_lock(&limit->lock);
    suppressed = take_suppressed(limit);
    pthread_mutex_unlock(&limit->lock);
    return suppressed;
}
