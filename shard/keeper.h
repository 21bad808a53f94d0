#ifndef SUTRA_SHARD_KEEPER_H
#define SUTRA_SHARD_KEEPER_H

/**
 * Keeps store and index in shape: flushes a store that has come to rest, so that it takes little
 * disk and opens quickly, returns freed memory to the system now and then, and gives the index time
 * for what can wait (index_maintain()).
 */

#include "shard/index.h"
#include "src/base/status.h"
#include "src/store/store.h"

struct keeper;

/** Borrows both. Starts a thread. */
enum status_code keeper_start(struct store *store, struct index *index, struct keeper **ret,
                              struct status *st);

/** After index_stop(). Accepts NULL. */
void keeper_stop(struct keeper *keeper);

#endif
