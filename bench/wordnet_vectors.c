/*
 * Writes the MiniLM embeddings of all synsets of WordNet, the real data of bench/run: raw float32,
 * [synsets][384], unit length, in the order of the files. About four minutes on two cores.
 *
 *   wordnet_vectors FOLDER OUTPUT [THREADS [LIMIT]]     e.g. /usr/share/wordnet
 * .cache/bench/wordnet.f32 2
 *
 * With LIMIT only so many of them, evenly spaced.
 * A text is what `sutra import` stores: "lemmas — definition".
 */

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/parallel.h"
#include "src/apps/cli/sources/source.h"
#include "src/embed/embed.h"

enum { STRIDE = 256 };

static const size_t ARENA_BYTES = (size_t)1 << 30;

struct job {
    struct embed_model *model;
    struct embed_text *texts;
    size_t n;
    float *rows;
    atomic_size_t next;
    atomic_size_t done;
};

static void check(enum status_code code, const struct status *st)
{
    if (code == STATUS_OK)
        return;
    fprintf(stderr, "wordnet_vectors: %s\n", st->message);
    exit(1);
}

static void read_texts(const char *folder, struct arena *arena, struct job *job)
{
    Sutra__V1__ConceptInput *item;
    struct source_size size;
    struct source *source;
    struct status st = { 0 };

    check(source_measure(SOURCE_WORDNET, folder, &size, &st), &st);
    check(source_open(SOURCE_WORDNET, folder, &source, &st), &st);
    job->texts = arena_calloc(arena, (size_t)size.items, sizeof *job->texts);
    if (job->texts == NULL)
        abort();
    while (job->n < size.items && source_next(source, arena, &item, &st) == STATUS_OK &&
           item != NULL)
        job->texts[job->n++] = (struct embed_text){ item->content, strlen(item->content) };
    check(st.code, &st);
    source_close(source);
}

static void keep_evenly(struct job *job, size_t limit)
{
    for (size_t i = 0; i < limit; i++)
        job->texts[i] = job->texts[i * job->n / limit];
    job->n = limit;
}

static void *embed_strides(void *context)
{
    struct job *job = context;
    struct embed_worker *worker;
    struct status st = { 0 };
    size_t start;

    check(embed_worker_new(job->model, &worker, &st), &st);
    while ((start = atomic_fetch_add(&job->next, STRIDE)) < job->n) {
        size_t count = job->n - start < STRIDE ? job->n - start : STRIDE;
        check(embed_texts(worker, job->texts + start, count, NULL, NULL,
                          job->rows + start * EMBED_DIMENSION, &st),
              &st);
        atomic_fetch_add(&job->done, count);
    }
    embed_worker_free(worker);
    return NULL;
}

static void write_rows(const struct job *job, const char *path)
{
    size_t values = job->n * EMBED_DIMENSION;
    FILE *file = fopen(path, "wb");

    if (file == NULL || fwrite(job->rows, sizeof(float), values, file) != values ||
        fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    size_t threads = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;
    size_t limit = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    struct job job = { .n = 0 };
    char dir[EMBED_PATH_SIZE];
    struct arena arena;
    struct status st = { 0 };

    if (argc < 3 || threads < 1 || threads > PARALLEL_MAX_THREADS) {
        fprintf(stderr, "usage: wordnet_vectors FOLDER OUTPUT [THREADS [LIMIT]]\n");
        return 2;
    }
    arena_init(&arena, ARENA_BYTES);
    read_texts(argv[1], &arena, &job);
    if (limit > 0 && limit < job.n)
        keep_evenly(&job, limit);
    check(embed_model_default_dir(dir, &st), &st);
    check(embed_model_open(dir, &job.model, &st), &st);
    job.rows = malloc(job.n * EMBED_DIMENSION * sizeof *job.rows);
    if (job.rows == NULL)
        abort();
    parallel_run(embed_strides, &job, threads, &job.done, job.n);
    write_rows(&job, argv[2]);
    free(job.rows);
    embed_model_close(job.model);
    arena_deinit(&arena);
    return 0;
}
