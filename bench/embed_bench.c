/*
 * How fast texts become vectors, end to end: text in, unit vector out, tokenizer included.
 *
 *   embed_bench --texts FILE [--threads N] [--precision float32|bfloat16] [--rounds N]
 *               [--model FOLDER] [--output FILE]
 *
 * FILE has one text per line; bench/rivals/embed.py writes one from WordNet. Prints one line of
 * JSON per measurement: the tokenizer alone; the rate of the texts by the wall clock over all
 * rounds (median, lowest, highest) and by the processor time of all threads, which other work on
 * the machine disturbs less; single texts, one after the other. "share" compares the products of
 * the dense layers in a second of processor time to what OpenBLAS alone reaches over the same
 * shapes, measured between the rounds. --output writes the vectors, raw float32 [texts][384].
 */

#include "src/embed/embed.h"
#include "src/embed/embed_queue.h"
#include "src/embed/encoder.h"
#include "src/embed/tokenizer.h"

#include <cblas.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE_SIZE = 65536, MAX_ROUNDS = 100, PLAIN_REPEATS = 4, MAX_SINGLES = 200 };

struct options {
    const char *texts;
    const char *output;
    const char *model;
    size_t threads;
    size_t rounds;
    enum embed_precision precision;
};

struct corpus {
    struct embed_text *texts;
    size_t n;
    size_t tokens;
};

struct spread {
    double values[MAX_ROUNDS];
    size_t n;
};

static void check(const struct status *st)
{
    if (st->code == STATUS_OK)
        return;
    fprintf(stderr, "embed_bench: %s\n", st->message);
    exit(1);
}

static void *allocate(size_t n, size_t size)
{
    void *memory = calloc(n, size);

    if (memory == NULL)
        abort();
    return memory;
}

static double seconds_of(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double seconds(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

/* Of all threads. */
static double cpu_seconds(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

static double median(struct spread *spread)
{
    qsort(spread->values, spread->n, sizeof *spread->values, compare);
    return spread->values[spread->n / 2];
}

static struct corpus read_corpus(const char *path)
{
    FILE *file = fopen(path, "r");
    struct corpus corpus = { 0 };
    static char line[LINE_SIZE];
    size_t room = 0;

    if (file == NULL) {
        fprintf(stderr, "embed_bench: cannot read '%s'\n", path);
        exit(1);
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (corpus.n == room) {
            room = room * 2 + 1024;
            corpus.texts = realloc(corpus.texts, room * sizeof *corpus.texts);
        }
        line[strcspn(line, "\n")] = '\0';
        char *text = strdup(line);
        if (corpus.texts == NULL || text == NULL)
            abort();
        corpus.texts[corpus.n++] = (struct embed_text){ text, strlen(text) };
    }
    fclose(file);
    return corpus;
}

static void free_corpus(struct corpus *corpus)
{
    for (size_t i = 0; i < corpus->n; i++)
        free((char *)corpus->texts[i].data);
    free(corpus->texts);
}

/* ---- The products alone ---- */

/* Floating-point operations of one token in all dense layers. */
static double dense_flop_per_token(void)
{
    const double d = WEIGHTS_FEATURES, wide = WEIGHTS_INTERMEDIATE;

    return 2.0 * WEIGHTS_LAYERS * (4 * d * d + 2 * d * wide);
}

static float *noise(size_t n)
{
    float *values = allocate(n, sizeof *values);
    uint32_t state = 1;

    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)(state >> 8) * 0x1p-24f - 0.5f;
    }
    return values;
}

/* The processor time of x[tokens][in] matrix'[out][in], @repeats times. */
static double plain_sgemm(int tokens, int n_in, int n_out, int repeats)
{
    float *x = noise((size_t)tokens * (size_t)n_in), *matrix = noise((size_t)n_out * (size_t)n_in);
    float *ret = allocate((size_t)tokens * (size_t)n_out, sizeof *ret);
    double start = 0;

    for (int i = -1; i < repeats; i++) { /* once before the clock starts, to touch the memory */
        if (i == 0)
            start = cpu_seconds();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, tokens, n_out, n_in, 1.0f, x, n_in,
                    matrix, n_in, 0.0f, ret, n_out);
    }
    start = cpu_seconds() - start;
    free(x);
    free(matrix);
    free(ret);
    return start;
}

