#include "src/cluster/meter.h"

#include <stdio.h>
#include <stdlib.h>

#include "src/cluster/cluster_internal.h"

/* ---- Life ---- */

struct cluster_meter *cluster_meter_new(void)
{
    struct cluster_meter *meter = calloc(1, sizeof *meter);

    if (meter != NULL)
        atomic_init(&meter->refs, 1);
    return meter;
}

struct cluster_meter *cluster_meter_ref(struct cluster_meter *meter)
{
    atomic_fetch_add_explicit(&meter->refs, 1, memory_order_relaxed);
    return meter;
}

void cluster_meter_unref(struct cluster_meter *meter)
{
    if (meter == NULL || atomic_fetch_sub_explicit(&meter->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < TOPOLOGY_MAX_SHARDS; i++)
        free(atomic_load(&meter->shards[i]));
    free(meter);
}

bool cluster_meter_add(struct cluster_meter *meter, uint32_t shard)
{
    struct shard_meter *none = NULL;
    struct shard_meter *fresh;

    if (cluster_meter_of(meter, shard) != NULL)
        return true;
    fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL)
        return false;
    if (!atomic_compare_exchange_strong(&meter->shards[shard], &none, fresh))
        free(fresh); /* somebody else was quicker */
    return true;
}

/* ---- The page ---- */

/* A shard of the topology in force that is reached through a channel. */
struct metered_shard {
    char number[16];
    const char *address;
    struct rpc_channel *channel;
    struct shard_meter *meter;
};

static void put_calls(struct metrics_page *page, const struct metered_shard *shard)
{
    metrics_status_samples(page, shard->meter->ended, "shard", shard->number, NULL);
}

/* What has ended is read first: so nothing has ended that had not begun. */
static void put_in_flight(struct metrics_page *page, const struct metered_shard *shard)
{
    uint64_t ended = 0;

    for (int code = 0; code < METRICS_STATUSES; code++)
        ended += metrics_counted(&shard->meter->ended[code]);
    metrics_sample(page, (double)(metrics_counted(&shard->meter->started) - ended), "shard",
                   shard->number, NULL);
}

static void put_duration(struct metrics_page *page, const struct metered_shard *shard)
{
    metrics_histogram_sample(page, &shard->meter->duration_us, METRICS_LATENCY, "shard",
                             shard->number, NULL);
}

/* A connection that is being made, or rests, says nothing new. */
static void put_reachable(struct metrics_page *page, const struct metered_shard *shard)
{
    enum rpc_channel_state state = rpc_channel_look(shard->channel);

    if (state != RPC_CHANNEL_UNDECIDED)
        atomic_store(&shard->meter->reachable, state == RPC_CHANNEL_READY);
    metrics_sample(page, atomic_load(&shard->meter->reachable), "shard", shard->number, "address",
                   shard->address, NULL);
}

static const struct family {
    void (*begin)(struct metrics_page *page, const char *name, const char *help);
    const char *name;
    const char *help;
    void (*put)(struct metrics_page *page, const struct metered_shard *shard);
} families[] = {
    { metrics_counter_family, "sutra_cluster_shard_calls",
      "Calls to shards in other processes that have ended, by status.", put_calls },
    { metrics_gauge_family, "sutra_cluster_shard_in_flight",
      "Calls to shards in other processes that wait for their answer.", put_in_flight },
    { metrics_histogram_family, "sutra_cluster_shard_duration_seconds",
      "From a call to a shard in another process to its answer.", put_duration },
    { metrics_gauge_family, "sutra_cluster_shard_reachable",
      "1: there is a connection to the shard. 0: none can be made.", put_reachable },
};

static void collect_family(const struct placement *placement, const struct family *family,
                           struct metrics_page *page)
{
    family->begin(page, family->name, family->help);
    for (uint32_t i = 0; i < placement->topology->shard_count; i++) {
        struct metered_shard shard = {
            .address = placement->topology->addresses[i],
            .channel = placement->channels[i],
            .meter = cluster_meter_of(placement->meter, i),
        };
        if (shard.channel == NULL)
            continue;
        snprintf(shard.number, sizeof shard.number, "%u", i);
        family->put(page, &shard);
    }
}

/* 1 to 1,024 */
static const struct metrics_scale SHARDS = { 0, 10, 1 };

void cluster_collect(void *ctx, struct metrics_page *page)
{
    struct placement *placement = cluster_placement(ctx);

    metrics_gauge_value(page, "sutra_cluster_topology_epoch",
                        "Epoch of the topology in force; the same in the whole cluster.",
                        (double)placement->topology->epoch);
    metrics_gauge_value(page, "sutra_cluster_shards", "Shards of the topology in force.",
                        placement->topology->shard_count);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        collect_family(placement, &families[i], page);
    metrics_histogram_family(page, "sutra_cluster_fan_out_shards",
                             "How many shards one step of a call asked at once.");
    metrics_histogram_sample(page, &placement->meter->fan_out, SHARDS, NULL);
    placement_unref(placement);
}
