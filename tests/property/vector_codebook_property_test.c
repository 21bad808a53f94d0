#include "src/vector/codebook.h"

#include <criterion/criterion.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/vector/kernel.h"
#include "src/vector/refine.h"
#include "src/vector/topk.h"
#include "tests/property/vector_data.h"

enum { D = 192, N = 500, CELLS = 16 };

static const char *const KERNELS[] = { "portable", "neon",       "avx2",
                                       "avx512bw", "avx512vbmi", "avx512amx" };

enum { KERNELS_KNOWN = sizeof KERNELS / sizeof KERNELS[0] };

static struct codebook *with_cells(uint64_t seed)
{
    struct vector_random random = { seed };
    struct codebook_train_options options = {
        .seed = seed, .iterations = 3, .version = 1, .cells = CELLS
    };
    float *samples = vector_random_units(&random, 600, D, 20);
    struct codebook *codebook = NULL;
    struct status st = { 0 };

    cr_assert_eq(codebook_train(samples, 600, D, &options, &codebook, &st), STATUS_OK, "%s",
                 st.message);
    free(samples);
    return codebook;
}

/* Their values, one after the other. */
static int8_t *values_of(const float *rows, size_t n, size_t d)
{
    int8_t *values = malloc(n * d);

    for (size_t i = 0; i < n; i++)
        refine_quantise(rows + i * d, d, values + i * d);
    return values;
}

static struct buf serialized(const struct codebook *codebook)
{
    struct buf buf = { 0 };

    codebook_serialize(codebook, &buf);
    cr_assert_not(buf.failed);
    return buf;
}

static void forge_checksum(struct buf *buf)
{
    uint64_t sum = XXH3_64bits(buf->data, buf->size - 8);

    memcpy(buf->data + buf->size - 8, &sum, sizeof sum);
}

Test(vector_codebook, training_again_gives_the_same_bytes)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct codebook *first = with_cells(seed);
        struct codebook *second = with_cells(seed);
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

struct encoded {
    uint8_t codes[N][48];
    uint32_t cells[N];
    uint32_t assigned[N];
    float errors[N];
};

Test(vector_codebook, codes_and_cells_do_not_depend_on_batch_or_kernel)
{
    enum { STRIDE = D + 5 };
    static struct encoded expected, found, one;
    static int8_t strided[N * STRIDE];
    struct vector_random random = { 11 };
    struct codebook *codebook = with_cells(11);
    float *rows = vector_random_units(&random, N, D, 20);

    for (size_t i = 0; i < N; i++)
        refine_quantise(rows + i * D, D, strided + i * STRIDE);
    memset(strided, 0, D); /* even a row without any direction */
    vector_kernel_select("portable");
    codebook_encode(codebook, strided, STRIDE, N, expected.codes[0], expected.cells,
                    expected.errors);
    codebook_assign(codebook, strided, STRIDE, N, expected.assigned);
    cr_assert(memcmp(expected.assigned, expected.cells, sizeof expected.cells) == 0);
    for (size_t k = 0; k < KERNELS_KNOWN; k++) {
        if (!vector_kernel_select(KERNELS[k]))
            continue;
        codebook_encode(codebook, strided, STRIDE, N, found.codes[0], found.cells, found.errors);
        codebook_assign(codebook, strided, STRIDE, N, found.assigned);
        cr_assert(memcmp(&found, &expected, sizeof found) == 0, "%s", KERNELS[k]);
        for (size_t i = 0; i < N; i++)
            codebook_encode(codebook, strided + i * STRIDE, STRIDE, 1, one.codes[i], &one.cells[i],
                            &one.errors[i]);
        memcpy(one.assigned, one.cells, sizeof one.cells);
        cr_assert(memcmp(&one, &expected, sizeof one) == 0, "%s, alone", KERNELS[k]);
    }
    free(rows);
    codebook_unref(codebook);
}

Test(vector_codebook, queries_have_the_same_bits_on_every_kernel)
{
    static struct codebook_query expected, query;
    struct vector_random random = { 12 };
    struct codebook *codebook = with_cells(12);
    float *rows = vector_random_units(&random, 20, D, 20);

    for (size_t i = 0; i < 20; i++) {
        uint32_t expected_cells[CELLS], cells[CELLS], expected_within[CELLS];
        size_t within;
        vector_kernel_select("portable");
        codebook_query_init(&expected, codebook, rows + i * D);
        codebook_query_cells(codebook, rows + i * D, CELLS, expected_cells);
        within =
            codebook_query_cells_within(codebook, &expected, rows + i * D, 0.2f, expected_within);
        for (size_t k = 0; k < KERNELS_KNOWN; k++) {
            if (!vector_kernel_select(KERNELS[k]))
                continue;
            codebook_query_init(&query, codebook, rows + i * D);
            cr_assert(memcmp(&query, &expected, sizeof query) == 0, "%s", KERNELS[k]);
            codebook_query_cells(codebook, rows + i * D, CELLS, cells);
            cr_assert(memcmp(cells, expected_cells, sizeof cells) == 0, "%s", KERNELS[k]);
            cr_assert_eq(codebook_query_cells_within(codebook, &query, rows + i * D, 0.2f, cells),
                         within);
            cr_assert(memcmp(cells, expected_within, within * sizeof *cells) == 0, "%s",
                      KERNELS[k]);
        }
    }
    free(rows);
    codebook_unref(codebook);
}

