#include <immintrin.h>
#include <string.h>

#include "src/vector/kernels/kernels.h"

#define LANES 16
#define LESSER(a, b) _mm512_min_ps(a, b)
#define GREATER(a, b) _mm512_max_ps(a, b)
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

/* Sum of a * b: vpdpbusd wants one side unsigned, so it gets a + 128, and 128 * b is taken off. */
static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t d)
{
    __m512i raised = _mm512_setzero_si512();
    __m512i excess = raised;

    for (size_t i = 0; i < d; i += 64) {
        __mmask64 there = d - i < 64 ? ((__mmask64)1 << (d - i)) - 1 : ~(__mmask64)0;
        __m512i x = _mm512_maskz_loadu_epi8(there, a + i);
        __m512i y = _mm512_maskz_loadu_epi8(there, b + i);
        raised = _mm512_dpbusd_epi32(raised, _mm512_xor_si512(x, _mm512_set1_epi8((char)0x80)), y);
        excess = _mm512_dpbusd_epi32(excess, _mm512_set1_epi8((char)0x80), y);
    }
    return _mm512_reduce_add_epi32(_mm512_sub_epi32(raised, excess));
}

/* Four values of a row, in every lane. */
static inline __m512i four_values(const int8_t *row)
{
    int32_t bytes;

    memcpy(&bytes, row, sizeof bytes);
    return _mm512_set1_epi32(bytes);
}

/* What the packed matrix's 128 adds to every product with the row. */
static int32_t excess_of(const int8_t *row, size_t d)
{
    __m512i sum = _mm512_setzero_si512();

    for (size_t i = 0; i < d; i += 64) {
        __mmask64 there = d - i < 64 ? ((__mmask64)1 << (d - i)) - 1 : ~(__mmask64)0;
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8((char)0x80),
                                  _mm512_maskz_loadu_epi8(there, row + i));
    }
    return _mm512_reduce_add_epi32(sum);
}

enum { TILE_ROWS = 4, TILE_WIDTH = 6, ROW_WIDTH = 12, BLOCK_ROWS = 32 };

/* Rows times a packed matrix. */
struct product {
    const int8_t *rows;
    size_t stride;
    size_t d;
    const uint8_t *matrix;
    size_t columns;
    int32_t *sums;
    const int32_t *excess; /* of each row */
};

/* @n rows from @i times 16 * @width columns from @j; inlined with constants for both. */
__attribute__((always_inline)) static inline void product_tile(const struct product *of, size_t i,
                                                               size_t n, size_t j, size_t width)
{
    const uint8_t *matrix = of->matrix + j * of->d;
    const int8_t *rows = of->rows + i * of->stride;
    size_t column_bytes = KERNEL_COLUMNS * of->d;
    size_t stride = of->stride;
    size_t d = of->d;
    __m512i sums[TILE_ROWS * TILE_WIDTH];

    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < width; c++)
            sums[r * width + c] = _mm512_set1_epi32(-of->excess[i + r]);
    for (size_t k = 0; k < d; k += 4, matrix += 64) {
        __m512i panel[ROW_WIDTH];
        for (size_t c = 0; c < width; c++)
            panel[c] = _mm512_load_si512(matrix + c * column_bytes);
        for (size_t r = 0; r < n; r++) {
            __m512i values = four_values(rows + r * stride + k);
            for (size_t c = 0; c < width; c++)
                sums[r * width + c] = _mm512_dpbusd_epi32(sums[r * width + c], panel[c], values);
        }
    }
    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < width; c++)
            _mm512_store_si512(of->sums + (i + r) * of->columns + j + KERNEL_COLUMNS * c,
                               sums[r * width + c]);
}

/* Few enough columns at a time to stay in the first-level cache while the rows pass. */
static void block_product(const struct product *of, size_t n)
{
    size_t wide = (size_t)TILE_WIDTH * KERNEL_COLUMNS;
    size_t j = 0;
    size_t i;

    for (; j + wide <= of->columns; j += wide) {
        for (i = 0; i + TILE_ROWS <= n; i += TILE_ROWS)
            product_tile(of, i, TILE_ROWS, j, TILE_WIDTH);
        for (; i < n; i++)
            product_tile(of, i, 1, j, TILE_WIDTH);
    }
    for (; j < of->columns; j += KERNEL_COLUMNS) {
        for (i = 0; i + TILE_ROWS <= n; i += TILE_ROWS)
            product_tile(of, i, TILE_ROWS, j, 1);
        for (; i < n; i++)
            product_tile(of, i, 1, j, 1);
    }
}

