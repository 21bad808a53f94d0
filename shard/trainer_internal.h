#ifndef SUTRA_SHARD_TRAINER_INTERNAL_H
#define SUTRA_SHARD_TRAINER_INTERNAL_H

/**
 * What trainer.c (when something is to be done), training.c (making codebooks) and install.c
 * (bringing one to all shards) share. All of it waits for answers of other shards: only with
 * trainer->training held, and never on the loop.
 */

#include <pthread.h>

#include "shard/shard.h"
#include "shard/task.h"
#include "shard/trainer.h"
#include "src/base/ticker.h"

struct trainer {
    struct shard *shard;
    struct ticker *ticker;
    pthread_mutex_t training; /* held while anything is done about the codebook */
    uint64_t cared_at; /* atomic; vectors there were when cells and calibration were last right */
    uint64_t settled;  /* atomic; the version that all shards are known to search with alone */
    int64_t wait_until_us; /* of looks: after a failure they pause, longer each time */
    int64_t pause_us;
    bool stopping; /* atomic */
    int stage;     /* atomic; Sutra__V1__TrainingStats__Stage */
    int permille;  /* atomic; of the stage */
};

void trainer_set_stage(struct trainer *trainer, Sutra__V1__TrainingStats__Stage stage);

/** Of the stage, 0 to 1; @task is a struct task, so that it fits the callbacks of src/vector. */
void trainer_set_fraction(void *task, double fraction);

/** Whether codes can be made anew: without the vectors they are all there is. */
static inline bool trainer_can_train_again(const struct trainer *trainer)
{
    return trainer->shard->options.rows.kept;
}

static inline uint64_t codebook_version_of(const struct codebook *codebook)
{
    return codebook == NULL ? 0 : codebook_info(codebook)->version;
}

/** What a shard's Stats say it searches with; 0: no codebook. */
uint64_t stats_version(const ProtobufCMessage *stats);

/* ---- install.c -------------------------------------------------------------------------- */

/**
 * Installs @codebook on shard @only, or on all if that is UINT32_MAX: asks again and again until
 * every vector is encoded with it, so it ends soon where the trainer has to. At the owner of slot 0
 * only if @expected_version is in force (ABORTED otherwise); for the others it is NULL.
 */
enum status_code install_codebook(const struct task *task, const struct codebook *codebook,
                                  const uint64_t *expected_version, uint32_t only,
                                  struct status *st);

/** When every shard has it ready: all change over, and when all have, forget the one before. So a
 * search that falls in between finds a codebook that all shards have. */
enum status_code change_over_to(const struct task *task, uint64_t version, struct status *st);

/* ---- training.c ------------------------------------------------------------------------- */

/** Samples the cluster, trains, installs, calibrates and changes over. */
enum status_code train_and_spread(struct task *task, const struct trainer_order *order,
                                  struct codebook_info *ret_info, struct status *st);

/** Splits and merges cells, where some are too large or too small, and calibrates, for what is
 * stored by now. There is a codebook. */
enum status_code balance_and_calibrate(struct task *task, struct status *st);

#endif
