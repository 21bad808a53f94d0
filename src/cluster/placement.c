#include "src/cluster/placement.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/rpc/call.h"
#include "sutra/internal/v1/shard_service.pb-c.h"

static enum status_code open_channels(struct placement *placement, struct rpc_loop *loop,
                                      const struct rpc_channel_options *peers, struct status *st)
{
    const struct topology *topology = placement->topology;

    for (uint32_t i = 0; i < topology->shard_count; i++) {
        if (placement->local.shard != NULL && i == placement->local.index)
            continue;
        if (rpc_channel_open(loop, topology->addresses[i], peers, &placement->channels[i], st) !=
            STATUS_OK)
            return status_wrap(st, "shard %u", i);
    }
    return STATUS_OK;
}

static uint32_t count_most_slots(const struct topology *topology)
{
    uint32_t counts[TOPOLOGY_MAX_SHARDS] = { 0 };
    uint32_t most = 0;

    for (size_t slot = 0; slot < SLOT_COUNT; slot++) {
        uint32_t count = ++counts[topology->owner[slot]];
        most = count > most ? count : most;
    }
    return most;
}

static bool add_meters(const struct placement *placement)
{
    bool ok = true;

    for (uint32_t i = 0; ok && i < placement->topology->shard_count; i++)
        ok = cluster_meter_add(placement->meter, i);
    return ok;
}

enum status_code placement_new(struct rpc_loop *loop, struct topology *topology,
                               const struct rpc_channel_options *peers,
                               const struct local_shard *local, struct cluster_meter *meter,
                               struct placement **ret, struct status *st)
{
    struct placement *placement = calloc(1, sizeof *placement);

    if (placement == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    placement->refs = 1;
    placement->topology = topology_ref(topology);
    placement->meter = cluster_meter_ref(meter);
    placement->most_slots = count_most_slots(topology);
    if (local != NULL)
        placement->local = *local;
    placement->channels = calloc(topology->shard_count, sizeof(struct rpc_channel *));
    if (placement->channels == NULL || !add_meters(placement))
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else
        open_channels(placement, loop, peers, st);
    if (st->code != STATUS_OK) {
        placement_unref(placement);
        return st->code;
    }
    *ret = placement;
    return STATUS_OK;
}

struct placement *placement_ref(struct placement *placement)
{
    __atomic_add_fetch(&placement->refs, 1, __ATOMIC_RELAXED);
    return placement;
}

void placement_unref(struct placement *placement)
{
    if (placement == NULL || __atomic_sub_fetch(&placement->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (uint32_t i = 0; placement->channels != NULL && i < placement->topology->shard_count; i++)
        rpc_channel_close(placement->channels[i]);
    free(placement->channels);
    topology_unref(placement->topology);
    cluster_meter_unref(placement->meter);
    free(placement);
}

/* What changes nothing and may be asked as often as one likes. */
static bool only_reads(const char *method)
{
    static const char *const methods[] = { "Get",       "Candidates", "BatchGet",
                                           "Neighbors", "Vectors",    "Distance",
                                           "ListPage",  "Stats",      "CellSizes" };

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(methods[i], method) == 0)
            return true;
    return false;
}

/* A call to another process; holds the placement, whose channel and names it uses. */
struct remote_call {
    struct placement *placement;
    uint32_t shard;
    struct rpc_call *parent; /* may be NULL */
    int64_t started_us;
    char epoch[24];
    char number[16];
    struct rpc_metadata_pair metadata[2];
    rpc_done done;
    void *ctx;
};

/* To the caller it is this server that answers, and what a shard refused may be a part only. */
static void name_missing_shard(const struct remote_call *remote, struct rpc_result *result)
{
    struct status *st = &result->status;

    rpc_bytes_free(result->details);
    result->details = NULL;
    status_wrap(st, "shard %u at %s", remote->shard,
                remote->placement->topology->addresses[remote->shard]);
    snprintf(st->reason, sizeof st->reason, "%s", REASON_SHARD_UNAVAILABLE);
}

static void note_end(const struct remote_call *remote, enum status_code code)
{
    int64_t duration_us = clock_monotonic_us() - remote->started_us;

    shard_meter_ended(cluster_meter_of(remote->placement->meter, remote->shard), code, duration_us);
    if (remote->parent != NULL)
        rpc_note_asked(remote->parent, remote->shard, duration_us,
                       code != STATUS_OK && code != STATUS_NOT_FOUND);
}

static void remote_done(void *ctx, struct rpc_result *result)
{
    struct remote_call *remote = ctx;

    note_end(remote, result->status.code);
    if (rpc_result_was_away(result))
        name_missing_shard(remote, result);
    remote->done(remote->ctx, result);
    placement_unref(remote->placement);
    free(remote);
}

/* Says which shard it is for, and by which topology. */
static void name_request(struct remote_call *remote, struct rpc_request *call)
{
    snprintf(remote->epoch, sizeof remote->epoch, "%" PRIu64, remote->placement->topology->epoch);
    snprintf(remote->number, sizeof remote->number, "%u", remote->shard);
    remote->metadata[0] = (struct rpc_metadata_pair){ "x-sutra-epoch", remote->epoch };
    remote->metadata[1] = (struct rpc_metadata_pair){ "x-sutra-shard", remote->number };
    call->metadata = remote->metadata;
    call->metadata_count = sizeof remote->metadata / sizeof remote->metadata[0];
}

static void call_remote(struct placement *placement, uint32_t shard,
                        const struct shard_request *request, rpc_done done, void *ctx)
{
    struct remote_call *remote = malloc(sizeof *remote);
    struct rpc_request call = {
        .service = &sutra__internal__v1__shard_service__descriptor,
        .method = request->method,
        .message = request->message,
        .bytes = request->bytes,
        .parent = request->parent,
        .deadline_us = request->deadline_us,
    };

    /* Without memory for this little there is no answer to give either. */
    assert(remote != NULL);
    *remote = (struct remote_call){ .placement = placement_ref(placement),
                                    .shard = shard,
                                    .parent = request->parent,
                                    .started_us = clock_monotonic_us(),
                                    .done = done,
                                    .ctx = ctx };
    metrics_count(&cluster_meter_of(placement->meter, shard)->started, 1);
    name_request(remote, &call);
    if (request->parent == NULL || request->impatient)
        rpc_call_unary(placement->channels[shard], &call, remote_done, remote, NULL);
    else
        rpc_call_patient(placement->channels[shard], &call, only_reads(request->method),
                         remote_done, remote);
}

void placement_call(struct placement *placement, uint32_t shard,
                    const struct shard_request *request, rpc_done done, void *ctx)
{
    if (placement->local.shard != NULL && shard == placement->local.index)
        placement->local.call(placement->local.shard, request, done, ctx);
    else
        call_remote(placement, shard, request, done, ctx);
}
