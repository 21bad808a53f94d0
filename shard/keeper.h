#ifndef SUTRA_SHARD_KEEPER_H
#define SUTRA_SHARD_KEEPER_H

/**
 * Keeps a store small: flushes it when it has come to rest after writes, so that the log, which
 * holds every record uncompressed, does not stay beside the data for as long as nobody writes.
 */

#include "src/store/store.h"

struct keeper;

/** Borrows @store. */
enum status_code keeper_start(struct store *store, struct keeper **ret, struct status *st);

void keeper_stop(struct keeper *keeper); /* NULL is fine */

#endif
