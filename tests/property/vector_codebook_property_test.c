#include "src/vector/codebook.h"

#include <criterion/criterion.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/vector/kernel.h"
#include "src/vector/topk.h"
#include "tests/property/vector_data.h"

enum { D = 96, N = 500 };

static struct buf serialized(const struct codebook *codebook)
{
    struct buf buf = { 0 };

    codebook_serialize(codebook, &buf);
    cr_assert_not(buf.failed);
    return buf;
}

Test(vector_codebook, training_again_gives_the_same_bytes)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct codebook *first = vector_random_codebook(seed, D, 1);
        struct codebook *second = vector_random_codebook(seed, D, 1);
        struct buf a = serialized(first);
        struct buf b = serialized(second);

        cr_assert_eq(a.size, b.size);
        cr_assert(memcmp(a.data, b.data, a.size) == 0, "seed %zu", (size_t)seed);
        buf_deinit(&a);
        buf_deinit(&b);
        codebook_unref(first);
        codebook_unref(second);
    }
}

Test(vector_codebook, codes_do_not_depend_on_batch_or_kernel)
{
    static const char *const names[] = { "portable", "avx2", "avx512vbmi" };
    struct vector_random random = { 11 };
    struct codebook *codebook = vector_random_codebook(11, D, 1);
    float *rows = vector_random_units(&random, N, D, 20);
    static uint8_t expected[N][48], codes[N][48], one[48];

    vector_kernel_select("portable");
    codebook_encode(codebook, rows, N, expected[0]);
    for (size_t k = 0; k < 3; k++) {
        if (!vector_kernel_select(names[k]))
            continue;
        codebook_encode(codebook, rows, N, codes[0]);
        cr_assert(memcmp(codes, expected, sizeof codes) == 0, "%s", names[k]);
        for (size_t i = 0; i < N; i++) {
            codebook_encode(codebook, rows + i * D, 1, one);
            cr_assert(memcmp(one, expected[i], sizeof one) == 0, "%s, row %zu", names[k], i);
        }
    }
    free(rows);
    codebook_unref(codebook);
}

Test(vector_codebook, query_tables_have_the_same_bits_on_every_kernel)
{
    static const char *const names[] = { "avx2", "avx512vbmi" };
    static struct codebook_query expected, query;
    struct vector_random random = { 12 };
    struct codebook *codebook = vector_random_codebook(12, D, 1);
    float *rows = vector_random_units(&random, 20, D, 20);

    for (size_t i = 0; i < 20; i++) {
        vector_kernel_select("portable");
        codebook_query_init(&expected, codebook, rows + i * D);
        for (size_t k = 0; k < 2; k++) {
            if (!vector_kernel_select(names[k]))
                continue;
            codebook_query_init(&query, codebook, rows + i * D);
            cr_assert(memcmp(&query, &expected, sizeof query) == 0, "%s", names[k]);
        }
    }
    free(rows);
    codebook_unref(codebook);
}

