#include "tests/property/vector_kernel_checks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/property/vector_random.h"

enum { SEEDS = 40, MAX_PARTS = 512, MAX_D = 4096, MAX_COLUMNS = 320, MAX_ROWS = 150, MAX_W = 84 };

/* Aligned, zeroed; the checks are short programs and share what they free. */
static void *new_array(size_t size)
{
    void *array = aligned_alloc(64, (size + 63) / 64 * 64);

    if (array == NULL)
        abort();
    memset(array, 0, size);
    return array;
}

/* -@bound to @bound; every fourth seed takes only the two ends. */
static int32_t within(struct vector_random *random, uint64_t seed, int32_t bound)
{
    if (seed % 4 == 0)
        return vector_random_below(random, 2) == 0 ? -bound : bound;
    return (int32_t)vector_random_below(random, 2 * (size_t)bound + 1) - bound;
}

static int8_t *random_bytes(struct vector_random *random, uint64_t seed, size_t n)
{
    int8_t *bytes = new_array(n);

    for (size_t i = 0; i < n; i++)
        bytes[i] = (int8_t)within(random, seed, 127);
    return bytes;
}

static bool differs(const struct vector_kernel *kernel, uint64_t seed, const char *what, size_t at,
                    int64_t found, int64_t expected)
{
    if (found == expected)
        return false;
    fprintf(stderr, "%s, seed %zu: %s %zu is %lld, not %lld\n", kernel->name, (size_t)seed, what,
            at, (long long)found, (long long)expected);
    return true;
}

struct scan_case {
    size_t parts;
    size_t words;
    uint16_t threshold;
    uint8_t *table; /* [parts][256] */
    uint8_t *codes; /* [parts][64 * words] */
};

static struct scan_case scan_case(uint64_t seed)
{
    struct vector_random random = { seed };
    size_t most = seed % 8 == 0 ? MAX_PARTS : 96;
    struct scan_case c = { .parts = 2 + 2 * vector_random_below(&random, most / 2),
                           .words = 1 + seed % KERNEL_GROUP_WORDS };
    size_t codes;

    if (seed % 16 == 0)
        c.parts = MAX_PARTS;
    codes = c.parts * 64 * c.words;
    c.table = new_array(c.parts * 256);
    c.codes = new_array(codes);
    for (size_t i = 0; i < c.parts * 256; i++)
        c.table[i] = seed % 16 == 0 ? 127 : (uint8_t)vector_random_below(&random, 128);
    for (size_t i = 0; i < codes; i++)
        c.codes[i] = (uint8_t)vector_random_below(&random, 256);
    c.threshold = (uint16_t)(c.parts * 60 + vector_random_below(&random, c.parts * 8));
    if (seed % 5 == 0)
        c.threshold = seed % 2 == 0 ? 0 : UINT16_MAX;
    if (seed % 16 == 0)
        c.threshold = MAX_PARTS * 127;
    return c;
}

static uint16_t sum_of(const struct scan_case *c, size_t i)
{
    unsigned sum = 0;

    for (size_t p = 0; p < c->parts; p++)
        sum += c->table[p * 256 + c->codes[p * 64 * c->words + i]];
    return (uint16_t)sum;
}

static bool scans(const struct vector_kernel *kernel, uint64_t seed)
{
    struct scan_case c = scan_case(seed);
    uint16_t *sums = new_array(KERNEL_GROUP * sizeof *sums + 2);
    uint64_t pass[KERNEL_GROUP_WORDS + 1];
    bool same = true;

    memset(pass, 0x5A, sizeof pass);
    sums[64 * c.words] = 12345;
    kernel->scan(c.table, c.codes, c.parts, c.words, c.threshold, sums, pass);
    for (size_t i = 0; i < 64 * c.words && same; i++) {
        uint16_t expected = sum_of(&c, i);
        same = !differs(kernel, seed, "sum", i, sums[i], expected) &&
               !differs(kernel, seed, "pass bit", i, pass[i / 64] >> (i % 64) & 1,
                        expected >= c.threshold);
    }
    same = same && !differs(kernel, seed, "beyond the sums", 0, sums[64 * c.words], 12345) &&
           !differs(kernel, seed, "beyond the words", 0, pass[c.words] & 0xFF, 0x5A);
    free(c.table);
    free(c.codes);
    free(sums);
    return same;
}

/* A case's codes, and tables of several queries, apart from each other. */
struct batch_case {
    struct scan_case scan;
    size_t queries;
    size_t stride;
    uint8_t *tables;
    uint8_t *interleaved;
    uint16_t *thresholds; /* [64] */
};

