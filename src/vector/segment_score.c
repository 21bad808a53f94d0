#include <math.h>
#include <stdlib.h>

#include "src/base/size.h"
#include "src/vector/refine.h"
#include "src/vector/segment_bulk.h"

/* Ids for each group, from which on it is worth scanning them all. */
enum { SCAN_FROM = 2 };

struct scores {
    struct bulk_block block;
    struct bulk_located located;
    union {
        struct codebook_query codes;
        struct refine_query row;
    };
};

static float score(const struct scores *scores, size_t i, enum segment_measure measure)
{
    const uint8_t *at = scores->located.at[i];
    uint8_t code[CODEBOOK_CODE_BYTES];

    if (at == NULL)
        return NAN;
    if (measure == SEGMENT_BY_ROW)
        return refine_score(&scores->row, at);
    segment_gather_code(at, scores->located.stride[i], code);
    return codebook_query_score(&scores->codes, code);
}

static void score_located(const struct segment *segment, const struct scores *scores, size_t n,
                          enum segment_measure measure, float *ret)
{
    size_t lead = measure == SEGMENT_BY_ROW ? BULK_ROWS_AHEAD : BULK_CODES_AHEAD;

    for (size_t i = 0; i < n + lead; i++) {
        if (i < n)
            bulk_prefetch(segment, &scores->located, i, measure);
        if (i >= lead)
            ret[i - lead] = score(scores, i - lead, measure);
    }
}

static void score_block(struct segment *segment, struct scores *scores,
                        const struct segment_id *ids, size_t n, enum segment_measure measure,
                        float *ret)
{
    struct segment_reader reader;

    bulk_enter(segment, &scores->block, ids, n, measure, &scores->located, &reader);
    score_located(segment, scores, n, measure, ret);
    segment_leave(segment, &reader);
}

static bool is_worth_scanning(const struct segment *segment, size_t n, enum segment_measure measure)
{
    size_t groups = atomic_load(&segment->groups);

    return measure == SEGMENT_BY_CODE && groups > 0 && n / groups >= SCAN_FROM;
}

enum status_code segment_score(struct segment *segment, const float *query,
                               const struct segment_id *ids, size_t n, enum segment_measure measure,
                               float *ret_similarities, struct status *st)
{
    struct scores *scores = aligned_alloc(64, sizeof *scores);

    if (scores == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to compare");
    if (measure == SEGMENT_BY_ROW)
        refine_query_init(&scores->row, segment->refine, query, segment->dimension);
    else
        codebook_query_init(&scores->codes, segment->codebook, query);
    if (is_worth_scanning(segment, n, measure))
        bulk_score_groups(segment, &scores->codes, ids, n, ret_similarities, st);
    else
        for (size_t i = 0; i < n; i += BULK_BLOCK)
            score_block(segment, scores, ids + i, size_min(n - i, BULK_BLOCK), measure,
                        ret_similarities + i);
    free(scores);
    return st->code;
}
