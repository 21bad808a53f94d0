#include "src/vector/calibration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/vector/checksum.h"

/*
 * Format 2, little-endian:
 *
 *   offset  bytes     what
 *        0  8         "SUTRACAL"
 *        8  4         format, 2
 *       12  4         queries
 *       16  8         version of the codebook
 *       24  4         count of settings, at most 64
 *       28  4         0
 *       32  16 count  settings: float32 reach, rerank, float32 recall and cost
 *        …  8         XXH3 of everything before
 */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "settings are written as they lie in memory");

enum { FORMAT = 2, HEADER_BYTES = 32, SETTING_BYTES = 16 };

_Static_assert(sizeof(struct calibration_setting) == SETTING_BYTES, "a setting has no gaps");

static const char MAGIC[8] = { 'S', 'U', 'T', 'R', 'A', 'C', 'A', 'L' };

struct header {
    char magic[8];
    uint32_t format;
    uint32_t queries;
    uint64_t codebook_version;
    uint32_t count;
    uint32_t zero;
};

_Static_assert(sizeof(struct header) == HEADER_BYTES, "the header has no gaps");

/* In codes that could be scanned meanwhile: finding out about a cell, scanning one, refining a row.
 */
static const float CELL_COST = 1, SCANNED_CELL_COST = 100, ROW_COST = 40;

/* Not fewer than five times CALIBRATION_K: questions are less like what is stored than the vectors
 * that are held out, and rows cost little beside the rest of a search. */
static const uint32_t FLAT_RERANKS[] = { 50, 70, 100, 150, 200, 300, 400, 500 };
static const uint32_t CELL_RERANKS[] = { 50, 100, 200, 400 };

enum {
    FLAT_SETTINGS = sizeof FLAT_RERANKS / sizeof FLAT_RERANKS[0],
    RERANKS = sizeof CELL_RERANKS / sizeof CELL_RERANKS[0],
};

_Static_assert((1 + CALIBRATION_MAX_REACHES) * RERANKS <= CALIBRATION_MAX_SETTINGS, "the grid");

size_t calibration_probes(uint32_t cells, uint32_t ret[CALIBRATION_MAX_REACHES])
{
    uint32_t probes = cells - cells / 4;
    size_t count = 0;

    for (; count < CALIBRATION_MAX_REACHES && probes > 1; probes -= (probes + 2) / 3)
        ret[count++] = probes;
    return count;
}

static struct calibration_setting *add_reranks(struct calibration_setting *at, float reach)
{
    for (size_t r = 0; r < RERANKS; r++)
        *at++ = (struct calibration_setting){ .reach = reach, .rerank = CELL_RERANKS[r] };
    return at;
}

static size_t cells_grid(const float *reaches, size_t count, struct calibration_setting *ret)
{
    struct calibration_setting *end = add_reranks(ret, 0);

    for (size_t i = 0; i < count; i++)
        if (reaches[i] > 0 && (i == 0 || reaches[i] < reaches[i - 1]))
            end = add_reranks(end, reaches[i]);
    return (size_t)(end - ret);
}

size_t calibration_grid(uint32_t cells, const float *reaches, size_t count,
                        struct calibration_setting *ret)
{
    if (cells > 0)
        return cells_grid(reaches, count, ret);
    for (size_t r = 0; r < FLAT_SETTINGS; r++)
        ret[r] = (struct calibration_setting){ .rerank = FLAT_RERANKS[r] };
    return FLAT_SETTINGS;
}

float calibration_cost(uint32_t rerank, double codes, uint32_t cells, uint32_t all_cells)
{
    return (float)codes + SCANNED_CELL_COST * (float)cells + CELL_COST * (float)all_cells +
           ROW_COST * (float)rerank;
}

static int by_cost(const void *a, const void *b)
{
    const struct calibration_setting *x = a, *y = b;

    if (x->cost != y->cost)
        return x->cost < y->cost ? -1 : 1;
    return x->recall > y->recall ? -1 : x->recall < y->recall;
}

