#include "src/cluster/cluster.h"

#include <inttypes.h>
#include <stdlib.h>

#include "src/cluster/cluster_internal.h"

enum status_code cluster_new(const struct cluster_options *options, struct cluster **ret,
                             struct status *st)
{
    struct cluster *cluster = calloc(1, sizeof *cluster);

    if (cluster == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    cluster->meter = cluster_meter_new();
    if (cluster->meter == NULL)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else
        placement_new(options->loop, options->topology, options->peers, &options->local,
                      cluster->meter, &cluster->placement, st);
    if (st->code != STATUS_OK) {
        cluster_meter_unref(cluster->meter);
        free(cluster);
        return st->code;
    }
    cluster->loop = options->loop;
    cluster->peers = options->peers;
    cluster->embedder = options->embedder;
    cluster->local = options->local;
    pthread_mutex_init(&cluster->lock, NULL);
    *ret = cluster;
    return STATUS_OK;
}

void cluster_free(struct cluster *cluster)
{
    if (cluster == NULL)
        return;
    placement_unref(cluster->placement);
    cluster_meter_unref(cluster->meter);
    pthread_mutex_destroy(&cluster->lock);
    free(cluster);
}

struct placement *cluster_placement(struct cluster *cluster)
{
    struct placement *placement;

    pthread_mutex_lock(&cluster->lock);
    placement = placement_ref(cluster->placement);
    pthread_mutex_unlock(&cluster->lock);
    return placement;
}

void cluster_on_placement(struct cluster *cluster,
                          void (*fn)(void *ctx, struct placement *placement), void *ctx)
{
    cluster->on_placement = fn;
    cluster->on_placement_ctx = ctx;
}

enum status_code cluster_set_topology(struct cluster *cluster, struct topology *topology,
                                      struct status *st)
{
    struct placement *fresh;
    struct placement *other; /* the one that is let go: the old, or the fresh if it is refused */

    if (placement_new(cluster->loop, topology, cluster->peers, &cluster->local, cluster->meter,
                      &fresh, st) != STATUS_OK)
        return st->code;
    pthread_mutex_lock(&cluster->lock);
    other = fresh;
    if (topology->epoch > cluster->placement->topology->epoch) {
        other = cluster->placement;
        cluster->placement = fresh;
    } else {
        status_set(st, STATUS_FAILED_PRECONDITION,
                   "topology has epoch %" PRIu64 ", %" PRIu64 " is in force", topology->epoch,
                   cluster->placement->topology->epoch);
    }
    pthread_mutex_unlock(&cluster->lock);
    if (other != fresh && cluster->on_placement != NULL)
        cluster->on_placement(cluster->on_placement_ctx, fresh);
    placement_unref(other);
    return st->code;
}

void *verb_new(struct cluster *cluster, struct rpc_call *call, size_t size)
{
    struct verb *verb = arena_calloc(rpc_arena(call), 1, size);
    struct status st = { 0 };

    if (verb == NULL) {
        limit_call_memory(&st);
        rpc_finish(call, NULL, &st);
        return NULL;
    }
    verb->cluster = cluster;
    verb->call = call;
    verb->placement = cluster_placement(cluster);
    return verb;
}

void verb_finish(struct verb *verb, const ProtobufCMessage *reply, const struct status *st)
{
    struct placement *placement = verb->placement;

    rpc_finish(verb->call, reply, st);
    placement_unref(placement);
}

void verb_finish_bytes(struct verb *verb, struct rpc_bytes *reply, const struct status *st)
{
    struct placement *placement = verb->placement;

    rpc_finish_bytes(verb->call, reply, st);
    placement_unref(placement);
}

static const struct rpc_method concept_methods[] = {
    { .name = "Learn", .role = ROLE_WRITER, .handler = serve_learn, .raw = true, .slots = 16 },
    { .name = "LearnBatch",
      .role = ROLE_WRITER,
      .handler = serve_learn_batch,
      .raw = true,
      .slots = 16 },
    { .name = "Import",
      .kind = RPC_BIDI,
      .role = ROLE_WRITER,
      .handler = serve_import,
      .raw = true },
    { .name = "Put", .role = ROLE_WRITER, .handler = serve_put, .raw = true, .slots = 16 },
    { .name = "Get", .role = ROLE_READER, .handler = serve_get, .raw = true, .slots = 64 },
    { .name = "BatchGet",
      .role = ROLE_READER,
      .handler = serve_batch_get,
      .raw = true,
      .slots = 16 },
    { .name = "Delete", .role = ROLE_WRITER, .handler = serve_delete, .raw = true, .slots = 16 },
    { .name = "List", .kind = RPC_SERVER_STREAM, .role = ROLE_READER, .handler = serve_list },
    { .name = "Associate",
      .role = ROLE_WRITER,
      .handler = serve_associate,
      .raw = true,
      .slots = 16 },
    { .name = "Dissociate", .role = ROLE_WRITER, .handler = serve_dissociate, .raw = true },
    { .name = "Neighbors",
      .role = ROLE_READER,
      .handler = serve_neighbors,
      .raw = true,
      .slots = 16 },
    { .name = "Search", .role = ROLE_READER, .handler = serve_search, .slots = 64 },
    { .name = "BatchSearch", .role = ROLE_READER, .handler = serve_batch_search, .slots = 16 },
    { .name = "Distance",
      .role = ROLE_READER,
      .handler = serve_distance,
      .raw = true,
      .slots = 16 },
    { .name = "Reinforce",
      .role = ROLE_WRITER,
      .handler = serve_reinforce,
      .raw = true,
      .slots = 16 },
};

static const struct rpc_method admin_methods[] = {
    { .name = "Stats", .role = ROLE_READER, .handler = serve_stats },
    { .name = "GetTopology", .role = ROLE_READER, .handler = serve_get_topology },
    { .name = "GetLimits", .role = ROLE_READER, .handler = serve_get_limits },
    { .name = "TrainCodebook", .role = ROLE_ADMIN, .handler = serve_train, .raw = true },
};

void cluster_announce(struct rpc_server *server)
{
    rpc_server_announce_service(server, &sutra__v1__concept_service__descriptor, concept_methods,
                                sizeof concept_methods / sizeof concept_methods[0]);
    rpc_server_announce_service(server, &sutra__v1__admin_service__descriptor, admin_methods,
                                sizeof admin_methods / sizeof admin_methods[0]);
}

void cluster_serve(struct cluster *cluster, struct rpc_server *server)
{
    rpc_server_open_service(server, &sutra__v1__concept_service__descriptor, cluster);
    rpc_server_open_service(server, &sutra__v1__admin_service__descriptor, cluster);
}
