#ifndef SUTRA_CLUSTER_CANDIDATE_COLUMNS_H
#define SUTRA_CLUSTER_CANDIDATE_COLUMNS_H

/**
 * The columns of a CandidatesResponse, read one candidate after the other, those of one query after
 * those of the query before. Everything borrows from the message.
 */

#include "src/base/status.h"
#include "src/cluster/ranking.h"
#include "sutra/internal/v1/shard_service.pb-c.h"

struct candidate_columns {
    const Sutra__Internal__V1__CandidatesResponse *reply;
    size_t at;
    const uint8_t *id;
};

/** Before the first candidate of a reply to @queries queries. INTERNAL where the columns do not
 * agree with each other, or settings are missing. */
enum status_code candidate_columns_open(const Sutra__Internal__V1__CandidatesResponse *reply,
                                        size_t queries, struct candidate_columns *ret,
                                        struct status *st);

/** The next one; there are as many as all counts together say. */
struct candidate candidate_columns_next(struct candidate_columns *columns);

#endif