static struct batch_case batch_case(uint64_t seed)
{
    struct vector_random random = { seed };
    struct batch_case c = { .scan = scan_case(seed),
                            .queries = 1 + vector_random_below(&random, KERNEL_BATCH) };
    size_t size = c.scan.parts * 256;

    c.stride = size + vector_random_below(&random, 3) * 16;
    c.tables = new_array(c.queries * c.stride);
    c.interleaved = new_array(size * KERNEL_BATCH);
    c.thresholds = new_array(KERNEL_BATCH * sizeof *c.thresholds);
    for (size_t i = 0; i < c.queries * c.stride; i++)
        c.tables[i] = seed % 16 == 0 ? 127 : (uint8_t)vector_random_below(&random, 128);
    for (size_t q = 0; q < KERNEL_BATCH; q++) {
        size_t middle = c.scan.parts * 60 + vector_random_below(&random, c.scan.parts * 8);
        c.thresholds[q] = seed % 5 == 0 ? UINT16_MAX : (uint16_t)middle;
    }
    vector_kernel_interleave(c.tables, c.stride, c.queries, c.scan.parts, c.interleaved);
    return c;
}

static bool scans_alike(const struct vector_kernel *kernel, uint64_t seed, struct batch_case *c,
                        size_t i, const uint16_t *sums, uint64_t pass)
{
    for (size_t q = 0; q < KERNEL_BATCH; q++) {
        uint16_t expected = 0;
        c->scan.table = c->tables + q * c->stride;
        if (q < c->queries)
            expected = sum_of(&c->scan, i);
        if (differs(kernel, seed, "sum of a query", i * KERNEL_BATCH + q, sums[q], expected) ||
            differs(kernel, seed, "pass bit of a query", i * KERNEL_BATCH + q, pass >> q & 1,
                    expected >= c->thresholds[q]))
            return false;
    }
    return true;
}

static bool scans_for_many(const struct vector_kernel *kernel, uint64_t seed)
{
    struct batch_case c = batch_case(seed);
    uint8_t *table = c.scan.table;
    size_t codes = 64 * c.scan.words;
    uint16_t *sums = new_array((codes * KERNEL_BATCH + 1) * sizeof *sums);
    uint64_t *pass = new_array((codes + 1) * sizeof *pass);
    bool same = kernel->batch_from >= 2 && kernel->batch_from <= KERNEL_BATCH;

    sums[codes * KERNEL_BATCH] = 12345;
    pass[codes] = 12345;
    kernel->scan_batch(c.interleaved, c.scan.codes, c.scan.parts, c.scan.words, c.thresholds, sums,
                       pass);
    for (size_t i = 0; i < codes && same; i++)
        same = scans_alike(kernel, seed, &c, i, sums + i * KERNEL_BATCH, pass[i]);
    same = same &&
           !differs(kernel, seed, "beyond all sums", 0, sums[codes * KERNEL_BATCH], 12345) &&
           !differs(kernel, seed, "beyond all codes", 0, (long long)pass[codes], 12345);
    free(table);
    free(c.scan.codes);
    free(c.tables);
    free(c.interleaved);
    free(c.thresholds);
    free(sums);
    free(pass);
    return same;
}

static bool looks_up_every_code(const struct vector_kernel *kernel, uint64_t seed)
{
    struct scan_case c = { .parts = 2, .words = 4 };
    uint16_t sums[KERNEL_GROUP] __attribute__((aligned(64)));
    uint64_t pass[KERNEL_GROUP_WORDS];
    bool same = true;

    c.table = new_array(512);
    c.codes = new_array(512);
    for (size_t i = 0; i < 256; i++) {
        c.table[i] = (uint8_t)((i * 7 + seed) % 128);
        c.codes[i] = (uint8_t)i;
        c.codes[256 + i] = (uint8_t)(i + 1);
        c.table[256 + i] = (uint8_t)((i * 11 + 3) % 128);
    }
    kernel->scan(c.table, c.codes, c.parts, c.words, 0, sums, pass);
    for (size_t i = 0; i < 256 && same; i++)
        same = !differs(kernel, seed, "code", i, sums[i], sum_of(&c, i));
    free(c.table);
    free(c.codes);
    return same;
}

