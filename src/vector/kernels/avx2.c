#include <immintrin.h>
#include <string.h>

#include "src/vector/kernels/kernels.h"

#define LANES 8
#define LESSER(a, b) _mm256_min_ps(a, b)
#define GREATER(a, b) _mm256_max_ps(a, b)
#define NARROW(ints) (lane_bytes) low_bytes((__m256i)(ints))

static inline long long low_bytes(__m256i ints)
{
    __m256i first = _mm256_shuffle_epi8(ints, _mm256_set1_epi32(0x0C080400));
    __m128i eight =
        _mm_unpacklo_epi32(_mm256_castsi256_si128(first), _mm256_extracti128_si256(first, 1));

    return _mm_cvtsi128_si64(eight);
}

#include "src/vector/kernels/batch_loops.h"
#include "src/vector/kernels/float_loops.h"

/*
 * Table entries of 32 or more codes. vpshufb looks up 16 bytes by the low nibble and gives 0 where
 * bit 7 of the index is set. Within the lower eight sub-tables (codes below 128) and likewise the
 * upper eight, the index counts down by 32 per step and stays negative once it is, as subtraction
 * saturates: step n therefore counts for the codes from 32 n on, and looking up the differences of
 * successive sub-tables leaves, after all steps, each code's own. One chain runs over the even
 * sub-tables and one over the odd; bit 4 of the code chooses. Gathers, which fetch 32 bits per
 * byte, take twice the time of even the plain way, sixteen masked look-ups.
 */
struct chains {
    __m256i index;
    __m256i even;
    __m256i odd;
};

static inline __m256i sub_table(const uint8_t *table, int nibble)
{
    return _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(table + 16 * nibble)));
}

static inline void look_up_half(const uint8_t *half, struct chains *chains, size_t vectors)
{
    __m256i even = _mm256_setzero_si256();
    __m256i odd = even;

    for (int n = 0; n < 8; n += 2) {
        __m256i next_even = sub_table(half, n);
        __m256i next_odd = sub_table(half, n + 1);
        even = _mm256_xor_si256(even, next_even);
        odd = _mm256_xor_si256(odd, next_odd);
        for (size_t v = 0; v < vectors; v++) {
            struct chains *c = &chains[v];
            if (n > 0)
                c->index = _mm256_subs_epi8(c->index, _mm256_set1_epi8(32));
            c->even = _mm256_xor_si256(c->even, _mm256_shuffle_epi8(even, c->index));
            c->odd = _mm256_xor_si256(c->odd, _mm256_shuffle_epi8(odd, c->index));
            /* gcc would sum in another order, with more values at a time than registers */
            __asm__("" : "+x"(c->even), "+x"(c->odd));
        }
        even = next_even;
        odd = next_odd;
    }
}

static inline void look_up(const uint8_t *table, const uint8_t *codes, size_t vectors, __m256i *ret)
{
    const __m256i *in = (const __m256i *)codes;
    struct chains chains[2];

    for (size_t v = 0; v < vectors; v++)
        chains[v] = (struct chains){ _mm256_load_si256(in + v), _mm256_setzero_si256(),
                                     _mm256_setzero_si256() };
    look_up_half(table, chains, vectors);
    for (size_t v = 0; v < vectors; v++)
        chains[v].index = _mm256_xor_si256(_mm256_load_si256(in + v), _mm256_set1_epi8((char)0x80));
    look_up_half(table + 128, chains, vectors);
    for (size_t v = 0; v < vectors; v++)
        ret[v] = _mm256_blendv_epi8(chains[v].even, chains[v].odd,
                                    _mm256_slli_epi16(_mm256_load_si256(in + v), 3));
}

struct sums_32 {
    __m256i low; /* codes 0-7 and 16-23, as unpack has them */
    __m256i high;
};

/* Two entries of at most 127 fit a byte: they are added before widening. @next is what will be
 * summed after it: steps as long as a group's are too much for the processor to foresee. */
static inline void sum_64(const uint8_t *table, const uint8_t *codes, const uint8_t *next,
                          size_t parts, size_t group, struct sums_32 ret[2])
{
    __m256i zero = _mm256_setzero_si256();

    ret[0] = ret[1] = (struct sums_32){ zero, zero };
    for (size_t p = 0; p < parts; p += 2) {
        __m256i first[2];
        __m256i second[2];
        __builtin_prefetch(next + p * group);
        __builtin_prefetch(next + (p + 1) * group);
        look_up(table + p * KERNEL_CENTROIDS, codes + p * group, 2, first);
        look_up(table + (p + 1) * KERNEL_CENTROIDS, codes + (p + 1) * group, 2, second);
        for (size_t v = 0; v < 2; v++) {
            __m256i both = _mm256_add_epi8(first[v], second[v]);
            ret[v].low = _mm256_add_epi16(ret[v].low, _mm256_unpacklo_epi8(both, zero));
            ret[v].high = _mm256_add_epi16(ret[v].high, _mm256_unpackhi_epi8(both, zero));
        }
    }
}