/* One row alone waits for its matrix: it reads wider. */
static void row_product(const struct product *of)
{
    size_t wide = (size_t)ROW_WIDTH * KERNEL_COLUMNS;
    size_t j = 0;

    for (; j + wide <= of->columns; j += wide)
        product_tile(of, 0, 1, j, ROW_WIDTH);
    for (; j < of->columns; j += KERNEL_COLUMNS)
        product_tile(of, 0, 1, j, 1);
}

static void products(const int8_t *rows, size_t stride, size_t n, size_t d, const uint8_t *matrix,
                     size_t columns, int32_t *ret_sums)
{
    for (size_t first = 0; first < n; first += BLOCK_ROWS) {
        size_t block = n - first < BLOCK_ROWS ? n - first : BLOCK_ROWS;
        int32_t excess[BLOCK_ROWS];
        struct product of = { rows + first * stride,      stride, d, matrix, columns,
                              ret_sums + first * columns, excess };
        for (size_t i = 0; i < block; i++)
            excess[i] = excess_of(of.rows + i * stride, d);
        if (block == 1)
            row_product(&of);
        else
            block_product(&of, block);
    }
}

enum { ENCODE_ROWS = 4, ENCODE_PARTS = 4, KEYS = ENCODE_ROWS * ENCODE_PARTS };

/* Rows to encode and where their codes go. */
struct encoding {
    const int8_t *rotated;
    size_t parts;
    size_t w;
    const uint8_t *centroids;
    const int32_t *half_norms;
    uint8_t *codes;
    int32_t *best;
};

/*
 * Of @rows rows the greatest keys of one part, in sixteen lanes: score << 8 | 255 - centroid, so
 * that of equals the lowest centroid wins. Scores stay below 2^23 even though the packed centroids
 * are 128 too high. @rows and @fours are constants.
 */
__attribute__((always_inline)) static inline void greatest_keys(const struct encoding *of, size_t i,
                                                                size_t rows, size_t p, size_t fours,
                                                                __m512i *ret)
{
    size_t d = of->parts * of->w;
    const int8_t *values = of->rotated + i * d + p * of->w;
    const uint8_t *centroids = of->centroids + p * of->w * KERNEL_CENTROIDS;
    const int32_t *half_norms = of->half_norms + p * KERNEL_CENTROIDS;
    __m512i ids = _mm512_slli_epi32(
        _mm512_sub_epi32(_mm512_set1_epi32(255),
                         _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
        24);

    for (size_t r = 0; r < rows; r++)
        ret[r] = _mm512_set1_epi32(INT32_MIN);
    for (size_t c = 0; c < KERNEL_CENTROIDS; c += KERNEL_COLUMNS) {
        __m512i start = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_load_si512(half_norms + c));
        __m512i scores[ENCODE_ROWS];
        for (size_t r = 0; r < rows; r++)
            scores[r] = start;
        for (size_t k = 0; k < fours; k++, centroids += 64) {
            __m512i sixteen = _mm512_load_si512(centroids);
            for (size_t r = 0; r < rows; r++)
                scores[r] =
                    _mm512_dpbusd_epi32(scores[r], sixteen, four_values(values + r * d + 4 * k));
        }
        for (size_t r = 0; r < rows; r++)
            ret[r] = _mm512_max_epi32(ret[r], _mm512_shldi_epi32(scores[r], ids, 8));
        ids = _mm512_sub_epi32(ids, _mm512_set1_epi32(16 << 24));
    }
}

