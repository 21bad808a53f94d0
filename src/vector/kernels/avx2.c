#include <immintrin.h>
#include <string.h>

#include "src/vector/kernels/kernels.h"

#define LANES 8
#define LESSER(a, b) _mm256_min_ps(a, b)
#define GREATER(a, b) _mm256_max_ps(a, b)
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

/* Two entries of at most 127 fit a byte: they are added before widening. */
static inline void sum_64(const uint8_t *table, const uint8_t *codes, size_t parts, size_t group,
                          struct sums_32 ret[2])
{
    __m256i zero = _mm256_setzero_si256();

    ret[0] = ret[1] = (struct sums_32){ zero, zero };
    for (size_t p = 0; p < parts; p += 2) {
        __m256i first[2];
        __m256i second[2];
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

    for (size_t word = 0; word < words; word++) {
        struct sums_32 sums[2];
        uint32_t low;
        sum_64(table, codes + 64 * word, parts, 64 * words, sums);
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

/* Four values of a row, in every quarter. */
static inline __m256i four_values(const int8_t *row)
{
    int32_t bytes;

    memcpy(&bytes, row, sizeof bytes);
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(bytes));
}

static inline __m256i four_columns(const uint8_t *packed)
{
    return _mm256_cvtepu8_epi16(_mm_load_si128((const __m128i *)packed));
}

/* Sums of sixteen columns, each as two 32-bit halves. No vpmaddubsw: it would saturate. */
struct columns_16 {
    __m256i fours[4];
};

static inline void add_product(struct columns_16 *sums, const __m256i matrix[4], const int8_t *row)
{
    __m256i values = four_values(row);

    for (size_t j = 0; j < 4; j++)
        sums->fours[j] = _mm256_add_epi32(sums->fours[j], _mm256_madd_epi16(matrix[j], values));
}

/* Rows times sixteen columns; the matrix is 128 too high throughout. */
static inline void raw_products(const int8_t *rows, size_t stride, size_t n, size_t d,
                                const uint8_t *packed, struct columns_16 *ret)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < 4; j++)
            ret[i].fours[j] = _mm256_setzero_si256();
    for (size_t k = 0; k < d; k += 4) {
        __m256i matrix[4];
        for (size_t j = 0; j < 4; j++)
            matrix[j] = four_columns(packed + 16 * (k + j));
        for (size_t i = 0; i < n; i++)
            add_product(&ret[i], matrix, rows + i * stride + k);
    }
}

/* Joins the halves of columns 0-7 or 8-15. */
static inline __m256i eight_sums(const struct columns_16 *sums, size_t half)
{
    __m256i joined = _mm256_hadd_epi32(sums->fours[2 * half], sums->fours[2 * half + 1]);

    return _mm256_permute4x64_epi64(joined, 0xD8);
}

/* What the matrix's 128 adds to every product with the row. */
static int32_t excess(const int8_t *row, size_t d)
{
    int32_t sum = 0;

    for (size_t k = 0; k < d; k++)
        sum += row[k];
    return 128 * sum;
}

static inline void product_tile(const int8_t *rows, size_t stride, size_t n, size_t d,
                                const uint8_t *matrix, size_t columns, int32_t *ret_sums)
{
    int32_t excesses[2];

    for (size_t i = 0; i < n; i++)
        excesses[i] = excess(rows + i * stride, d);
    for (size_t j = 0; j < columns; j += KERNEL_COLUMNS) {
        struct columns_16 sums[2];
        raw_products(rows, stride, n, d, matrix + j * d, sums);
        for (size_t i = 0; i < n; i++)
            for (size_t half = 0; half < 2; half++)
                _mm256_store_si256(
                    (__m256i *)(ret_sums + i * columns + j + 8 * half),
                    _mm256_sub_epi32(eight_sums(&sums[i], half), _mm256_set1_epi32(excesses[i])));
    }
}

static void products(const int8_t *rows, size_t stride, size_t n, size_t d, const uint8_t *matrix,
                     size_t columns, int32_t *ret_sums)
{
    size_t i = 0;

    for (; i + 2 <= n; i += 2)
        product_tile(rows + i * stride, stride, 2, d, matrix, columns, ret_sums + i * columns);
    if (i < n)
        product_tile(rows + i * stride, stride, 1, d, matrix, columns, ret_sums + i * columns);
}

/* score << 8 | 255 - centroid: the greatest has the highest score, and of those the lowest c. */
static int32_t greatest_key(const int8_t *part, size_t w, const uint8_t *centroids,
                            const int32_t *half_norms)
{
    __m256i ids = _mm256_setr_epi32(255, 254, 253, 252, 251, 250, 249, 248);
    __m256i greatest = _mm256_set1_epi32(INT32_MIN);
    __m128i half;

    for (size_t c = 0; c < KERNEL_CENTROIDS; c += KERNEL_COLUMNS) {
        struct columns_16 sums;
        raw_products(part, 0, 1, w, centroids + c * w, &sums);
        for (size_t h = 0; h < 2; h++) {
            __m256i norms = _mm256_load_si256((const __m256i *)(half_norms + c + 8 * h));
            __m256i scores = _mm256_sub_epi32(eight_sums(&sums, h), norms);
            __m256i keys = _mm256_or_si256(_mm256_slli_epi32(scores, 8), ids);
            greatest = _mm256_max_epi32(greatest, keys);
            ids = _mm256_sub_epi32(ids, _mm256_set1_epi32(8));
        }
    }
    half = _mm_max_epi32(_mm256_castsi256_si128(greatest), _mm256_extracti128_si256(greatest, 1));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4E));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xB1));
    return _mm_cvtsi128_si32(half);
}

static void encode(const int8_t *rotated, size_t n, size_t parts, size_t w,
                   const uint8_t *centroids, const int32_t *half_norms, uint8_t *ret_codes,
                   int32_t *ret_best)
{
    size_t d = parts * w;

    for (size_t i = 0; i < n; i++) {
        int32_t sum = -excess(rotated + i * d, d);
        for (size_t p = 0; p < parts; p++) {
            int32_t key =
                greatest_key(rotated + i * d + p * w, w, centroids + p * w * KERNEL_CENTROIDS,
                             half_norms + p * KERNEL_CENTROIDS);
            ret_codes[i * parts + p] = (uint8_t)~key;
            sum += key >> 8;
        }
        if (ret_best != NULL)
            ret_best[i] = sum;
    }
}

const struct vector_kernel vector_kernel_avx2 = {
    .name = "avx2",
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
