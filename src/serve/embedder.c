#include "src/serve/embedder.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/embed/embed_queue.h"
#include "src/log/log.h"
#include "src/rpc/client.h"
#include "src/serve/limits.h"
#include "sutra/v1/embedding_service.pb-c.h"

enum { MAX_PENDING_TEXTS = 100000 };

struct embedder {
    struct rpc_channel *channel; /* another server's, or NULL */
    struct embed_model *model;   /* ours, or NULL */
    struct embed_queue *queue;
    struct metrics_counter asked[METRICS_STATUSES]; /* of the other server, by status */
    struct metrics_histogram asked_us;
    atomic_bool reachable;
    struct status missing; /* what to answer when there is neither */
};

static const ProtobufCServiceDescriptor *const service = &sutra__v1__embedding_service__descriptor;

/* ---- Opening ---- */

static enum status_code open_in_precision(struct embedder *embedder, const char *dir,
                                          enum embed_precision precision, struct status *st)
{
    if (embed_model_open_as(dir, precision, &embedder->model, st) != STATUS_OK)
        return st->code;
    if (embed_model_precision(embedder->model) != precision)
        log_line(LOG_WARN, "no_bfloat16",
                 LOG_TEXT("message", "this machine has no AMX_BF16: embedding in float32"));
    return STATUS_OK;
}

static enum status_code open_model(struct embedder *embedder,
                                   const struct embedder_options *options,
                                   enum embed_precision precision, struct status *st)
{
    const struct embed_queue_options queue_options = {
        .threads = options->threads,
        .max_pending_texts = MAX_PENDING_TEXTS,
    };
    char default_dir[EMBED_PATH_SIZE];
    const char *dir = options->model_dir;

    if (dir[0] == '\0') {
        if (embed_model_default_dir(default_dir, st) != STATUS_OK) {
            st->code = STATUS_FAILED_PRECONDITION; /* nowhere to look is one way to be missing */
            return st->code;
        }
        dir = default_dir;
    }
    if (open_in_precision(embedder, dir, precision, st) != STATUS_OK)
        return st->code;
    return embed_queue_start(embedder->model, &queue_options, &embedder->queue, st);
}

enum status_code embedder_open(const struct embedder_options *options, struct rpc_loop *loop,
                               struct embedder **ret, struct status *st)
{
    struct embedder *embedder;
    enum embed_precision precision;

