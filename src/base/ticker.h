#ifndef SUTRA_BASE_TICKER_H
#define SUTRA_BASE_TICKER_H

/**
 * A thread that does something now and then.
 */

#include <stdint.h>

#include "src/base/status.h"

struct ticker;

/** Calls tick(ctx) every @period_ms, counted from the end of the last tick. */
enum status_code ticker_start(int64_t period_ms, void (*tick)(void *ctx), void *ctx,
                              struct ticker **ret, struct status *st);

/** Returns when a running tick has ended, and the thread. Accepts NULL. */
void ticker_stop(struct ticker *ticker);

#endif
