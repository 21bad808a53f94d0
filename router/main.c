/*
 * sutra-router: every public verb over the shards of a topology. Keeps nothing; any number may run
 * side by side.
 *
 * Threads          started by        touch
 *   main           -                 opening, signals, closing
 *   loop           serve_open        rpc calls, the cluster library; never blocks
 *   metrics        serve_listen      reads what is counted
 *   embedder       embedder_open     texts, if there is a model in this process
 *   topology watch main              the topology file
 */

#include <stddef.h>

#include "src/cluster/cluster.h"
#include "src/cluster/shard_watch.h"
#include "src/cluster/topology_watch.h"
#include "src/serve/embedder.h"
#include "src/serve/serve.h"

struct router_config {
    struct serve_options serve;
    const char *topology;
    const char *shards;
    const char *model;
    const char *embedder;
    uint64_t embed_threads;
    const char *embed_precision;
    uint64_t peer_wait_ms;
};

#define OPTION(...) CONFIG_OPTION(struct router_config, __VA_ARGS__)

static const struct config_option options[] = {
    SERVE_OPTIONS(struct router_config, "127.0.0.1:7400"),
    OPTION(topology, "topology", CONFIG_STRING, "", 0, 0,
           "topology file, reloaded when it changes"),
    OPTION(shards, "shards", CONFIG_STRING, "", 0, 0,
           "instead: addresses of all shards, comma-separated, slots split evenly"),
    OPTION(
        model, "model", CONFIG_STRING, "", 0, 0,
        "folder of the embedding model; default $SUTRA_MODEL or ~/.cache/sutra/all-MiniLM-L6-v2"),
    OPTION(embedder, "embedder", CONFIG_STRING, "", 0, 0,
           "address of a sutra-embed to use instead of a model in this process"),
    OPTION(embed_threads, "embed-threads", CONFIG_UINT, "2", 1, 256,
           "threads of a model in this process"),
    OPTION(embed_precision, "embed-precision", CONFIG_STRING, "float32", 0, 0,
           "of a model in this process: float32 or, where the processor has AMX, bfloat16"),
    PEER_WAIT_OPTION(struct router_config),
};

/* Everything that run() opens, in this order. */
struct process {
    struct router_config config;
    struct topology *topology;
    struct serve serve;
    struct embedder *embedder;
    struct cluster *cluster;
    struct shard_watch *shards;
    struct topology_watch *watch;
};

static enum status_code open_topology(struct process *p, struct status *st)
{
    if (p->config.topology[0] == '\0' && p->config.shards[0] == '\0')
        return status_set(st, STATUS_INVALID_ARGUMENT, "--topology or --shards is missing");
    return topology_from_options(p->config.topology, p->config.shards, "", &p->topology, st);
}

static enum status_code open_cluster(struct process *p, struct status *st)
{
    const struct cluster_options cluster_options = {
        .loop = p->serve.loop,
        .topology = p->topology,
        .embedder = p->embedder,
        .peers = &p->serve.peers,
    };

    if (cluster_new(&cluster_options, &p->cluster, st) != STATUS_OK ||
        shard_watch_start(p->cluster, &p->serve, (int64_t)p->config.peer_wait_ms, &p->shards, st) !=
            STATUS_OK)
        return st->code;
    if (p->config.topology[0] != '\0')
        topology_watch_start(p->config.topology, p->cluster, &p->watch, st);
    return st->code;
}

/* Before anything that may take its time, so that probes are answered. */
static enum status_code listen_early(struct process *p, struct status *st)
{
    if (serve_open(&p->config.serve, &p->serve, st) != STATUS_OK)
        return st->code;
    p->serve.peers.away_ms = (int64_t)p->config.peer_wait_ms;
    cluster_announce(p->serve.server);
    embedder_announce(&p->serve);
    return serve_listen(&p->serve, st);
}

static enum status_code run(void *process, struct status *st)
{
    struct process *p = process;
    const struct embedder_options embedder_options = {
        .peers = &p->serve.peers,
        .address = p->config.embedder,
        .model_dir = p->config.model,
        .threads = p->config.embed_threads,
        .precision = p->config.embed_precision,
    };

    if (open_topology(p, st) != STATUS_OK || listen_early(p, st) != STATUS_OK ||
        embedder_open(&embedder_options, p->serve.loop, &p->embedder, st) != STATUS_OK ||
        open_cluster(p, st) != STATUS_OK)
        return st->code;
    cluster_serve(p->cluster, p->serve.server);
    embedder_serve(p->embedder, &p->serve);
    metrics_add(&p->serve.metrics, cluster_collect, p->cluster);
    return serve_run(&p->serve, "sutra-router", st);
}

static void close_all(void *process)
{
    struct process *p = process;

    topology_watch_stop(p->watch);
    shard_watch_stop(p->shards);
    serve_stop(&p->serve);
    cluster_free(p->cluster);
    embedder_close(p->embedder);
    topology_unref(p->topology);
    serve_close(&p->serve);
}

int main(int argc, char **argv)
{
    static const struct serve_program program = {
        .options = {
            .name = "sutra-router",
            .summary = "serves a concept store that is spread over shards",
            .options = options,
            .option_count = sizeof options / sizeof options[0],
        },
        .run = run,
        .close = close_all,
    };
    struct process process = { 0 };

    return serve_main(&program, argc, argv, &process, &process.config);
}
