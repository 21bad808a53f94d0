/**
 * sutra bench: how fast searches are answered, and how right.
 *
 * One search after the other, each timed from before the request is packed to after the reply is
 * unpacked: once by vector (texts are embedded beforehand), once by text. Recall compares the
 * answers by vector with those of an exact search.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/base/clock.h"
#include "src/base/size.h"

enum { EMBED_BATCH = 64, WARM_UP = 20, MAX_K = 1000, REPLY_ARENA_BYTES = 64 << 20 };

struct bench_options {
    const char *queries;
    uint64_t k;
    uint64_t rerank;
};

struct bench {
    struct client *client;
    struct arena replies; /* of one call */
    const struct bench_options *options;
    size_t count;
    char **texts;                   /* [count] */
    Sutra__V1__Embedding **vectors; /* [count] */
    char **found;                   /* [count][k], NULL behind the last hit */
};

/* Milliseconds per search. */
struct timings {
    double p50;
    double p99;
    double total;
};

/* Reading and embedding the queries ------------------------------------------------------------ */

static size_t count_lines(const char *text)
{
    size_t lines = 0;

    for (const char *p = text; *p != '\0'; p += strcspn(p, "\n"), p += *p == '\n')
        lines += *p != '\n';
    return lines;
}

/* The whole file in @arena. */
static enum status_code read_file(const char *path, struct arena *arena, char **ret_text,
                                  struct status *st)
{
    FILE *file = fopen(path, "re");
    long size = -1;

    if (file == NULL)
        return status_set_errno(st, errno, "open '%s'", path);
    if (fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    rewind(file);
    *ret_text = size < 0 ? NULL : arena_calloc(arena, (size_t)size + 1, 1);
    if (*ret_text == NULL || fread(*ret_text, 1, (size_t)size, file) != (size_t)size)
        status_set(st, STATUS_INVALID_ARGUMENT, "'%s' cannot be read", path);
    fclose(file);
    return st->code;
}

/* Splits @text in place into its lines that are not empty. */
static enum status_code read_queries(struct bench *bench, struct arena *arena, struct status *st)
{
    char *text = NULL;
    size_t i = 0;