/* Lane j of the result is the greatest lane of v[j]. */
static inline __m512i greatest_lanes(const __m512i v[KEYS])
{
    __m512i twos[8];
    __m512i fours[4];
    __m512i eights[2];

    for (size_t j = 0; j < 8; j++)
        twos[j] = _mm512_max_epi32(_mm512_unpacklo_epi32(v[2 * j], v[2 * j + 1]),
                                   _mm512_unpackhi_epi32(v[2 * j], v[2 * j + 1]));
    for (size_t j = 0; j < 4; j++)
        fours[j] = _mm512_max_epi32(_mm512_unpacklo_epi64(twos[2 * j], twos[2 * j + 1]),
                                    _mm512_unpackhi_epi64(twos[2 * j], twos[2 * j + 1]));
    for (size_t j = 0; j < 2; j++)
        eights[j] = _mm512_max_epi32(_mm512_shuffle_i32x4(fours[2 * j], fours[2 * j + 1], 0x88),
                                     _mm512_shuffle_i32x4(fours[2 * j], fours[2 * j + 1], 0xDD));
    return _mm512_max_epi32(_mm512_shuffle_i32x4(eights[0], eights[1], 0x88),
                            _mm512_shuffle_i32x4(eights[0], eights[1], 0xDD));
}

/* Codes and scores of a tile of rows and parts; lane r * 4 + q holds the key of part p + q. */
static void store_keys(const struct encoding *of, size_t i, size_t rows, size_t p, size_t parts,
                       __m512i keys)
{
    uint8_t codes[KEYS];
    int32_t scores[KEYS];

    _mm_storeu_si128((__m128i *)codes,
                     _mm512_cvtepi32_epi8(_mm512_xor_si512(keys, _mm512_set1_epi32(-1))));
    for (size_t r = 0; r < rows; r++)
        memcpy(of->codes + (i + r) * of->parts + p, codes + ENCODE_PARTS * r, parts);
    if (of->best == NULL)
        return;
    _mm512_storeu_si512(scores, _mm512_srai_epi32(keys, 8));
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < parts; q++)
            of->best[i + r] += scores[ENCODE_PARTS * r + q];
}

/* @rows and @fours are constants, 0 for whatever w says. */
__attribute__((always_inline)) static inline void
encode_rows(const struct encoding *of, size_t i, size_t rows, size_t p, size_t parts, size_t fours)
{
    __m512i keys[KEYS];
    __m512i found[ENCODE_ROWS];

    for (size_t k = 0; k < KEYS; k++)
        keys[k] = _mm512_setzero_si512();
    for (size_t q = 0; q < parts; q++) {
        greatest_keys(of, i, rows, p + q, fours != 0 ? fours : of->w / 4, found);
        for (size_t r = 0; r < rows; r++)
            keys[ENCODE_PARTS * r + q] = found[r];
    }
    store_keys(of, i, rows, p, parts, greatest_lanes(keys));
}

__attribute__((always_inline)) static inline void encode_parts(const struct encoding *of, size_t n,
                                                               size_t p, size_t parts, size_t fours)
{
    size_t i = 0;

    for (; i + ENCODE_ROWS <= n; i += ENCODE_ROWS)
        encode_rows(of, i, ENCODE_ROWS, p, parts, fours);
    for (; i < n; i++)
        encode_rows(of, i, 1, p, parts, fours);
}

/* Some parts for all of a block of rows, so that their centroids stay in the first-level cache. */
static void encode_block(const struct encoding *of, size_t n)
{
    for (size_t p = 0; p < of->parts; p += ENCODE_PARTS) {
        size_t parts = of->parts - p < ENCODE_PARTS ? of->parts - p : ENCODE_PARTS;
        if (of->w == 8)
            encode_parts(of, n, p, parts, 2);
        else
            encode_parts(of, n, p, parts, 0);
    }
}

static void encode(const int8_t *rotated, size_t n, size_t parts, size_t w,
                   const uint8_t *centroids, const int32_t *half_norms, uint8_t *ret_codes,
                   int32_t *ret_best)
{
    size_t d = parts * w;

    for (size_t i = 0; i < n; i += BLOCK_ROWS) {
        struct encoding of = { rotated + i * d,
                               parts,
                               w,
                               centroids,
                               half_norms,
                               ret_codes + i * parts,
                               ret_best == NULL ? NULL : ret_best + i };
        size_t block = n - i < BLOCK_ROWS ? n - i : BLOCK_ROWS;
        for (size_t r = 0; of.best != NULL && r < block; r++)
            of.best[r] = -excess_of(of.rotated + r * d, d);
        encode_block(&of, block);
    }
}

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
