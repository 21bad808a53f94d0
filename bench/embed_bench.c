/*
 * How fast one core embeds: texts per second of CPU time over WordNet's noun glosses, and how much
 * of that is matrix products at the rate OpenBLAS reaches alone.
 *
 *   embed_bench [FILE] [TEXTS]      default /usr/share/wordnet/data.noun, 4000
 *
 * A text is "lemma, lemma: gloss", about 24 tokens. FLOP/s counts the matrix products of the
 * encoder's dense layers only. The plain rate is measured in the same run over the same shapes.
 */

#include "src/embed/embed.h"
#include "src/embed/encoder.h"
#include "src/embed/tokenizer.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE_SIZE = 16384, ROUNDS = 3, REPEATS = 20 };

struct corpus {
    char **lines;
    struct embed_text *texts;
    size_t n;
};

/* Floating-point operations of one token in all dense layers. */
static double dense_flop_per_token(void)
{
    const double d = WEIGHTS_FEATURES, wide = WEIGHTS_INTERMEDIATE;

    return 2.0 * WEIGHTS_LAYERS * (4 * d * d + 2 * d * wide);
}

/* Of this thread, so that what else runs on the machine does not count. */
static double cpu_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* A line of data.noun (wndb(5)): offset file type count lemma id lemma id ... | gloss. */
static char *text_of_line(char *line)
{
    char *gloss = strstr(line, " | ");
    unsigned count;
    int position;

    if (gloss == NULL || sscanf(line, "%*8s %*2s %*c %2x %n", &count, &position) != 1)
        return NULL;
    *gloss = '\0';
    gloss[strcspn(gloss + 3, "\n") + 3] = '\0';
    char *text = calloc(1, strlen(line) + strlen(gloss + 3) + 8);
    if (text == NULL)
        abort();
    char *word = strtok(line + position, " ");
    for (unsigned i = 0; i < count && word != NULL; i++) {
        strcat(strcat(text, i > 0 ? ", " : ""), word);
        strtok(NULL, " "); /* the lemma's sense number */
        word = strtok(NULL, " ");
    }
    for (char *p = text; *p != '\0'; p++)
        if (*p == '_')
            *p = ' ';
    return strcat(strcat(text, ": "), gloss + 3);
}

static struct corpus read_corpus(const char *path, size_t limit)
{
    struct corpus corpus = { .lines = calloc(limit, sizeof(char *)),
                             .texts = calloc(limit, sizeof(struct embed_text)) };
    FILE *file = fopen(path, "r");
    static char line[LINE_SIZE];

    if (file == NULL || corpus.lines == NULL || corpus.texts == NULL) {
        fprintf(stderr, "embed_bench: cannot read '%s'\n", path);
        exit(1);
    }
    while (corpus.n < limit && fgets(line, sizeof line, file) != NULL) {
        char *text = line[0] == ' ' ? NULL : text_of_line(line); /* the licence is indented */
        if (text == NULL)
            continue;
        corpus.lines[corpus.n] = text;
        corpus.texts[corpus.n++] = (struct embed_text){ text, strlen(text) };
    }
    fclose(file);
    return corpus;
}

static void free_corpus(struct corpus *corpus)
{
    for (size_t i = 0; i < corpus->n; i++)
        free(corpus->lines[i]);
    free(corpus->lines);
    free(corpus->texts);
}

/* Adds the work and the time of x[tokens][in] matrix'[out][in]. */
static void plain_sgemm(int tokens, int n_in, int n_out, double *total_flop, double *total_s)
{
    size_t n_x = (size_t)tokens * (size_t)n_in, n_matrix = (size_t)n_out * (size_t)n_in;
    float *x = calloc(n_x, sizeof *x), *matrix = calloc(n_matrix, sizeof *matrix);
    float *ret = calloc((size_t)tokens * (size_t)n_out, sizeof *ret);

    if (x == NULL || matrix == NULL || ret == NULL)
        abort();
    double start = 0;
    for (int i = -1; i < REPEATS; i++) { /* once before the clock starts, to touch the memory */
        if (i == 0)
            start = cpu_seconds();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, tokens, n_out, n_in, 1.0f, x, n_in,
                    matrix, n_in, 0.0f, ret, n_out);
    }
    *total_s += cpu_seconds() - start;
    *total_flop += 2.0 * REPEATS * tokens * n_in * n_out;
    free(x);
    free(matrix);
    free(ret);
}

