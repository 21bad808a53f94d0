#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/vector/calibration.h"
#include "src/vector/codebook.h"
#include "src/vector/refine.h"
#include "tests/fuzz/fuzz.h"
#include "tests/property/vector_data.h"

/* Both end in 8 bytes that are the checksum of the others. */

typedef void parse_fn(const uint8_t *data, size_t size);

enum { D = 192, CELLS = 32, SAMPLES = 512, SEED = 0x5EED, VERSION = 3 };

/* As they are, and with the checksum put right. */
static void parse_both(parse_fn *parse, const uint8_t *data, size_t size)
{
    uint8_t *mended = malloc(size + 1);
    uint64_t checksum;

    memcpy(mended, data, size);
    parse(mended, size);
    if (size >= sizeof checksum) {
        checksum = XXH3_64bits(mended, size - sizeof checksum);
        memcpy(mended + size - sizeof checksum, &checksum, sizeof checksum);
        parse(mended, size);
    }
    free(mended);
}

/* ---- Codebooks ---- */

static void use_cells(const struct codebook *codebook, const float *unit)
{
    uint32_t cells = codebook_info(codebook)->cells;
    uint32_t *nearest = calloc(cells + 1, sizeof *nearest);

    if (cells > 0)
        codebook_query_cells(codebook, unit, cells, nearest);
    for (uint32_t i = 0; i < cells; i++)
        fuzz_require(nearest[i] < cells, "cells are numbered below their count");
    free(nearest);
}

static void use_codebook(const struct codebook *codebook)
{
    static struct codebook_query query;
    size_t d = codebook_info(codebook)->dimension;
    float *vector = calloc(d, sizeof *vector);
    int8_t *values = calloc(d, 1);
    uint8_t code[CODEBOOK_CODE_BYTES];
    uint32_t cell;
    float error;

    vector[0] = 1;
    use_cells(codebook, vector);
    refine_quantise(vector, d, values);
    codebook_encode(codebook, values, d, 1, code, &cell, &error);
    fuzz_require(cell < codebook_info(codebook)->cells || cell == 0, "a row's cell is one of them");
    codebook_similarity(codebook, code, code);
    codebook_query_init(&query, codebook, vector);
    fuzz_require(query.step > 0, "estimates rise with the sum");
    codebook_decode(codebook, code, vector);
    free(values);
    free(vector);
}

static void parse_codebook(const uint8_t *data, size_t size)
{
    struct codebook *codebook = NULL;
    struct buf again = { 0 };
    struct status st = { 0 };

    if (codebook_parse(data, size, &codebook, &st) != STATUS_OK) {
        fuzz_require(codebook == NULL, "a refused codebook is none");
        return;
    }
    use_codebook(codebook);
    codebook_serialize(codebook, &again);
    fuzz_require(again.size == size && memcmp(again.data, data, size) == 0,
                 "a codebook that is accepted is written as it was read");
    buf_deinit(&again);
    codebook_unref(codebook);
}

int fuzz_codebook(const uint8_t *data, size_t size)
{
    parse_both(parse_codebook, data, size);
    return 0;
}

bool fuzz_codebook_seed(size_t n, struct buf *ret)
{
    struct vector_random random = { SEED };
    struct codebook_train_options options = {
        .seed = SEED, .iterations = 2, .version = VERSION, .cells = n == 0 ? 0 : CELLS
    };
    struct codebook *codebook = NULL;
    struct status st = { 0 };
    float *samples;

    if (n > 1)
        return false;
    samples = vector_random_units(&random, SAMPLES, D, 20);
    fuzz_require(codebook_train(samples, SAMPLES, D, &options, &codebook, &st) == STATUS_OK,
                 "a codebook is learnt from unit vectors");
    codebook_serialize(codebook, ret);
    codebook_unref(codebook);
    free(samples);
    return true;
}

/* ---- Calibrations ---- */

static void parse_calibration(const uint8_t *data, size_t size)
{
    struct calibration calibration = { .queries = 0 };
    struct buf again = { 0 };
    struct status st = { 0 };

    if (calibration_parse(data, size, &calibration, &st) != STATUS_OK)
        return;
    if (calibration_choose(&calibration, 0.9f) != NULL) {
        float expected = calibration_expect(&calibration, UINT32_MAX);
        fuzz_require(expected >= 0 && expected <= 1, "recall is a share");
    }
    calibration_serialize(&calibration, &again);
    fuzz_require(again.size == size && memcmp(again.data, data, size) == 0,
                 "a calibration that is accepted is written as it was read");
    buf_deinit(&again);
}

int fuzz_calibration(const uint8_t *data, size_t size)
{
    parse_both(parse_calibration, data, size);
    return 0;
}

bool fuzz_calibration_seed(size_t n, struct buf *ret)
{
    static const uint32_t cells[] = { 0, 16, 512 };
    static const float reaches[] = { 0.4f, 0.3f, 0.2f, 0.1f };
    struct calibration_setting settings[CALIBRATION_MAX_SETTINGS];
    struct calibration calibration;
    size_t count;

    if (n >= sizeof cells / sizeof cells[0])
        return false;
    count = calibration_grid(cells[n], reaches, 4, settings);
    for (size_t i = 0; i < count; i++) {
        settings[i].recall = (float)(i + 1) / (float)count;
        settings[i].cost = (float)i;
    }
    calibration_fit(settings, count, VERSION, 1000, &calibration);
    calibration_serialize(&calibration, ret);
    return true;
}
