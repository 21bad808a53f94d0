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

enum sample_end {
    SAMPLE_LEAST,    /* hashes, to train on */
    SAMPLE_GREATEST, /* to measure with: what has them as a store grows was never trained on */
};

/** About @wanted of the @stored vectors, in @arena. */
enum status_code sample_gather(const struct task *task, enum sample_end end, uint32_t wanted,
                               uint64_t stored, struct arena *arena, struct sample *ret,
                               struct status *st);

/** Leaves out all but the last @count. */
void sample_keep_last(struct sample *sample, size_t count);

/** Leaves out those of @other, which are the last ones if they are there at all. */
void sample_leave_out(struct sample *sample, const struct sample *other);

/** Unit vectors [count][LIMIT_DIMENSION]; the caller frees them. NULL without memory. */
float *sample_rows(const struct sample *sample);

#endif
