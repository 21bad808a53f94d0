/* Compiled once per instruction set; KERNELS names the table and KERNELS_NAME says which. */

#include "src/embed/kernels.h"

#include "src/embed/vectors.h"

#include <float.h>
#include <math.h>

enum {
    ROWS = 4,         /* of a tile; with TILE columns: 8 sums in flight */
    TILE = 2 * LANES, /* columns */
    SCORES = KERNEL_MAX_TOKENS + TILE,
};

static void add_norm(const float *x, const float *residual, const float *bias,
                     const struct kernel_norm *norm, float *ret_row)
{
    floats sum = floats_all(0), squares = floats_all(0);

    for (size_t i = 0; i < KERNEL_FEATURES; i += LANES) {
        floats v = floats_load(x + i) + floats_load(residual + i) + floats_load(bias + i);
        sum += v;
        floats_store(ret_row + i, v);
    }
    float mean = floats_sum(sum) / KERNEL_FEATURES;
    for (size_t i = 0; i < KERNEL_FEATURES; i += LANES) {
        floats v = floats_load(ret_row + i) - mean;
        squares += v * v;
    }
    float scale = 1.0f / sqrtf(floats_sum(squares) / KERNEL_FEATURES + norm->epsilon);
    for (size_t i = 0; i < KERNEL_FEATURES; i += LANES) {
        floats v = (floats_load(ret_row + i) - mean) * scale;
        floats_store(ret_row + i, v * floats_load(norm->scale + i) + floats_load(norm->shift + i));
    }
}

/*
 * The Gaussian's upper tail 1 - Φ(a) for a >= 0, as exp(-a²/2) t Q(t) with t = 1 / (1 + 0.35 a),
 * the form of Hastings (Abramowitz, Stegun: Handbook of Mathematical Functions, 7.1.26) with a
 * polynomial of degree 8 fitted for the relative error, which is below 4e-8 up to a = 14.
 */
VECTOR_INLINE floats gauss_tail(floats a)
{
    floats t = 1.0f / (1.0f + 0.35f * a);
    floats q = floats_all(-0.0291459653f);

    q = q * t + 0.143971866f;
    q = q * t - 0.255714596f;
    q = q * t + 0.159174544f;
    q = q * t - 0.023110094f;
    q = q * t + 0.105508111f;
    q = q * t + 0.119832841f;
    q = q * t + 0.139861873f;
    q = q * t + 0.139621404f;
    return floats_exp(-0.5f * a * a) * t * q;
}

static void bias_gelu(float *row, const float *bias, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        floats x = floats_load(row + i) + floats_load(bias + i);
        floats a = floats_abs(x);
        floats_store(row + i, 0.5f * (x + a) - a * gauss_tail(a));
    }
}

/* A tile of a product: ret[ROWS][TILE] = a[ROWS][depth] b[depth][TILE]. */
VECTOR_INLINE void multiply_tile(const float *a, size_t a_stride, const float *b, size_t b_stride,
                                 size_t depth, floats ret[ROWS][2])
{
    for (size_t i = 0; i < ROWS; i++)
        ret[i][0] = ret[i][1] = floats_all(0);
    for (size_t k = 0; k < depth; k++) {
        floats left = floats_load(b + k * b_stride);
        floats right = floats_load(b + k * b_stride + LANES);
        for (size_t i = 0; i < ROWS; i++) {
            ret[i][0] += a[i * a_stride + k] * left;
            ret[i][1] += a[i * a_stride + k] * right;
        }
    }
}

/* Up to ROWS queries of one head, biased and scaled; rows that are not there become zero. The
 * keys' bias adds the same to every score of a query, so softmax cannot see it: there is none. */
static void load_queries(const struct kernel_attention *at, size_t head, size_t from, size_t n,
                         float ret[ROWS][KERNEL_HEAD_FEATURES])
{
    const float scale = 0.176776695296636881f; /* 1 / sqrt(32) */
    const float *bias = at->query_bias + head * KERNEL_HEAD_FEATURES;

    memset(ret, 0, sizeof(float) * ROWS * KERNEL_HEAD_FEATURES);
    for (size_t i = 0; i < n; i++) {
        const float *query =
            at->queries + (from + i) * KERNEL_FEATURES + head * KERNEL_HEAD_FEATURES;
        for (size_t k = 0; k < KERNEL_HEAD_FEATURES; k += LANES)
            floats_store(ret[i] + k, (floats_load(query + k) + floats_load(bias + k)) * scale);
    }
}

