#include "shard/op.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct op_method {
    const char *name;
    op_fn *run;
    bool quick; /* does not wait for the disk as a rule */
};

static const struct op_method op_methods[] = {
    { "Get", op_get, true },
    { "Delete", op_delete, false },
    { "Associate", op_associate, false },
    { "Dissociate", op_dissociate, false },
    { "Neighbors", op_neighbors, true },
    { "Reinforce", op_reinforce, false },
    { "Write", op_write, false },
    { "BatchGet", op_batch_get, false },
    { "ListPage", op_list_page, false },
    { "Candidates", op_candidates, false },
    { "Vectors", op_vectors, false },
    { "Stats", op_stats, false },
    { "Train", op_train, false },
    { "ApplyEdges", op_apply_edges, false },
    { "Sample", op_sample, false },
    { "InstallCodebook", op_install_codebook, false },
    { "SwitchCodebook", op_switch_codebook, false },
    { "Calibrate", op_calibrate, false },
    { "CellSizes", op_cell_sizes, false },
};

enum { OP_METHODS = sizeof op_methods / sizeof op_methods[0] };

static const ProtobufCServiceDescriptor *const service =
    &sutra__internal__v1__shard_service__descriptor;

static const struct op_method *find_method(const char *name)
{
    for (size_t i = 0; i < OP_METHODS; i++)
        if (strcmp(op_methods[i].name, name) == 0)
            return &op_methods[i];
    return NULL;
}

/* ---- Running ---- */

/* An op with where its request came from and its answer goes to. */
struct op_run {
    struct pool_job job; /* first: the pool gives it back */
    struct op op;
    const struct op_method *method;
    struct rpc_bytes *encoded; /* the request, if it still has to be decoded */
    rpc_done done;             /* NULL: the answer goes to op.call */
    void *ctx;
};

static enum status_code decode(struct op_run *run, struct status *st)
{
    const ProtobufCMethodDescriptor *method =
        protobuf_c_service_descriptor_get_method_by_name(service, run->method->name);
    ProtobufCMessage *message;

    if (run->encoded == NULL)
        return STATUS_OK;
    if (rpc_bytes_unpack(run->encoded, method->input, &run->op.arena, &message, st) == STATUS_OK)
        run->op.request = message;
    return st->code;
}

static void answer(struct op_run *run, struct status *st)
{
    struct op *op = &run->op;
    struct rpc_result result = { 0 };

    if (st->code == STATUS_OK && op->bytes == NULL)
        op->bytes = rpc_bytes_pack(op->message);
    if (st->code != STATUS_OK) {
        rpc_bytes_free(op->bytes);
        op->bytes = NULL;
    }
    if (run->done == NULL) {
        rpc_finish_bytes(op->call, op->bytes, st);
        return;
    }
    result.status = *st;
    result.bytes = op->bytes;
    run->done(run->ctx, &result);
    rpc_result_deinit(&result);
}

static void run_op(struct pool_job *job)
{
    struct op_run *run = (struct op_run *)job;
    struct status st = { 0 };

    if (op_cancelled(&run->op))
        status_set(&st, STATUS_CANCELLED, "nobody waits for the answer any more");
    else if (decode(run, &st) == STATUS_OK)
        run->method->run(&run->op, &st);
    answer(run, &st);
    arena_deinit(&run->op.arena);
    rpc_bytes_free(run->encoded);
    free(run);
}

/* *Takes* run->encoded. */
static void start_op(const struct op_run *start)
{
    struct op_run *run = malloc(sizeof *run);
    struct status st = { 0 };

    if (run == NULL)
        abort(); /* a few hundred bytes: no memory for any answer */
    *run = *start;
    arena_init(&run->op.arena, LIMIT_CALL_ARENA_BYTES);
    run->job.run = run_op;
    if (run->method->quick) {
        run_op(&run->job);
        return;
    }
    if (pool_offer(run->op.shard->pool, &run->job))
        return;
    status_set_reason(&st, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED",
                      "too many requests wait for this shard");
    answer(run, &st);
    rpc_bytes_free(run->encoded);
    free(run);
}

/* ---- From this process ---- */

static void call_local(void *ctx, const struct shard_request *request, rpc_done done,
                       void *done_ctx)
{
    start_op(&(struct op_run){
        .op = { .shard = ctx, .call = request->parent, .request = request->message },
        .method = find_method(request->method),
        .encoded = request->bytes,
        .done = done,
        .ctx = done_ctx,
    });
}

struct local_shard shard_local(struct shard *shard)
{
    return (
        struct local_shard){ .index = shard->options.index, .shard = shard, .call = call_local };
}