Test(vector_codebook, queries_prepared_together_have_the_same_bits_as_alone)
{
    enum { TOGETHER = 11 };
    static struct codebook_query together[TOGETHER], alone;
    struct vector_random random = { 14 };
    struct codebook *codebook = with_cells(14);
    float *rows = vector_random_units(&random, TOGETHER, D, TOGETHER);

    for (size_t k = 0; k < KERNELS_KNOWN; k++) {
        if (!vector_kernel_select(KERNELS[k]))
            continue;
        codebook_query_init_many(together, codebook, rows, TOGETHER);
        for (size_t i = 0; i < TOGETHER; i++) {
            codebook_query_init(&alone, codebook, rows + i * D);
            cr_assert(memcmp(&together[i], &alone, sizeof alone) == 0, "%s, %zu", KERNELS[k], i);
        }
    }
    free(rows);
    codebook_unref(codebook);
}

Test(vector_codebook, a_parsed_codebook_does_what_the_trained_one_does)
{
    static struct codebook_query query, parsed_query;
    static uint8_t codes[N][48], parsed_codes[N][48];
    static uint32_t cells[N], parsed_cells[N];
    struct vector_random random = { 13 };
    struct codebook *codebook = with_cells(13);
    struct codebook *parsed = NULL;
    struct buf buf = serialized(codebook);
    float *rows = vector_random_units(&random, N, D, 20);
    int8_t *values = values_of(rows, N, D);
    struct status st = { 0 };

    cr_assert_eq(codebook_parse(buf.data, buf.size, &parsed, &st), STATUS_OK, "%s", st.message);
    codebook_encode(codebook, values, D, N, codes[0], cells, NULL);
    codebook_encode(parsed, values, D, N, parsed_codes[0], parsed_cells, NULL);
    cr_assert(memcmp(codes, parsed_codes, sizeof codes) == 0);
    cr_assert(memcmp(cells, parsed_cells, sizeof cells) == 0);
    codebook_query_init(&query, codebook, rows);
    codebook_query_init(&parsed_query, parsed, rows);
    cr_assert(memcmp(&query, &parsed_query, sizeof query) == 0);
    buf_deinit(&buf);
    free(rows);
    free(values);
    codebook_unref(codebook);
    codebook_unref(parsed);
}

Test(vector_codebook, without_cells_every_row_is_in_cell_0)
{
    struct vector_random random = { 14 };
    struct codebook *codebook = vector_random_codebook(14, D, 1);
    float *rows = vector_random_units(&random, 3, D, 2);
    int8_t *values = values_of(rows, 3, D);
    uint8_t codes[3][48];
    uint32_t cells[3] = { 7, 7, 7 };

    codebook_encode(codebook, values, D, 3, codes[0], cells, NULL);
    cr_assert(cells[0] == 0 && cells[1] == 0 && cells[2] == 0);
    free(rows);
    free(values);
    codebook_unref(codebook);
}

Test(vector_codebook, the_first_cell_of_a_query_is_the_one_its_row_is_in)
{
    struct vector_random random = { 15 };
    struct codebook *codebook = with_cells(15);
    float *rows = vector_random_units(&random, N, D, 20);
    int8_t *values = values_of(rows, N, D);

    for (size_t i = 0; i < N; i++) {
        uint32_t all[CELLS], few[CELLS], assigned;
        bool seen[CELLS] = { false };
        codebook_assign(codebook, values + i * D, D, 1, &assigned);
        codebook_query_cells(codebook, rows + i * D, CELLS, all);
        cr_assert_eq(all[0], assigned);
        for (size_t c = 0; c < CELLS; c++) {
            cr_assert(all[c] < CELLS && !seen[all[c]]);
            seen[all[c]] = true;
        }
        for (size_t nprobe = 1; nprobe < CELLS; nprobe++) { /* fewer are the first of them */
            codebook_query_cells(codebook, rows + i * D, nprobe, few);
            cr_assert(memcmp(few, all, nprobe * sizeof *few) == 0);
        }
    }
    free(rows);
    free(values);
    codebook_unref(codebook);
}

static bool holds(const uint32_t *cells, size_t n, uint32_t cell)
{
    for (size_t i = 0; i < n; i++)
        if (cells[i] == cell)
            return true;
    return false;
}

