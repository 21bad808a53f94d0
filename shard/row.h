#ifndef SUTRA_SHARD_ROW_H
#define SUTRA_SHARD_ROW_H

/**
 * What a stored refinement row means to a shard. Codes depend on it to the last bit: writing,
 * re-encoding, training and reading all decode here. Pure functions, any thread.
 */

#include "src/ids/concept_id.h"
#include "src/serve/limits.h"
#include "src/store/store.h"

/** DATA_LOSS naming @id unless @vector has a row of this cluster's dimension. */
enum status_code row_check(const struct concept_id *id, const struct store_vector *vector,
                           struct status *st);

/** store_get_vectors() with every row checked. */
enum status_code row_get_vectors(struct store *store, const struct concept_id *ids, size_t n,
                                 struct arena *arena, struct store_vector *ret_vectors,
                                 struct status *st);

/** The unit vector that a checked row stands for. */
void row_decode(const void *row, float ret_unit[LIMIT_DIMENSION]);

#endif
