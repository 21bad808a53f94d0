#include <arm_neon.h>
#include <string.h>

#include "src/vector/kernels/kernels.h"

#define LANES 4
/* Not vminq and vmaxq, which order zeros of different signs. */
#define LESSER(a, b) ((lanes)vbslq_f32(vcltq_f32(a, b), a, b))
#define GREATER(a, b) ((lanes)vbslq_f32(vcgtq_f32(a, b), a, b))
#define NARROW(ints) __builtin_convertvector(ints, lane_bytes)
#include "src/vector/kernels/batch_loops.h"
#include "src/vector/kernels/float_loops.h"

enum { VECTORS = 4 }; /* of 16 codes at a time */

static inline uint8x16x4_t load_64(const uint8_t *table)
{
    return (uint8x16x4_t){ { vld1q_u8(table), vld1q_u8(table + 16), vld1q_u8(table + 32),
                             vld1q_u8(table + 48) } };
}

/* A look-up in 64 bytes leaves alone, or clears, what its index finds outside. */
static inline void look_up(const uint8_t *table, const uint8_t *codes, uint8x16_t ret[VECTORS])
{
    uint8x16_t index[VECTORS];
    uint8x16x4_t quarter = load_64(table);

    for (size_t v = 0; v < VECTORS; v++) {
        index[v] = vld1q_u8(codes + 16 * v);
        ret[v] = vqtbl4q_u8(quarter, index[v]);
    }
    for (size_t q = 1; q < 4; q++) {
        quarter = load_64(table + 64 * q);
        for (size_t v = 0; v < VECTORS; v++) {
            index[v] = vsubq_u8(index[v], vdupq_n_u8(64));
            ret[v] = vqtbx4q_u8(ret[v], quarter, index[v]);
        }
    }
}

/* Two entries of at most 127 fit a byte: they are added before widening. */
static inline void sum_64(const uint8_t *table, const uint8_t *codes, size_t parts, size_t group,
                          uint16x8_t ret[2 * VECTORS])
{
    for (size_t i = 0; i < 2 * VECTORS; i++)
        ret[i] = vdupq_n_u16(0);
    for (size_t p = 0; p < parts; p += 2) {
        uint8x16_t first[VECTORS];
        uint8x16_t second[VECTORS];
        look_up(table + p * KERNEL_CENTROIDS, codes + p * group, first);
        look_up(table + (p + 1) * KERNEL_CENTROIDS, codes + (p + 1) * group, second);
        for (size_t v = 0; v < VECTORS; v++) {
            uint8x16_t both = vaddq_u8(first[v], second[v]);
            ret[2 * v] = vaddw_u8(ret[2 * v], vget_low_u8(both));
            ret[2 * v + 1] = vaddw_high_u8(ret[2 * v + 1], both);
        }
    }
}

/* The lowest bit of 16 bytes that are all ones or all zeros; added in pairs, three times, the bits
 * of eight bytes come together. */
static inline uint64_t pass_mask(const uint16x8_t sums[2 * VECTORS], uint16x8_t threshold)
{
    static const uint8_t weights[16] = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };
    uint8x16_t bits[VECTORS];
    uint8x16_t eighths;

    for (size_t v = 0; v < VECTORS; v++) {
        uint8x8_t low = vmovn_u16(vcgeq_u16(sums[2 * v], threshold));
        uint8x16_t bytes = vmovn_high_u16(low, vcgeq_u16(sums[2 * v + 1], threshold));
        bits[v] = vandq_u8(bytes, vld1q_u8(weights));
    }
    eighths = vpaddq_u8(vpaddq_u8(bits[0], bits[1]), vpaddq_u8(bits[2], bits[3]));
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(eighths, eighths)), 0);
}

static void scan(const uint8_t *table, const uint8_t *codes, size_t parts, size_t words,
                 uint16_t threshold, uint16_t *ret_sums, uint64_t *ret_pass)
{
    for (size_t word = 0; word < words; word++) {
        uint16x8_t sums[2 * VECTORS];
        sum_64(table, codes + 64 * word, parts, 64 * words, sums);
        for (size_t i = 0; i < 2 * VECTORS; i++)
            vst1q_u16(ret_sums + 64 * word + 8 * i, sums[i]);
        ret_pass[word] = pass_mask(sums, vdupq_n_u16(threshold));
    }
}

static int32_t dot_i16_i8(const int16_t *query, const int8_t *row, size_t d)
{
    int32x4_t sums = vdupq_n_s32(0);
    int32_t sum;
    size_t i = 0;

    for (; i + 8 <= d; i += 8) {
        int16x8_t q = vld1q_s16(query + i);
        int16x8_t r = vmovl_s8(vld1_s8(row + i));
        sums = vmlal_s16(sums, vget_low_s16(q), vget_low_s16(r));
        sums = vmlal_high_s16(sums, q, r);
    }
    sum = vaddvq_s32(sums);
    for (; i < d; i++)
        sum += query[i] * row[i];
    return sum;
}

/* To each of four sums add four products of bytes. */
static inline int32x4_t add_products(int32x4_t sums, int8x16_t a, int8x16_t b)
{
#ifdef __ARM_FEATURE_DOTPROD
    return vdotq_s32(sums, a, b);
#else
    int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    int16x8_t high = vmull_high_s8(a, b);

    return vaddq_s32(sums, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t d)
{
    int32x4_t sums = vdupq_n_s32(0);
    int32_t sum;
    size_t i = 0;

    for (; i + 16 <= d; i += 16)
        sums = add_products(sums, vld1q_s8(a + i), vld1q_s8(b + i));
    sum = vaddvq_s32(sums);
    for (; i < d; i++)
        sum += a[i] * b[i];
    return sum;
}

struct packed {
    int8x16_t bytes;
};

struct four {
    int8x16_t values;
};

/* Less the 128: both sides of the products have signs here. */
static inline struct packed packed_load(const uint8_t *bytes)
{
    return (struct packed){ vreinterpretq_s8_u8(veorq_u8(vld1q_u8(bytes), vdupq_n_u8(128))) };
}

static inline struct four four_load(const int8_t *row)
{
    int32_t bytes;

    memcpy(&bytes, row, sizeof bytes);
    return (struct four){ vreinterpretq_s8_s32(vdupq_n_s32(bytes)) };
}

static inline lane_ints add_dots(lane_ints sums, struct packed packed, struct four four)
{
    return (lane_ints)add_products((int32x4_t)sums, packed.bytes, four.values);
}

static int32_t excess_of(const int8_t *row, size_t d)
{
    (void)row;
    (void)d;
    return 0;
}

static inline lane_ints keys_of(lane_ints scores, lane_ints ids)
{
    return scores << 8 | (lane_ints)((lane_bits)ids >> 24);
}

#define GREATER_INT(a, b) ((lane_ints)vmaxq_s32((int32x4_t)(a), (int32x4_t)(b)))

static inline lane_ints greatest_lanes(const lane_ints v[4])
{
    int32x4_t low = vpmaxq_s32((int32x4_t)v[0], (int32x4_t)v[1]);
    int32x4_t high = vpmaxq_s32((int32x4_t)v[2], (int32x4_t)v[3]);

    return (lane_ints)vpmaxq_s32(low, high);
}

enum { TILE_ROWS = 4, TILE_WIDTH = 4, ROW_WIDTH = 8, ENCODE_ROWS = 1, ENCODE_PARTS = 4 };

#include "src/vector/kernels/integer_loops.h"

VECTOR_KERNEL(neon, products, 8);
