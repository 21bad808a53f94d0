#include <math.h>
#include <string.h>

#include "src/vector/checksum.h"
#include "src/vector/codebook_impl.h"

/*
 * Format 2, little-endian, without gaps:
 *
 *   offset  bytes       what
 *        0  8           "SUTRACBK"
 *        8  4           format, 2
 *       12  4           d, dimensions
 *       16  4           48, parts
 *       20  4           256, centroids of a part
 *       24  8           version
 *       32  8           version of the codes
 *       40  8           samples that it was trained on
 *       48  8           vectors there were then
 *       56  4           float32, mean squared error
 *       60  4           float32, step: what 1 of a centroid is worth
 *       64  4           l, cells
 *       68  4           0
 *       72  4 d         float32 [d], column factors of the rotation
 *        …  d * d       int8 [d][d], the rotation: row by row of a sample's dimensions
 *        …  256 d       int8 [48][256][d / 48], centroids
 *        …  l d         int8 [l][d], cells
 *        …  8           XXH3 of everything before
 */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "floats are written as they lie in memory");

enum { FORMAT = 2, HEADER_BYTES = 72 };

static const char MAGIC[8] = { 'S', 'U', 'T', 'R', 'A', 'C', 'B', 'K' };

/* The header as it lies in the bytes. */
struct header {
    char magic[8];
    uint32_t format;
    uint32_t dimension;
    uint32_t parts;
    uint32_t centroids;
    uint64_t version;
    uint64_t code_version;
    uint64_t trained_on;
    uint64_t trained_at;
    float mean_squared_error;
    float step;
    uint32_t cells;
    uint32_t zero;
};

_Static_assert(sizeof(struct header) == HEADER_BYTES, "the header has no gaps");

static size_t factors_bytes(size_t d)
{
    return d * sizeof(float);
}

static size_t values_bytes(size_t d, size_t cells)
{
    return d * (d + CODEBOOK_CENTROIDS + cells);
}

void codebook_serialize(const struct codebook *codebook, struct buf *out)
{
    const struct codebook_info *info = &codebook->info;
    size_t start = out->size;
    size_t d = info->dimension;
    struct header header = { .format = FORMAT,
                             .dimension = (uint32_t)d,
                             .parts = CODEBOOK_PARTS,
                             .centroids = CODEBOOK_CENTROIDS,
                             .version = info->version,
                             .code_version = info->code_version,
                             .trained_on = info->trained_on,
                             .trained_at = info->trained_at,
                             .mean_squared_error = info->mean_squared_error,
                             .step = codebook->step,
                             .cells = info->cells };

    memcpy(header.magic, MAGIC, sizeof MAGIC);
    buf_append(out, &header, sizeof header);
    buf_append(out, codebook->column_factors, factors_bytes(d));
    buf_append(out, codebook->rotation, d * d);
    buf_append(out, codebook->centroids, d * CODEBOOK_CENTROIDS);
    buf_append(out, codebook->cells, d * info->cells);
    checksum_append(out, start);
}

static enum status_code check_header(const struct header *header, size_t size, struct status *st)
{
    size_t d = header->dimension;

    if (memcmp(header->magic, MAGIC, sizeof MAGIC) != 0)
        return status_set(st, STATUS_DATA_LOSS, "not a codebook");
    if (header->format != FORMAT)
        return status_set(st, STATUS_FAILED_PRECONDITION, "codebook format %u, this program has %d",
                          header->format, FORMAT);
    if (!codebook_dimension_valid(d) || !codebook_cells_valid(header->cells) ||
        header->parts != CODEBOOK_PARTS || header->centroids != CODEBOOK_CENTROIDS ||
        header->zero != 0 ||
        size != HEADER_BYTES + factors_bytes(d) + values_bytes(d, header->cells) + CHECKSUM_BYTES)
        return status_set(st, STATUS_DATA_LOSS, "codebook of %zu bytes has an impossible shape",
                          size);
    return STATUS_OK;
}

/* Positive, and neither so large nor so small that a quotient of two could leave a float's range.
 */
static bool possible_factor(float value)
{
    return value >= 1e-15f && value <= 2.0f; /* false for NaN */
}

static bool factors_possible(const struct codebook *codebook)
{
    for (size_t j = 0; j < codebook->info.dimension; j++)
        if (!possible_factor(codebook->column_factors[j]))
            return false;
    return possible_factor(codebook->step) && codebook->info.mean_squared_error >= 0 &&
           codebook->info.mean_squared_error <= 2.0f;
}

static bool values_possible(const int8_t *values, size_t n)
{
    size_t impossible = 0;

    for (size_t i = 0; i < n; i++)
        impossible += values[i] < -CODEBOOK_TOP;
    return impossible == 0;
}

static enum status_code check_values(const struct codebook *codebook, struct status *st)
{
    size_t d = codebook->info.dimension;

    if (!factors_possible(codebook) || !values_possible(codebook->rotation, d * d) ||
        !values_possible(codebook->centroids, d * CODEBOOK_CENTROIDS) ||
        !values_possible(codebook->cells, d * codebook->info.cells))
        return status_set(st, STATUS_DATA_LOSS, "codebook holds an impossible value");
    return STATUS_OK;
}

static void fill(struct codebook *codebook, const struct header *header, const uint8_t *body)
{
    struct codebook_info *info = &codebook->info;
    size_t d = info->dimension;

    info->version = header->version;
    info->code_version = header->code_version;
    info->trained_on = header->trained_on;
    info->trained_at = header->trained_at;
    info->mean_squared_error = header->mean_squared_error;
    codebook->step = header->step;
    memcpy(codebook->column_factors, body, factors_bytes(d));
    body += factors_bytes(d);
    memcpy(codebook->rotation, body, d * d);
    body += d * d;
    memcpy(codebook->centroids, body, d * CODEBOOK_CENTROIDS);
    body += d * CODEBOOK_CENTROIDS;
    memcpy(codebook->cells, body, d * info->cells);
}

enum status_code codebook_parse(const void *bytes, size_t size, struct codebook **ret,
                                struct status *st)
{
    struct header header;
    struct codebook *codebook = NULL;

    if (size < HEADER_BYTES)
        return status_set(st, STATUS_DATA_LOSS, "codebook of %zu bytes is cut short", size);
    memcpy(&header, bytes, sizeof header);
    if (check_header(&header, size, st) != STATUS_OK ||
        checksum_check("codebook", bytes, size, st) != STATUS_OK)
        return st->code;
    codebook = codebook_new(header.dimension, header.cells);
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
