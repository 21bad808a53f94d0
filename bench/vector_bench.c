/*
 * Measures the vector module on one core: scan, encoding, query tables, training, search, recall.
 *
 *     bazel run -c opt //bench:vector_bench [-- vectors]        (default 100000)
 *
 * Data: Gaussian clusters with a spectrum that decays as i^-0.9, a fixed seed. Times are of the
 * processor, the best of nine runs (training: one), since other load on a machine can only add.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/vector/codebook.h"
#include "src/vector/kernel.h"
#include "src/vector/refine.h"
#include "src/vector/segment.h"
#include "src/vector/topk.h"

enum { D = 384, CLUSTERS = 1000, SAMPLES = 65536, QUERIES = 200, REPEATS = 9, K = 10, R = 100 };

struct data {
    size_t n;
    float *rows;    /* [n][D] */
    float *queries; /* [QUERIES][D] */
    uint8_t *refined;
    uint8_t *codes;
    struct codebook *codebook;
    struct segment *segment;
};

static void die(const char *what)
{
    fprintf(stderr, "vector_bench: %s\n", what);
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *p = calloc(count, size);

    if (p == NULL)
        die("out of memory");
    return p;
}

/* ---- data ---- */

static uint64_t random_state = 1;

static double uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(random_state >> 11) + 0.5) / 9007199254740992.0;
}

static float gauss(void)
{
    return (float)(sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform()));
}

static void fill_around(float *rows, size_t n, const float *centres, float spread)
{
    for (size_t i = 0; i < n; i++) {
        const float *centre = centres + (size_t)(uniform() * CLUSTERS) * D;
        for (size_t j = 0; j < D; j++)
            rows[i * D + j] = centre[j] + spread * gauss() * powf((float)(j + 1), -0.45f);
        vector_normalise(rows + i * D, D);
    }
}

static void make_vectors(struct data *data)
{
    float *centres = allocate((size_t)CLUSTERS * D, sizeof *centres);

    for (size_t i = 0; i < (size_t)CLUSTERS * D; i++)
        centres[i] = gauss() * powf((float)(i % D + 1), -0.45f);
    fill_around(data->rows, data->n, centres, 0.8f);
    fill_around(data->queries, QUERIES, centres, 0.8f);
    free(centres);
}

static struct data make_data(size_t n)
{
    struct data data = {
        .n = n,
        .rows = allocate(n * D, sizeof(float)),
        .queries = allocate((size_t)QUERIES * D, sizeof(float)),
        .refined = allocate(n, refine_row_bytes(D)),
        .codes = allocate(n, CODEBOOK_CODE_BYTES),
    };

    make_vectors(&data);
    for (size_t i = 0; i < n; i++)
        refine_encode(data.rows + i * D, D, data.refined + i * refine_row_bytes(D));
    return data;
}

/* ---- timing ---- */

static double cpu_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* Microseconds of the fastest call. */
static double measure(void (*work)(struct data *), struct data *data)
{
    double best = HUGE_VAL;

    for (int i = 0; i < REPEATS; i++) {
        double start = cpu_us();
        work(data);
        best = fmin(best, cpu_us() - start);
    }
    return best;
}

/* ---- what is measured ---- */

static void train(struct data *data)
{
    struct codebook_train_options options = { .seed = 1, .iterations = 20, .version = 1 };
    struct status st = { 0 };
    size_t n = data->n < SAMPLES ? data->n : SAMPLES;
    double start = cpu_us();

    if (codebook_train(data->rows, n, D, &options, &data->codebook, &st) != STATUS_OK)
        die(st.message);
    printf("train       %zu x %d, 20 iterations: %.2f s, mse %.4f\n", n, D,
           (cpu_us() - start) / 1e6, (double)codebook_info(data->codebook)->mean_squared_error);
}

static void encode_all(struct data *data)
{
    codebook_encode(data->codebook, data->rows, data->n, data->codes);
}

static void encode_singly(struct data *data)
{
    for (size_t i = 0; i < data->n; i++)
        codebook_encode(data->codebook, data->rows + i * D, 1, data->codes + i * CODEBOOK_PARTS);
}

static void make_tables(struct data *data)
{
    static struct codebook_query query;

    for (size_t i = 0; i < QUERIES; i++)
        codebook_query_init(&query, data->codebook, data->queries + i * D);
}

/* Every group once, as a search does it without collecting anything. */
static void scan(struct data *data)
{
    static struct codebook_query query;
    uint16_t sums[KERNEL_GROUP] __attribute__((aligned(64)));
    uint64_t pass[4];
    const uint8_t *codes = (const uint8_t *)(((uintptr_t)data->codes + 63) & ~(uintptr_t)63);
    size_t groups = (data->n - 2) / KERNEL_GROUP;

    for (size_t i = 0; i < groups; i++)
        vector_kernel()->scan_group(query.table[0], codes + i * KERNEL_GROUP * CODEBOOK_PARTS,
                                    CODEBOOK_PARTS, 6000, sums, pass);
}

static void score_rows(struct data *data)
{
    static struct refine_query query;
    volatile float sink = 0;

    refine_query_init(&query, data->queries, D);
    for (size_t i = 0; i < data->n; i++)
        sink = refine_score(&query, data->refined + i * refine_row_bytes(D));
    (void)sink;
}

static void search_batches(struct data *data, size_t batch)
{
    struct arena arena;
    struct status st = { 0 };
    struct segment_hits hits[QUERIES];

    arena_init(&arena, 64 << 20);
    for (size_t i = 0; i + batch <= QUERIES; i += batch)
        if (segment_search(data->segment, data->queries + i * D, batch, R, NULL, NULL, &arena, hits,
                           &st) != STATUS_OK)
            die(st.message);
    arena_deinit(&arena);
}

