#ifndef SUTRA_SHARD_COURIER_H
#define SUTRA_SHARD_COURIER_H

/**
 * Delivers the outbox: the half of an association that belongs to another shard is sent there until
 * it has arrived.
 *
 * One thread, asleep while the outbox is empty. Entries leave in order; a shard that cannot be
 * reached is tried again with growing pauses, and does not hold up the others.
 */

#include <stdint.h>

#include "src/base/status.h"

struct courier;
struct shard;

/** Borrows @shard, whose cluster must be set. */
enum status_code courier_start(struct shard *shard, struct courier **ret, struct status *st);

/** Something may be in the outbox. Any thread; cheap. */
void courier_wake(struct courier *courier);

/** For how long some of the outbox could not be delivered; 0: all of it could. Any thread. */
int64_t courier_blocked_us(const struct courier *courier);

/** Returns when the thread has ended; what was not delivered stays in the store. Accepts NULL. */
void courier_stop(struct courier *courier);

#endif