void calibration_fit(const struct calibration_setting *settings, size_t count,
                     uint64_t codebook_version, uint32_t queries, struct calibration *ret)
{
    struct calibration_setting sorted[CALIBRATION_MAX_SETTINGS];
    size_t n = count < CALIBRATION_MAX_SETTINGS ? count : CALIBRATION_MAX_SETTINGS;
    float recall = -1;

    memcpy(sorted, settings, n * sizeof *settings);
    qsort(sorted, n, sizeof *sorted, by_cost);
    *ret = (struct calibration){ .codebook_version = codebook_version, .queries = queries };
    for (size_t i = 0; i < n; i++) {
        if (sorted[i].recall <= recall)
            continue;
        recall = sorted[i].recall;
        ret->settings[ret->count++] = sorted[i];
    }
}

const struct calibration_setting *calibration_choose(const struct calibration *calibration,
                                                     float target)
{
    uint32_t i = 0;

    if (calibration->queries == 0 || calibration->count == 0)
        return NULL;
    while (i + 1 < calibration->count && calibration->settings[i].recall < target)
        i++;
    return &calibration->settings[i];
}

float calibration_expect(const struct calibration *calibration, uint32_t rerank)
{
    float recall = 0;

    if (calibration->queries == 0)
        return 0;
    for (uint32_t i = 0; i < calibration->count; i++) {
        const struct calibration_setting *s = &calibration->settings[i];
        if (s->rerank <= rerank && s->recall > recall)
            recall = s->recall;
    }
    return recall;
}

void calibration_serialize(const struct calibration *calibration, struct buf *out)
{
    size_t start = out->size;
    struct header header = { .format = FORMAT,
                             .queries = calibration->queries,
                             .codebook_version = calibration->codebook_version,
                             .count = calibration->count };

    memcpy(header.magic, MAGIC, sizeof MAGIC);
    buf_append(out, &header, sizeof header);
    buf_append(out, calibration->settings, calibration->count * sizeof *calibration->settings);
    checksum_append(out, start);
}

static enum status_code check_header(const struct header *header, size_t size, struct status *st)
{
    if (memcmp(header->magic, MAGIC, sizeof MAGIC) != 0)
        return status_set(st, STATUS_DATA_LOSS, "not a calibration");
    if (header->format != FORMAT)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "calibration format %u, this program has %d", header->format, FORMAT);
    if (header->count > CALIBRATION_MAX_SETTINGS || header->zero != 0 ||
        size != HEADER_BYTES + (size_t)header->count * SETTING_BYTES + CHECKSUM_BYTES)
        return status_set(st, STATUS_DATA_LOSS, "calibration of %zu bytes has an impossible shape",
                          size);
    return STATUS_OK;
}

/* Finite, none negative, by cost, recall rising. */
static bool settings_possible(const struct calibration *calibration)
{
    float cost = 0;
    float recall = -1;

    for (uint32_t i = 0; i < calibration->count; i++) {
        const struct calibration_setting *s = &calibration->settings[i];
        if (!(s->reach >= 0) || !isfinite(s->reach) || !(s->cost >= cost) || !isfinite(s->cost) ||
            !(s->recall > recall) || !(s->recall >= 0 && s->recall <= 1))
            return false;
        cost = s->cost;
        recall = s->recall;
    }
    return true;
}

enum status_code calibration_parse(const void *bytes, size_t size, struct calibration *ret,
                                   struct status *st)
{
    struct calibration parsed = { 0 };
    struct header header;

    if (size < HEADER_BYTES + CHECKSUM_BYTES)
        return status_set(st, STATUS_DATA_LOSS, "calibration of %zu bytes is cut short", size);
    memcpy(&header, bytes, sizeof header);
    if (check_header(&header, size, st) != STATUS_OK ||
        checksum_check("calibration", bytes, size, st) != STATUS_OK)
        return st->code;
    parsed.codebook_version = header.codebook_version;
    parsed.queries = header.queries;
    parsed.count = header.count;
    memcpy(parsed.settings, (const uint8_t *)bytes + HEADER_BYTES, header.count * SETTING_BYTES);
    if (!settings_possible(&parsed))
        return status_set(st, STATUS_DATA_LOSS, "calibration holds an impossible value");
    *ret = parsed;
    return STATUS_OK;
}
