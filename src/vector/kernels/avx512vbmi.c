#include <immintrin.h>
#include <string.h>

#include "src/vector/kernels/kernels.h"

#define LANES 16
#define LESSER(a, b) _mm512_min_ps(a, b)
#define GREATER(a, b) _mm512_max_ps(a, b)
#define NARROW(ints) __builtin_convertvector(ints, lane_bytes)
#include "src/vector/kernels/float_loops.h"

/* A table of 256 bytes in four registers; André, Kermarrec, Le Scouarnec: Quicker ADC, PAMI 2021.
 */
struct table_registers {
    __m512i quarter[4];
};

/*
 * The empty asm keeps the table in registers: otherwise gcc folds its loads into vpermi2b and
 * reloads the codes instead, at half the speed.
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
static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t d)
{
    __m512i raised = _mm512_setzero_si512();
    __m512i excess = raised;

    for (size_t i = 0; i < d; i += 64) {
        __mmask64 there = first_bytes(d - i);
        __m512i x = _mm512_maskz_loadu_epi8(there, a + i);
        __m512i y = _mm512_maskz_loadu_epi8(there, b + i);
        raised = _mm512_dpbusd_epi32(raised, _mm512_xor_si512(x, _mm512_set1_epi8((char)0x80)), y);
        excess = _mm512_dpbusd_epi32(excess, _mm512_set1_epi8((char)0x80), y);
    }
    return _mm512_reduce_add_epi32(_mm512_sub_epi32(raised, excess));
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

enum { TILE_ROWS = 4, TILE_WIDTH = 6, ROW_WIDTH = 4, ENCODE_ROWS = 4, ENCODE_PARTS = 4 };

#include "src/vector/kernels/avx512_lanes.h"
#include "src/vector/kernels/integer_loops.h"

const struct vector_kernel vector_kernel_avx512vbmi = {
    .name = "avx512vbmi",
    .scan = scan,
    .dot_i16_i8 = dot_i16_i8,
    .dot_i8 = dot_i8,
    .products = products,
    .requantise = requantise,
    .encode = encode,
    .estimates = estimates,
    .quantise = quantise,
    .to_int8 = to_int8,
};