/* GFLOP/s of OpenBLAS on the encoder's shapes at a full batch. */
static double plain_rate(void)
{
    const int d = WEIGHTS_FEATURES, wide = WEIGHTS_INTERMEDIATE, tokens = ENCODER_BATCH_TOKENS;
    double s = plain_sgemm(tokens, d, d, 4 * PLAIN_REPEATS);

    s += plain_sgemm(tokens, d, wide, PLAIN_REPEATS);
    s += plain_sgemm(tokens, wide, d, PLAIN_REPEATS);
    return dense_flop_per_token() / WEIGHTS_LAYERS * tokens * PLAIN_REPEATS / s * 1e-9;
}

/* ---- Everything ---- */

struct finish {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool done;
    struct status st;
};

static void finish(struct embed_job *job, const struct status *st)
{
    struct finish *f = job->context;

    pthread_mutex_lock(&f->lock);
    f->st = *st;
    f->done = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
}

/* The seconds that all texts take as one job. */
static double embed_all(struct embed_queue *queue, const struct corpus *corpus, float *rows)
{
    struct finish f = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };
    struct embed_job job = {
        .texts = corpus->texts, .n = corpus->n, .ret_rows = rows, .done = finish, .context = &f
    };
    struct status st = { 0 };
    double start = seconds();

    embed_queue_submit(queue, &job, &st);
    check(&st);
    pthread_mutex_lock(&f.lock);
    while (!f.done)
        pthread_cond_wait(&f.wake, &f.lock);
    pthread_mutex_unlock(&f.lock);
    check(&f.st);
    return seconds() - start;
}

static void print_head(const struct options *options, const struct embed_model *model,
                       const char *what)
{
    printf("{\"name\": \"%s\", \"precision\": \"%s\", \"kernels\": \"%s\", \"threads\": %zu, ",
           what, embed_precision_name(embed_model_precision(model)), embed_model_kernels(model),
           options->threads);
}

static void measure_batches(const struct options *options, const struct embed_model *model,
                            const struct corpus *corpus, float *rows)
{
    const struct embed_queue_options queue_options = { options->threads, corpus->n };
    struct spread rates = { 0 }, cpu_rates = { 0 }, plain = { 0 };
    struct embed_queue *queue = NULL;
    struct status st = { 0 };

    embed_queue_start(model, &queue_options, &queue, &st);
    check(&st);
    embed_all(queue, corpus, rows); /* reads the model's file into memory */
    for (size_t i = 0; i < options->rounds; i++) {
        double start = cpu_seconds(), n = (double)corpus->n;
        rates.values[rates.n++] = n / embed_all(queue, corpus, rows);
        cpu_rates.values[cpu_rates.n++] = n / (cpu_seconds() - start);
        plain.values[plain.n++] = plain_rate();
    }
    embed_queue_stop(queue);

    double rate = median(&rates), cpu_rate = median(&cpu_rates), alone = median(&plain);
    double tokens_per_text = (double)corpus->tokens / (double)corpus->n;
    double gflops = cpu_rate * tokens_per_text * dense_flop_per_token() * 1e-9;
    print_head(options, model, "batches");
    printf("\"texts\": %zu, \"tokens_per_text\": %.2f, \"texts_per_s\": %.1f, "
           "\"lowest\": %.1f, \"highest\": %.1f, \"tokens_per_s\": %.0f, "
           "\"texts_per_cpu_s\": %.1f, \"gflops\": %.1f, \"sgemm_gflops\": %.1f, "
           "\"share\": %.3f}\n",
           corpus->n, tokens_per_text, rate, rates.values[0], rates.values[rates.n - 1],
           rate * tokens_per_text, cpu_rate, gflops, alone, gflops / alone);
}