/* ---- From other processes ---- */

static enum status_code check_epoch(struct shard *shard, struct rpc_call *call, struct status *st)
{
    const char *text = rpc_metadata(call, "x-sutra-epoch");
    struct placement *placement = cluster_placement(shard->cluster);
    uint64_t known = placement->topology->epoch;
    uint64_t epoch = text == NULL ? 0 : strtoull(text, NULL, 10);
    char number[24];

    placement_unref(placement);
    if (epoch > known)
        return status_set_reason(st, STATUS_UNAVAILABLE, "STALE_SHARD",
                                 "the shard knows epoch %" PRIu64 ", not yet %" PRIu64, known,
                                 epoch);
    if (epoch == known)
        return STATUS_OK;
    snprintf(number, sizeof number, "%" PRIu64, known);
    rpc_add_error_metadata(call, "epoch", number);
    return status_set_reason(
        st, STATUS_FAILED_PRECONDITION, "STALE_EPOCH",
        "the request was made under epoch %" PRIu64 ", the shard knows %" PRIu64, epoch, known);
}

/* A caller whose topology has this address at another place would count one shard twice and miss
 * the other. */
static enum status_code check_number(struct shard *shard, struct rpc_call *call, struct status *st)
{
    const char *text = rpc_metadata(call, "x-sutra-shard");

    if (text == NULL || strtoul(text, NULL, 10) == shard->options.index)
        return STATUS_OK;
    return status_set_reason(st, STATUS_FAILED_PRECONDITION, "WRONG_SHARD",
                             "this is shard %u, the request is for shard %s: the topologies differ",
                             shard->options.index, text);
}

static void serve_internal(struct rpc_call *call, const ProtobufCMessage *none, void *ctx)
{
    struct shard *shard = ctx;
    struct status st = { 0 };

    (void)none;
    if (check_epoch(shard, call, &st) != STATUS_OK || check_number(shard, call, &st) != STATUS_OK) {
        rpc_finish(call, NULL, &st);
        return;
    }
    start_op(&(struct op_run){
        .op = { .shard = shard, .call = call },
        .method = find_method(strrchr(rpc_method_path(call), '/') + 1),
        .encoded = rpc_take_request_bytes(call),
    });
}

void shard_register(struct shard *shard, struct rpc_server *server)
{
    struct rpc_method methods[OP_METHODS];

    for (size_t i = 0; i < OP_METHODS; i++)
        methods[i] = (struct rpc_method){
            .name = op_methods[i].name, .handler = serve_internal, .raw = true, .slots = 16
        };
    rpc_server_add_service(server, service, methods, OP_METHODS, shard);
}

/* ---- For the verbs ---- */

bool op_cancelled(void *ctx)
{
    const struct op *op = ctx;

    return op->call != NULL ? rpc_cancelled(op->call) : index_stopped(op->shard->index);
}

void *op_new(struct op *op, size_t size, struct status *st)
{
    void *p = arena_calloc(&op->arena, 1, size);

    if (p == NULL)
        limit_call_memory(st);
    return p;
}

enum status_code op_check_owner(struct op *op, uint16_t slot, struct status *st)
{
    struct placement *placement = cluster_placement(op->shard->cluster);
    const struct topology *topology = placement->topology;
    uint32_t owner = placement_owner(placement, slot);
    char number[16];

    if (owner != op->shard->options.index) {
        snprintf(number, sizeof number, "%u", owner);
        if (op->call != NULL) {
            rpc_add_error_metadata(op->call, "owner", number);
            rpc_add_error_metadata(op->call, "address", topology->addresses[owner]);
        }
        status_set_reason(st, STATUS_FAILED_PRECONDITION, "SLOT_NOT_OWNED",
                          "slot %u belongs to shard %u at %s, this is shard %u", slot, owner,
                          topology->addresses[owner], op->shard->options.index);
    }
    placement_unref(placement);
    return st->code;
}

enum status_code op_own_id(struct op *op, const char *id, struct concept_id *ret, struct status *st)
{
    if (concept_id_parse(id, strlen(id), ret, st) != STATUS_OK)
        return st->code;
    return op_check_owner(op, ret->slot, st);
}

enum status_code op_own_ids(struct op *op, char *const *ids, size_t n, struct concept_id **ret,
                            struct status *st)
{
    struct concept_id *parsed = arena_calloc(&op->arena, n, sizeof *parsed);

    if (parsed == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < n; i++)
        if (op_own_id(op, ids[i], &parsed[i], st) != STATUS_OK)
            return st->code;
    *ret = parsed;
    return STATUS_OK;
}
