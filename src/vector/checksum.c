#include "src/vector/checksum.h"

#include <stdint.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

void checksum_append(struct buf *out, size_t start)
{
    if (!out->failed)
        buf_append_u64le(out, XXH3_64bits(out->data + start, out->size - start));
}

enum status_code checksum_check(const char *what, const void *bytes, size_t size, struct status *st)
{
    size_t checked = size - CHECKSUM_BYTES;
    uint64_t stored;

    memcpy(&stored, (const uint8_t *)bytes + checked, sizeof stored);
    if (XXH3_64bits(bytes, checked) != stored)
        return status_set(st, STATUS_DATA_LOSS, "%s checksum does not match", what);
    return STATUS_OK;
}