static void measure_singles(const struct options *options, const struct embed_model *model,
                            const struct corpus *corpus, float *rows)
{
    size_t n = corpus->n < MAX_SINGLES ? corpus->n : MAX_SINGLES;
    struct embed_worker *worker = NULL;
    struct spread times = { 0 };
    struct status st = { 0 };

    embed_worker_new(model, &worker, &st);
    check(&st);
    for (size_t round = 0; round < options->rounds; round++) {
        double start = seconds();
        for (size_t i = 0; i < n; i++)
            embed_texts(worker, &corpus->texts[i], 1, NULL, NULL, rows, &st);
        times.values[times.n++] = (seconds() - start) * 1e3 / (double)n;
        check(&st);
    }
    embed_worker_free(worker);
    print_head(options, model, "one by one");
    double ms = median(&times);
    printf("\"ms_per_text\": %.3f, \"lowest\": %.3f}\n", ms, times.values[0]);
}

/* Counts the corpus' tokens, too. */
static void measure_tokenizer(const char *dir, struct corpus *corpus)
{
    char path[EMBED_PATH_SIZE + 16];
    uint32_t ids[EMBED_MAX_TOKENS];
    struct tokenizer *tokenizer = NULL;
    struct status st = { 0 };

    snprintf(path, sizeof path, "%s/vocab.txt", dir);
    tokenizer_open(path, &tokenizer, &st);
    check(&st);
    double start = seconds();
    for (size_t i = 0; i < corpus->n; i++)
        corpus->tokens += tokenizer_encode(tokenizer, corpus->texts[i].data,
                                           corpus->texts[i].length, ids, EMBED_MAX_TOKENS);
    printf("{\"name\": \"tokenizer\", \"tokens_per_s\": %.0f}\n",
           (double)corpus->tokens / (seconds() - start));
    tokenizer_close(tokenizer);
}

static void write_rows(const char *path, const float *rows, size_t n)
{
    FILE *file = fopen(path, "wb");

    if (file == NULL || fwrite(rows, EMBED_DIMENSION * sizeof *rows, n, file) != n ||
        fclose(file) != 0) {
        fprintf(stderr, "embed_bench: cannot write '%s'\n", path);
        exit(1);
    }
}

static size_t parse_count(const char *value, size_t highest)
{
    char *end;
    unsigned long long n = strtoull(value, &end, 10);

    if (*value == '\0' || *end != '\0' || n == 0 || n > highest) {
        fprintf(stderr, "embed_bench: takes a number from 1 to %zu, not '%s'\n", highest, value);
        exit(2);
    }
    return (size_t)n;
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option names[] = {
        { "texts", required_argument, NULL, 't' },
        { "threads", required_argument, NULL, 'n' },
        { "rounds", required_argument, NULL, 'r' },
        { "precision", required_argument, NULL, 'p' },
        { "model", required_argument, NULL, 'm' },
        { "output", required_argument, NULL, 'o' },
        { 0 },
    };
    struct options options = { .threads = 1, .rounds = 5 };
    struct status st = { 0 };
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 't':
            options.texts = optarg;
            break;
        case 'n':
            options.threads = parse_count(optarg, 256);
            break;
        case 'r':
            options.rounds = parse_count(optarg, MAX_ROUNDS);
            break;
        case 'p':
            embed_precision_parse(optarg, &options.precision, &st);
            break;
        case 'm':
            options.model = optarg;
            break;
        case 'o':
            options.output = optarg;
            break;
        default:
            exit(2);
        }
    }
    check(&st);
    if (options.texts == NULL || optind != argc) {
        fprintf(stderr, "embed_bench: --texts FILE is missing\n");
        exit(2);
    }
    return options;
}

int main(int argc, char **argv)
{
    struct options options = parse_options(argc, argv);
    struct corpus corpus = read_corpus(options.texts);
    float *rows = allocate(corpus.n, EMBED_DIMENSION * sizeof *rows);
    struct embed_model *model = NULL;
    struct status st = { 0 };
    char dir[EMBED_PATH_SIZE];

    if (options.model == NULL) {
        embed_model_default_dir(dir, &st);
        check(&st);
        options.model = dir;
    }
    embed_model_open_as(options.model, options.precision, &model, &st);
    check(&st);
    measure_tokenizer(options.model, &corpus);
    measure_batches(&options, model, &corpus, rows);
    if (options.output != NULL)
        write_rows(options.output, rows, corpus.n);
    measure_singles(&options, model, &corpus, rows);

    embed_model_close(model);
    free_corpus(&corpus);
    free(rows);
    return 0;
}
