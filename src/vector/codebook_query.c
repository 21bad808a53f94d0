#include "src/vector/codebook.h"

#include "src/vector/codebook_impl.h"
#include "src/vector/refine.h"

enum { TABLE_TOP = 127 }; /* two entries fit a byte: kernels add them before widening */

/*
 * The quantised range, as a share of the widest part's range. What lies deeper below a part's best
 * entry saturates: it would belong to a code far from the query anyway.
 */
static const float TABLE_CLIP = 0.6f;

/* By the query's int8 values: what they lose is far less than what codes and table entries lose. */
static void rotate_query(const struct codebook *codebook, const float *unit, float *ret_rotated)
{
    int8_t values[VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
    int32_t sums[VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
    size_t d = codebook->info.dimension;
    float scale = refine_quantise(unit, d, values);

    vector_kernel()->products(values, d, 1, d, codebook->packed_rotation, d, sums);
    for (size_t j = 0; j < d; j++)
        ret_rotated[j] = (float)sums[j] * (codebook->column_factors[j] * scale);
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
        struct vector_range range = vector_kernel()->estimates(
            rotated + p * w, codebook->columns + p * w * CODEBOOK_CENTROIDS,
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

    rotate_query(codebook, unit, rotated);
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