static bool multiplies_words_and_bytes(const struct vector_kernel *kernel, uint64_t seed)
{
    struct vector_random random = { seed };
    int16_t query[513];
    int8_t row[513];
    int64_t expected = 0;
    bool same = true;

    for (size_t i = 0; i < 513; i++) {
        query[i] = (int16_t)within(&random, seed, INT16_MAX);
        row[i] = (int8_t)(within(&random, seed, 127) - (seed % 3 == 0 && i % 2 == 0));
    }
    for (size_t d = 1; d <= 512 && same; d++) {
        expected += query[d] * row[d];
        same = !differs(kernel, seed, "d", d, kernel->dot_i16_i8(query + 1, row + 1, d), expected);
    }
    return same;
}

static bool multiplies_bytes(const struct vector_kernel *kernel, uint64_t seed)
{
    struct vector_random random = { seed };
    int8_t a[1026];
    int8_t b[1026];
    int64_t expected = 0;
    bool same = true;

    for (size_t i = 0; i < 1026; i++) {
        a[i] = (int8_t)(seed == 1 ? -128 : within(&random, seed, 127));
        b[i] = (int8_t)(seed == 1 ? -128 : within(&random, seed, 127));
    }
    for (size_t d = 1; d <= 1024 && same; d++) {
        expected += a[d] * b[d + 1];
        same = !differs(kernel, seed, "d", d, kernel->dot_i8(a + 1, b + 2, d), expected);
    }
    return same;
}

static int64_t product(const int8_t *row, const int8_t *matrix, size_t d, size_t columns, size_t j)
{
    int64_t sum = 0;

    for (size_t k = 0; k < d; k++)
        sum += row[k] * matrix[k * columns + j];
    return sum;
}

static bool multiplies_rows(const struct vector_kernel *kernel, uint64_t seed)
{
    struct vector_random random = { seed };
    size_t d = seed == 4 ? MAX_D : 16 * (1 + vector_random_below(&random, 12));
    size_t columns = 16 * (1 + vector_random_below(&random, MAX_COLUMNS / 16));
    size_t n = seed == 4 ? 1 : 1 + vector_random_below(&random, MAX_ROWS);
    size_t stride = d + vector_random_below(&random, 40);
    int8_t *rows = random_bytes(&random, seed, n * stride + 1);
    int8_t *matrix = random_bytes(&random, seed, d * columns);
    uint8_t *packed = new_array(d * columns);
    int32_t *sums = new_array(n * columns * sizeof *sums);
    bool same = true;

    vector_kernel_pack(matrix, d, columns, packed);
    kernel->products(rows + 1, stride, n, d, packed, columns, sums);
    for (size_t i = 0; i < n && same; i++)
        for (size_t j = 0; j < columns && same; j++)
            same = !differs(kernel, seed, "product", i * columns + j, sums[i * columns + j],
                            product(rows + 1 + i * stride, matrix, d, columns, j));
    free(rows);
    free(matrix);
    free(packed);
    free(sums);
    return same;
}

static int8_t rounded(float value)
{
    float clipped = value < 127 ? value : 127;

    return (int8_t)rintf(clipped > -127 ? clipped : -127);
}

static bool requantises(const struct vector_kernel *kernel, uint64_t seed)
{
    struct vector_random random = { seed };
    size_t n = 16 * (1 + vector_random_below(&random, 40));
    int32_t *sums = new_array(n * sizeof *sums);
    float factors[640];
    int8_t found[641];
    float row_factor = seed % 3 == 0 ? 0.5f : expf(vector_random_gauss(&random));
    bool same = true;

    for (size_t i = 0; i < n; i++) {
        sums[i] = within(&random, seed, seed % 3 == 0 ? 300 : 70000000);
        factors[i] = seed % 3 == 0 ? 1.0f : 2e-6f * expf(vector_random_gauss(&random));
    }
    kernel->requantise(sums, factors, row_factor, n, found + 1);
    for (size_t i = 0; i < n && same; i++)
        same = !differs(kernel, seed, "value", i, found[i + 1],
                        rounded((float)sums[i] * (factors[i] * row_factor)));
    free(sums);
    return same;
}

