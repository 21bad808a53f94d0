#include <math.h>
#include <stdlib.h>

#include "src/base/size.h"
#include "src/vector/refine.h"
#include "src/vector/segment_bulk.h"

struct pairs {
    struct bulk_block block;
    struct bulk_located located[2];
};

static float similarity_by_code(const struct segment *segment, const struct bulk_located located[2],
                                size_t i)
{
    uint8_t codes[2][CODEBOOK_CODE_BYTES];

    segment_gather_code(located[0].at[i], located[0].stride[i], codes[0]);
    segment_gather_code(located[1].at[i], located[1].stride[i], codes[1]);
    return codebook_similarity(segment->codebook, codes[0], codes[1]);
}

static float similarity(const struct segment *segment, const struct bulk_located located[2],
                        size_t i, enum segment_measure measure)
{
    const uint8_t *a = located[0].at[i];
    const uint8_t *b = located[1].at[i];

    if (a == NULL || b == NULL)
        return NAN;
    return measure == SEGMENT_BY_ROW ? refine_similarity(segment->refine, a, b, segment->dimension)
                                     : similarity_by_code(segment, located, i);
}

static void compare_located(const struct segment *segment, const struct bulk_located located[2],
                            size_t n, enum segment_measure measure, float *ret)
{
    size_t lead = measure == SEGMENT_BY_ROW ? BULK_ROWS_AHEAD / 2 : BULK_CODES_AHEAD;

    for (size_t i = 0; i < n + lead; i++) {
        if (i < n) {
            bulk_prefetch(segment, &located[0], i, measure);
            bulk_prefetch(segment, &located[1], i, measure);
        }
        if (i >= lead)
            ret[i - lead] = similarity(segment, located, i - lead, measure);
    }
}

static void compare_block(struct segment *segment, struct pairs *pairs, const struct segment_id *a,
                          const struct segment_id *b, size_t n, enum segment_measure measure,
                          float *ret)
{
    struct segment_reader reader;

    bulk_hash(&pairs->block, a, n);
    segment_lock_as_reader(segment);
    bulk_locate(&pairs->block, measure, &pairs->located[0]);
    bulk_hash(&pairs->block, b, n);
    bulk_locate(&pairs->block, measure, &pairs->located[1]);
    segment_enter(segment, &reader);
    segment_unlock(segment);
    compare_located(segment, pairs->located, n, measure, ret);
    segment_leave(segment, &reader);
}

enum status_code segment_pairs(struct segment *segment, const struct segment_id *a,
                               const struct segment_id *b, size_t n, enum segment_measure measure,
                               float *ret_similarities, struct status *st)
{
    struct pairs *pairs = malloc(sizeof *pairs);

    if (pairs == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to compare");
    pairs->block.segment = segment;
    for (size_t i = 0; i < n; i += BULK_BLOCK)
        compare_block(segment, pairs, a + i, b + i, size_min(n - i, BULK_BLOCK), measure,
                      ret_similarities + i);
    free(pairs);
    return STATUS_OK;
}
