#ifndef SUTRA_VECTOR_CODEBOOK_H
#define SUTRA_VECTOR_CODEBOOK_H

/**
 * A product quantiser: 48 bytes for a unit vector (32 : 1 at 384 dimensions), and, when there are
 * enough vectors, the coarse cells of an inverted file over the same codes.
 * Jégou, Douze, Schmid: Product Quantization for Nearest Neighbor Search, PAMI 2011.
 *
 * A vector is rotated, cut into 48 parts of w = d / 48 dimensions, and each part is replaced by the
 * number of the nearest of that part's 256 centroids. The rotation comes from the samples'
 * principal directions, dealt out so that all parts carry about the same variance, and is turned
 * further towards what codes stand for while the centroids are learnt (Ge, He, Ke, Sun: Optimized
 * Product Quantization, CVPR 2013, §3.2.1 and §3.1.2). A cell is a unit vector; a vector belongs to
 * the cell of the greatest product. Codes do not depend on cells: searching all cells is searching
 * everything.
 *
 * What is encoded are the int8 values of a refinement row (refine.h). Rotation, centroids and cells
 * are kept in 8-bit integers, too, so that codes, cells and query tables have the same bits on
 * every kernel and machine, alone or in a batch.
 *
 * A codebook is immutable once trained or parsed, shared by reference count, and safe to use from
 * any number of threads.
 *
 * Letters: d dimensions (a multiple of 192, at most VECTOR_MAX_DIMENSION), n vectors, l cells.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buf.h"
#include "src/base/status.h"

enum {
    CODEBOOK_PARTS = 48,
    CODEBOOK_CENTROIDS = 256,
    CODEBOOK_CODE_BYTES = CODEBOOK_PARTS,
    CODEBOOK_MIN_SAMPLES = CODEBOOK_CENTROIDS,
    CODEBOOK_MAX_CELLS = 4096,
    CODEBOOK_SAMPLES_PER_CELL = 16, /* at least, of those that cells are trained on */
    CODEBOOK_CELLS_FROM = 40000,
    CODEBOOK_SPLIT_AT = 4,  /* times the mean size of a cell */
    CODEBOOK_MERGE_AT = 16, /* the mean divided by it */
};

struct codebook;

struct codebook_info {
    size_t dimension;
    uint64_t version;         /* given at training; grows when anything changes */
    uint64_t code_version;    /* codes of equal code_version mix; that of the training */
    uint64_t trained_on;      /* samples */
    uint64_t trained_at;      /* vectors there were at training, for deciding when to train again */
    float mean_squared_error; /* mean |x - decode(encode(x))|^2, held out from the training if given
                               */
    uint32_t cells;           /* 0: none; else a multiple of 16 */
};

struct codebook_train_options {
    uint64_t seed;
    uint32_t iterations; /* of k-means, >= 1; 20 is a good number */
    uint64_t version;    /* and code_version */
    uint64_t stored;     /* becomes trained_at */
    uint32_t cells; /* 0, or a multiple of 16 up to CODEBOOK_MAX_CELLS; see codebook_cells_for() */
    const float *held_out; /* [held_out_count][d] like the samples, none of them; NULL: none */
    size_t held_out_count;
    void (*progress)(void *context, double fraction); /* rises to 1; NULL: none */
    bool (*cancelled)(void *context);                 /* polled some 1000 times; NULL: never */
    void *context;
};

/** How many cells pay for @stored vectors in the cluster: 0 below CODEBOOK_CELLS_FROM. */
uint32_t codebook_cells_for(uint64_t stored);

/**
 * Learns a codebook from @samples [n][d], unit vectors, n >= CODEBOOK_MIN_SAMPLES (a random 65,536
 * are plenty) and >= cells * CODEBOOK_SAMPLES_PER_CELL. Same samples, options and machine: same
 * codebook. Some seconds on one core for 65,536 x 384; runs in the caller's thread; needs about as
 * much memory as the samples once more.
 *
 * Errors: INVALID_ARGUMENT (d, n, iterations, cells, a sample that is not finite), CANCELLED,
 * RESOURCE_EXHAUSTED (memory), INTERNAL (k-means went astray). The caller owns one reference of
 * *@ret.
 */
enum status_code codebook_train(const float *samples, size_t n, size_t d,
                                const struct codebook_train_options *options, struct codebook **ret,
                                struct status *st);

/**
 * The same codes over other cells: a cell that holds more than CODEBOOK_SPLIT_AT times the mean of
 * @sizes [l] is split in two (2-means of its samples), one with less than the mean divided by
 * CODEBOOK_MERGE_AT is dropped, the number of cells staying the same as far as it goes. @version
 * is that of the result, which keeps code_version. *@ret NULL, and OK, if no cell is out of bounds
 * or those that are do not fall apart into two. Errors: FAILED_PRECONDITION (no cells),
 * INVALID_ARGUMENT (a sample), RESOURCE_EXHAUSTED.
 */
enum status_code codebook_rebalance(const struct codebook *codebook, const uint64_t *sizes,
                                    const float *samples, size_t n, uint64_t version,
                                    struct codebook **ret, struct status *st);