    if (read_file(bench->options->queries, arena, &text, st) != STATUS_OK)
        return st->code;
    bench->count = count_lines(text);
    bench->texts = arena_calloc(arena, bench->count, sizeof *bench->texts);
    bench->vectors = arena_calloc(arena, bench->count, sizeof *bench->vectors);
    bench->found = arena_calloc(arena, bench->count * bench->options->k, sizeof *bench->found);
    if (bench->texts == NULL || bench->vectors == NULL || bench->found == NULL)
        return cli_out_of_memory(st);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        bench->texts[i++] = line;
    if (bench->count == 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "'%s' has no queries",
                          bench->options->queries);
    return STATUS_OK;
}

/* The vectors live in @arena. */
static enum status_code embed_queries(struct bench *bench, struct arena *arena, struct status *st)
{
    for (size_t first = 0; first < bench->count; first += EMBED_BATCH) {
        Sutra__V1__EmbedRequest request = SUTRA__V1__EMBED_REQUEST__INIT;
        Sutra__V1__EmbedResponse *reply;
        request.n_texts = size_min(EMBED_BATCH, bench->count - first);
        request.texts = bench->texts + first;
        if (client_embed(bench->client, &request, arena, &reply, st) != STATUS_OK)
            return st->code;
        if (reply->n_embeddings != request.n_texts)
            return status_set(st, STATUS_INTERNAL, "%zu texts gave %zu vectors", request.n_texts,
                              reply->n_embeddings);
        memcpy(bench->vectors + first, reply->embeddings, request.n_texts * sizeof *bench->vectors);
    }
    return STATUS_OK;
}

/* Searching --------------------------------------------------------------------------------------
 */

enum how { BY_VECTOR, BY_TEXT, EXACTLY };

/* Query @i; the reply lives until the next one. */
static enum status_code search(struct bench *bench, size_t i, enum how how,
                               Sutra__V1__SearchResponse **ret_reply, struct status *st)
{
    Sutra__V1__SearchRequest request = SUTRA__V1__SEARCH_REQUEST__INIT;
    Sutra__V1__Query query = SUTRA__V1__QUERY__INIT;

    if (how == BY_TEXT) {
        query.by_case = SUTRA__V1__QUERY__BY_TEXT;
        query.text = bench->texts[i];
    } else {
        query.by_case = SUTRA__V1__QUERY__BY_EMBEDDING;
        query.embedding = bench->vectors[i];
    }
    request.query = &query;
    request.k = (uint32_t)bench->options->k;
    request.rerank = (uint32_t)bench->options->rerank;
    request.exact = how == EXACTLY;
    arena_reset(&bench->replies);
    return client_search(bench->client, &request, &bench->replies, ret_reply, st);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Nearest rank of ascending @ms. */
static double percentile(const double *ms, size_t count, size_t percent)
{
    return ms[(count * percent + 99) / 100 - 1];
}

static struct timings summarise(double *ms, size_t count)
{
    struct timings timings = { 0 };

    qsort(ms, count, sizeof *ms, by_size);
    for (size_t i = 0; i < count; i++)
        timings.total += ms[i];
    timings.p50 = percentile(ms, count, 50);
    timings.p99 = percentile(ms, count, 99);
    return timings;
}

static enum status_code warm_up(struct bench *bench, enum how how, struct status *st)
{
    Sutra__V1__SearchResponse *reply;

    for (size_t i = 0; i < size_min(WARM_UP, bench->count); i++)
        if (search(bench, i, how, &reply, st) != STATUS_OK)
            return st->code;
    return STATUS_OK;
}

/* Copies the ids of query @i's hits into @arena. */
static enum status_code keep(struct bench *bench, size_t i, const Sutra__V1__SearchResponse *reply,
                             struct arena *arena, struct status *st)
{
    char **ids = bench->found + i * bench->options->k;

    for (size_t h = 0; h < size_min(reply->n_hits, bench->options->k); h++) {
        ids[h] = arena_strndup(arena, reply->hits[h]->id, strlen(reply->hits[h]->id));
        if (ids[h] == NULL)
            return cli_out_of_memory(st);
    }
    return STATUS_OK;
}

static enum status_code time_searches(struct bench *bench, enum how how, struct arena *arena,
                                      struct timings *ret, struct status *st)
{
    double *ms = arena_calloc(arena, bench->count, sizeof *ms);
    Sutra__V1__SearchResponse *reply;

    if (ms == NULL)
        return cli_out_of_memory(st);
    if (warm_up(bench, how, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < bench->count; i++) {
        int64_t begin_us = clock_monotonic_us();
        if (search(bench, i, how, &reply, st) != STATUS_OK)
            return st->code;
        ms[i] = (double)(clock_monotonic_us() - begin_us) / 1000;
        if (how == BY_VECTOR && keep(bench, i, reply, arena, st) != STATUS_OK)
            return st->code;
    }
    *ret = summarise(ms, bench->count);
    return STATUS_OK;
}

/* How many of the first @k ids are among @reply's hits. */
static size_t count_found(char *const *ids, size_t k, const Sutra__V1__SearchResponse *reply)
{
    size_t found = 0;

    for (size_t h = 0; h < reply->n_hits; h++)
        for (size_t i = 0; i < k && ids[i] != NULL; i++)
            found += strcmp(ids[i], reply->hits[h]->id) == 0;
    return found;
}

/* The share of the exact answers that the searches by vector found. */
static enum status_code measure_recall(struct bench *bench, double *ret_recall, struct status *st)
{
    Sutra__V1__SearchResponse *reply;
    size_t wanted = 0;
    size_t found = 0;

    for (size_t i = 0; i < bench->count; i++) {
        if (search(bench, i, EXACTLY, &reply, st) != STATUS_OK)
            return st->code;
        wanted += reply->n_hits;
        found += count_found(bench->found + i * bench->options->k, bench->options->k, reply);
    }
    *ret_recall = wanted > 0 ? (double)found / (double)wanted : 1;
    return STATUS_OK;
}

/* Printing ----------------------------------------------------------------------------------------
 */

static double per_second(const struct bench *bench, const struct timings *timings)
{
    return timings->total > 0 ? 1000 * (double)bench->count / timings->total : 0;
}

static void print_json(const struct cli *cli, const struct bench *bench,
                       const struct timings *vector, const struct timings *text, double recall)
{
    json_output(&cli->out, json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "searches",
                                     (json_int_t)bench->count, "k", (json_int_t)bench->options->k,
                                     "p50_ms", vector->p50, "p99_ms", vector->p99, "searches_per_s",
                                     per_second(bench, vector), "recall", recall, "text_p50_ms",
                                     text->p50, "text_p99_ms", text->p99));
}

static void print_text(const struct cli *cli, const struct bench *bench,
                       const struct timings *vector, const struct timings *text, double recall)
{
    fprintf(cli->out.file, "%zu searches, one after the other, k = %" PRIu64 "\n", bench->count,
            bench->options->k);
    fprintf(cli->out.file,
            "  by vector  p50 %.2f ms  p99 %.2f ms  %.0f/s  recall@%" PRIu64 " %.3f\n", vector->p50,
            vector->p99, per_second(bench, vector), bench->options->k, recall);
    fprintf(cli->out.file, "  by text    p50 %.2f ms  p99 %.2f ms  %.0f/s  embedding included\n",
            text->p50, text->p99, per_second(bench, text));
}

static enum status_code measure(struct cli *cli, struct bench *bench, struct status *st)
{
    struct timings vector = { 0 };
    struct timings text = { 0 };
    double recall = 0;

    if (read_queries(bench, &cli->arena, st) != STATUS_OK ||
        embed_queries(bench, &cli->arena, st) != STATUS_OK ||
        time_searches(bench, BY_VECTOR, &cli->arena, &vector, st) != STATUS_OK ||
        time_searches(bench, BY_TEXT, &cli->arena, &text, st) != STATUS_OK ||
        measure_recall(bench, &recall, st) != STATUS_OK)
        return st->code;
    (cli->globals.json ? print_json : print_text)(cli, bench, &vector, &text, recall);
    return STATUS_OK;
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    const struct bench_options *options = values;
    struct bench bench = { .client = cli->client, .options = options };

    if (strcmp(operands->values[0], "search") != 0)
        return cli_usage(cli, "there is no benchmark '%s', only 'search'", operands->values[0]);
    if (options->queries == NULL)
        return cli_usage(cli, "--queries FILE is missing");
    arena_init(&bench.replies, REPLY_ARENA_BYTES);
    measure(cli, &bench, st);
    arena_deinit(&bench.replies);
    return SUTRA_EXIT_OK;
}

#define AT(field) offsetof(struct bench_options, field)

static const struct option OPTIONS[] = {
    { .name = "queries",
      .letter = 'q',
      .kind = OPTION_TEXT,
      .offset = AT(queries),
      .value = "FILE",
      .help = "what to search for: one text a line" },
    { .name = "count",
      .letter = 'k',
      .kind = OPTION_COUNT,
      .offset = AT(k),
      .value = "K",
      .standard = "10",
      .min = 1,
      .max = MAX_K,
      .help = "how many answers per search" },
    { .name = "rerank",
      .kind = OPTION_COUNT,
      .offset = AT(rerank),
      .value = "N",
      .max = UINT32_MAX,
      .help = "how many are scored again exactly (default: the server's)" },
    { 0 },
};

const struct command command_bench = {
    .name = "bench",
    .operands = "search",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "Measure how fast searches are answered, and how right",
    .details = "Searches for every text of a file, one after the other: by its vector and by its\n"
               "text. Recall is the share of the exact answers that were found by vector.",
    .options = OPTIONS,
    .values_size = sizeof(struct bench_options),
    .run = run,
};
