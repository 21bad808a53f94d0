#ifndef SUTRA_SHARD_CALIBRATE_H
#define SUTRA_SHARD_CALIBRATE_H

/**
 * Measures what recall the cluster's searches give: stored vectors that the codebook was not
 * trained on are looked for, exactly over all refinement vectors and by codes with every setting of
 * a grid, each without finding itself.
 */

#include "shard/sample.h"
#include "src/vector/codebook.h"

enum { CALIBRATE_QUERIES = 256 };

/**
 * Looks for the vectors of @queries, at least one, and tells every shard what came out. All shards
 * must have @codebook installed; FAILED_PRECONDITION when one has not.
 */
enum status_code calibrate(const struct task *task, const struct codebook *codebook,
                           const struct sample *queries,
                           void (*progress)(void *context, double fraction), void *context,
                           struct status *st);

#endif
