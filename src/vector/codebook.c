#include "src/vector/codebook.h"

#include <stdlib.h>
#include <string.h>

#include "src/vector/codebook_impl.h"
#include "src/vector/kernel.h"
#include "src/vector/refine.h"

enum {
    TABLE_TOP = 127,     /* two entries fit a byte: kernels add them before widening */
    CHUNK_FLOATS = 9216, /* of rotated rows on the stack: 24 rows at d = 384 */
    NORMS = CODEBOOK_PARTS * CODEBOOK_CENTROIDS,
};

/*
 * The quantised range, as a share of the widest part's range. What lies deeper below a part's best
 * entry saturates: it would belong to a code far from the query anyway.
 */
static const float TABLE_CLIP = 0.6f;

bool codebook_dimension_valid(size_t d)
{
    return d >= CODEBOOK_PARTS && d <= VECTOR_MAX_DIMENSION && d % CODEBOOK_PARTS == 0;
}

struct codebook *codebook_new(size_t d)
{
    size_t floats = d * d + d * CODEBOOK_CENTROIDS + 2 * NORMS; /* each a multiple of 16 */
    struct codebook *codebook = calloc(1, sizeof *codebook);
    float *block = aligned_alloc(64, floats * sizeof *block);

    if (codebook == NULL || block == NULL) {
        free(codebook);
        free(block);
        return NULL;
    }
    atomic_init(&codebook->references, 1);
    codebook->info.dimension = d;
    codebook->part_width = d / CODEBOOK_PARTS;
    codebook->rotation = block;
    codebook->centroids = codebook->rotation + d * d;
    codebook->half_norms = codebook->centroids + d * CODEBOOK_CENTROIDS;
    codebook->penalties = codebook->half_norms + NORMS;
    return codebook;
}

static float squared_norm(const float *part, size_t w, size_t centroid)
{
    float sum = 0;

    for (size_t k = 0; k < w; k++)
        sum += part[k * CODEBOOK_CENTROIDS + centroid] * part[k * CODEBOOK_CENTROIDS + centroid];
    return sum;
}

void codebook_complete(struct codebook *codebook)
{
    for (size_t i = 0; i < NORMS; i++) {
        float norm = squared_norm(codebook_part(codebook, i / CODEBOOK_CENTROIDS),
                                  codebook->part_width, i % CODEBOOK_CENTROIDS);
        codebook->half_norms[i] = 0.5f * norm;
        codebook->penalties[i] = CODEBOOK_BETA * norm;
    }
}

struct codebook *codebook_ref(struct codebook *codebook)
{
    atomic_fetch_add_explicit(&codebook->references, 1, memory_order_relaxed);
    return codebook;
}

void codebook_unref(struct codebook *codebook)
{
    if (codebook == NULL ||
        atomic_fetch_sub_explicit(&codebook->references, 1, memory_order_acq_rel) > 1)
        return;
    free(codebook->rotation);
    free(codebook);
}

const struct codebook_info *codebook_info(const struct codebook *codebook)
{
    return &codebook->info;
}

static void encode_rotated(const struct codebook *codebook, const float *row, uint8_t *ret_code)
{
    const struct vector_kernel *kernel = vector_kernel();
    size_t w = codebook->part_width;

    for (size_t p = 0; p < CODEBOOK_PARTS; p++)
        ret_code[p] = kernel->nearest(row + p * w, codebook_part(codebook, p),
                                      codebook->half_norms + p * CODEBOOK_CENTROIDS, w);
}

void codebook_encode(const struct codebook *codebook, const float *rows, size_t n,
                     uint8_t *ret_codes)
{
    float rotated[CHUNK_FLOATS] __attribute__((aligned(64)));
    size_t d = codebook->info.dimension;
    size_t chunk = CHUNK_FLOATS / d;

    for (size_t start = 0; start < n; start += chunk) {
        size_t count = n - start < chunk ? n - start : chunk;
        vector_kernel()->rotate(rows + start * d, count, codebook->rotation, d, rotated);
        for (size_t i = 0; i < count; i++)
            encode_rotated(codebook, rotated + i * d, ret_codes + (start + i) * CODEBOOK_PARTS);
    }
}

