#ifndef SUTRA_VECTOR_KERNELS_BATCH_LOOPS_H
#define SUTRA_VECTOR_KERNELS_BATCH_LOOPS_H

/**
 * The scan for many queries, written once on GCC's vector types. Vectors run along the queries: one
 * load brings what 64 queries think of a code's part, where looking up codes for one query takes
 * several shuffles per 64. What bounds it is reading the tables, which fit the second cache.
 *
 * The including file defines LANES (of 4 bytes per register), as float_loops.h needs it.
 */

#include <stddef.h>
#include <stdint.h>

#include "src/vector/kernel.h"

enum { BATCH_WIDTH = 4 * LANES, BATCH_REGISTERS = KERNEL_BATCH / BATCH_WIDTH };

typedef uint8_t batch_bytes __attribute__((vector_size(4 * LANES), may_alias));
typedef uint16_t batch_sums __attribute__((vector_size(4 * LANES), may_alias));
typedef uint64_t batch_words __attribute__((vector_size(4 * LANES), may_alias));

/* Sums of one code. Of a register of table entries, `both` adds 16-bit words, which hold an entry
 * of an even column plus 256 times that of an odd one, modulo 2^16, and `odd` their upper halves.
 */
struct batch_pair {
    batch_sums both[BATCH_REGISTERS];
    batch_sums odd[BATCH_REGISTERS];
};

/* Entries of at most 127 of two parts fit a byte. */
static inline void add_two_parts(struct batch_pair *pair, const batch_bytes *first,
                                 const batch_bytes *second)
{
    for (size_t r = 0; r < BATCH_REGISTERS; r++) {
        batch_sums bytes = (batch_sums)(first[r] + second[r]);
        pair->both[r] += bytes;
        pair->odd[r] += bytes >> 8;
    }
}

#ifdef __AVX512BW__

static inline uint64_t passing(const uint16_t *sums, const uint16_t *thresholds)
{
    const __m512i *s = (const __m512i *)sums;
    const __m512i *t = (const __m512i *)thresholds;

    return _mm512_cmpge_epu16_mask(s[0], t[0]) | (uint64_t)_mm512_cmpge_epu16_mask(s[1], t[1])
                                                     << 32;
}

#else

static inline bool any_passes(const uint16_t *sums, const uint16_t *thresholds)
{
    const batch_sums *s = (const batch_sums *)(const void *)sums;
    const batch_sums *t = (const batch_sums *)(const void *)thresholds;
    batch_words found = { 0 };
    uint64_t any = 0;

    for (size_t r = 0; r < 2 * BATCH_REGISTERS; r++)
        found |= (batch_words)(s[r] >= t[r]);
    for (size_t i = 0; i < BATCH_WIDTH / sizeof any; i++)
        any |= found[i];
    return any != 0;
}

/* Once thresholds are high, few codes pass for any query. */
static inline uint64_t passing(const uint16_t *sums, const uint16_t *thresholds)
{
    uint64_t mask = 0;

    if (!any_passes(sums, thresholds))
        return 0;
    for (size_t q = 0; q < KERNEL_BATCH; q++)
        mask |= (uint64_t)(sums[q] >= thresholds[q]) << q;
    return mask;
}

#endif

/* Of one code: its parts lie @stride bytes apart. */
static inline void sum_parts(const uint8_t *tables, const uint8_t *code, size_t parts,
                             size_t stride, uint16_t *ret_sums)
{
    enum { TABLE = KERNEL_CENTROIDS * KERNEL_BATCH };
    batch_sums *ret = (batch_sums *)(void *)ret_sums;
    struct batch_pair pair = { .both = { { 0 } }, .odd = { { 0 } } };

    for (size_t p = 0; p < parts; p += 2) {
        const uint8_t *first = tables + p * TABLE + (size_t)code[p * stride] * KERNEL_BATCH;
        const uint8_t *second =
            tables + (p + 1) * TABLE + (size_t)code[(p + 1) * stride] * KERNEL_BATCH;
        add_two_parts(&pair, (const batch_bytes *)first, (const batch_bytes *)second);
    }
    for (size_t r = 0; r < BATCH_REGISTERS; r++) {
        ret[r] = pair.both[r] - (pair.odd[r] << 8);
        ret[BATCH_REGISTERS + r] = pair.odd[r];
    }
}

static void scan_batch(const uint8_t *tables, const uint8_t *codes, size_t parts, size_t words,
                       const uint16_t *thresholds, uint16_t *ret_sums, uint64_t *ret_pass)
{
    size_t group = 64 * words;

    for (size_t i = 0; i < group; i++) {
        uint16_t *sums = ret_sums + KERNEL_BATCH * i;
        sum_parts(tables, codes + i, parts, group, sums);
        ret_pass[i] = passing(sums, thresholds);
    }
}

#endif
