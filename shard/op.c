#include "shard/op.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct op_method {
    const char *name;
    enum role role; /* of the caller, or of this cluster's own processes */
    op_fn *run;
    bool quick; /* does not wait for the disk as a rule */
    /* Or whether this one request is so quick that to wake a thread for it would take longer; asked
     * of small requests, decoded. */
    bool (*is_quick)(const struct op *op);
    bool raw; /* reads op.encoded itself */
};

enum { SMALL_REQUEST_BYTES = 4096 };

static const struct op_method op_methods[] = {
    { .name = "Get", .role = ROLE_READER, .run = op_get, .quick = true },
    { .name = "Delete", .role = ROLE_WRITER, .run = op_delete },
    { .name = "Associate", .role = ROLE_WRITER, .run = op_associate },
    { .name = "Dissociate", .role = ROLE_WRITER, .run = op_dissociate },
    { .name = "Neighbors", .role = ROLE_READER, .run = op_neighbors, .quick = true },
    { .name = "Reinforce", .role = ROLE_WRITER, .run = op_reinforce },
    { .name = "Write", .role = ROLE_WRITER, .run = op_write },
    { .name = "BatchGet", .role = ROLE_READER, .run = op_batch_get, .raw = true },
    { .name = "ListPage", .role = ROLE_READER, .run = op_list_page },
    { .name = "Candidates",
      .role = ROLE_READER,
      .run = op_candidates,
      .is_quick = op_candidates_is_quick },
    { .name = "Vectors", .role = ROLE_READER, .run = op_vectors },
    { .name = "Distance", .role = ROLE_READER, .run = op_distance, .raw = true },
    { .name = "Stats", .role = ROLE_READER, .run = op_stats },
    { .name = "Train", .role = ROLE_ADMIN, .run = op_train },
    { .name = "ApplyEdges", .role = ROLE_WRITER, .run = op_apply_edges },
    { .name = "Sample", .role = ROLE_ADMIN, .run = op_sample },
    { .name = "InstallCodebook", .role = ROLE_ADMIN, .run = op_install_codebook },
    { .name = "SwitchCodebook", .role = ROLE_ADMIN, .run = op_switch_codebook },
    { .name = "Calibrate", .role = ROLE_ADMIN, .run = op_calibrate },
    { .name = "CellSizes", .role = ROLE_ADMIN, .run = op_cell_sizes },
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
    rpc_done done; /* NULL: the answer goes to op.call */
    void *ctx;
};

/* What is_quick() has decoded is not decoded again. */
static enum status_code decode(struct op_run *run, struct status *st)
{
    const ProtobufCMethodDescriptor *method =
        protobuf_c_service_descriptor_get_method_by_name(service, run->method->name);
    ProtobufCMessage *message;

