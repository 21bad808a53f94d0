#ifndef SUTRA_VECTOR_KERNEL_H
#define SUTRA_VECTOR_KERNEL_H

/**
 * The inner loops, once per instruction set. The best one this CPU has is chosen at first use. All
 * give the same bits as the portable one: sums are integers, float operations are neither fused nor
 * reordered.
 *
 * Cannot fail, allocate nothing, any number of threads. Pointers to tables, codes, centroids and
 * quantised queries are 64-byte aligned unless said otherwise.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KERNEL_GROUP = 256, KERNEL_CENTROIDS = 256 };

struct vector_range {
    float least;
    float greatest;
};

struct vector_kernel {
    const char *name;

    /**
     * Sums of table entries for the 256 codes of a group.
     * @table [parts][256], each <= 127; parts is even and at most 512
     * @codes [parts][256]
     * @ret_sums [256]
     * @ret_pass bit i % 64 of word i / 64 is set where sums[i] >= threshold
     */
    void (*scan_group)(const uint8_t *table, const uint8_t *codes, size_t parts, uint16_t threshold,
                       uint16_t *ret_sums, uint64_t ret_pass[4]);

    /** Sum of @query[i] * @row[i]; any alignment; no partial sum may leave int32. */
    int32_t (*dot_i16_i8)(const int16_t *query, const int8_t *row, size_t d);

    /**
     * ret[j] = x[0] * columns[0][j] + x[1] * columns[1][j] + … - penalties[j], in that order, for
     * j < 256. Returns the least and the greatest.
     */
    struct vector_range (*estimates)(const float *x, const float *columns, const float *penalties,
                                     size_t w, float *ret);

    /** The j with the greatest estimate, the lowest of equals: with half the squared norms of the
     * columns as @penalties, the column nearest to @x. */
    uint8_t (*nearest)(const float *x, const float *columns, const float *penalties, size_t w);

    /** ret[j] = 127 less (top - values[j]) * steps_per_unit, rounded, at least 0, for j < 256. */
    void (*quantise)(const float *values, float top, float steps_per_unit, uint8_t *ret);

    /** @x [n][d] times @matrix [d][d] gives @ret [n][d]; row-major; x and ret at any alignment. */
    void (*rotate)(const float *x, size_t n, const float *matrix, size_t d, float *ret);
};

/** The chosen one. */
const struct vector_kernel *vector_kernel(void);

/** "portable", "avx2" or "avx512vbmi". */
const char *vector_kernel_name(void);

/** For tests and measurements: false, and nothing changes, if unknown or not supported here. */
bool vector_kernel_select(const char *name);

#endif
