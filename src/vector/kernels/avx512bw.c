#include <immintrin.h>
#include <string.h>

#include "src/vector/kernels/avx512_loops.h"
#include "src/vector/kernels/kernels.h"

/*
 * Entries of 32 codes. Without VBMI the widest look-up, vpermi2w, finds one of 64 words: a table is
 * two times 64 words of two entries each, and the lowest bit of a code chooses the byte. @index has
 * a code without that bit in the low bits of each lane, @upper is set for the codes from 128 on.
 */
static inline __m512i look_up_words(const struct table_registers *t, __m512i index, __mmask32 upper)
{
    __m512i low = _mm512_permutex2var_epi16(t->quarter[0], index, t->quarter[1]);
    __m512i high = _mm512_permutex2var_epi16(t->quarter[2], index, t->quarter[3]);

    return _mm512_mask_blend_epi16(upper, low, high);
}

/* The entries of even codes are moved to even bytes, those of odd codes to odd bytes. */
static inline __m512i look_up(const struct table_registers *t, const uint8_t *codes)
{
    __m512i both = _mm512_load_si512(codes);
    __m512i even = look_up_words(t, _mm512_srli_epi16(both, 1),
                                 _mm512_test_epi16_mask(both, _mm512_set1_epi16(0x80)));
    __m512i odd = look_up_words(t, _mm512_srli_epi16(both, 9), _mm512_movepi16_mask(both));

    even =
        _mm512_mask_srli_epi16(even, _mm512_test_epi16_mask(both, _mm512_set1_epi16(1)), even, 8);
    odd = _mm512_mask_slli_epi16(odd, _mm512_testn_epi16_mask(both, _mm512_set1_epi16(0x100)), odd,
                                 8);
    return _mm512_mask_blend_epi8(0xAAAAAAAAAAAAAAAA, even, odd);
}

static int32_t dot_i16_i8(const int16_t *query, const int8_t *row, size_t d)
{
    __m512i sums = _mm512_setzero_si512();
    int32_t sum;
    size_t i = 0;

    for (; i + 32 <= d; i += 32) {
        __m512i q = _mm512_loadu_si512(query + i);
        __m512i r = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(row + i)));
        sums = _mm512_add_epi32(sums, _mm512_madd_epi16(q, r));
    }
    sum = _mm512_reduce_add_epi32(sums);
    for (; i < d; i++)
        sum += query[i] * row[i];
    return sum;
}

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t d)
{
    __m512i sums = _mm512_setzero_si512();
    int32_t sum;
    size_t i = 0;

    for (; i + 32 <= d; i += 32) {
        __m512i x = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(a + i)));
        __m512i y = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(b + i)));
        sums = _mm512_add_epi32(sums, _mm512_madd_epi16(x, y));
    }
    sum = _mm512_reduce_add_epi32(sums);
    for (; i < d; i++)
        sum += a[i] * b[i];
    return sum;
}

/*
 * No vpmaddubsw, which saturates: even and odd bytes become 16-bit values and two vpmaddwd add
 * the products of each lane's four bytes.
 */
struct packed {
    __m512i even;
    __m512i odd;
};

struct four {
    __m512i even;
    __m512i odd;
};

static inline struct packed packed_load(const uint8_t *bytes)
{
    __m512i all = _mm512_load_si512(bytes);

    return (struct packed){ _mm512_and_si512(all, _mm512_set1_epi16(0xFF)),
                            _mm512_srli_epi16(all, 8) };
}

static inline struct four four_load(const int8_t *row)
{
    __m512i all;
    int32_t bytes;

    memcpy(&bytes, row, sizeof bytes);
    all = _mm512_set1_epi32(bytes);
    return (struct four){ _mm512_srai_epi16(_mm512_slli_epi16(all, 8), 8),
                          _mm512_srai_epi16(all, 8) };
}

static inline lane_ints add_dots(lane_ints sums, struct packed packed, struct four four)
{
    __m512i both = _mm512_add_epi32(_mm512_madd_epi16(packed.even, four.even),
                                    _mm512_madd_epi16(packed.odd, four.odd));

    return sums + (lane_ints)both;
}

static int32_t excess_of(const int8_t *row, size_t d)
{
    int32_t sum = 0;

    for (size_t i = 0; i < d; i++)
        sum += row[i];
    return 128 * sum;
}

static inline lane_ints keys_of(lane_ints scores, lane_ints ids)
{
    return scores << 8 | (lane_ints)((lane_bits)ids >> 24);
}

enum { TILE_ROWS = 4, TILE_WIDTH = 4, ROW_WIDTH = 4, ENCODE_ROWS = 4, ENCODE_PARTS = 4 };

#include "src/vector/kernels/integer_loops.h"

VECTOR_KERNEL(avx512bw, products, 16);
