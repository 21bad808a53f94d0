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

enum { CALIBRATION_MAX_SETTINGS = 64, CALIBRATION_MAX_REACHES = 15, CALIBRATION_K = 10 };

struct calibration_setting {
    float reach;     /* of cells that are scanned, see codebook_query_cells_within(); 0: all */
    uint32_t rerank; /* r, the best by code that are refined */
    float recall;    /* 0–1 */
    float cost;      /* in codes scanned per query: what settings are compared by */
};

struct calibration {
    uint64_t codebook_version;
    uint32_t queries; /* that it was measured on; 0: there is none */
    uint32_t count;
    struct calibration_setting settings[CALIBRATION_MAX_SETTINGS]; /* by cost, recall rising */
};

/** Numbers of cells whose typical reach is worth measuring, of @cells; fewer and fewer. */
size_t calibration_probes(uint32_t cells, uint32_t ret[CALIBRATION_MAX_REACHES]);

/** Settings to measure, without recall and cost: @ret [CALIBRATION_MAX_SETTINGS]; the number of
 * them. @cells 0: there are none; @reaches [count], those of no use are left out. */
size_t calibration_grid(uint32_t cells, const float *reaches, size_t count,
                        struct calibration_setting *ret);

/** What a query cost that had @rerank rows refined, and for that looked at so many codes in so many
 * of @all_cells cells; both on average, over all shards together. */
float calibration_cost(uint32_t rerank, double codes, uint32_t cells, uint32_t all_cells);

/** Sorts @settings by cost, drops those that a cheaper one equals, and fills @ret. */
void calibration_fit(const struct calibration_setting *settings, size_t count,
                     uint64_t codebook_version, uint32_t queries, struct calibration *ret);

/** The cheapest setting that reaches @target, else the one with the most recall. NULL if there is
 * no calibration. */
const struct calibration_setting *calibration_choose(const struct calibration *calibration,
                                                     float target);

/** What @rerank is expected to give when all cells are scanned: the best of the settings that ask
 * for no more; 0 if unknown. */
float calibration_expect(const struct calibration *calibration, uint32_t rerank);

void calibration_serialize(const struct calibration *calibration, struct buf *out);

/** The bytes may come from anywhere: DATA_LOSS, FAILED_PRECONDITION (a newer format). */
enum status_code calibration_parse(const void *bytes, size_t size, struct calibration *ret,
                                   struct status *st);

#endif