static void decode_rotated(const struct codebook *codebook, const uint8_t *code, float *ret)
{
    size_t w = codebook->part_width;

    for (size_t p = 0; p < CODEBOOK_PARTS; p++)
        for (size_t k = 0; k < w; k++)
            ret[p * w + k] = codebook_part(codebook, p)[k * CODEBOOK_CENTROIDS + code[p]];
}

void codebook_decode(const struct codebook *codebook, const uint8_t code[CODEBOOK_CODE_BYTES],
                     float *ret_vector)
{
    float rotated[VECTOR_MAX_DIMENSION];
    size_t d = codebook->info.dimension;

    decode_rotated(codebook, code, rotated);
    for (size_t i = 0; i < d; i++) {
        const float *row = codebook->rotation + i * d; /* the inverse is the transpose */
        ret_vector[i] = 0;
        for (size_t j = 0; j < d; j++)
            ret_vector[i] += row[j] * rotated[j];
    }
}

/* What quantising needs to know of the unquantised tables. */
struct table_extent {
    float tops[CODEBOOK_PARTS]; /* greatest entry of each part */
    float top_sum;
    float widest; /* range of a part */
};

static void fill_values(const struct codebook *codebook, const float *rotated,
                        float values[CODEBOOK_PARTS][CODEBOOK_CENTROIDS],
                        struct table_extent *ret_extent)
{
    size_t w = codebook->part_width;

    *ret_extent = (struct table_extent){ .top_sum = 0 };
    for (size_t p = 0; p < CODEBOOK_PARTS; p++) {
        struct vector_range range =
            vector_kernel()->estimates(rotated + p * w, codebook_part(codebook, p),
                                       codebook->penalties + p * CODEBOOK_CENTROIDS, w, values[p]);
        float width = range.greatest - range.least;
        ret_extent->tops[p] = range.greatest;
        ret_extent->top_sum += range.greatest;
        ret_extent->widest = width > ret_extent->widest ? width : ret_extent->widest;
    }
}

/* Wide enough that bias + step * sum rounds to another float for every sum. */
static float choose_step(const struct table_extent *extent)
{
    float least = (1.0f + (extent->top_sum < 0 ? -extent->top_sum : extent->top_sum)) / 65536.0f;
    float step = TABLE_CLIP * extent->widest / TABLE_TOP;

    return step > least ? step : least;
}

void codebook_query_init(struct codebook_query *query, const struct codebook *codebook,
                         const float *unit)
{
    float values[CODEBOOK_PARTS][CODEBOOK_CENTROIDS] __attribute__((aligned(64)));
    float rotated[VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
    const struct vector_kernel *kernel = vector_kernel();
    struct table_extent extent;

    kernel->rotate(unit, 1, codebook->rotation, codebook->info.dimension, rotated);
    fill_values(codebook, rotated, values, &extent);
    query->step = choose_step(&extent);
    for (size_t p = 0; p < CODEBOOK_PARTS; p++)
        kernel->quantise(values[p], extent.tops[p], 1.0f / query->step, query->table[p]);
    /* The mean of |c|^2 over unit vectors is 1 - mse: beta times it puts the scale back in place.
     */
    query->bias = extent.top_sum - query->step * (TABLE_TOP * CODEBOOK_PARTS) +
                  CODEBOOK_BETA * (1.0f - codebook->info.mean_squared_error);
}

float codebook_query_score(const struct codebook_query *query,
                           const uint8_t code[CODEBOOK_CODE_BYTES])
{
    uint32_t sum = 0;

    for (size_t p = 0; p < CODEBOOK_PARTS; p++)
        sum += query->table[p][code[p]];
    return codebook_query_approximate(query, sum);
}
