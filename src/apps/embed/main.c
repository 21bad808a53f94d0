/*
 * sutra-embed: texts to vectors, for routers and shards that have no model in their own process.
 *
 * Threads       started by        touch
 *   main        -                 opening, signals, closing
 *   loop        serve_open        rpc calls
 *   metrics     serve_listen      reads what is counted
 *   embedder    embedder_open     texts
 */

#include <stddef.h>

#include "src/serve/embedder.h"
#include "src/serve/serve.h"

struct embed_config {
    struct serve_options serve;
    const char *model;
    uint64_t threads;
    const char *precision;
};

#define OPTION(...) CONFIG_OPTION(struct embed_config, __VA_ARGS__)

static const struct config_option options[] = {
    SERVE_OPTIONS(struct embed_config, "127.0.0.1:7399"),
    OPTION(
        model, "model", CONFIG_STRING, "", 0, 0,
        "folder of the embedding model; default $SUTRA_MODEL or ~/.cache/sutra/all-MiniLM-L6-v2"),
    OPTION(threads, "threads", CONFIG_UINT, "2", 1, 256, "threads that embed"),
    OPTION(precision, "precision", CONFIG_STRING, "float32", 0, 0,
           "float32, or bfloat16: some four times as fast where the processor has AMX"),
};

/* Everything that run() opens, in this order. */
struct process {
    struct embed_config config;
    struct serve serve;
    struct embedder *embedder;
};

/* Before the model is opened, so that probes are answered. */
static enum status_code listen_early(struct process *p, struct status *st)
{
    if (serve_open(&p->config.serve, &p->serve, st) != STATUS_OK)
        return st->code;
    embedder_announce(&p->serve);
    return serve_listen(&p->serve, st);
}

static enum status_code run(void *process, struct status *st)
{
    struct process *p = process;
    const struct embedder_options embedder_options = {
        .address = "",
        .model_dir = p->config.model,
        .threads = p->config.threads,
        .precision = p->config.precision,
    };

    if (listen_early(p, st) != STATUS_OK ||
        embedder_open(&embedder_options, p->serve.loop, &p->embedder, st) != STATUS_OK ||
        embedder_missing(p->embedder, st) != STATUS_OK)
        return st->code;
    embedder_serve(p->embedder, &p->serve);
    return serve_run(&p->serve, "sutra-embed", st);
}

static void close_all(void *process)
{
    struct process *p = process;

    serve_stop(&p->serve);
    embedder_close(p->embedder);
    serve_close(&p->serve);
}

int main(int argc, char **argv)
{
    static const struct serve_program program = {
        .options = {
            .name = "sutra-embed",
            .summary = "turns text into vectors",
            .options = options,
            .option_count = sizeof options / sizeof options[0],
        },
        .run = run,
        .close = close_all,
    };
    struct process process = { 0 };

    return serve_main(&program, argc, argv, &process, &process.config);
}