    if (embed_precision_parse(options->precision, &precision, st) != STATUS_OK)
        return status_wrap(st, "precision");
    embedder = calloc(1, sizeof *embedder);
    if (embedder == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (options->address[0] != '\0')
        rpc_channel_open(loop, options->address, options->peers, &embedder->channel, st);
    else
        open_model(embedder, options, precision, st);
    if (st->code == STATUS_FAILED_PRECONDITION) {
        embedder->missing = *st;
        log_line(LOG_WARN, "no_model", LOG_TEXT("message", st->message));
        status_clear(st);
    }
    if (st->code != STATUS_OK) {
        embedder_close(embedder);
        return st->code;
    }
    *ret = embedder;
    return STATUS_OK;
}

enum status_code embedder_missing(const struct embedder *embedder, struct status *st)
{
    *st = embedder->missing;
    return st->code;
}

void embedder_close(struct embedder *embedder)
{
    if (embedder == NULL)
        return;
    embed_queue_stop(embedder->queue);
    embed_model_close(embedder->model);
    rpc_channel_close(embedder->channel);
    free(embedder);
}

/* ---- In this process ---- */

struct local_job {
    struct embed_job job; /* first: the queue's callback gets it */
    struct rpc_call *parent;
    embedder_done_fn *done;
    void *ctx;
};

static bool local_cancelled(void *context)
{
    const struct local_job *local = context;
    return rpc_cancelled(local->parent);
}

static void local_done(struct embed_job *job, const struct status *st)
{
    struct local_job *local = (struct local_job *)job;

    local->done(local->ctx, st);
    free(local);
}

static void embed_here(struct embedder *embedder, struct rpc_call *parent,
                       const struct embed_text *texts, size_t n, float *ret_rows,
                       embedder_done_fn *done, void *ctx)
{
    struct local_job *local = calloc(1, sizeof *local);
    struct status st = { 0 };

    if (local == NULL) {
        status_set(&st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
        done(ctx, &st);
        return;
    }
    *local = (struct local_job){
        .job = { .texts = texts,
                 .n = n,
                 .ret_rows = ret_rows,
                 .done = local_done,
                 .cancelled = local_cancelled,
                 .context = local },
        .parent = parent,
        .done = done,
        .ctx = ctx,
    };
    if (embed_queue_submit(embedder->queue, &local->job, &st) != STATUS_OK) {
        free(local);
        done(ctx, &st);
    }
}

/* ---- At another server ---- */

struct remote_job {
    struct embedder *embedder;
    int64_t asked_us;
    size_t n;
    float *rows;
    embedder_done_fn *done;
    void *ctx;
};

static enum status_code copy_rows(const Sutra__V1__EmbedResponse *reply, size_t n, float *ret_rows,
                                  struct status *st)
{
    const size_t row_bytes = EMBED_DIMENSION * sizeof(float);

    if (reply->n_embeddings != n)
        return status_set(st, STATUS_INTERNAL, "embedder answered %zu vectors for %zu texts",
                          reply->n_embeddings, n);
    for (size_t i = 0; i < n; i++) {
        const ProtobufCBinaryData *row = &reply->embeddings[i]->f32le;
        if (row->len != row_bytes)
            return status_set(st, STATUS_INTERNAL, "embedder answered a vector of %zu bytes",
                              row->len);
        memcpy(ret_rows + i * EMBED_DIMENSION, row->data, row_bytes);
    }
    return STATUS_OK;
}

static void note_answer(struct embedder *embedder, enum status_code code, int64_t asked_us)
{
    metrics_count(&embedder->asked[code], 1);
    metrics_observe(&embedder->asked_us, (uint64_t)(clock_monotonic_us() - asked_us));
}

static void remote_done(void *ctx, struct rpc_result *result)
{
    struct remote_job *remote = ctx;
    struct arena arena;
    ProtobufCMessage *reply;
    struct status st = { 0 };

    note_answer(remote->embedder, result->status.code, remote->asked_us);
    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    if (rpc_result_unpack(result, &sutra__v1__embed_response__descriptor, &arena, &reply, &st) ==
        STATUS_OK)
        copy_rows((const Sutra__V1__EmbedResponse *)reply, remote->n, remote->rows, &st);
    if (st.code != STATUS_OK)
        status_wrap(&st, "embedder");
    arena_deinit(&arena);
    remote->done(remote->ctx, &st);
    free(remote);
}

static enum status_code pack_texts(const struct embed_text *texts, size_t n, struct arena *arena,
                                   struct rpc_bytes **ret, struct status *st)
{
    Sutra__V1__EmbedRequest request = SUTRA__V1__EMBED_REQUEST__INIT;

    request.n_texts = n;
    request.texts = arena_calloc(arena, n, sizeof *request.texts);
    for (size_t i = 0; request.texts != NULL && i < n; i++) {
        request.texts[i] = arena_strndup(arena, texts[i].data, texts[i].length);
        if (request.texts[i] == NULL)
            request.texts = NULL;
    }
    if (request.texts == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory for %zu texts", n);
    *ret = rpc_bytes_pack(&request.base);
    return STATUS_OK;
}

static void embed_there(struct embedder *embedder, struct rpc_call *parent,
                        const struct embed_text *texts, size_t n, float *ret_rows,
                        embedder_done_fn *done, void *ctx)
{
    struct remote_job *remote = malloc(sizeof *remote);
    struct rpc_bytes *bytes = NULL;
    struct arena arena;
    struct status st = { 0 };

    arena_init(&arena, LIMIT_CALL_ARENA_BYTES);
    if (remote == NULL)
        status_set(&st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else
        pack_texts(texts, n, &arena, &bytes, &st);
    arena_deinit(&arena);
    if (st.code != STATUS_OK) {
        free(remote);
        done(ctx, &st);
        return;
    }
    *remote = (struct remote_job){ .embedder = embedder,
                                   .asked_us = clock_monotonic_us(),
                                   .n = n,
                                   .rows = ret_rows,
                                   .done = done,
                                   .ctx = ctx };
    rpc_call_patient(embedder->channel,
                     &(struct rpc_request){
                         .service = service, .method = "Embed", .bytes = bytes, .parent = parent },
                     true, remote_done, remote);
}

void embedder_embed(struct embedder *embedder, struct rpc_call *parent,
                    const struct embed_text *texts, size_t n, float *ret_rows,
                    embedder_done_fn *done, void *ctx)
{
    if (embedder->channel != NULL)
        embed_there(embedder, parent, texts, n, ret_rows, done, ctx);
    else if (embedder->queue != NULL)
        embed_here(embedder, parent, texts, n, ret_rows, done, ctx);
    else
        done(ctx, &embedder->missing);
}

/* ---- The service ---- */

/* One Embed being answered from this process; lives in the call's arena. */
struct embed_call {
    struct rpc_call *call;
    bool as_values;
    size_t n;
    float *rows;
};

static Sutra__V1__Embedding *embedding_of(float *row, bool as_values, struct arena *arena)
{
    Sutra__V1__Embedding *embedding = arena_alloc(arena, sizeof *embedding);

    if (embedding == NULL)
        return NULL;
    sutra__v1__embedding__init(embedding);
    if (as_values) {
        embedding->n_values = EMBED_DIMENSION;
        embedding->values = row;
    } else {
        embedding->f32le.len = EMBED_DIMENSION * sizeof *row;
        embedding->f32le.data = (uint8_t *)row;
    }
    return embedding;
}

static void answer_embed(void *ctx, const struct status *embedded)
{
    struct embed_call *e = ctx;
    struct arena *arena = rpc_arena(e->call);
    Sutra__V1__EmbedResponse reply = SUTRA__V1__EMBED_RESPONSE__INIT;
    struct status st = *embedded;

    reply.embeddings = arena_calloc(arena, e->n, sizeof *reply.embeddings);
    for (size_t i = 0; reply.embeddings != NULL && i < e->n; i++) {
        reply.embeddings[i] = embedding_of(e->rows + i * EMBED_DIMENSION, e->as_values, arena);
        if (reply.embeddings[i] == NULL)
            reply.embeddings = NULL;
    }
    if (reply.embeddings == NULL && st.code == STATUS_OK)
        limit_call_memory(&st);
    reply.n_embeddings = e->n;
    rpc_finish(e->call, &reply.base, &st);
}

static enum status_code collect_texts(const Sutra__V1__EmbedRequest *request, struct arena *arena,
                                      struct embed_text **ret, struct status *st)
{
    struct embed_text *texts = NULL;

    if (request->n_texts > LIMIT_BATCH_ITEMS)
        return status_set_field(st, "texts", "texts has %zu entries, the limit is %d",
                                request->n_texts, LIMIT_BATCH_ITEMS);
    texts = arena_calloc(arena, request->n_texts, sizeof *texts);
    if (texts == NULL)
        return limit_call_memory(st);
    for (size_t i = 0; i < request->n_texts; i++) {
        texts[i].data = request->texts[i];
        texts[i].length = strlen(request->texts[i]);
        if (texts[i].length > LIMIT_CONTENT_BYTES) {
            status_set_field(st, "texts", "texts[%zu] has %zu bytes, the limit is %d", i,
                             texts[i].length, LIMIT_CONTENT_BYTES);
            return st->code;
        }
    }
    *ret = texts;
    return STATUS_OK;
}

static void embed_for(struct embedder *embedder, struct rpc_call *call,
                      const Sutra__V1__EmbedRequest *request)
{
    struct arena *arena = rpc_arena(call);
    struct embed_call *e = arena_alloc(arena, sizeof *e);
    struct embed_text *texts = NULL;
    struct status st = { 0 };
    size_t n = request->n_texts;

    if (e != NULL)
        *e = (struct embed_call){
            .call = call,
            .as_values = request->as_values,
            .n = n,
            .rows = arena_alloc(arena, n * EMBED_DIMENSION * sizeof *e->rows),
        };
    if (e == NULL || e->rows == NULL)
        limit_call_memory(&st);
    else
        collect_texts(request, arena, &texts, &st);
    if (st.code != STATUS_OK)
        rpc_finish(call, NULL, &st);
    else if (n == 0)
        answer_embed(e, &st);
    else
        embedder_embed(embedder, call, texts, n, e->rows, answer_embed, e);
}

static void forward_done(void *ctx, struct rpc_result *result)
{
    rpc_finish_forward(ctx, result);
}

static void forward(struct embedder *embedder, struct rpc_call *call, const char *method)
{
    rpc_call_patient(embedder->channel,
                     &(struct rpc_request){ .service = service,
                                            .method = method,
                                            .bytes = rpc_take_request_bytes(call),
                                            .parent = call },
                     true, forward_done, call);
}

static void serve_embed(struct rpc_call *call, const ProtobufCMessage *none, void *ctx)
{
    struct embedder *embedder = ctx;
    ProtobufCMessage *request;
    struct status st = { 0 };

    (void)none;
    if (embedder->channel != NULL)
        forward(embedder, call, "Embed");
    else if (rpc_bytes_unpack(rpc_request_bytes(call), &sutra__v1__embed_request__descriptor,
                              rpc_arena(call), &request, &st) != STATUS_OK)
        rpc_finish(call, NULL, &st);
    else
        embed_for(embedder, call, (const Sutra__V1__EmbedRequest *)request);
}

static void answer_info(struct embedder *embedder, struct rpc_call *call)
{
    Sutra__V1__InfoResponse reply = SUTRA__V1__INFO_RESPONSE__INIT;
    struct embed_info info;
    struct status st = embedder->missing;

    if (embedder->model != NULL && embed_model_info(embedder->model, &info, &st) == STATUS_OK) {
        reply.model = (char *)info.name;
        reply.dimension = (uint32_t)info.dimension;
        reply.max_tokens = (uint32_t)info.max_tokens;
        reply.sha256 = info.sha256;
    }
    rpc_finish(call, &reply.base, &st);
}

static void serve_info(struct rpc_call *call, const ProtobufCMessage *none, void *ctx)
{
    struct embedder *embedder = ctx;

    (void)none;
    if (embedder->channel != NULL)
        forward(embedder, call, "Info");
    else
        answer_info(embedder, call);
}

static const struct rpc_method methods[] = {
    { .name = "Embed", .role = ROLE_READER, .handler = serve_embed, .raw = true, .slots = 16 },
    { .name = "Info", .role = ROLE_READER, .handler = serve_info, .raw = true },
};

static void collect_remote(struct embedder *embedder, struct metrics_page *page)
{
    enum rpc_channel_state state = rpc_channel_look(embedder->channel);

    if (state != RPC_CHANNEL_UNDECIDED)
        atomic_store(&embedder->reachable, state == RPC_CHANNEL_READY);
    metrics_gauge_value(page, "sutra_embedder_reachable",
                        "1: there is a connection to the embedder. 0: none can be made.",
                        atomic_load(&embedder->reachable));
    metrics_counter_family(page, "sutra_embedder_calls",
                           "Calls to the embedder that have ended, by status.");
    metrics_status_samples(page, embedder->asked, NULL);
    metrics_histogram_family(page, "sutra_embedder_duration_seconds",
                             "From a call to the embedder to its answer.");
    metrics_histogram_sample(page, &embedder->asked_us, METRICS_LATENCY, NULL);
}

static void collect(void *ctx, struct metrics_page *page)
{
    struct embedder *embedder = ctx;

    metrics_gauge_value(page, "sutra_embedder_missing",
                        "1: there is no model and no embedder, so texts cannot be embedded.",
                        embedder->missing.code != STATUS_OK);
    if (embedder->channel != NULL)
        collect_remote(embedder, page);
    if (embedder->queue != NULL)
        embed_queue_collect(embedder->queue, page);
}

void embedder_announce(struct serve *serve)
{
    rpc_server_announce_service(serve->server, service, methods,
                                sizeof methods / sizeof methods[0]);
}

void embedder_serve(struct embedder *embedder, struct serve *serve)
{
    rpc_server_open_service(serve->server, service, embedder);
    metrics_add(&serve->metrics, collect, embedder);
    if (embedder->missing.code != STATUS_OK)
        serve->out_of_service = service->name;
}
