#ifndef SUTRA_VECTOR_KERNEL_H
#define SUTRA_VECTOR_KERNEL_H

/**
 * The inner loops, once per instruction set. The best one this CPU has is chosen at first use. All
 * give the same bits as the portable one: sums are integers, and the few float operations are
 * neither fused nor reordered.
 *
 * Cannot fail, allocate nothing, any number of threads. Pointers to tables, codes, matrices,
 * centroids and sums are 64-byte aligned unless said otherwise.
 *
 * Letters: d dimensions (a multiple of 16), n rows.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KERNEL_GROUP_WORDS = 4,                 /* most words of a group */
    KERNEL_GROUP = 64 * KERNEL_GROUP_WORDS, /* most codes of a group */
    KERNEL_CENTROIDS = 256,
    KERNEL_COLUMNS = 16, /* a packed matrix has a multiple of so many columns */
    KERNEL_BATCH = 64,   /* queries that are scanned for at once */
};

struct vector_range {
    float least;
    float greatest;
};

struct vector_kernel {
    const char *name;

    /**
     * Sums of table entries for the 64 * @words codes of a group.
     * @table [parts][256], each <= 127; parts is even and at most 512
     * @codes [parts][64 * words], words 1 to KERNEL_GROUP_WORDS
     * @ret_sums [64 * words]
     * @ret_pass [words]; bit i % 64 of word i / 64 is set where sums[i] >= threshold
     */
    void (*scan)(const uint8_t *table, const uint8_t *codes, size_t parts, size_t words,
                 uint16_t threshold, uint16_t *ret_sums, uint64_t *ret_pass);

    /**
     * The same for many queries: less work than scan() for each, from @batch_from queries on.
     * @tables [parts][256][64], made by vector_kernel_interleave()
     * @thresholds [64], 64-byte aligned
     * @ret_sums [64 * words][64]; sums of query q of code i at [i][q]
     * @ret_pass [64 * words]; bit q of word i is set where the code's sum >= thresholds[q]
     */
    void (*scan_batch)(const uint8_t *tables, const uint8_t *codes, size_t parts, size_t words,
                       const uint16_t *thresholds, uint16_t *ret_sums, uint64_t *ret_pass);
    size_t batch_from;

    /** Sum of @query[i] * @row[i]; any alignment; no partial sum may leave int32. */
    int32_t (*dot_i16_i8)(const int16_t *query, const int8_t *row, size_t d);

    /** Sum of @a[i] * @b[i]; any alignment. */
    int32_t (*dot_i8)(const int8_t *a, const int8_t *b, size_t d);

    /**
     * ret[i][j] = sum over k of rows[i][k] * M[k][j], for rows that lie @stride bytes apart, at any
     * alignment. |M| and |rows| <= 127, d <= 4096.
     * @matrix packed by vector_kernel_pack(): [columns / 16][d / 4][16][4], M plus 128 as a byte
     * @ret_sums [n][columns]
     */
    void (*products)(const int8_t *rows, size_t stride, size_t n, size_t d, const uint8_t *matrix,
                     size_t columns, int32_t *ret_sums);

    /**
     * ret[j] = sums[j] * (factors[j] * row_factor), rounded to the nearest (ties to even), clipped
     * to ±127. @n a multiple of 16; ret at any alignment.
     */
    void (*requantise)(const int32_t *sums, const float *factors, float row_factor, size_t n,
                       int8_t *ret);

    /**
     * The nearest centroid of each part of @n rotated rows: the c with the greatest
     * sum over k of part[k] * C[k][c] - half_norms[c], the lowest of equals.
     * @rotated [n][parts * w], any alignment; w a multiple of 4, at most 84
     * @centroids [parts], each packed by vector_kernel_pack() for w rows and 256 columns
     * @half_norms [parts][256], each >= 0 and less than 2^21
     * @ret_codes [n][parts], any alignment
     * @ret_best [n], the sums over all parts of those greatest values; NULL: not wanted
     */
    void (*encode)(const int8_t *rotated, size_t n, size_t parts, size_t w,
                   const uint8_t *centroids, const int32_t *half_norms, uint8_t *ret_codes,
                   int32_t *ret_best);

    /**
     * ret[j] = x[0] * columns[0][j] + x[1] * columns[1][j] + … - penalties[j], in that order, for
     * j < 256. Returns the least and the greatest.
     */
    struct vector_range (*estimates)(const float *x, const float *columns, const float *penalties,
                                     size_t w, float *ret);

    /** ret[j] = 127 less (top - values[j]) * steps_per_unit, rounded, at least 0, for j < 256.
     * @top at least every value, up to rounding */
    void (*quantise)(const float *values, float top, float steps_per_unit, uint8_t *ret);

    /** The greatest |values[i]|, 0 of none; all finite, any alignment. */
    float (*largest)(const float *values, size_t n);

    /** ret[i] = values[i] * factor rounded to the nearest (ties to even) and clipped to ±127. Any
     * alignment. */
    void (*to_int8)(const float *values, size_t n, float factor, int8_t *ret);
};

/** The chosen one. */
const struct vector_kernel *vector_kernel(void);

/** "portable", "neon", "avx2", "avx512bw", "avx512vbmi" or "avx512amx". */
const char *vector_kernel_name(void);

/** For tests and measurements: false, and nothing changes, if unknown or not supported here. */
bool vector_kernel_select(const char *name);

/** Puts @matrix [d][columns], each within ±127, into the order that products() and encode() read:
 * [columns / 16][d / 4][16][4], plus 128. @d a multiple of 4. */
void vector_kernel_pack(const int8_t *matrix, size_t d, size_t columns, uint8_t *ret_packed);

/**
 * The tables of @queries queries, each @stride bytes behind the one before and as scan() reads it,
 * in the order that scan_batch() reads; zeros where there is no query.
 */
void vector_kernel_interleave(const uint8_t *tables, size_t stride, size_t queries, size_t parts,
                              uint8_t *ret_tables);

#endif
