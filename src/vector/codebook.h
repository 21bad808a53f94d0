#ifndef SUTRA_VECTOR_CODEBOOK_H
#define SUTRA_VECTOR_CODEBOOK_H

/**
 * A product quantiser: 48 bytes for a unit vector (32 : 1 at 384 dimensions).
 * Jégou, Douze, Schmid: Product Quantization for Nearest Neighbor Search, PAMI 2011.
 *
 * A vector is rotated, cut into 48 parts of w = d / 48 dimensions, and each part is replaced by the
 * number of the nearest of that part's 256 centroids. The rotation comes from the samples'
 * principal directions, dealt out so that all parts carry about the same variance (Ge, He, Ke, Sun:
 * Optimized Product Quantization, CVPR 2013, §3.2.1).
 *
 * A codebook is immutable once trained or parsed, shared by reference count, and safe to use from
 * any number of threads. Encoding and query tables use no fused or reordered float operations:
 * their results have the same bits on every kernel and machine, alone or in a batch.
 *
 * Letters: d dimensions (a multiple of 48, at most VECTOR_MAX_DIMENSION), n vectors.
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
};

struct codebook;

struct codebook_info {
    size_t dimension;
    uint64_t version;         /* given at training; codes of different versions do not mix */
    uint64_t trained_on;      /* samples */
    float mean_squared_error; /* of the samples: mean |x - decode(encode(x))|^2 */
};

struct codebook_train_options {
    uint64_t seed;
    uint32_t iterations; /* of k-means, >= 1; 20 is a good number */
    uint64_t version;
    void (*progress)(void *context, double fraction); /* rises to 1; NULL: none */
    bool (*cancelled)(void *context);                 /* polled some 1000 times; NULL: never */
    void *context;
};

/**
 * Learns a codebook from @samples [n][d], unit vectors, n >= CODEBOOK_MIN_SAMPLES (a random 65,536
 * are plenty). Same samples, options and machine: same codebook. About 7 s on one core for 65,536 x
 * 384; runs in the caller's thread; needs about as much memory as the samples once more.
 *
 * Errors: INVALID_ARGUMENT (d, n, iterations, a sample that is not finite), CANCELLED,
 * RESOURCE_EXHAUSTED (memory). The caller owns one reference of *@ret.
 */
enum status_code codebook_train(const float *samples, size_t n, size_t d,
                                const struct codebook_train_options *options, struct codebook **ret,
                                struct status *st);

struct codebook *codebook_ref(struct codebook *codebook);

/** The last one frees. NULL is fine. */
void codebook_unref(struct codebook *codebook);

/** Valid as long as the caller's reference. */
const struct codebook_info *codebook_info(const struct codebook *codebook);

/**
 * Appends the codebook (984 KB at d = 384); @out turns `failed` when memory runs out.
 * Little-endian:
 *
 *      0  char     magic[8]   "SUTRACBK"
 *      8  uint32   format     1
 *     12  uint32   d
 *     16  uint32   parts      48
 *     20  uint32   centroids  256
 *     24  uint64   version
 *     32  uint64   trained_on
 *     40  float32  mean_squared_error
 *     44  uint32   0
 *     48  float32  rotation[d][d]          y[j] = sum over i of x[i] * rotation[i][j]
 *      .  float32  centroids[48][w][256]   w = d / 48
 *   last  uint64   XXH3_64 of all bytes before it
 */
void codebook_serialize(const struct codebook *codebook, struct buf *out);

/**
 * Reads what codebook_serialize() wrote. The bytes may come from anywhere: DATA_LOSS if the
 * checksum, a size or a value is wrong, FAILED_PRECONDITION if the format is a newer one,
 * RESOURCE_EXHAUSTED without memory. The caller owns one reference of *@ret.
 */
enum status_code codebook_parse(const void *bytes, size_t size, struct codebook **ret,
                                struct status *st);

/** @rows [n][d] unit vectors to @ret_codes [n][48]. Cannot fail, allocates nothing. */
void codebook_encode(const struct codebook *codebook, const float *rows, size_t n,
                     uint8_t *ret_codes);

/** The vector a code stands for, [d], in the original (unrotated) directions; shorter than 1. */
void codebook_decode(const struct codebook *codebook, const uint8_t code[CODEBOOK_CODE_BYTES],
                     float *ret_vector);

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

/** Estimated cosine for a sum of table entries; strictly increasing in @sum <= 48 * 127. */
static inline float codebook_query_approximate(const struct codebook_query *query, uint32_t sum)
{
    return query->bias + query->step * (float)sum;
}

/** The same estimate for one code, equal bit for bit to what segment_search() reports. */
float codebook_query_score(const struct codebook_query *query,
                           const uint8_t code[CODEBOOK_CODE_BYTES]);

#endif
