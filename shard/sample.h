#ifndef SUTRA_SHARD_SAMPLE_H
#define SUTRA_SHARD_SAMPLE_H

/**
 * Vectors of the whole cluster, chosen by the hashes of their ids and in their order: so a sample
 * depends on what is stored, not on how many shards there are.
 */

#include "shard/row.h"
#include "shard/task.h"

/* A sample of the most vectors a training takes, encoded, fits. */
static const size_t SAMPLE_ARENA_BYTES = (size_t)1 << 30;

struct sample_vector {
    uint64_t hash;
    const char *id;
    const uint8_t *row;
};

struct sample {
    struct row_policy rows;
    struct sample_vector *vectors;
    size_t count;
};

/** About @wanted of the @stored vectors, those of the least hashes, in @arena. */
enum status_code sample_gather(const struct task *task, uint32_t wanted, uint64_t stored,
                               struct arena *arena, struct sample *ret, struct status *st);

/** Unit vectors [count][LIMIT_DIMENSION] from @first on; the caller frees them. NULL without
 * memory. */
float *sample_rows(const struct sample *sample, size_t first, size_t count);

#endif