/* a >= b for unsigned 16-bit values, one bit each. */
static inline uint32_t at_least(__m256i first, __m256i second, __m256i threshold)
{
    __m256i low = _mm256_cmpeq_epi16(_mm256_max_epu16(first, threshold), first);
    __m256i high = _mm256_cmpeq_epi16(_mm256_max_epu16(second, threshold), second);
    __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xD8);

    return (uint32_t)_mm256_movemask_epi8(bytes);
}

static inline uint32_t store_sums(const struct sums_32 *sums, __m256i threshold, uint16_t *ret)
{
    __m256i first = _mm256_permute2x128_si256(sums->low, sums->high, 0x20);
    __m256i second = _mm256_permute2x128_si256(sums->low, sums->high, 0x31);

    _mm256_storeu_si256((__m256i *)ret, first);
    _mm256_storeu_si256((__m256i *)(ret + 16), second);
    return at_least(first, second, threshold);
}

static void scan(const uint8_t *table, const uint8_t *codes, size_t parts, size_t words,
                 uint16_t threshold, uint16_t *ret_sums, uint64_t *ret_pass)
{
    __m256i least = _mm256_set1_epi16((short)threshold);
    size_t group = 64 * words;

    for (size_t word = 0; word < words; word++) {
        const uint8_t *next = word + 1 < words ? codes + 64 * (word + 1) : codes + parts * group;
        struct sums_32 sums[2];
        uint32_t low;
        sum_64(table, codes + 64 * word, next, parts, group, sums);
        low = store_sums(&sums[0], least, ret_sums + 64 * word);
        ret_pass[word] =
            (uint64_t)store_sums(&sums[1], least, ret_sums + 64 * word + 32) << 32 | low;
    }
}

static int32_t sum_of_lanes(__m256i v)
{
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4E));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xB1));
    return _mm_cvtsi128_si32(half);
}

static int32_t dot_i16_i8(const int16_t *query, const int8_t *row, size_t d)
{
    __m256i sums = _mm256_setzero_si256();
    int32_t sum;
    size_t i = 0;

    for (; i + 16 <= d; i += 16) {
        __m256i q = _mm256_loadu_si256((const __m256i *)(query + i));
        __m256i r = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(row + i)));
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(q, r));
    }
    sum = sum_of_lanes(sums);
    for (; i < d; i++)
        sum += query[i] * row[i];
    return sum;
}

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t d)
{
    __m256i sums = _mm256_setzero_si256();
    int32_t sum;
    size_t i = 0;

    for (; i + 16 <= d; i += 16) {
        __m256i x = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(a + i)));
        __m256i y = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(b + i)));
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(x, y));
    }
    sum = sum_of_lanes(sums);
    for (; i < d; i++)
        sum += a[i] * b[i];
    return sum;
}

/*
 * No vpmaddubsw, which saturates: even and odd bytes become 16-bit values and two vpmaddwd add
 * the products of each lane's four bytes.
 */
struct packed {
    __m256i even;
    __m256i odd;
};

struct four {
    __m256i even;
    __m256i odd;
};

static inline struct packed packed_load(const uint8_t *bytes)
{
    __m256i all = _mm256_load_si256((const __m256i *)bytes);

    return (struct packed){ _mm256_and_si256(all, _mm256_set1_epi16(0xFF)),
                            _mm256_srli_epi16(all, 8) };
}

static inline struct four four_load(const int8_t *row)
{
    __m256i all;
    int32_t bytes;

    memcpy(&bytes, row, sizeof bytes);
    all = _mm256_set1_epi32(bytes);
    return (struct four){ _mm256_srai_epi16(_mm256_slli_epi16(all, 8), 8),
                          _mm256_srai_epi16(all, 8) };
}

static inline lane_ints add_dots(lane_ints sums, struct packed packed, struct four four)
{
    __m256i both = _mm256_add_epi32(_mm256_madd_epi16(packed.even, four.even),
                                    _mm256_madd_epi16(packed.odd, four.odd));

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

#define GREATER_INT(a, b) ((lane_ints)_mm256_max_epi32((__m256i)(a), (__m256i)(b)))

static inline lane_ints greatest_lanes(const lane_ints lane[8])
{
    const __m256i *v = (const __m256i *)lane;
    __m256i twos[4];
    __m256i fours[2];

    for (size_t j = 0; j < 4; j++)
        twos[j] = _mm256_max_epi32(_mm256_unpacklo_epi32(v[2 * j], v[2 * j + 1]),
                                   _mm256_unpackhi_epi32(v[2 * j], v[2 * j + 1]));
    for (size_t j = 0; j < 2; j++)
        fours[j] = _mm256_max_epi32(_mm256_unpacklo_epi64(twos[2 * j], twos[2 * j + 1]),
                                    _mm256_unpackhi_epi64(twos[2 * j], twos[2 * j + 1]));
    return (lane_ints)_mm256_max_epi32(_mm256_permute2x128_si256(fours[0], fours[1], 0x20),
                                       _mm256_permute2x128_si256(fours[0], fours[1], 0x31));
}

enum { TILE_ROWS = 2, TILE_WIDTH = 4, ROW_WIDTH = 8, ENCODE_ROWS = 2, ENCODE_PARTS = 4 };

#include "src/vector/kernels/integer_loops.h"

VECTOR_KERNEL(avx2, products, 8);
