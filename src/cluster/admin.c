/*
 * AdminService: sums over the shards, and what this process knows by itself. (TrainCodebook is in
 * forward.c.)
 */

#include "src/cluster/cluster_internal.h"

/* ---- Stats ---- */

struct stats {
    struct verb verb;
    Sutra__V1__StatsRequest request;
    struct scatter_missing missing;
    Sutra__V1__StatsResponse reply;
    Sutra__V1__ShardStats total;
    Sutra__V1__CodebookStats codebook;
};

/* The cluster has the codebook that all of its shards have: the oldest is shown. */
static void merge_codebook(struct stats *stats, const Sutra__V1__CodebookStats *codebook)
{
    float drift = stats->codebook.drift;

    if (codebook == NULL)
        return;
    if (stats->total.codebook == NULL || codebook->version < stats->codebook.version)
        stats->codebook = *codebook;
    stats->codebook.drift = codebook->drift > drift ? codebook->drift : drift;
    stats->total.codebook = &stats->codebook;
}

/* One shard at most has something to tell. */
static void merge_training(struct stats *stats, Sutra__V1__TrainingStats *training)
{
    if (training != NULL &&
        (stats->total.training == NULL ||
         training->stage != SUTRA__V1__TRAINING_STATS__STAGE__STAGE_UNSPECIFIED))
        stats->total.training = training;
}

static void add_shard(struct stats *stats, Sutra__V1__ShardStats *shard)
{
    Sutra__V1__ShardStats *total = &stats->total;

    stats->reply.shards[stats->reply.n_shards++] = shard;
    total->concepts += shard->concepts;
    total->vectors += shard->vectors;
    total->associations_out += shard->associations_out;
    total->associations_in += shard->associations_in;
    total->outbox_pending += shard->outbox_pending;
    total->content_bytes += shard->content_bytes;
    total->disk_bytes += shard->disk_bytes;
    total->memory_bytes += shard->memory_bytes;
    total->vectors_encoded += shard->vectors_encoded;
    total->reencoded += shard->reencoded;
    total->reencode_total += shard->reencode_total;
    total->rows_in_memory += shard->rows_in_memory;
    total->row_bytes += shard->row_bytes;
    if (shard->uptime_ms > total->uptime_ms)
        total->uptime_ms = shard->uptime_ms;
    merge_codebook(stats, shard->codebook);
    merge_training(stats, shard->training);
}

static void stats_are_in(struct scatter *scatter, void *ctx)
{
    struct stats *stats = ctx;
    struct arena *arena = verb_arena(&stats->verb);
    struct status st = { 0 };

    stats->reply.shards = arena_calloc(arena, scatter->count, sizeof *stats->reply.shards);
    if (stats->reply.shards == NULL)
        limit_call_memory(&st);
    else
        scatter_check(scatter, arena, &stats->missing, &st);
    for (size_t i = 0; i < scatter->count && st.code == STATUS_OK; i++) {
        ProtobufCMessage *shard;
        if (scatter->parts[i].result.status.code == STATUS_OK &&
            scatter_unpack(&scatter->parts[i], &sutra__v1__shard_stats__descriptor, arena, &shard,
                           &st) == STATUS_OK)
            add_shard(stats, (Sutra__V1__ShardStats *)shard);
    }
    stats->reply.total = &stats->total;
    stats->reply.shards_missing = stats->missing.shards;
    stats->reply.n_shards_missing = stats->missing.count;
    verb_finish(&stats->verb, &stats->reply.base, &st);
}

void serve_stats(struct rpc_call *call, const ProtobufCMessage *message, void *cluster)
{
    const Sutra__V1__StatsRequest *request = (const Sutra__V1__StatsRequest *)message;
    struct stats *stats = verb_new(cluster, call, sizeof *stats);
    struct scatter *scatter;
    struct status st = { 0 };

    if (stats == NULL)
        return;
    sutra__v1__stats_request__init(&stats->request);
    sutra__v1__stats_response__init(&stats->reply);
    sutra__v1__shard_stats__init(&stats->total);
    stats->missing.allowed = request->allow_partial;
    scatter = scatter_new_all(stats->verb.placement, call, "Stats", &stats->request.base);
    if (scatter == NULL) {
        limit_call_memory(&st);
        verb_finish(&stats->verb, NULL, &st);
        return;
    }
    scatter->impatient = stats->missing.allowed;
    scatter_run(scatter, stats_are_in, stats);
}

/* ---- Topology ---- */