/* How many of the @nprobe nearest are not among those within reach. */
static size_t check_within(const struct codebook *codebook, const float *unit, size_t nprobe)
{
    uint32_t ordered[CELLS], within[CELLS];
    const uint32_t probes = (uint32_t)nprobe;
    struct codebook_query query;
    size_t count, missed = 0;
    float reach;

    codebook_query_init(&query, codebook, unit);
    codebook_query_cells(codebook, unit, CELLS, ordered);
    cr_assert(codebook_typical_reaches(codebook, unit, 1, &probes, 1, &reach));
    count = codebook_query_cells_within(codebook, &query, unit, reach * 1.0001f, within);
    cr_assert_leq(count, nprobe + 1, "up to a tie");
    for (size_t c = 0; c < nprobe; c++)
        missed += !holds(within, count, ordered[c]);
    cr_assert(within[0] == ordered[0] || !holds(within, count, ordered[0]), "the nearest first");
    return missed;
}

Test(vector_codebook, cells_within_reach_are_the_nearest_but_for_a_few)
{
    struct vector_random random = { 25 };
    struct codebook *codebook = with_cells(25);
    float *rows = vector_random_units(&random, N, D, 20);
    size_t missed = 0;
    size_t wanted = 0;

    for (size_t i = 0; i < N; i++)
        for (size_t nprobe = 2; nprobe <= CELLS; nprobe += 2) {
            missed += check_within(codebook, rows + i * D, nprobe);
            wanted += nprobe;
        }
    cr_expect_leq(missed * 20, wanted, "%zu of %zu", missed, wanted);
    cr_expect_eq(check_within(codebook, rows, CELLS), 0);
    free(rows);
    codebook_unref(codebook);
}