/* OpenBLAS alone, on the encoder's shapes at a full batch. */
static double plain_flops(void)
{
    const int d = WEIGHTS_FEATURES, wide = WEIGHTS_INTERMEDIATE, tokens = ENCODER_BATCH_TOKENS;
    double flop = 0, s = 0;

    for (int i = 0; i < 4; i++)
        plain_sgemm(tokens, d, d, &flop, &s);
    plain_sgemm(tokens, d, wide, &flop, &s);
    plain_sgemm(tokens, wide, d, &flop, &s);
    return flop / s;
}

static void check(const struct status *st)
{
    if (st->code == STATUS_OK)
        return;
    fprintf(stderr, "embed_bench: %s\n", st->message);
    exit(1);
}

static size_t count_tokens(const char *dir, const struct corpus *corpus)
{
    char path[EMBED_PATH_SIZE + 16];
    uint32_t ids[EMBED_MAX_TOKENS];
    struct tokenizer *tokenizer;
    struct status st = { 0 };
    size_t n = 0;

    snprintf(path, sizeof path, "%s/vocab.txt", dir);
    tokenizer_open(path, &tokenizer, &st);
    check(&st);
    double start = cpu_seconds();
    for (size_t i = 0; i < corpus->n; i++)
        n += tokenizer_encode(tokenizer, corpus->texts[i].data, corpus->texts[i].length, ids,
                              EMBED_MAX_TOKENS);
    printf("tokenizer: %.2f million tokens/s\n", (double)n / (cpu_seconds() - start) * 1e-6);
    tokenizer_close(tokenizer);
    return n;
}

static void measure(struct embed_worker *worker, const struct corpus *corpus, size_t tokens)
{
    float *rows = calloc(corpus->n * EMBED_DIMENSION, sizeof *rows);
    struct status st = { 0 };

    if (rows == NULL)
        abort();
    for (int round = 0; round < ROUNDS; round++) {
        double alone = plain_flops();
        double start = cpu_seconds();
        embed_texts(worker, corpus->texts, corpus->n, NULL, NULL, rows, &st);
        double s = cpu_seconds() - start;
        check(&st);
        double flops = dense_flop_per_token() * (double)tokens / s;
        printf("batches: %.1f texts/s, %.1f GFLOP/s; plain sgemm %.1f GFLOP/s; ratio %.2f\n",
               (double)corpus->n / s, flops * 1e-9, alone * 1e-9, flops / alone);
    }
    double start = cpu_seconds();
    size_t singles = corpus->n < 200 ? corpus->n : 200;
    for (size_t i = 0; i < singles; i++)
        embed_texts(worker, &corpus->texts[i], 1, NULL, NULL, rows, &st);
    printf("one by one: %.2f ms per text\n", (cpu_seconds() - start) * 1e3 / (double)singles);
    free(rows);
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "/usr/share/wordnet/data.noun";
    size_t limit = argc > 2 ? strtoul(argv[2], NULL, 10) : 4000;
    struct corpus corpus = read_corpus(path, limit);
    struct embed_worker *worker = NULL;
    struct embed_model *model = NULL;
    struct status st = { 0 };
    char dir[EMBED_PATH_SIZE];

    if (embed_model_default_dir(dir, &st) == STATUS_OK &&
        embed_model_open(dir, &model, &st) == STATUS_OK)
        embed_worker_new(model, &worker, &st);
    check(&st);
    size_t tokens = count_tokens(dir, &corpus);
    printf("%s; %zu texts, %.1f tokens each\n", embed_model_kernels(model), corpus.n,
           (double)tokens / (double)corpus.n);
    measure(worker, &corpus, tokens);

    embed_worker_free(worker);
    embed_model_close(model);
    free_corpus(&corpus);
    return 0;
}
