#include "src/vector/codebook.h"

#include "src/base/size.h"
#include "src/vector/codebook_impl.h"
#include "src/vector/refine.h"

enum { TABLE_TOP = 127 }; /* two entries fit a byte: kernels add them before widening */

/*
 * The quantised range, as a share of the widest part's range. What lies deeper below a part's best
 * entry saturates: it would belong to a code far from the query anyway.
 */
static const float TABLE_CLIP = 0.6f;

/* Queries whose tables are made together: the columns of a part are read once for all of them, and
 * those of all parts are more than the first-level cache holds. */
enum { BLOCK = 4 };

/* By the queries' int8 values: what they lose is far less than what codes and table entries lose.
 */
static void rotate_queries(const struct codebook *codebook, const float *units, size_t n,
                           float *ret_rotated)
{
    int8_t values[BLOCK * VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
    int32_t sums[BLOCK * VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
    size_t d = codebook->info.dimension;
    float scales[BLOCK];

    for (size_t i = 0; i < n; i++)
        scales[i] = refine_quantise(units + i * d, d, values + i * d);
    vector_kernel()->products(values, d, n, d, codebook->packed_rotation, d, sums);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            ret_rotated[i * d + j] =
                (float)sums[i * d + j] * (codebook->column_factors[j] * scales[i]);
}

/* What quantising needs to know of the unquantised tables. */
struct table_extent {
    float tops[CODEBOOK_PARTS]; /* greatest entry of each part */
    float top_sum;
    float widest; /* range of a part */
};

static void extend(struct table_extent *extent, size_t part, struct vector_range range)
{
    float width = range.greatest - range.least;

    extent->tops[part] = range.greatest;
    extent->top_sum += range.greatest;
    extent->widest = width > extent->widest ? width : extent->widest;
}

static void fill_values(const struct codebook *codebook, const float *rotated, size_t n,
                        float values[BLOCK][CODEBOOK_PARTS][CODEBOOK_CENTROIDS],
                        struct table_extent ret_extents[BLOCK])
{
    size_t w = codebook->part_width;

    for (size_t i = 0; i < n; i++)
        ret_extents[i] = (struct table_extent){ .top_sum = 0 };
    for (size_t p = 0; p < CODEBOOK_PARTS; p++)
        for (size_t i = 0; i < n; i++)
            extend(&ret_extents[i], p,
                   vector_kernel()->estimates(rotated + i * codebook->info.dimension + p * w,
                                              codebook->columns + p * w * CODEBOOK_CENTROIDS,
                                              codebook->penalties + p * CODEBOOK_CENTROIDS, w,
                                              values[i][p]));
}

/* Wide enough that bias + step * sum rounds to another float for every sum. */
static float choose_step(const struct table_extent *extent)
{
    float least = (1.0f + (extent->top_sum < 0 ? -extent->top_sum : extent->top_sum)) / 65536.0f;
    float step = TABLE_CLIP * extent->widest / TABLE_TOP;

    return step > least ? step : least;
}

static void quantise_table(struct codebook_query *query, const struct codebook *codebook,
                           float values[CODEBOOK_PARTS][CODEBOOK_CENTROIDS],
                           const struct table_extent *extent)
{
    const struct vector_kernel *kernel = vector_kernel();

    query->step = choose_step(extent);
    for (size_t p = 0; p < CODEBOOK_PARTS; p++)
        kernel->quantise(values[p], extent->tops[p], 1.0f / query->step, query->table[p]);
    /* The mean of |c|^2 over unit vectors is 1 - mse: beta times it puts the scale back in place.
     */
    query->bias = extent->top_sum - query->step * (TABLE_TOP * CODEBOOK_PARTS) +
                  CODEBOOK_BETA * (1.0f - codebook->info.mean_squared_error);
}

static void init_block(struct codebook_query *queries, const struct codebook *codebook,
                       const float *units, size_t n)
{
    float values[BLOCK][CODEBOOK_PARTS][CODEBOOK_CENTROIDS] __attribute__((aligned(64)));
    float rotated[BLOCK * VECTOR_MAX_DIMENSION] __attribute__((aligned(64)));
    struct table_extent extents[BLOCK];

    rotate_queries(codebook, units, n, rotated);
    fill_values(codebook, rotated, n, values, extents);
    for (size_t i = 0; i < n; i++)
        quantise_table(&queries[i], codebook, values[i], &extents[i]);
}

void codebook_query_init_many(struct codebook_query *queries, const struct codebook *codebook,
                              const float *units, size_t n)
{
    size_t d = codebook->info.dimension;

    for (size_t i = 0; i < n; i += BLOCK)
        init_block(queries + i, codebook, units + i * d, size_min(n - i, BLOCK));
}

void codebook_query_init(struct codebook_query *query, const struct codebook *codebook,
                         const float *unit)
{
    init_block(query, codebook, unit, 1);
}

float codebook_query_score(const struct codebook_query *query,
                           const uint8_t code[CODEBOOK_CODE_BYTES])
{
    uint32_t sum = 0;

    for (size_t p = 0; p < CODEBOOK_PARTS; p++)
        sum += query->table[p][code[p]];
    return codebook_query_approximate(query, sum);
}
