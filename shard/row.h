#ifndef SUTRA_SHARD_ROW_H
#define SUTRA_SHARD_ROW_H

/**
 * What is kept of a vector beside its code, and what it means to a shard. Codes depend on rows to
 * the last bit: writing, re-encoding, training and reading all decode here. Pure functions, any
 * thread.
 */

#include "src/ids/concept_id.h"
#include "src/serve/limits.h"
#include "src/store/store.h"
#include "src/vector/codebook.h"
#include "src/vector/refine.h"

enum { ROW_MAX_BYTES = 4 * LIMIT_DIMENSION };

/** An option of the cluster. */
struct row_policy {
    enum refine_format format;
    bool kept; /* false ("none"): rows, int8, go when there is a code, which then stands for them */
};

/** "int8", "float16", "float32" or "none"; false for others. */
bool row_policy_parse(const char *name, struct row_policy *ret);

const char *row_policy_name(struct row_policy policy);

/** For store_options.vector_format. */
uint32_t row_policy_number(struct row_policy policy);

static inline size_t row_bytes(struct row_policy policy)
{
    return refine_row_bytes(policy.format, LIMIT_DIMENSION);
}

/**
 * Checks a stored vector, and gives one that has only a code the row that the code stands for, in
 * @scratch. DATA_LOSS naming @id for what is no row of this cluster's dimension, or a code of
 * another codebook than @codebook (which may be NULL) without a row.
 */
enum status_code row_complete(struct row_policy policy, const struct codebook *codebook,
                              const struct concept_id *id, struct store_vector *vector,
                              uint8_t scratch[ROW_MAX_BYTES], struct status *st);

/** The unit vector that a row stands for. */
void row_decode(struct row_policy policy, const void *row, float ret_unit[LIMIT_DIMENSION]);

#endif