Test(vector_codebook, of_equal_cells_the_lowest_number_comes_first)
{
    struct codebook *codebook = with_cells(16);
    struct codebook *equal = NULL;
    struct buf buf = serialized(codebook);
    struct status st = { 0 };
    float unit[D] = { 1 };
    int8_t values[D];
    uint32_t cells[CELLS];
    uint32_t assigned;

    memset(buf.data + buf.size - 8 - (size_t)CELLS * D, 1, (size_t)CELLS * D);
    forge_checksum(&buf);
    cr_assert_eq(codebook_parse(buf.data, buf.size, &equal, &st), STATUS_OK, "%s", st.message);
    refine_quantise(unit, D, values);
    codebook_assign(equal, values, D, 1, &assigned);
    cr_assert_eq(assigned, 0);
    for (size_t nprobe = 1; nprobe <= CELLS; nprobe++) {
        codebook_query_cells(equal, unit, nprobe, cells);
        for (uint32_t c = 0; c < nprobe; c++)
            cr_assert_eq(cells[c], c);
    }
    buf_deinit(&buf);
    codebook_unref(codebook);
    codebook_unref(equal);
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
    struct vector_random random = { 17 };
    struct codebook_train_options options = { .seed = 1, .iterations = 5 };
    float *rows = vector_random_units(&random, N, D, 20);
    int8_t *values = values_of(rows, N, D);
    struct codebook *codebook = NULL;
    struct status st = { 0 };
    double error = 0;
    double said = 0;

    cr_assert_eq(codebook_train(rows, N, D, &options, &codebook, &st), STATUS_OK, "%s", st.message);
    for (size_t i = 0; i < N; i++) {
        uint8_t code[48];
        float decoded[D];
        float row_error;
        codebook_encode(codebook, values + i * D, D, 1, code, NULL, &row_error);
        codebook_decode(codebook, code, decoded);
        cr_assert_float_eq(row_error, squared_distance(rows + i * D, decoded), 0.01);
        error += squared_distance(rows + i * D, decoded) / N;
        said += row_error / N;
    }
    /* The codebook does not count what int8 values and an int8 rotation lose before. */
    cr_assert_float_eq(error, said, 2e-3, "%f, not %f", error, said);
    cr_assert_float_eq(said, codebook_info(codebook)->mean_squared_error, 1e-5);
    cr_assert_lt(error, 0.2);
    free(rows);
    free(values);
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
    int8_t *values = values_of(rows, 600, D);
    static struct codebook_query query;
    double error = 0;
    double pair_error = 0;

    for (size_t i = 0; i < 300; i++) {
        uint8_t codes[2][48];
        double exact = product(rows + i * D, rows + (i + 300) * D, D);
        codebook_encode(codebook, values + i * D, 300 * D, 2, codes[0], NULL, NULL);
        codebook_query_init(&query, codebook, rows + (i + 300) * D);
        error += fabs(codebook_query_score(&query, codes[0]) - exact) / 300;
        pair_error += fabs(codebook_similarity(codebook, codes[0], codes[1]) - exact) / 300;
        cr_assert_eq(codebook_similarity(codebook, codes[0], codes[1]),
                     codebook_similarity(codebook, codes[1], codes[0]));
    }
    cr_assert_lt(error, 0.1, "mean error %f", error);
    cr_assert_lt(pair_error, 0.1, "mean error %f", pair_error);
    free(rows);
    free(values);
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
    refine_query_init(&refine, REFINE_INT8, unit, RECALL_D);
    for (size_t i = 0; i < RECALL_N; i++) {
        offer(&exact, (float)product(unit, rows + i * RECALL_D, RECALL_D), &ids[i]);
        offer(&coded, codebook_query_score(&query, codes + i * 48), &ids[i]);
    }
    for (size_t i = 0; i < coded.count; i++) {
        uint64_t value = coded.entries[i].value;
        refine_encode(REFINE_INT8, rows + value * RECALL_D, RECALL_D, row);
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
    int8_t *values;
    struct codebook *codebook = NULL;
    struct status st = { 0 };
    size_t found = 0;

    cr_assert_eq(codebook_train(rows, RECALL_N, RECALL_D, &options, &codebook, &st), STATUS_OK);
    values = values_of(rows, RECALL_N, RECALL_D);
    codebook_encode(codebook, values, RECALL_D, RECALL_N, codes, NULL, NULL);
    free(values);
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
    struct codebook *codebook = with_cells(17);
    struct buf buf = serialized(codebook);
    struct vector_random random = { 17 };

    cr_assert_eq(parse(&buf, buf.size), STATUS_OK);
    for (size_t i = 0; i < buf.size; i += i < 80 ? 1 : 1 + vector_random_below(&random, 100)) {
        uint8_t bit = (uint8_t)(1 << vector_random_below(&random, 8));
        buf.data[i] ^= bit;
        cr_assert_neq(parse(&buf, buf.size), STATUS_OK, "byte %zu", i);
        buf.data[i] ^= bit;
    }
    for (size_t size = 0; size < buf.size; size += 1 + vector_random_below(&random, 600))
        cr_assert_eq(parse(&buf, size), STATUS_DATA_LOSS, "size %zu", size);
    buf_deinit(&buf);
    codebook_unref(codebook);
}

/* Where things are; drawn in src/vector/codebook_file.c. */
enum {
    AT_ERROR = 56,
    AT_STEP = 60,
    AT_FACTORS = 72,
    AT_ROTATION = AT_FACTORS + 4 * D,
    AT_CENTROIDS = AT_ROTATION + D * D,
    AT_CELLS = AT_CENTROIDS + D * 256,
};

static void expect_refused_with(const struct codebook *codebook, size_t offset, const void *bytes,
                                size_t size)
{
    struct buf buf = serialized(codebook);

    memcpy(buf.data + offset, bytes, size);
    forge_checksum(&buf);
    cr_assert_eq(parse(&buf, buf.size), STATUS_DATA_LOSS, "at %zu", offset);
    buf_deinit(&buf);
}

Test(vector_codebook, impossible_values_are_refused_though_the_checksum_fits)
{
    static const float impossible[] = { NAN, INFINITY, -INFINITY, 2.5f, -0.5f };
    static const float none = 0;
    static const int8_t unpaired = -128;
    struct codebook *codebook = with_cells(18);

    for (size_t i = 0; i < 5; i++) {
        expect_refused_with(codebook, AT_ERROR, &impossible[i], 4);
        expect_refused_with(codebook, AT_STEP, &impossible[i], 4);
        expect_refused_with(codebook, AT_FACTORS + 4 * 17, &impossible[i], 4);
    }
    expect_refused_with(codebook, AT_STEP, &none, 4);
    expect_refused_with(codebook, AT_FACTORS + 4 * (D - 1), &none, 4);
    expect_refused_with(codebook, AT_ROTATION, &unpaired, 1);
    expect_refused_with(codebook, AT_CENTROIDS - 1, &unpaired, 1);
    expect_refused_with(codebook, AT_CENTROIDS, &unpaired, 1);
    expect_refused_with(codebook, AT_CELLS - 1, &unpaired, 1);
    expect_refused_with(codebook, AT_CELLS + CELLS * D - 1, &unpaired, 1);
    codebook_unref(codebook);
}

/* All entries of a table are the same then: there is no range to divide into steps. */
Test(vector_codebook, estimates_increase_though_all_centroids_are_the_same)
{
    static struct codebook_query query;
    static const float unit[D] = { 1 };
    struct codebook *codebook = vector_random_codebook(19, D, 1);
    struct codebook *flat = NULL;
    struct buf buf = serialized(codebook);
    struct status st = { 0 };

    memset(buf.data + AT_CENTROIDS, 0, (size_t)D * 256);
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
