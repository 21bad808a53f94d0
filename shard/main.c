/*
 * sutra-shard: the data of some slots, and every public verb. Alone it is a whole cluster.
 *
 * Threads                 started by            touch
 *   main                  -                     opening, signals, closing
 *   loop                  serve_open            rpc calls, quick verbs, the cluster library
 *   metrics               serve_listen          reads what is counted
 *   pool [threads]        shard_open            verbs that may block on the disk
 *   embedder              embedder_open         texts, and the verbs that wait for vectors
 *   courier               shard_start           the outbox
 *   keeper                shard_start           flushes and the index's maintenance
 *   trainer               shard_start           the codebook, at the owner of slot 0
 *   topology watch        main                  the topology file
 *   RocksDB's own         store_open            flushes and compactions
 */

#include <stddef.h>

#include "shard/shard.h"
#include "src/cluster/cluster.h"
#include "src/cluster/topology_watch.h"
#include "src/serve/embedder.h"
#include "src/serve/serve.h"

struct shard_config {
    struct serve_options serve;
    const char *data;
    const char *topology;
    const char *shards;
    uint64_t shard;
    const char *model;
    const char *embedder;
    uint64_t embed_threads;
    const char *embed_precision;
    uint64_t peer_wait_ms;
    uint64_t train_threshold;
    const char *refinement;
    uint64_t row_memory_mb;
    uint64_t record_cache_mb;
    uint64_t threads;
};

#define OPTION(...) CONFIG_OPTION(struct shard_config, __VA_ARGS__)

static const struct config_option options[] = {
    SERVE_OPTIONS(struct shard_config, "127.0.0.1:7400"),
    OPTION(data, "data", CONFIG_STRING, "", 0, 0,
           "folder of this shard's data; created if missing"),
    OPTION(topology, "topology", CONFIG_STRING, "", 0, 0,
           "topology file, reloaded when it changes; without it and --shards: one shard alone"),
    OPTION(shards, "shards", CONFIG_STRING, "", 0, 0,
           "addresses of all shards, comma-separated, slots split evenly"),
    OPTION(shard, "shard", CONFIG_UINT, "0", 0, TOPOLOGY_MAX_SHARDS - 1,
           "which shard of the topology this is"),
    OPTION(
        model, "model", CONFIG_STRING, "", 0, 0,
        "folder of the embedding model; default $SUTRA_MODEL or ~/.cache/sutra/all-MiniLM-L6-v2"),
    OPTION(embedder, "embedder", CONFIG_STRING, "", 0, 0,
           "address of a sutra-embed to use instead of a model in this process"),
    OPTION(embed_threads, "embed-threads", CONFIG_UINT, "2", 1, 256,
           "threads of a model in this process"),
    OPTION(embed_precision, "embed-precision", CONFIG_STRING, "float32", 0, 0,
           "of a model in this process: float32 or, where the processor has AMX, bfloat16"),
    PEER_WAIT_OPTION(struct shard_config),
    OPTION(train_threshold, "train-threshold", CONFIG_UINT, "10000", 0, UINT64_MAX,
           "vectors in the cluster that start the first codebook training; 0: never"),
    OPTION(refinement, "refinement", CONFIG_STRING, "int8", 0, 0,
           "what is kept of a vector beside its code: int8, float16, float32 or none; the same for "
           "all shards, and for good"),
    OPTION(row_memory_mb, "row-memory-mb", CONFIG_UINT, "1024", 0, 1 << 20,
           "MiB of refinement vectors kept in memory; those beyond are read from the disk"),
    OPTION(record_cache_mb, "record-cache-mb", CONFIG_UINT, "128", 0, 1 << 20,
           "MiB of concepts kept in memory, those that are read most; 0: none"),
    OPTION(threads, "threads", CONFIG_UINT, "8", 1, 256, "threads for verbs that may block"),
};

/* Everything that main() opens, in this order. */
struct process {
    struct shard_config config;
    struct row_policy rows;
    struct topology *topology;
    struct serve serve;
    struct embedder *embedder;
    struct shard *shard;
    struct cluster *cluster;
    struct topology_watch *watch;
};

/* What can be known to be wrong before anything is opened. */
static enum status_code read_options(struct process *p, struct status *st)
{
    const struct shard_config *config = &p->config;

    if (config->data[0] == '\0')
        return status_set(st, STATUS_INVALID_ARGUMENT, "--data is missing");
    if (!row_policy_parse(config->refinement, &p->rows))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--refinement is '%s'; int8, float16, float32 and none are known",
                          config->refinement);
    if (topology_from_options(config->topology, config->shards, config->serve.listen, &p->topology,
                              st) == STATUS_OK &&
        config->shard >= p->topology->shard_count)
        status_set(st, STATUS_INVALID_ARGUMENT, "--shard is %llu, the topology has %u shards",
                   (unsigned long long)config->shard, p->topology->shard_count);
    return st->code;
}

static enum status_code open_shard(struct process *p, struct status *st)
{
    const struct shard_config *config = &p->config;
    const struct shard_options shard_options = {
        .data = config->data,
        .index = (uint32_t)config->shard,
        .topology = p->topology,
        .threads = (unsigned)config->threads,
        .train_threshold = config->train_threshold,
        .rows = p->rows,
        .row_budget_bytes = (size_t)config->row_memory_mb << 20,
        .record_cache_bytes = (size_t)config->record_cache_mb << 20,
    };

    return shard_open(&shard_options, &p->shard, st);
}

static enum status_code open_cluster(struct process *p, struct status *st)
{
    const struct cluster_options cluster_options = {
        .loop = p->serve.loop,
        .topology = p->topology,
        .embedder = p->embedder,
        .peers = &p->serve.peers,
        .local = shard_local(p->shard),
    };

    if (cluster_new(&cluster_options, &p->cluster, st) != STATUS_OK ||
        shard_start(p->shard, p->cluster, st) != STATUS_OK)
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
    p->serve.call_log->shard = (int64_t)p->config.shard;
    cluster_announce(p->serve.server);
    shard_announce(p->serve.server);
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

    if (read_options(p, st) != STATUS_OK || listen_early(p, st) != STATUS_OK ||
        embedder_open(&embedder_options, p->serve.loop, &p->embedder, st) != STATUS_OK ||
        open_shard(p, st) != STATUS_OK || open_cluster(p, st) != STATUS_OK)
        return st->code;
    cluster_serve(p->cluster, p->serve.server);
    shard_serve(p->shard, p->serve.server);
    embedder_serve(p->embedder, &p->serve);
    metrics_add(&p->serve.metrics, cluster_collect, p->cluster);
    metrics_add(&p->serve.metrics, shard_collect, p->shard);
    return serve_run(&p->serve, "sutra-shard", st);
}

static void close_all(void *process)
{
    struct process *p = process;

    topology_watch_stop(p->watch);
    serve_stop(&p->serve);
    if (p->shard != NULL)
        shard_stop(p->shard);
    cluster_free(p->cluster);
    shard_close(p->shard);
    embedder_close(p->embedder);
    topology_unref(p->topology);
    serve_close(&p->serve);
}

int main(int argc, char **argv)
{
    static const struct serve_program program = {
        .options = {
            .name = "sutra-shard",
            .summary = "a shard of a concept store; alone, the whole store",
            .options = options,
            .option_count = sizeof options / sizeof options[0],
        },
        .run = run,
        .close = close_all,
    };
    struct process process = { 0 };

    return serve_main(&program, argc, argv, &process, &process.config);
}