static size_t count_runs(const struct topology *topology, uint32_t shard)
{
    size_t count = 0;

    for (int slot = 0; slot < SLOT_COUNT; slot++)
        count +=
            topology->owner[slot] == shard && (slot == 0 || topology->owner[slot - 1] != shard);
    return count;
}

static Sutra__V1__SlotRange *make_range(struct slot_run run, struct arena *arena)
{
    Sutra__V1__SlotRange *range = arena_alloc(arena, sizeof *range);

    if (range == NULL)
        return NULL;
    sutra__v1__slot_range__init(range);
    range->first = run.first;
    range->last = run.last;
    return range;
}

static Sutra__V1__TopologyShard *make_shard(const struct topology *topology, uint32_t index,
                                            struct arena *arena)
{
    Sutra__V1__TopologyShard *shard = arena_alloc(arena, sizeof *shard);
    Sutra__V1__SlotRange **ranges =
        arena_calloc(arena, count_runs(topology, index), sizeof *ranges);

    if (shard == NULL || ranges == NULL)
        return NULL;
    sutra__v1__topology_shard__init(shard);
    shard->shard = index;
    shard->address = topology->addresses[index];
    shard->slots = ranges;
    for (int slot = 0; slot < SLOT_COUNT;) {
        struct slot_run run = topology_run_at(topology, (uint16_t)slot);
        slot = run.last + 1;
        if (run.shard != index)
            continue;
        ranges[shard->n_slots] = make_range(run, arena);
        if (ranges[shard->n_slots++] == NULL)
            return NULL;
    }
    return shard;
}

static enum status_code fill_topology(const struct verb *verb, struct arena *arena,
                                      Sutra__V1__GetTopologyResponse *reply, struct status *st)
{
    const struct topology *topology = verb->placement->topology;
    const struct local_shard *local = &verb->cluster->local;

    reply->epoch = topology->epoch;
    reply->slot_count = SLOT_COUNT;
    reply->role = local->shard != NULL ? "shard" : "router";
    reply->shard = local->index;
    reply->shards = arena_calloc(arena, topology->shard_count, sizeof *reply->shards);
    for (uint32_t i = 0; reply->shards != NULL && i < topology->shard_count; i++) {
        reply->shards[i] = make_shard(topology, i, arena);
        if (reply->shards[i] == NULL)
            reply->shards = NULL;
    }
    reply->n_shards = topology->shard_count;
    return reply->shards == NULL ? limit_call_memory(st) : STATUS_OK;
}

void serve_get_topology(struct rpc_call *call, const ProtobufCMessage *message, void *cluster)
{
    struct verb *verb = verb_new(cluster, call, sizeof *verb);
    Sutra__V1__GetTopologyResponse reply = SUTRA__V1__GET_TOPOLOGY_RESPONSE__INIT;
    struct status st = { 0 };

    (void)message;
    if (verb == NULL)
        return;
    fill_topology(verb, verb_arena(verb), &reply, &st);
    verb_finish(verb, &reply.base, &st);
}

/* ---- Limits ---- */

void serve_get_limits(struct rpc_call *call, const ProtobufCMessage *message, void *cluster)
{
    Sutra__V1__GetLimitsResponse reply = SUTRA__V1__GET_LIMITS_RESPONSE__INIT;
    struct status ok = { 0 };

    (void)message;
    (void)cluster;
    reply.dimension = LIMIT_DIMENSION;
    reply.max_id_bytes = CONCEPT_ID_MAX_BYTES;
    reply.max_content_bytes = LIMIT_CONTENT_BYTES;
    reply.max_attributes = LIMIT_ATTRIBUTES;
    reply.max_attribute_bytes = LIMIT_ATTRIBUTE_BYTES;
    reply.max_label_bytes = LIMIT_LABEL_BYTES;
    reply.max_associations_per_item = LIMIT_ASSOCIATIONS;
    reply.max_batch_items = LIMIT_BATCH_ITEMS;
    reply.max_batch_queries = LIMIT_BATCH_QUERIES;
    reply.max_page_items = LIMIT_PAGE_ITEMS;
    reply.max_k = LIMIT_K;
    reply.max_rerank = LIMIT_RERANK;
    reply.default_rerank = DEFAULT_RERANK;
    reply.max_message_bytes = (uint32_t)rpc_max_message_bytes(call);
    reply.max_calls = LIMIT_CALLS;
    reply.default_recall_target = DEFAULT_RECALL_TARGET;
    rpc_finish(call, &reply.base, &ok);
}
