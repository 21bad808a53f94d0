#ifndef SUTRA_CLUSTER_CONCEPT_COLUMNS_H
#define SUTRA_CLUSTER_CONCEPT_COLUMNS_H

/**
 * Encoded concepts as sutra.v1.ConceptColumns: what a shard, and a router that gathered the
 * concepts of several, answer to a BatchGet in columns. A pure function over borrowed bytes.
 */

#include "src/base/arena.h"
#include "src/base/buf.h"
#include "src/base/status.h"
#include "src/cluster/batch_get_wire.h"

/**
 * Appends BatchGetResponse.columns of @n records; where there is none, there is no row either.
 *
 * @dimension  of the embeddings, which lie in records as f32le; 0: without embeddings
 * @most       bytes of a message
 *
 * Working memory, some 150 bytes for a record and 32 for an attribute, comes from @arena. Of a
 * field that a record repeats the last counts, as protobuf has it; unknown ones are skipped.
 * DATA_LOSS for bytes that are no Concept, or whose embedding has another dimension;
 * RESOURCE_EXHAUSTED when @arena is full, or where the columns, or the same concepts in rows, would
 * exceed a message. For what else fails, ask @to->failed.
 */
enum status_code concept_columns_put(const struct concept_record *records, size_t n,
                                     size_t dimension, size_t most, struct arena *arena,
                                     struct buf *to, struct status *st);

#endif