static double squared_distance(const float *a, const float *b)
{
    double sum = 0;

    for (size_t i = 0; i < D; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum;
}

Test(vector_codebook, decoding_loses_what_the_codebook_says)
{
    struct vector_random random = { 13 };
    struct codebook_train_options options = { .seed = 1, .iterations = 5 };
    float *rows = vector_random_units(&random, N, D, 20);
    struct codebook *codebook = NULL;
    struct status st = { 0 };
    double error = 0;

    cr_assert_eq(codebook_train(rows, N, D, &options, &codebook, &st), STATUS_OK, "%s", st.message);
    for (size_t i = 0; i < N; i++) {
        uint8_t code[48];
        float decoded[D];
        codebook_encode(codebook, rows + i * D, 1, code);
        codebook_decode(codebook, code, decoded);
        error += squared_distance(rows + i * D, decoded) / N;
    }
    cr_assert_float_eq(error, codebook_info(codebook)->mean_squared_error, 1e-5);
    cr_assert_lt(error, 0.2);
    free(rows);
    codebook_unref(codebook);
}

static double product(const float *a, const float *b, size_t d)
{
    double sum = 0;

    for (size_t i = 0; i < d; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

Test(vector_codebook, estimates_approximate_the_cosine)
{
    struct vector_random random = { 14 };
    struct codebook *codebook = vector_random_codebook(14, D, 1);
    float *rows = vector_random_units(&random, 600, D, 20);
    static struct codebook_query query;
    double error = 0;

    for (size_t i = 0; i < 300; i++) {
        uint8_t code[48];
        codebook_encode(codebook, rows + i * D, 1, code);
        codebook_query_init(&query, codebook, rows + (i + 300) * D);
        error += fabs(codebook_query_score(&query, code) -
                      product(rows + i * D, rows + (i + 300) * D, D)) /
                 300;
    }
    cr_assert_lt(error, 0.1, "mean error %f", error);
    free(rows);
    codebook_unref(codebook);
}

Test(vector_codebook, estimates_strictly_increase_with_the_sum)
{
    static struct codebook_query query;
    struct vector_random random = { 15 };
    struct codebook *codebook = vector_random_codebook(15, D, 1);
    float *rows = vector_random_units(&random, 50, D, 20);

    memset(rows, 0, D * sizeof *rows); /* even for a query without any direction */
    for (size_t i = 0; i < 50; i++) {
        codebook_query_init(&query, codebook, rows + i * D);
        for (uint32_t sum = 1; sum <= 48 * 127; sum++)
            cr_assert_lt(codebook_query_approximate(&query, sum - 1),
                         codebook_query_approximate(&query, sum));
    }
    free(rows);
    codebook_unref(codebook);
}

enum { RECALL_D = 384, RECALL_N = 4000, RECALL_QUERIES = 50, K = 10, R = 100 };

static size_t common(const struct topk *a, const struct topk *b)
{
    size_t count = 0;

    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            count += a->entries[i].value == b->entries[j].value;
    return count;
}

static void offer(struct topk *best, float score, const uint32_t *id)
{
    struct topk_entry entry = { score, sizeof *id, (const uint8_t *)id, *id };

    topk_offer(best, &entry);
}

static size_t hits_of_query(const struct codebook *codebook, const float *rows,
                            const uint8_t *codes, const uint32_t *ids, const float *unit)
{
    static struct topk_entry storage[3][R];
    static struct codebook_query query;
    static struct refine_query refine;
    static uint8_t row[4 + RECALL_D];
    struct topk exact, coded, refined;

    topk_init(&exact, storage[0], K);
    topk_init(&coded, storage[1], R);
    topk_init(&refined, storage[2], K);
    codebook_query_init(&query, codebook, unit);
    refine_query_init(&refine, unit, RECALL_D);
    for (size_t i = 0; i < RECALL_N; i++) {
        offer(&exact, (float)product(unit, rows + i * RECALL_D, RECALL_D), &ids[i]);
        offer(&coded, codebook_query_score(&query, codes + i * 48), &ids[i]);
    }
    for (size_t i = 0; i < coded.count; i++) {
        uint64_t value = coded.entries[i].value;
        refine_encode(rows + value * RECALL_D, RECALL_D, row);
        offer(&refined, refine_score(&refine, row), &ids[value]);
    }
    return common(&exact, &refined);
}

Test(vector_codebook, refining_the_best_hundred_finds_nearly_all_of_the_best_ten)
{
    struct vector_random random = { 16 };
    struct codebook_train_options options = { .seed = 1, .iterations = 4 };
    float *rows = vector_random_units(&random, RECALL_N + RECALL_QUERIES, RECALL_D, 100);
    uint8_t *codes = malloc((size_t)RECALL_N * 48);
    uint32_t *ids = malloc(RECALL_N * sizeof *ids);
    struct codebook *codebook = NULL;
    struct status st = { 0 };
    size_t found = 0;

    cr_assert_eq(codebook_train(rows, RECALL_N, RECALL_D, &options, &codebook, &st), STATUS_OK);
    codebook_encode(codebook, rows, RECALL_N, codes);
    for (uint32_t i = 0; i < RECALL_N; i++)
        ids[i] = i;
    for (size_t q = 0; q < RECALL_QUERIES; q++)
        found += hits_of_query(codebook, rows, codes, ids, rows + (RECALL_N + q) * RECALL_D);
    cr_assert_geq((double)found / (RECALL_QUERIES * K), 0.96, "recall %f",
                  (double)found / (RECALL_QUERIES * K));
    free(rows);
    free(codes);
    free(ids);
    codebook_unref(codebook);
}

static enum status_code parse(const struct buf *buf, size_t size)
{
    struct codebook *codebook = NULL;
    struct status st = { 0 };
    uint8_t *exact = malloc(size > 0 ? size : 1); /* so that a sanitizer sees the end */

    memcpy(exact, buf->data, size);
    codebook_parse(exact, size, &codebook, &st);
    cr_assert((codebook != NULL) == (st.code == STATUS_OK));
    codebook_unref(codebook);
    free(exact);
    return st.code;
}

Test(vector_codebook, every_damaged_byte_is_noticed)
{
    struct codebook *codebook = vector_random_codebook(17, 48, 1);
    struct buf buf = serialized(codebook);
    struct vector_random random = { 17 };

    cr_assert_eq(parse(&buf, buf.size), STATUS_OK);
    for (size_t i = 0; i < buf.size; i += i < 60 ? 1 : 1 + vector_random_below(&random, 100)) {
        uint8_t bit = (uint8_t)(1 << vector_random_below(&random, 8));
        buf.data[i] ^= bit;
        cr_assert_neq(parse(&buf, buf.size), STATUS_OK, "byte %zu", i);
        buf.data[i] ^= bit;
    }
    for (size_t size = 0; size < buf.size; size += 1 + vector_random_below(&random, 300))
        cr_assert_eq(parse(&buf, size), STATUS_DATA_LOSS, "size %zu", size);
    buf_deinit(&buf);
    codebook_unref(codebook);
}

static void forge_checksum(struct buf *buf)
{
    uint64_t sum = XXH3_64bits(buf->data, buf->size - 8);

    memcpy(buf->data + buf->size - 8, &sum, sizeof sum);
}

Test(vector_codebook, impossible_values_are_refused_though_the_checksum_fits)
{
    static const float impossible[] = { NAN, INFINITY, -INFINITY, 2.5f };
    struct codebook *codebook = vector_random_codebook(18, 48, 1);

    for (size_t i = 0; i < 4; i++)
        for (size_t offset = 48; offset < 48 + 4 * (48 * 48 + 48 * 256); offset += 4000) {
            struct buf buf = serialized(codebook);
            memcpy(buf.data + offset, &impossible[i], 4);
            forge_checksum(&buf);
            cr_assert_eq(parse(&buf, buf.size), STATUS_DATA_LOSS, "at %zu", offset);
            buf_deinit(&buf);
        }
    codebook_unref(codebook);
}

/* All entries of a table are the same then: there is no range to divide into steps. */
Test(vector_codebook, estimates_increase_though_all_centroids_are_the_same)
{
    static struct codebook_query query;
    static const float unit[48] = { 1 };
    struct codebook *codebook = vector_random_codebook(19, 48, 1);
    struct codebook *flat = NULL;
    struct buf buf = serialized(codebook);
    struct status st = { 0 };

    memset(buf.data + 48 + 4 * 48 * 48, 0, (size_t)4 * 48 * 256);
    forge_checksum(&buf);
    cr_assert_eq(codebook_parse(buf.data, buf.size, &flat, &st), STATUS_OK, "%s", st.message);
    codebook_query_init(&query, flat, unit);
    for (uint32_t sum = 1; sum <= 48 * 127; sum++)
        cr_assert_lt(codebook_query_approximate(&query, sum - 1),
                     codebook_query_approximate(&query, sum));
    buf_deinit(&buf);
    codebook_unref(codebook);
    codebook_unref(flat);
}
