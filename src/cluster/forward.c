/*
 * Verbs of a single concept: find the id in the encoded request, pass the request on to the owner
 * as it came, and the answer back as it came. The owner decodes and checks.
 */

#include "src/base/wire.h"
#include "src/cluster/cluster_internal.h"

/* Where in a request the id is: field numbers from the outside in; the first path that leads to
 * bytes counts. */
struct id_path {
    uint32_t fields[2]; /* 0 ends */
    const char *name;   /* for errors, where it is not simply the id */
};

static bool follow(const struct id_path *path, const uint8_t **data, size_t *size)
{
    for (int i = 0; i < 2 && path->fields[i] != 0; i++)
        if (!wire_find(*data, *size, path->fields[i], data, size))
            return false;
    return true;
}

static enum status_code find_id(const uint8_t *data, size_t size, const struct id_path *paths,
                                struct concept_id *ret, struct status *st)
{
    const char *name = paths->name;
    const uint8_t *id = data;
    size_t length = 0;

    for (const struct id_path *path = paths; path->fields[0] != 0 && length == 0; path++) {
        id = data;
        length = size;
        if (!follow(path, &id, &length))
            return status_set(st, STATUS_INVALID_ARGUMENT, "the request cannot be decoded");
        if (length > 0)
            name = path->name;
    }
    if (concept_id_parse((const char *)id, length, ret, st) != STATUS_OK && name != NULL)
        validate_name_field(st, name);
    return st->code;
}

static void forward_done(void *ctx, struct rpc_result *result)
{
    struct verb *verb = ctx;
    struct placement *placement = verb->placement;

    if (result->status.code != STATUS_OK && result->details == NULL)
        rpc_finish(verb->call, NULL, &result->status);
    else
        rpc_finish_forward(verb->call, result);
    placement_unref(placement);
}

void verb_forward(struct verb *verb, uint32_t shard, const char *method)
{
    metrics_observe(&verb->placement->meter->fan_out, 1);
    placement_call(verb->placement, shard,
                   &(struct shard_request){ .method = method,
                                            .bytes = rpc_take_request_bytes(verb->call),
                                            .parent = verb->call },
                   forward_done, verb);
}

static void forward_by_id(struct cluster *cluster, struct rpc_call *call, const char *method,
                          const struct id_path *paths)
{
    struct verb *verb = verb_new(cluster, call, sizeof *verb);
    const uint8_t *data;
    size_t size;
    struct concept_id id;
    struct status st = { 0 };

    if (verb == NULL)
        return;
    if (rpc_bytes_view(rpc_request_bytes(call), verb_arena(verb), &data, &size, &st) != STATUS_OK ||
        find_id(data, size, paths, &id, &st) != STATUS_OK)
        verb_finish(verb, NULL, &st);
    else
        verb_forward(verb, placement_owner(verb->placement, id.slot), method);
}

static const struct id_path id_first[] = { { { 1 }, NULL }, { { 0 }, NULL } };
static const struct id_path source_of_association[] = { { { 1, 1 }, "association.source" },
                                                        { { 0 }, NULL } };
static const struct id_path source_of_key[] = { { { 1, 1 }, "key.source" }, { { 0 }, NULL } };
static const struct id_path id_or_source[] = { { { 1 }, NULL },
                                               { { 2, 1 }, "association.source" },
                                               { { 0 }, NULL } };

#define FORWARD(handler, method, paths)                                                            \
    void handler(struct rpc_call *call, const ProtobufCMessage *none, void *cluster)               \
    {                                                                                              \
        (void)none;                                                                                \
        forward_by_id(cluster, call, method, paths);                                               \
    }

FORWARD(serve_get, "Get", id_first)
FORWARD(serve_delete, "Delete", id_first)
FORWARD(serve_neighbors, "Neighbors", id_first)
FORWARD(serve_associate, "Associate", source_of_association)
FORWARD(serve_dissociate, "Dissociate", source_of_key)
FORWARD(serve_reinforce, "Reinforce", id_or_source)

/* The owner of slot 0 trains for all. */
void serve_train(struct rpc_call *call, const ProtobufCMessage *none, void *ctx)
{
    struct verb *verb = verb_new(ctx, call, sizeof *verb);

    (void)none;
    if (verb != NULL)
        verb_forward(verb, placement_owner(verb->placement, 0), "Train");
}