static void search_singly(struct data *data)
{
    search_batches(data, 1);
}

static void search_in_batches(struct data *data)
{
    search_batches(data, 8);
}

static void fill_segment(struct data *data)
{
    struct status st = { 0 };

    segment_unref(data->segment);
    data->segment = segment_new(D, data->codebook);
    if (data->segment == NULL)
        die("out of memory");
    for (uint32_t i = 0; i < data->n; i++)
        if (segment_put(data->segment, &i, sizeof i, NULL, data->codes + i * CODEBOOK_PARTS, &st) !=
            STATUS_OK)
            die(st.message);
}

/* ---- recall ---- */

static float product(const float *a, const float *b)
{
    float sum = 0;

    for (size_t i = 0; i < D; i++)
        sum += a[i] * b[i];
    return sum;
}

static void offer(struct topk *best, float score, const uint32_t *id)
{
    struct topk_entry entry = { score, sizeof *id, (const uint8_t *)id, *id };

    topk_offer(best, &entry);
}

static size_t common(const struct topk *a, const struct topk *b)
{
    size_t count = 0;

    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            count += a->entries[i].value == b->entries[j].value;
    return count;
}

static void find_exactly(const struct data *data, const float *query, const uint32_t *ids,
                         struct topk *best)
{
    for (size_t i = 0; i < data->n; i++)
        offer(best, product(query, data->rows + i * D), &ids[i]);
}

/* The first K of the hits by code, and the best K of all R after scoring their rows. */
static void find_by_code(const struct data *data, const float *query, const uint32_t *ids,
                         struct topk *coded, struct topk *refined)
{
    static struct refine_query refine;
    struct arena arena;
    struct status st = { 0 };
    struct segment_hits hits;
    uint32_t id;

    arena_init(&arena, 1 << 20);
    refine_query_init(&refine, query, D);
    if (segment_search(data->segment, query, 1, R, NULL, NULL, &arena, &hits, &st) != STATUS_OK)
        die(st.message);
    for (size_t i = 0; i < hits.count; i++) {
        memcpy(&id, hits.hits[i].id, sizeof id);
        offer(coded, hits.hits[i].approximate, &ids[id]);
        offer(refined, refine_score(&refine, data->refined + id * refine_row_bytes(D)), &ids[id]);
    }
    arena_deinit(&arena);
}

static void report_recall(const struct data *data)
{
    struct topk_entry storage[3][K];
    struct topk exact, coded, refined;
    size_t by_code = 0;
    size_t by_row = 0;
    uint32_t *ids = allocate(data->n, sizeof *ids);

    for (uint32_t i = 0; i < data->n; i++)
        ids[i] = i;
    for (size_t q = 0; q < QUERIES; q++) {
        topk_init(&exact, storage[0], K);
        topk_init(&coded, storage[1], K);
        topk_init(&refined, storage[2], K);
        find_exactly(data, data->queries + q * D, ids, &exact);
        find_by_code(data, data->queries + q * D, ids, &coded, &refined);
        by_code += common(&exact, &coded);
        by_row += common(&exact, &refined);
    }
    printf("recall@10   %.3f by code, %.3f after refining the best %d (%d queries)\n",
           (double)by_code / (QUERIES * K), (double)by_row / (QUERIES * K), R, QUERIES);
    free(ids);
}

/* ---- */

struct baseline {
    double scan, row, encode, encode_one, table;
};

static double or_set(double *baseline, double value)
{
    if (*baseline == 0)
        *baseline = value;
    return *baseline / value;
}

static void report_kernel(struct data *data, struct baseline *base)
{
    double n = (double)data->n;
    double scan_ns = 1e3 * measure(scan, data) / n;
    double row_ns = 1e3 * measure(score_rows, data) / n;
    double encode = n / measure(encode_all, data) * 1e3;
    double encode_one = n / measure(encode_singly, data) * 1e3;
    double table = measure(make_tables, data) / QUERIES;

    printf("%-11s %8.3f %5.1fx %8.2f %8.1f %5.1fx %8.0f %5.1fx %8.0f %8.1f\n", vector_kernel_name(),
           scan_ns, or_set(&base->scan, scan_ns), CODEBOOK_CODE_BYTES / scan_ns, row_ns,
           or_set(&base->row, row_ns), encode, or_set(&base->encode, 1 / encode), encode_one,
           table);
}

static void report_kernels(struct data *data)
{
    static const char *const names[] = { "portable", "avx2", "avx512vbmi" };
    struct baseline base = { 0 };

    printf("kernel       ns/code          GB/s   ns/row      encode/ms      one/ms us/table\n");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (vector_kernel_select(names[i]))
            report_kernel(data, &base);
}

static void report_segment(struct data *data)
{
    double fill = measure(fill_segment, data);
    double single = measure(search_singly, data) / QUERIES;
    double batch = measure(search_in_batches, data) / QUERIES;

    printf("put         %.0f ns each; %.1f bytes per vector in memory\n",
           1e3 * fill / (double)data->n,
           (double)segment_memory_bytes(data->segment) / (double)data->n);
    printf("search      best %d of %zu: %.0f us alone, %.0f us in batches of 8\n", R, data->n,
           single, batch);
}

int main(int argc, char **argv)
{
    struct data data = make_data(argc > 1 ? strtoul(argv[1], NULL, 10) : 100000);

    printf("vectors     %zu x %d; %s\n", data.n, D, vector_kernel_name());
    train(&data);
    report_kernels(&data);
    report_segment(&data);
    report_recall(&data);
    segment_unref(data.segment);
    codebook_unref(data.codebook);
    free(data.rows);
    free(data.queries);
    free(data.refined);
    free(data.codes);
    return 0;
}