/* Scores of the queries against every key of the text; columns behind the last key hold the
 * lowest score, up to a full tile. */
static void score(const struct kernel_attention *at, size_t head,
                  float queries[ROWS][KERNEL_HEAD_FEATURES], float ret[ROWS][SCORES])
{
    const float *keys = at->keys + head * KERNEL_HEAD_FEATURES * at->key_stride;
    floats tile[ROWS][2];
    size_t column = 0;

    for (; column < at->n_tokens; column += TILE) {
        multiply_tile(queries[0], KERNEL_HEAD_FEATURES, keys + column, at->key_stride,
                      KERNEL_HEAD_FEATURES, tile);
        for (size_t i = 0; i < ROWS; i++) {
            floats_store(ret[i] + column, tile[i][0]);
            floats_store(ret[i] + column + LANES, tile[i][1]);
        }
    }
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = at->n_tokens; j < column; j++)
            ret[i][j] = -FLT_MAX;
}

/* Scores to weights, without the division; returns their sum. */
static float exponentiate(float *scores, size_t n)
{
    floats highest = floats_load(scores), sum = floats_all(0);

    for (size_t i = LANES; i < n; i += LANES)
        highest = floats_max(highest, floats_load(scores + i));
    float shift = floats_highest(highest);
    for (size_t i = 0; i < n; i += LANES) {
        floats weight = floats_exp(floats_load(scores + i) - shift);
        sum += weight;
        floats_store(scores + i, weight);
    }
    return floats_sum(sum);
}

/* The weighted mean of the values, for each of @n queries. The weights of one query sum to one,
 * so that the values' bias comes through unchanged and is added here. */
static void blend(const struct kernel_attention *at, size_t head, float weights[ROWS][SCORES],
                  const float *sums, size_t n, float *ret_rows)
{
    const size_t first = head * KERNEL_HEAD_FEATURES;
    floats tile[ROWS][2];

    for (size_t k = first; k < first + KERNEL_HEAD_FEATURES; k += TILE) {
        multiply_tile(weights[0], SCORES, at->values + k, KERNEL_FEATURES, at->n_tokens, tile);
        for (size_t i = 0; i < n; i++) {
            float *row = ret_rows + i * KERNEL_FEATURES + k;
            const float *bias = at->value_bias + k;
            floats_store(row, tile[i][0] / sums[i] + floats_load(bias));
            floats_store(row + LANES, tile[i][1] / sums[i] + floats_load(bias + LANES));
        }
    }
}

static void attend_rows(const struct kernel_attention *at, size_t head, size_t from, size_t n,
                        float *ret_rows)
{
    float queries[ROWS][KERNEL_HEAD_FEATURES];
    float scores[ROWS][SCORES];
    float sums[ROWS];

    load_queries(at, head, from, n, queries);
    score(at, head, queries, scores);
    for (size_t i = 0; i < ROWS; i++)
        sums[i] = exponentiate(scores[i], at->n_tokens);
    blend(at, head, scores, sums, n, ret_rows + from * KERNEL_FEATURES);
}

static void attend(const struct kernel_attention *attention, float *ret_rows)
{
    for (size_t head = 0; head < KERNEL_HEADS; head++)
        for (size_t from = 0; from < attention->n_tokens; from += ROWS) {
            size_t rest = attention->n_tokens - from;
            attend_rows(attention, head, from, rest < ROWS ? rest : ROWS, ret_rows);
        }
}

/* The mean and the sum have the same direction. */
static bool pool(const float *rows, size_t n, float *ret_row)
{
    floats squares = floats_all(0);

    for (size_t i = 0; i < KERNEL_FEATURES; i += LANES) {
        floats sum = floats_load(rows + i);
        for (size_t row = 1; row < n; row++)
            sum += floats_load(rows + row * KERNEL_FEATURES + i);
        squares += sum * sum;
        floats_store(ret_row + i, sum);
    }
    float length = sqrtf(floats_sum(squares));
    for (size_t i = 0; i < KERNEL_FEATURES; i += LANES)
        floats_store(ret_row + i, floats_load(ret_row + i) / length);
    return isfinite(length) && length > 0;
}

const struct embed_kernels KERNELS = {
    .name = KERNELS_NAME,
    .add_norm = add_norm,
    .bias_gelu = bias_gelu,
    .attend = attend,
    .pool = pool,
};
