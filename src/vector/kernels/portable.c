#include <string.h>

#include "src/vector/kernels/kernels.h"

#define LANES 4

typedef float four_floats __attribute__((vector_size(16)));
typedef int32_t four_masks __attribute__((vector_size(16)));

/* a where the mask is set, b elsewhere; C has no ?: for vectors. */
static inline four_floats choose(four_masks mask, four_floats a, four_floats b)
{
    return (four_floats)((mask & (four_masks)a) | (~mask & (four_masks)b));
}

#define LESSER(a, b) choose((a) < (b), a, b)
#define GREATER(a, b) choose((a) > (b), a, b)
#define NARROW(ints) __builtin_convertvector(ints, lane_bytes)
#include "src/vector/kernels/batch_loops.h"
#include "src/vector/kernels/float_loops.h"

static uint64_t pass_mask(const uint16_t *sums, uint16_t threshold)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < 64; i++)
        mask |= (uint64_t)(sums[i] >= threshold) << i;
    return mask;
}

static void scan(const uint8_t *table, const uint8_t *codes, size_t parts, size_t words,
                 uint16_t threshold, uint16_t *ret_sums, uint64_t *ret_pass)
{
    size_t group = 64 * words;

    memset(ret_sums, 0, group * sizeof *ret_sums);
    for (size_t p = 0; p < parts; p++)
        for (size_t i = 0; i < group; i++)
            ret_sums[i] =
                (uint16_t)(ret_sums[i] + table[p * KERNEL_CENTROIDS + codes[p * group + i]]);
    for (size_t word = 0; word < words; word++)
        ret_pass[word] = pass_mask(ret_sums + 64 * word, threshold);
}

static int32_t dot_i16_i8(const int16_t *query, const int8_t *row, size_t d)
{
    int32_t sum = 0;

    for (size_t i = 0; i < d; i++)
        sum += query[i] * row[i];
    return sum;
}

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t d)
{
    int32_t sum = 0;

    for (size_t i = 0; i < d; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Adds the row times sixteen packed columns; @ret starts with what the sums start with. */
static void add_products(const int8_t *row, size_t d, const uint8_t *packed, int32_t ret[16])
{
    for (size_t k = 0; k < d; k += 4, packed += 64)
        for (size_t j = 0; j < 16; j++)
            for (size_t i = 0; i < 4; i++)
                ret[j] += row[k + i] * (packed[4 * j + i] - 128);
}

static void products(const int8_t *rows, size_t stride, size_t n, size_t d, const uint8_t *matrix,
                     size_t columns, int32_t *ret_sums)
{
    memset(ret_sums, 0, n * columns * sizeof *ret_sums);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < columns; j += KERNEL_COLUMNS)
            add_products(rows + i * stride, d, matrix + j * d, ret_sums + i * columns + j);
}

struct best {
    int32_t score;
    uint8_t centroid;
};

static struct best nearest(const int8_t *part, size_t w, const uint8_t *centroids,
                           const int32_t *half_norms)
{
    struct best best = { INT32_MIN, 0 };

    for (size_t c = 0; c < KERNEL_CENTROIDS; c += KERNEL_COLUMNS) {
        int32_t scores[KERNEL_COLUMNS];
        for (size_t j = 0; j < KERNEL_COLUMNS; j++)
            scores[j] = -half_norms[c + j];
        add_products(part, w, centroids + c * w, scores);
        for (size_t j = 0; j < KERNEL_COLUMNS; j++)
            if (scores[j] > best.score)
                best = (struct best){ scores[j], (uint8_t)(c + j) };
    }
    return best;
}

static void encode(const int8_t *rotated, size_t n, size_t parts, size_t w,
                   const uint8_t *centroids, const int32_t *half_norms, uint8_t *ret_codes,
                   int32_t *ret_best)
{
    for (size_t i = 0; i < n; i++) {
        int32_t sum = 0;
        for (size_t p = 0; p < parts; p++) {
            struct best best =
                nearest(rotated + (i * parts + p) * w, w, centroids + p * w * KERNEL_CENTROIDS,
                        half_norms + p * KERNEL_CENTROIDS);
            ret_codes[i * parts + p] = best.centroid;
            sum += best.score;
        }
        if (ret_best != NULL)
            ret_best[i] = sum;
    }
}

VECTOR_KERNEL(portable, products, 4);
