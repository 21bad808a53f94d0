#ifndef SUTRA_VECTOR_KERNELS_AVX512VBMI_H
#define SUTRA_VECTOR_KERNELS_AVX512VBMI_H

/** The loops for AVX-512 with VBMI, VBMI2 and VNNI, as Ice Lake, Zen 4 and later have them. */

#include <immintrin.h>
#include <string.h>

#include "src/vector/kernels/avx512_loops.h"

/* Two tables of 128 in two registers each; André, Kermarrec, Le Scouarnec: Quicker ADC, PAMI 2021.
 */
static inline __m512i look_up(const struct table_registers *t, const uint8_t *codes)
{
    __m512i code = _mm512_load_si512(codes);
    __m512i low;
    __m512i high;

    __asm__("" : "+v"(code));
    low = _mm512_permutex2var_epi8(t->quarter[0], code, t->quarter[1]);
    high = _mm512_permutex2var_epi8(t->quarter[2], code, t->quarter[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(code), low, high);
}

static int32_t dot_i16_i8(const int16_t *query, const int8_t *row, size_t d)
{
    __m512i sums = _mm512_setzero_si512();
    int32_t sum;
    size_t i = 0;

    for (; i + 32 <= d; i += 32) {
        __m512i q = _mm512_loadu_si512(query + i);
        __m512i r = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(row + i)));
        sums = _mm512_dpwssd_epi32(sums, q, r);
    }
    sum = _mm512_reduce_add_epi32(sums);
    for (; i < d; i++)
        sum += query[i] * row[i];
    return sum;
}

/* A mask of the first @n of 64 bytes. */
static inline __mmask64 first_bytes(size_t n)
{
    return n < 64 ? ((__mmask64)1 << n) - 1 : ~(__mmask64)0;
}

/* Sum of a * b: vpdpbusd wants one side unsigned, so it gets a + 128, and 128 * b is taken off. */
struct raised_sums {
    __m512i raised;
    __m512i excess;
};

static inline void add_raised(struct raised_sums *sums, __m512i a, __m512i b)
{
    const __m512i top = _mm512_set1_epi8((char)0x80);

    sums->raised = _mm512_dpbusd_epi32(sums->raised, _mm512_xor_si512(a, top), b);
    sums->excess = _mm512_dpbusd_epi32(sums->excess, top, b);
}

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t d)
{
    struct raised_sums sums = { _mm512_setzero_si512(), _mm512_setzero_si512() };
    size_t i = 0;

    for (; i + 64 <= d; i += 64)
        add_raised(&sums, _mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i));
    if (i < d)
        add_raised(&sums, _mm512_maskz_loadu_epi8(first_bytes(d - i), a + i),
                   _mm512_maskz_loadu_epi8(first_bytes(d - i), b + i));
    return _mm512_reduce_add_epi32(_mm512_sub_epi32(sums.raised, sums.excess));
}

/* One vpdpbusd per step, with the packed bytes as its unsigned side. */
struct packed {
    __m512i bytes;
};

struct four {
    __m512i values;
};

static inline struct packed packed_load(const uint8_t *bytes)
{
    return (struct packed){ _mm512_load_si512(bytes) };
}

static inline struct four four_load(const int8_t *row)
{
    int32_t bytes;

    memcpy(&bytes, row, sizeof bytes);
    return (struct four){ _mm512_set1_epi32(bytes) };
}

static inline lane_ints add_dots(lane_ints sums, struct packed packed, struct four four)
{
    return (lane_ints)_mm512_dpbusd_epi32((__m512i)sums, packed.bytes, four.values);
}

static int32_t excess_of(const int8_t *row, size_t d)
{
    __m512i sum = _mm512_setzero_si512();

    for (size_t i = 0; i < d; i += 64)
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8((char)0x80),
                                  _mm512_maskz_loadu_epi8(first_bytes(d - i), row + i));
    return _mm512_reduce_add_epi32(sum);
}

static inline lane_ints keys_of(lane_ints scores, lane_ints ids)
{
    return (lane_ints)_mm512_shldi_epi32((__m512i)scores, (__m512i)ids, 8);
}

enum { TILE_ROWS = 4, TILE_WIDTH = 6, ROW_WIDTH = 4, ENCODE_ROWS = 8, ENCODE_PARTS = 2 };

#include "src/vector/kernels/integer_loops.h"

#endif