    if (run->method->raw && run->op.encoded == NULL)
        run->op.encoded = rpc_bytes_pack(run->op.request);
    if (run->method->raw || run->op.encoded == NULL)
        return STATUS_OK;
    if (rpc_bytes_unpack(run->op.encoded, method->input, &run->op.arena, &message, st) != STATUS_OK)
        return st->code;
    run->op.request = message;
    rpc_bytes_free(run->op.encoded);
    run->op.encoded = NULL;
    return STATUS_OK;
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

static void end_op(struct op_run *run, struct status *st)
{
    answer(run, st);
    arena_deinit(&run->op.arena);
    rpc_bytes_free(run->op.encoded);
    free(run);
}

static void run_op(struct pool_job *job)
{
    struct op_run *run = (struct op_run *)job;
    struct status st = { 0 };

    if (op_cancelled(&run->op))
        status_set(&st, STATUS_CANCELLED, "nobody waits for the answer any more");
    else if (decode(run, &st) == STATUS_OK)
        run->method->run(&run->op, &st);
    end_op(run, &st);
}

/* Whether to run where the request arrived. One that cannot be decoded takes no time either. */
static bool is_quick(struct op_run *run)
{
    struct status st = { 0 };

    if (run->method->is_quick == NULL)
        return run->method->quick;
    if (run->op.encoded != NULL && rpc_bytes_size(run->op.encoded) > SMALL_REQUEST_BYTES)
        return false;
    return decode(run, &st) != STATUS_OK || run->method->is_quick(&run->op);
}

/* *Takes* run->op.encoded. */
static void start_op(const struct op_run *start)
{
    struct op_run *run = malloc(sizeof *run);
    struct status st = { 0 };

    if (run == NULL)
        abort(); /* a few hundred bytes: no memory for any answer */
    *run = *start;
    arena_init(&run->op.arena, LIMIT_CALL_ARENA_BYTES);
    run->job.run = run_op;
    if (is_quick(run)) {
        run_op(&run->job);
        return;
    }
    if (pool_offer(run->op.shard->pool, &run->job))
        return;
    status_set_reason(&st, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED",
                      "too many requests wait for this shard");
    end_op(run, &st);
}

/* ---- From this process ---- */

static void call_local(void *ctx, const struct shard_request *request, rpc_done done,
                       void *done_ctx)
{
    start_op(&(struct op_run){
        .op = { .shard = ctx,
                .call = request->parent,
                .request = request->message,
                .encoded = request->bytes },
        .method = find_method(request->method),
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
        .op = { .shard = shard, .call = call, .encoded = rpc_take_request_bytes(call) },
        .method = find_method(strrchr(rpc_method_path(call), '/') + 1),
    });
}

void shard_announce(struct rpc_server *server)
{
    struct rpc_method methods[OP_METHODS];

    for (size_t i = 0; i < OP_METHODS; i++)
        methods[i] = (struct rpc_method){
            .name = op_methods[i].name,
            .handler = serve_internal,
            .role = op_methods[i].role,
            .raw = true,
            .slots = 16,
        };
    rpc_server_announce_service(server, service, methods, OP_METHODS);
}

void shard_serve(struct shard *shard, struct rpc_server *server)
{
    rpc_server_open_service(server, service, shard);
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

static enum status_code refuse_slot(struct op *op, const struct topology *topology, uint16_t slot,
                                    struct status *st)
{
    uint32_t owner = topology->owner[slot];
    char number[16];

    snprintf(number, sizeof number, "%u", owner);
    if (op->call != NULL) {
        rpc_add_error_metadata(op->call, "owner", number);
        rpc_add_error_metadata(op->call, "address", topology->addresses[owner]);
    }
    return status_set_reason(st, STATUS_FAILED_PRECONDITION, "SLOT_NOT_OWNED",
                             "slot %u belongs to shard %u at %s, this is shard %u", slot, owner,
                             topology->addresses[owner], op->shard->options.index);
}

enum status_code op_check_owners(struct op *op, const struct concept_id *ids, size_t n,
                                 struct status *st)
{
    struct placement *placement = cluster_placement(op->shard->cluster);

    for (size_t i = 0; i < n && st->code == STATUS_OK; i++)
        if (placement_owner(placement, ids[i].slot) != op->shard->options.index)
            refuse_slot(op, placement->topology, ids[i].slot, st);
    placement_unref(placement);
    return st->code;
}

enum status_code op_check_owner(struct op *op, uint16_t slot, struct status *st)
{
    return op_check_owners(op, &(struct concept_id){ .slot = slot }, 1, st);
}

/* What the shard asks of itself is no message. */
size_t op_max_reply_bytes(const struct op *op)
{
    return op->call != NULL ? rpc_max_message_bytes(op->call) : LIMIT_CALL_ARENA_BYTES;
}

enum status_code op_reply(struct op *op, struct buf *reply, struct status *st)
{
    if (st->code == STATUS_OK && limit_reply(reply, op_max_reply_bytes(op), st) == STATUS_OK)
        op->bytes = rpc_bytes_from_buf(reply);
    buf_deinit(reply);
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
        if (concept_id_parse(ids[i], strlen(ids[i]), &parsed[i], st) != STATUS_OK)
            return st->code;
    *ret = parsed;
    return op_check_owners(op, parsed, n, st);
}
