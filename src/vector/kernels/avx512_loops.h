#ifndef SUTRA_VECTOR_KERNELS_AVX512_LOOPS_H
#define SUTRA_VECTOR_KERNELS_AVX512_LOOPS_H

/**
 * What the kernels with 64-byte registers share: the scan around a table look-up, and what the
 * common loops ask of sixteen lanes. The including file defines, after this,
 * `look_up(&registers, codes)`: the entries of 64 codes.
 */

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

/* To the nearest, ties to even, as the processor rounds unless told otherwise. */
static inline __m512i nearest(const float *values, __m512 factor)
{
    __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(values), factor);

    return _mm512_cvtps_epi32(_mm512_min_ps(scaled, _mm512_set1_ps(127)));
}

/* Packing with saturation goes by quarters of a register, which are put in order afterwards. */
static inline size_t to_int8_by_64(const float *values, size_t n, float factor, int8_t *ret)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512 factors = _mm512_set1_ps(factor);
    size_t i = 0;

    for (; i + 64 <= n; i += 64) {
        __m512i low =
            _mm512_packs_epi32(nearest(values + i, factors), nearest(values + i + 16, factors));
        __m512i high = _mm512_packs_epi32(nearest(values + i + 32, factors),
                                          nearest(values + i + 48, factors));
        __m512i bytes = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high));
        _mm512_storeu_si512(ret + i, _mm512_max_epi8(bytes, _mm512_set1_epi8(-127)));
    }
    return i;
}

#define LANES 16
#define WIDE_TO_INT8(values, n, factor, ret) to_int8_by_64(values, n, factor, ret)
#define LESSER(a, b) _mm512_min_ps(a, b)
#define GREATER(a, b) _mm512_max_ps(a, b)
#define NARROW(ints) __builtin_convertvector(ints, lane_bytes)
#include "src/vector/kernels/batch_loops.h"
#include "src/vector/kernels/float_loops.h"

/* A table of 256 bytes. */
struct table_registers {
    __m512i quarter[4];
};

/*
 * The empty asm keeps the table in registers: otherwise gcc folds its loads into the look-ups
 * and reloads the codes instead, at half the speed.
 */
static inline struct table_registers load_table(const uint8_t *table)
{
    struct table_registers t;

    for (int i = 0; i < 4; i++) {
        t.quarter[i] = _mm512_load_si512(table + 64 * i);
        __asm__("" : "+v"(t.quarter[i]));
    }
    return t;
}

static __m512i look_up(const struct table_registers *t, const uint8_t *codes);

/*
 * Sums of 64 codes in 16-bit words that hold two codes: `odd` the second of each, `both` the first
 * plus 256 times the second, modulo 2^16. That is one instruction less per step than masking.
 */
struct pair_sums {
    __m512i both;
    __m512i odd;
};

static inline void add_pairs(struct pair_sums *sums, __m512i bytes)
{
    sums->both = _mm512_add_epi16(sums->both, bytes);
    sums->odd = _mm512_add_epi16(sums->odd, _mm512_srli_epi16(bytes, 8));
}

/* Stores the 64 sums in order of their codes; the bits of those that reach the threshold. */
static inline uint64_t store_sums(const struct pair_sums *sums, __m512i threshold, uint16_t *ret)
{
    static const uint16_t order[64] __attribute__((aligned(64))) = {
        0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
        11, 43, 12, 44, 13, 45, 14, 46, 15, 47, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53,
        22, 54, 23, 55, 24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63,
    };
    __m512i even = _mm512_sub_epi16(sums->both, _mm512_slli_epi16(sums->odd, 8));
    __m512i first = _mm512_permutex2var_epi16(even, _mm512_load_si512(order), sums->odd);
    __m512i second = _mm512_permutex2var_epi16(even, _mm512_load_si512(order + 32), sums->odd);

    _mm512_storeu_si512(ret, first);
    _mm512_storeu_si512(ret + 32, second);
    return _mm512_cmpge_epu16_mask(first, threshold) |
           (uint64_t)_mm512_cmpge_epu16_mask(second, threshold) << 32;
}

__attribute__((always_inline)) static inline void scan_words(const uint8_t *table,
                                                             const uint8_t *codes, size_t parts,
                                                             size_t words, uint16_t threshold,
                                                             uint16_t *ret_sums, uint64_t *ret_pass)
{
    struct pair_sums sums[KERNEL_GROUP_WORDS];
    size_t group = 64 * words;

    for (size_t i = 0; i < words; i++)
        sums[i].both = sums[i].odd = _mm512_setzero_si512();
    for (size_t p = 0; p < parts; p += 2) { /* two entries of at most 127 fit a byte */
        __m512i bytes[KERNEL_GROUP_WORDS];
        struct table_registers t = load_table(table + p * KERNEL_CENTROIDS);
        for (size_t i = 0; i < words; i++)
            bytes[i] = look_up(&t, codes + p * group + 64 * i);
        t = load_table(table + (p + 1) * KERNEL_CENTROIDS);
        for (size_t i = 0; i < words; i++)
            add_pairs(&sums[i],
                      _mm512_add_epi8(bytes[i], look_up(&t, codes + (p + 1) * group + 64 * i)));
    }
    for (size_t i = 0; i < words; i++)
        ret_pass[i] = store_sums(&sums[i], _mm512_set1_epi16((short)threshold), ret_sums + 64 * i);
}

static void scan(const uint8_t *table, const uint8_t *codes, size_t parts, size_t words,
                 uint16_t threshold, uint16_t *ret_sums, uint64_t *ret_pass)
{
    switch (words) { /* so that the compiler knows the number */
    case 1:
        scan_words(table, codes, parts, 1, threshold, ret_sums, ret_pass);
        break;
    case 2:
        scan_words(table, codes, parts, 2, threshold, ret_sums, ret_pass);
        break;
    case 3:
        scan_words(table, codes, parts, 3, threshold, ret_sums, ret_pass);
        break;
    default:
        scan_words(table, codes, parts, 4, threshold, ret_sums, ret_pass);
        break;
    }
}

#define GREATER_INT(a, b) ((lane_ints)_mm512_max_epi32((__m512i)(a), (__m512i)(b)))

static inline __m512i max_of_halves(__m512i a, __m512i b)
{
    return _mm512_max_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
}

static inline lane_ints greatest_lanes(const lane_ints lane[16])
{
    const __m512i *v = (const __m512i *)lane;
    __m512i twos[8];
    __m512i fours[4];

    for (size_t j = 0; j < 8; j++)
        twos[j] = _mm512_max_epi32(_mm512_unpacklo_epi32(v[2 * j], v[2 * j + 1]),
                                   _mm512_unpackhi_epi32(v[2 * j], v[2 * j + 1]));
    for (size_t j = 0; j < 4; j++)
        fours[j] = _mm512_max_epi32(_mm512_unpacklo_epi64(twos[2 * j], twos[2 * j + 1]),
                                    _mm512_unpackhi_epi64(twos[2 * j], twos[2 * j + 1]));
    return (lane_ints)max_of_halves(max_of_halves(fours[0], fours[1]),
                                    max_of_halves(fours[2], fours[3]));
}

#endif