struct codebook *codebook_ref(struct codebook *codebook);

/** The last one frees. NULL is fine. */
void codebook_unref(struct codebook *codebook);

/** Valid as long as the caller's reference. */
const struct codebook_info *codebook_info(const struct codebook *codebook);

/** Appends the codebook, format 2 (drawn in codebook_file.c); @out turns `failed` when memory runs
 * out. */
void codebook_serialize(const struct codebook *codebook, struct buf *out);

/**
 * Reads what codebook_serialize() wrote. The bytes may come from anywhere: DATA_LOSS if the
 * checksum, a size or a value is wrong, FAILED_PRECONDITION if the format is not 2,
 * RESOURCE_EXHAUSTED without memory. The caller owns one reference of *@ret.
 */
enum status_code codebook_parse(const void *bytes, size_t size, struct codebook **ret,
                                struct status *st);

/**
 * Encodes the @n rows of int8 values (refine_values()) that lie @stride bytes apart, at any
 * alignment, whatever their scale. Allocates nothing.
 *
 * @ret_codes  [n][48]
 * @ret_cells  [n]; 0 where there are no cells; NULL: not wanted
 * @ret_errors [n], about |x - decode(code)|^2 of the unit vector x; NULL: not wanted
 */
void codebook_encode(const struct codebook *codebook, const int8_t *values, size_t stride, size_t n,
                     uint8_t *ret_codes, uint32_t *ret_cells, float *ret_errors);

/** Only the cells of @n rows, @ret_cells [n]. */
void codebook_assign(const struct codebook *codebook, const int8_t *values, size_t stride, size_t n,
                     uint32_t *ret_cells);

/** The vector a code stands for, [d], in the original (unrotated) directions; shorter than 1. */
void codebook_decode(const struct codebook *codebook, const uint8_t code[CODEBOOK_CODE_BYTES],
                     float *ret_vector);

/** The same in the rotated directions, [d] int8 values, up to a factor. */
void codebook_decode_rotated(const struct codebook *codebook,
                             const uint8_t code[CODEBOOK_CODE_BYTES], int8_t *ret_rotated);

/** Cosine of two rows of codebook_decode_rotated(); integer sums inside, symmetric. */
float codebook_rotated_similarity(const int8_t *a, const int8_t *b, size_t d);

/** Cosine of what two codes stand for: that of the rows above. */
float codebook_similarity(const struct codebook *codebook, const uint8_t a[CODEBOOK_CODE_BYTES],
                          const uint8_t b[CODEBOOK_CODE_BYTES]);

/**
 * A query prepared for scanning: for each part and centroid c the quantised
 * q.c - beta * |c|^2, all parts with the same step, so that a sum of 48 table bytes orders codes
 * by estimated cosine. Depends on nothing but query and codebook. Caller's storage (12 KiB), no
 * release.
 */
struct codebook_query {
    uint8_t table[CODEBOOK_PARTS][CODEBOOK_CENTROIDS] __attribute__((aligned(64))); /* <= 127 */
    float bias;
    float step; /* > 0 */
};

/** @unit [d], finite. */
void codebook_query_init(struct codebook_query *query, const struct codebook *codebook,
                         const float *unit);

/** The same for @units [n][d], together cheaper than one after the other. */
void codebook_query_init_many(struct codebook_query *queries, const struct codebook *codebook,
                              const float *units, size_t n);

/** The @nprobe cells nearest to @unit, best first (ties: lowest number); nprobe <= l, l > 0. */
void codebook_query_cells(const struct codebook *codebook, const float *unit, size_t nprobe,
                          uint32_t *ret_cells);

/**
 * The cells whose cosine with the query stays behind that of the nearest by at most @reach > 0, the
 * nearest first, the others in no order: few where the nearest stands alone, many where a dense
 * region is spread over many.
 * Scans less for the same recall than a fixed number (Chen et al.: SPANN, NeurIPS 2021, §3.3).
 * Found by the codes of the cells first, so one at the edge may be missing. @query was prepared for
 * @unit. @ret_cells [l]; returns how many, at least 1; l > 0.
 */
size_t codebook_query_cells_within(const struct codebook *codebook,
                                   const struct codebook_query *query, const float *unit,
                                   float reach, uint32_t *ret_cells);

/** The reach within which lie @nprobes[j] cells, 1 to l, on average over @units [n][d]; n, l > 0.
 * @ret_reaches [count]. False without memory. */
bool codebook_typical_reaches(const struct codebook *codebook, const float *units, size_t n,
                              const uint32_t *nprobes, size_t count, float *ret_reaches);

/** Estimated cosine for a sum of table entries; strictly increasing in @sum <= 48 * 127. */
static inline float codebook_query_approximate(const struct codebook_query *query, uint32_t sum)
{
    return query->bias + query->step * (float)sum;
}

/** The same estimate for one code, equal bit for bit to what segment_search() reports. */
float codebook_query_score(const struct codebook_query *query,
                           const uint8_t code[CODEBOOK_CODE_BYTES]);

#endif
