#ifndef SUTRA_SHARD_TRAINER_H
#define SUTRA_SHARD_TRAINER_H

/**
 * Looks after the codebook of the cluster; at work only at the shard that owns slot 0.
 *
 * Trains the first one when the cluster holds enough vectors, and another when it holds four times
 * as many as at the last training, or when what is written no longer resembles what was trained on;
 * splits and merges coarse cells that have become too large or too small; measures what recall a
 * search has; and brings shards that missed an installation up to date.
 *
 * The sample is every vector whose id's hash is below a bound, in the order of the hashes: so a
 * codebook depends on what is stored and on the seed, not on how many shards there are.
 */

#include <stdbool.h>
#include <stdint.h>

#include "src/base/status.h"
#include "src/vector/codebook.h"
#include "sutra/v1/admin_service.pb-c.h"

struct rpc_call;
struct shard;
struct trainer;

enum { TRAIN_SAMPLE_DEFAULT = 65536, TRAIN_SAMPLE_MAX = 131072 };

/** Borrows @shard, whose cluster must be set. Starts a thread that looks every few seconds. */
enum status_code trainer_start(struct shard *shard, struct trainer **ret, struct status *st);

/** As TrainCodebookRequest has them, checked and with defaults filled in. */
struct trainer_order {
    uint32_t sample;
    uint64_t seed;
    uint32_t cells; /* 0: as many as pay */
};

/**
 * Trains on about order->sample vectors, installs the result on every shard and calibrates it.
 * Returns when all search with it. ABORTED while another training runs, FAILED_PRECONDITION with
 * too few vectors; CANCELLED when @caller goes away before the result is there. Blocks, and waits
 * for ops of this shard: any thread but the loop and the last one of the pool.
 */
enum status_code trainer_train(struct trainer *trainer, struct rpc_call *caller,
                               const struct trainer_order *order, struct codebook_info *ret_info,
                               struct status *st);

/** What it is doing. Any thread; NULL does nothing. */
void trainer_progress(const struct trainer *trainer, Sutra__V1__TrainingStats *ret);

/** Whether trainer_stop() was called. */
bool trainer_stopping(const struct trainer *trainer);

/** Cancels a training, returns when the thread has ended. Accepts NULL. */
void trainer_stop(struct trainer *trainer);

#endif
