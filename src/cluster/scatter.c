#include "src/cluster/scatter.h"

#include <stdlib.h>
#include <string.h>

#include "src/serve/limits.h"

struct scatter *scatter_new(struct placement *placement, struct rpc_call *parent,
                            const char *method, size_t capacity)
{
    struct scatter *scatter = calloc(1, sizeof *scatter);

    if (scatter == NULL)
        return NULL;
    scatter->parts = calloc(capacity > 0 ? capacity : 1, sizeof *scatter->parts);
    if (scatter->parts == NULL) {
        free(scatter);
        return NULL;
    }
    scatter->placement = placement;
    scatter->parent = parent;
    scatter->method = method;
    return scatter;
}

void scatter_add(struct scatter *scatter, uint32_t shard, const ProtobufCMessage *request)
{
    scatter->parts[scatter->count++] =
        (struct scatter_part){ .shard = shard, .request = request, .scatter = scatter };
}

/* To another process the request goes encoded, for all of them once. */
static void add_all(struct scatter *scatter, const ProtobufCMessage *request)
{
    const struct placement *placement = scatter->placement;
    struct rpc_bytes *bytes = rpc_bytes_pack(request);

    for (uint32_t i = 0; i < placement->topology->shard_count; i++) {
        bool local = placement->local.shard != NULL && placement->local.index == i;
        scatter_add(scatter, i, local ? request : NULL);
        if (!local)
            scatter->parts[i].bytes = rpc_bytes_share(bytes);
    }
    rpc_bytes_free(bytes);
}

struct scatter *scatter_new_all(struct placement *placement, struct rpc_call *parent,
                                const char *method, const ProtobufCMessage *request)
{
    struct scatter *scatter =
        scatter_new(placement, parent, method, placement->topology->shard_count);

    if (scatter != NULL)
        add_all(scatter, request);
    return scatter;
}

void scatter_free(struct scatter *scatter)
{
    if (scatter == NULL)
        return;
    for (size_t i = 0; i < scatter->count; i++) {
        rpc_result_deinit(&scatter->parts[i].result);
        rpc_bytes_free(scatter->parts[i].bytes);
    }
    free(scatter->parts);
    free(scatter);
}

static void part_is_in(struct scatter *scatter)
{
    if (__atomic_sub_fetch(&scatter->open, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    scatter->done(scatter, scatter->ctx);
    scatter_free(scatter);
}

static void part_done(void *ctx, struct rpc_result *result)
{
    struct scatter_part *part = ctx;

    part->result = rpc_result_move(result);
    part_is_in(part->scatter);
}

void scatter_run(struct scatter *scatter, scatter_done_fn *done, void *ctx)
{
    scatter->done = done;
    scatter->ctx = ctx;
    scatter->open = scatter->count + 1;
    metrics_observe(&scatter->placement->meter->fan_out, scatter->count);
    for (size_t i = 0; i < scatter->count; i++) {
        struct scatter_part *part = &scatter->parts[i];
        struct rpc_bytes *bytes = part->bytes;
        part->bytes = NULL;
        placement_call(scatter->placement, part->shard,
                       &(struct shard_request){ .method = scatter->method,
                                                .message = part->request,
                                                .bytes = bytes,
                                                .parent = scatter->parent,
                                                .deadline_us = scatter->deadline_us,
                                                .impatient = scatter->impatient },
                       part_done, part);
    }
    part_is_in(scatter);
}

static enum status_code add_missing(struct scatter_missing *missing, uint32_t shard,
                                    size_t capacity, struct arena *arena, struct status *st)
{
    size_t at = 0;

    if (missing->shards == NULL)
        missing->shards = arena_calloc(arena, capacity, sizeof *missing->shards);
    if (missing->shards == NULL)
        return limit_call_memory(st);
    while (at < missing->count && missing->shards[at] < shard)
        at++;
    if (at < missing->count && missing->shards[at] == shard)
        return STATUS_OK; /* an earlier step missed it too */
    memmove(missing->shards + at + 1, missing->shards + at,
            (missing->count - at) * sizeof *missing->shards);
    missing->shards[at] = shard;
    missing->count++;
    return STATUS_OK;
}

enum status_code scatter_check(const struct scatter *scatter, struct arena *arena,
                               struct scatter_missing *missing, struct status *st)
{
    uint32_t shards = scatter->placement->topology->shard_count;

    for (size_t i = 0; i < scatter->count && st->code == STATUS_OK; i++) {
        const struct scatter_part *part = &scatter->parts[i];
        if (part->result.status.code == STATUS_OK)
            continue;
        if (missing->allowed && part->result.status.code == STATUS_UNAVAILABLE)
            add_missing(missing, part->shard, shards, arena, st);
        else
            *st = part->result.status;
    }
    return st->code;
}

enum status_code scatter_unpack(const struct scatter_part *part,
                                const ProtobufCMessageDescriptor *type, struct arena *arena,
                                ProtobufCMessage **ret, struct status *st)
{
    if (rpc_result_unpack(&part->result, type, arena, ret, st) != STATUS_OK &&
        strcmp(st->reason, REASON_SHARD_UNAVAILABLE) != 0) /* that names the shard already */
        status_wrap(st, "shard %u", part->shard);
    return st->code;
}
