#ifndef SUTRA_CLUSTER_RANKING_H
#define SUTRA_CLUSTER_RANKING_H

/**
 * From the candidates of all shards to the answer: the best R of all by approximate score are
 * ordered by refined score, and the best k of those are the result. Both orders are total (score,
 * then id), so it does not depend on how many shards there are. Pure functions; ids are borrowed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/ids/concept_id.h"
#include "src/vector/topk.h"

struct candidate {
    const uint8_t *id;
    uint32_t id_length;
    float approximate;
    float refined;
};

/** One shard's candidates of one query. */
struct ranking_list {
    const struct candidate *candidates; /* [count], by (approximate descending, id) */
    size_t count;
    bool cut; /* the shard has more of them, behind these */
};

struct ranking_rule {
    size_t rerank; /* R; SIZE_MAX where approximate scores do not compare: all are ordered */
    size_t k;
    const struct concept_id *own; /* the concept that asks, which is no answer; data NULL: none */
};

/** One query's answer, best first. */
struct ranking {
    struct candidate *candidates; /* [k] */
    size_t count;
};

/**
 * Fills @ret, whose candidates are the caller's. False if a list was cut too early to tell.
 * @lists    [n], used up
 * @scratch  [k]
 */
bool ranking_merge(const struct ranking_rule *rule, struct ranking_list *lists, size_t n,
                   struct topk_entry *scratch, struct ranking *ret);

#endif
