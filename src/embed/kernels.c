/* Compiled once per instruction set; KERNELS names the table and KERNELS_NAME says which. */

#include "src/embed/kernels.h"

#include "src/embed/gelu.h"
#include "src/embed/vectors.h"

#include <float.h>
#include <math.h>

enum {
    ROWS = 6,         /* of a tile; with TILE columns: 12 sums in flight */
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

static void bias_gelu(float *row, const float *bias, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        floats x = floats_load(row + i) + floats_load(bias + i);
        floats_store(row + i, floats_gelu(x));
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

#ifdef __AVX512F__

enum {
    PANEL_VECTORS = 4, /* times PANEL_ROWS: 24 of 32 registers hold sums */
    PANEL = PANEL_VECTORS * LANES,
    PANEL_ROWS = 6,
};

/* To panels [out / PANEL][in][PANEL]. */
static void pack(const float *matrix, size_t n_out, size_t n_in, void *ret_matrix)
{
    float *next = ret_matrix;

    for (size_t first = 0; first < n_out; first += PANEL)
        for (size_t k = 0; k < n_in; k++)
            for (size_t out = first; out < first + PANEL; out++)
                *next++ = matrix[out * n_in + k];
}

/* ret[n][PANEL], its rows @stride floats apart; @n is at most PANEL_ROWS. Sanitizers keep out: they
 * would check each of the billions of loads of one batch. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static void
multiply_panel(const float *rows, size_t n, size_t n_in, const float *panel, float *ret,
               size_t stride)
{
    floats sums[PANEL_ROWS][PANEL_VECTORS];
    const float *row[PANEL_ROWS];

    for (size_t i = 0; i < PANEL_ROWS; i++) {
        row[i] = rows + (i < n ? i : n - 1) * n_in;
        for (size_t j = 0; j < PANEL_VECTORS; j++)
            sums[i][j] = floats_all(0);
    }
    for (size_t k = 0; k < n_in; k++) {
        floats weights[PANEL_VECTORS];
        for (size_t j = 0; j < PANEL_VECTORS; j++)
            weights[j] = floats_load(panel + k * PANEL + j * LANES);
        for (size_t i = 0; i < PANEL_ROWS; i++)
            for (size_t j = 0; j < PANEL_VECTORS; j++)
                sums[i][j] += row[i][k] * weights[j];
    }
    for (size_t i = 0; i < PANEL_ROWS; i++)
        for (size_t j = 0; i < n && j < PANEL_VECTORS; j++)
            floats_store(ret + i * stride + j * LANES, sums[i][j]);
}

/* Outputs outside, so that their part of the matrix is read from memory once per batch. */
static void multiply(const struct dense_layer *layer, const float *rows, size_t n, float *ret_rows)
{
    const float *matrix = layer->matrix;

    for (size_t first = 0; first < layer->n_out; first += PANEL)
        for (size_t row = 0; row < n; row += PANEL_ROWS)
            multiply_panel(rows + row * layer->n_in, n - row < PANEL_ROWS ? n - row : PANEL_ROWS,
                           layer->n_in, matrix + first * layer->n_in,
                           ret_rows + row * layer->n_out + first, layer->n_out);
}

#endif

/* One head of one text. */
struct head {
    const struct kernel_attention *at;
    size_t first;  /* its first feature */
    size_t stride; /* of keys: the text's tokens, rounded up to whole tiles */
    float keys[KERNEL_HEAD_FEATURES * SCORES]; /* transposed; zero behind the last token */
};

enum kernel_part { QUERY, KEY, VALUE };

static const float *part_of(const struct head *head, enum kernel_part part, size_t token)
{
    return head->at->rows + (token * 3 + part) * KERNEL_FEATURES + head->first;
}

static void load_keys(struct head *head)
{
    const size_t n = head->at->n_tokens;

    for (size_t token = 0; token < n; token++) {
        const float *key = part_of(head, KEY, token);
        for (size_t k = 0; k < KERNEL_HEAD_FEATURES; k++)
            head->keys[k * head->stride + token] = key[k];
    }
    for (size_t k = 0; k < KERNEL_HEAD_FEATURES; k++)
        for (size_t token = n; token < head->stride; token++)
            head->keys[k * head->stride + token] = 0;
}

/* ROWS queries, biased and scaled; behind the text's last it repeats that. The keys' bias adds the
 * same to every score of a query, so softmax cannot see it: there is none. */
static void load_queries(const struct head *head, size_t from,
                         float ret[ROWS][KERNEL_HEAD_FEATURES])
{
    const float scale = 0.176776695296636881f; /* 1 / sqrt(32) */
    const float *bias = head->at->query_bias + head->first;
    const size_t last = head->at->n_tokens - 1;

    for (size_t i = 0; i < ROWS; i++) {
        const float *query = part_of(head, QUERY, from + i < last ? from + i : last);
        for (size_t k = 0; k < KERNEL_HEAD_FEATURES; k += LANES)
            floats_store(ret[i] + k, (floats_load(query + k) + floats_load(bias + k)) * scale);
    }
}

/* Scores of the queries against every key of the text; columns behind the last key hold the
 * lowest score, up to a full tile. */
static void score(const struct head *head, float queries[ROWS][KERNEL_HEAD_FEATURES],
                  float ret[ROWS][SCORES])
{
    floats tile[ROWS][2];

    for (size_t column = 0; column < head->stride; column += TILE) {
        multiply_tile(queries[0], KERNEL_HEAD_FEATURES, head->keys + column, head->stride,
                      KERNEL_HEAD_FEATURES, tile);
        for (size_t i = 0; i < ROWS; i++) {
            floats_store(ret[i] + column, tile[i][0]);
            floats_store(ret[i] + column + LANES, tile[i][1]);
        }
    }
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = head->at->n_tokens; j < head->stride; j++)
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
static void blend(const struct head *head, float weights[ROWS][SCORES], const float *sums, size_t n,
                  float *ret_rows)
{
    const float *bias = head->at->value_bias + head->first;
    floats tile[ROWS][2];

    for (size_t k = 0; k < KERNEL_HEAD_FEATURES; k += TILE) {
        multiply_tile(weights[0], SCORES, part_of(head, VALUE, 0) + k, 3 * KERNEL_FEATURES,
                      head->at->n_tokens, tile);
        for (size_t i = 0; i < n; i++) {
            float *row = ret_rows + i * KERNEL_FEATURES + head->first + k;
            float scale = 1 / sums[i];
            floats_store(row, tile[i][0] * scale + floats_load(bias + k));
            floats_store(row + LANES, tile[i][1] * scale + floats_load(bias + k + LANES));
        }
    }
}

static void attend_rows(const struct head *head, size_t from, float *ret_rows)
{
    float queries[ROWS][KERNEL_HEAD_FEATURES];
    float scores[ROWS][SCORES];
    float sums[ROWS];
    size_t rest = head->at->n_tokens - from;

    load_queries(head, from, queries);
    score(head, queries, scores);
    for (size_t i = 0; i < ROWS; i++)
        sums[i] = exponentiate(scores[i], head->at->n_tokens);
    blend(head, scores, sums, rest < ROWS ? rest : ROWS, ret_rows + from * KERNEL_FEATURES);
}

static void attend(const struct kernel_attention *attention, float *ret_rows)
{
    const size_t n = attention->n_tokens;
    struct head head;

    head.at = attention;
    head.stride = (n + TILE - 1) / TILE * TILE;
    for (size_t i = 0; i < KERNEL_HEADS; i++) {
        head.first = i * KERNEL_HEAD_FEATURES;
        load_keys(&head);
        for (size_t from = 0; from < n; from += ROWS)
            attend_rows(&head, from, ret_rows);
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
#ifdef __AVX512F__
    .pack = pack,
    .multiply = multiply,
#endif
    .attend = attend,
    .pool = pool,
};