static int64_t bits_of(float value)
{
    int32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool finds_the_largest(const struct vector_kernel *kernel, uint64_t seed)
{
    struct vector_random random = { seed };
    size_t n = vector_random_below(&random, 600);
    float values[601];
    float expected = 0;

    for (size_t i = 0; i < n; i++) {
        values[i + 1] = vector_random_gauss(&random) * (seed % 3 == 0 ? 1e-30f : 1e30f);
        expected = fmaxf(expected, fabsf(values[i + 1]));
    }
    return !differs(kernel, seed, "largest of", n, bits_of(kernel->largest(values + 1, n)),
                    bits_of(expected));
}

static bool rounds_to_bytes(const struct vector_kernel *kernel, uint64_t seed)
{
    struct vector_random random = { seed };
    size_t n = 1 + vector_random_below(&random, 600);
    float factor = seed % 3 == 0 ? 0.5f : 40.0f;
    float values[601];
    int8_t found[602];
    bool same = true;

    for (size_t i = 0; i < n; i++)
        values[i + 1] = seed % 3 == 0 ? (float)within(&random, 1, 300)
                                      : vector_random_gauss(&random) * (i % 9 == 0 ? 1e30f : 1);
    found[n + 1] = 99;
    kernel->to_int8(values + 1, n, factor, found + 1);
    for (size_t i = 0; i < n && same; i++)
        same = !differs(kernel, seed, "value", i, found[i + 1], rounded(values[i + 1] * factor));
    same = same && !differs(kernel, seed, "beyond the values", n, found[n + 1], 99);
    return same;
}

struct encode_case {
    size_t n;
    size_t parts;
    size_t w;
    int8_t *rows;      /* [n][parts * w], one byte off */
    int8_t *centroids; /* [parts][w][256] */
    uint8_t *packed;
    int32_t *half_norms;
};

/* Centroids repeat, so that scores tie. */
static struct encode_case encode_case(uint64_t seed)
{
    struct vector_random random = { seed };
    struct encode_case c = { .n = 1 + vector_random_below(&random, MAX_ROWS),
                             .parts = 1 + vector_random_below(&random, 9),
                             .w = 4 * (1 + vector_random_below(&random, MAX_W / 4)) };
    int32_t bound = seed % 2 == 0 ? 127 : 3;
    size_t size;

    if (seed % 3 == 0)
        c.w = 8;
    if (seed % 8 == 0)
        c.w = MAX_W;
    size = c.w * 256;
    c.rows = random_bytes(&random, seed, c.n * c.parts * c.w + 1);
    c.centroids = new_array(c.parts * size);
    c.packed = new_array(c.parts * size);
    c.half_norms = new_array(c.parts * 256 * sizeof *c.half_norms);
    for (size_t i = 0; i < c.parts * size; i++)
        c.centroids[i] = (int8_t)within(&random, seed, bound);
    for (size_t i = 0; i < c.parts * 256; i++)
        c.half_norms[i] = (int32_t)vector_random_below(
            &random, seed % 8 == 0 ? (1 << 21) : (size_t)(1 + bound * bound));
    for (size_t p = 0; p < c.parts; p++)
        vector_kernel_pack(c.centroids + p * size, c.w, 256, c.packed + p * size);
    return c;
}

static void encode_case_free(struct encode_case *c)
{
    free(c->rows);
    free(c->centroids);
    free(c->packed);
    free(c->half_norms);
}

static int64_t best_of(const struct encode_case *c, size_t row, size_t part, uint8_t *ret_code)
{
    int64_t best = INT64_MIN;

    for (size_t j = 0; j < 256; j++) {
        int64_t score = product(c->rows + 1 + (row * c->parts + part) * c->w,
                                c->centroids + part * c->w * 256, c->w, 256, j) -
                        c->half_norms[part * 256 + j];
        if (score > best) {
            best = score;
            *ret_code = (uint8_t)j;
        }
    }
    return best;
}

static bool encodes(const struct vector_kernel *kernel, uint64_t seed)
{
    struct encode_case c = encode_case(seed);
    uint8_t codes[MAX_ROWS * 9 + 1];
    uint8_t again[MAX_ROWS * 9 + 1];
    int32_t best[MAX_ROWS];
    bool same = true;

    memset(codes, 0x5A, sizeof codes);
    memset(again, 0x5A, sizeof again);
    kernel->encode(c.rows + 1, c.n, c.parts, c.w, c.packed, c.half_norms, codes, best);
    kernel->encode(c.rows + 1, c.n, c.parts, c.w, c.packed, c.half_norms, again, NULL);
    for (size_t i = 0; i < c.n && same; i++) {
        int64_t sum = 0;
        for (size_t p = 0; p < c.parts && same; p++) {
            uint8_t expected = 0;
            sum += best_of(&c, i, p, &expected);
            same =
                !differs(kernel, seed, "code", i * c.parts + p, codes[i * c.parts + p], expected);
        }
        same = same && !differs(kernel, seed, "best", i, best[i], sum);
    }
    same = same && !differs(kernel, seed, "beyond the codes", 0, codes[c.n * c.parts], 0x5A) &&
           !differs(kernel, seed, "codes without best", 0, memcmp(codes, again, sizeof codes), 0);
    encode_case_free(&c);
    return same;
}

struct estimates_case {
    size_t w;
    float x[MAX_W];
    float *columns;   /* [w][256] */
    float *penalties; /* [256] */
    float *found;     /* [256] */
};

static struct estimates_case estimates_case(uint64_t seed)
{
    struct vector_random random = { seed };
    struct estimates_case c = { .w = 1 + vector_random_below(&random, seed % 2 == 0 ? 9 : MAX_W) };

    c.columns = new_array(c.w * 256 * sizeof *c.columns);
    c.penalties = new_array(256 * sizeof *c.penalties);
    c.found = new_array(256 * sizeof *c.found);
    for (size_t k = 0; k < c.w; k++)
        c.x[k] = vector_random_gauss(&random);
    for (size_t i = 0; i < c.w * 256; i++)
        c.columns[i] = vector_random_gauss(&random);
    for (size_t j = 0; j < 256; j++)
        c.penalties[j] = 0.5f * vector_random_gauss(&random);
    return c;
}

static void estimates_case_free(struct estimates_case *c)
{
    free(c->columns);
    free(c->penalties);
    free(c->found);
}

static float estimate(const struct estimates_case *c, size_t j)
{
    float sum = c->x[0] * c->columns[j];

    for (size_t k = 1; k < c->w; k++)
        sum += c->x[k] * c->columns[k * 256 + j];
    return sum - c->penalties[j];
}

/* Bits rather than values: a float compares equal to one of another sign of zero. */
static bool estimates_agree(const struct vector_kernel *kernel, uint64_t seed)
{
    struct estimates_case c = estimates_case(seed);
    struct vector_range range = kernel->estimates(c.x, c.columns, c.penalties, c.w, c.found);
    float least = estimate(&c, 0);
    float greatest = least;
    bool same = true;

    for (size_t j = 0; j < 256 && same; j++) {
        float expected = estimate(&c, j);
        least = expected < least ? expected : least;
        greatest = expected > greatest ? expected : greatest;
        same = !differs(kernel, seed, "estimate", j, bits_of(c.found[j]), bits_of(expected));
    }
    same = same && !differs(kernel, seed, "least", 0, bits_of(range.least), bits_of(least)) &&
           !differs(kernel, seed, "greatest", 0, bits_of(range.greatest), bits_of(greatest));
    estimates_case_free(&c);
    return same;
}

static bool quantises(const struct vector_kernel *kernel, uint64_t seed)
{
    struct vector_random random = { seed };
    struct estimates_case c = estimates_case(seed);
    struct vector_range range = kernel->estimates(c.x, c.columns, c.penalties, c.w, c.found);
    float per_unit = expf(2 * vector_random_gauss(&random) + 3);
    uint8_t found[256] __attribute__((aligned(64)));
    bool same = true;

    kernel->quantise(c.found, range.greatest, per_unit, found);
    for (size_t j = 0; j < 256 && same; j++) {
        float steps = (range.greatest - c.found[j]) * per_unit + 0.5f;
        same = !differs(kernel, seed, "entry", j, found[j], 127 - (int)(steps < 127 ? steps : 127));
    }
    estimates_case_free(&c);
    return same;
}

const struct vector_kernel_check vector_kernel_checks[] = {
    { "a scan gives the sums of its table entries", scans },
    { "each code finds its own entry", looks_up_every_code },
    { "a scan for many queries gives the sums of each", scans_for_many },
    { "words times bytes are exact at any length", multiplies_words_and_bytes },
    { "bytes times bytes are exact at any length", multiplies_bytes },
    { "rows times a matrix are exact in any shape", multiplies_rows },
    { "sums become the nearest bytes", requantises },
    { "the largest is found wherever it stands", finds_the_largest },
    { "floats become the nearest bytes", rounds_to_bytes },
    { "a code is the lowest of the nearest centroids", encodes },
    { "estimates have the bits of the plain sum", estimates_agree },
    { "table entries are rounded steps below the top", quantises },
};

const size_t vector_kernel_checks_count =
    sizeof vector_kernel_checks / sizeof vector_kernel_checks[0];

static bool holds_for_all_seeds(const struct vector_kernel_check *check,
                                const struct vector_kernel *kernel)
{
    uint64_t seed = 1;

    while (seed <= SEEDS && check->holds(kernel, seed))
        seed++;
    return seed > SEEDS;
}

bool vector_kernel_check_all(const struct vector_kernel_check *check)
{
    static const char *const names[] = { "portable", "neon",       "avx2",
                                         "avx512bw", "avx512vbmi", "avx512amx" };
    bool all = true;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (vector_kernel_select(names[i]))
            all &= holds_for_all_seeds(check, vector_kernel());
    return all;
}
