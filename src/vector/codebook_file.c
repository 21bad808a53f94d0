#include <math.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/vector/codebook_impl.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "floats are written as they lie in memory");

enum { FORMAT = 1, HEADER_BYTES = 48, CHECKSUM_BYTES = 8 };

static const char MAGIC[8] = { 'S', 'U', 'T', 'R', 'A', 'C', 'B', 'K' };

static uint32_t float_bits(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static size_t rotation_bytes(size_t d)
{
    return d * d * sizeof(float);
}

static size_t centroids_bytes(size_t d)
{
    return d * CODEBOOK_CENTROIDS * sizeof(float);
}

void codebook_serialize(const struct codebook *codebook, struct buf *out)
{
    size_t start = out->size;
    size_t d = codebook->info.dimension;

    buf_append(out, MAGIC, sizeof MAGIC);
    buf_append_u32le(out, FORMAT);
    buf_append_u32le(out, (uint32_t)d);
    buf_append_u32le(out, CODEBOOK_PARTS);
    buf_append_u32le(out, CODEBOOK_CENTROIDS);
    buf_append_u64le(out, codebook->info.version);
    buf_append_u64le(out, codebook->info.trained_on);
    buf_append_u32le(out, float_bits(codebook->info.mean_squared_error));
    buf_append_u32le(out, 0);
    buf_append(out, codebook->rotation, rotation_bytes(d));
    buf_append(out, codebook->centroids, centroids_bytes(d));
    if (!out->failed)
        buf_append_u64le(out, XXH3_64bits(out->data + start, out->size - start));
}

/* The header as it lies in the bytes; no gaps, by the order of its members. */
struct header {
    char magic[8];
    uint32_t format;
    uint32_t dimension;
    uint32_t parts;
    uint32_t centroids;
    uint64_t version;
    uint64_t trained_on;
    float mean_squared_error;
    uint32_t zero;
};

_Static_assert(sizeof(struct header) == HEADER_BYTES, "the header has no gaps");

static enum status_code check_header(const struct header *header, size_t size, struct status *st)
{
    size_t d = header->dimension;

    if (memcmp(header->magic, MAGIC, sizeof MAGIC) != 0)
        return status_set(st, STATUS_DATA_LOSS, "not a codebook");
    if (header->format != FORMAT)
        return status_set(st, STATUS_FAILED_PRECONDITION, "codebook format %u, this program has %d",
                          header->format, FORMAT);
    if (!codebook_dimension_valid(d) || header->parts != CODEBOOK_PARTS ||
        header->centroids != CODEBOOK_CENTROIDS || header->zero != 0 ||
        size != HEADER_BYTES + rotation_bytes(d) + centroids_bytes(d) + CHECKSUM_BYTES)
        return status_set(st, STATUS_DATA_LOSS, "codebook of %zu bytes has an impossible shape",
                          size);
    return STATUS_OK;
}

static enum status_code check_sum(const uint8_t *bytes, size_t size, struct status *st)
{
    uint64_t stored;

    memcpy(&stored, bytes + size - CHECKSUM_BYTES, sizeof stored);
    if (XXH3_64bits(bytes, size - CHECKSUM_BYTES) != stored)
        return status_set(st, STATUS_DATA_LOSS, "codebook checksum does not match");
    return STATUS_OK;
}

/* Means and directions of unit vectors are at most 1; 2 leaves room for rounding. */
static bool all_small(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(values[i]) <= 2.0f)) /* NaN too */
            return false;
    return true;
}

static enum status_code check_values(const struct codebook *codebook, struct status *st)
{
    size_t d = codebook->info.dimension;

    if (!all_small(codebook->rotation, d * d) ||
        !all_small(codebook->centroids, d * CODEBOOK_CENTROIDS) ||
        !all_small(&codebook->info.mean_squared_error, 1))
        return status_set(st, STATUS_DATA_LOSS, "codebook holds an impossible value");
    return STATUS_OK;
}

static void fill(struct codebook *codebook, const struct header *header, const uint8_t *body)
{
    size_t d = header->dimension;

    codebook->info.version = header->version;
    codebook->info.trained_on = header->trained_on;
    codebook->info.mean_squared_error = header->mean_squared_error;
    memcpy(codebook->rotation, body, rotation_bytes(d));
    memcpy(codebook->centroids, body + rotation_bytes(d), centroids_bytes(d));
}

enum status_code codebook_parse(const void *bytes, size_t size, struct codebook **ret,
                                struct status *st)
{
    struct header header;
    struct codebook *codebook = NULL;

    if (size < HEADER_BYTES)
        return status_set(st, STATUS_DATA_LOSS, "codebook of %zu bytes is cut short", size);
    memcpy(&header, bytes, sizeof header);
    if (check_header(&header, size, st) != STATUS_OK || check_sum(bytes, size, st) != STATUS_OK)
        return st->code;
    codebook = codebook_new(header.dimension);
    if (codebook == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for a codebook");
    fill(codebook, &header, (const uint8_t *)bytes + HEADER_BYTES);
    if (check_values(codebook, st) != STATUS_OK) {
        codebook_unref(codebook);
        return st->code;
    }
    codebook_complete(codebook);
    *ret = codebook;
    return STATUS_OK;
}
