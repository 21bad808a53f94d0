#ifndef SUTRA_VECTOR_CALIBRATION_H
#define SUTRA_VECTOR_CALIBRATION_H

/**
 * What recall a setting of a search gives: recall@10 against exact search, measured on held-out
 * vectors of the cluster for one version of the codebook. Plain data; a curve is small and copied.
 */

#include <stddef.h>
#include <stdint.h>

#include "src/base/buf.h"
#include "src/base/status.h"

enum { CALIBRATION_MAX_SETTINGS = 64, CALIBRATION_K = 10 };

struct calibration_setting {
    uint32_t nprobe; /* cells scanned; 0: all */
    uint32_t rerank; /* r, the best by code that are refined */
    float recall;    /* 0–1 */
    float cost;      /* estimated, in codes scanned per query: what settings are compared by */
};

struct calibration {
    uint64_t codebook_version;
    uint32_t queries; /* that it was measured on; 0: there is none */
    uint32_t count;
    struct calibration_setting settings[CALIBRATION_MAX_SETTINGS]; /* by cost, recall rising */
};

/** Settings to measure for @cells cells (0: none), @ret [CALIBRATION_MAX_SETTINGS]; the number of
 * them. @stored vectors are in the cluster. */
size_t calibration_grid(uint32_t cells, uint64_t stored, struct calibration_setting *ret);

/** Sorts @settings by cost, drops those that a cheaper one equals, and fills @ret. */
void calibration_fit(const struct calibration_setting *settings, size_t count,
                     uint64_t codebook_version, uint32_t queries, struct calibration *ret);

/** The cheapest setting that reaches @target, else the one with the most recall. NULL if there is
 * no calibration. */
const struct calibration_setting *calibration_choose(const struct calibration *calibration,
                                                     float target);

/** What @nprobe and @rerank are expected to give: the best of the settings that ask no more of
 * either; 0 if unknown. */
float calibration_expect(const struct calibration *calibration, uint32_t nprobe, uint32_t rerank);

void calibration_serialize(const struct calibration *calibration, struct buf *out);

/** The bytes may come from anywhere: DATA_LOSS, FAILED_PRECONDITION (a newer format). */
enum status_code calibration_parse(const void *bytes, size_t size, struct calibration *ret,
                                   struct status *st);

#endif
