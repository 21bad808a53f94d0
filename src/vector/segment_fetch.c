#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/vector/segment_bulk.h"

struct fetching {
    struct bulk_block block;
    struct bulk_located located;
};

static size_t item_bytes(const struct segment *segment, enum segment_measure measure)
{
    return measure == SEGMENT_BY_ROW ? segment->row_bytes : CODEBOOK_CODE_BYTES;
}

static void copy_located(const struct segment *segment, const struct bulk_located *located,
                         size_t n, enum segment_measure measure, uint8_t *ret, bool *ret_found)
{
    size_t bytes = item_bytes(segment, measure);

    for (size_t i = 0; i < n; i++) {
        ret_found[i] = located->at[i] != NULL;
        if (ret_found[i] && measure == SEGMENT_BY_ROW)
            memcpy(ret + i * bytes, located->at[i], bytes);
        else if (ret_found[i])
            segment_gather_code(located->at[i], located->stride[i], ret + i * bytes);
    }
}

enum status_code segment_fetch(struct segment *segment, const struct segment_id *ids, size_t n,
                               enum segment_measure measure, uint8_t *ret, bool *ret_found,
                               struct status *st)
{
    struct fetching *fetching = malloc(sizeof *fetching);

    if (fetching == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to fetch vectors");
    for (size_t i = 0; i < n; i += BULK_BLOCK) {
        struct segment_reader reader;
        size_t count = size_min(n - i, BULK_BLOCK);
        bulk_enter(segment, &fetching->block, ids + i, count, measure, &fetching->located, &reader);
        copy_located(segment, &fetching->located, count, measure,
                     ret + i * item_bytes(segment, measure), ret_found + i);
        segment_leave(segment, &reader);
    }
    free(fetching);
    return STATUS_OK;
}
