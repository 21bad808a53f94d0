#include "src/cluster/write.h"

#include <string.h>

#include "src/rpc/details.h"

static void refuse(struct write_job *job, size_t i, const struct status *why)
{
    job->ids[i].length = 0;
    job->results[i]->status = rpc_status_to_message(why, NULL, 0, job->arena);
    if (job->results[i]->status == NULL)
        job->results = NULL;
}

/* Refuses an item for what is not its fault. */
static void fail(struct write_job *job, size_t i, const struct status *why)
{
    if (job->failure.code == STATUS_OK)
        job->failure = *why;
    refuse(job, i, why);
}

/* ---- Prepare ---- */

static bool wants_vector(const struct write_job *job, const Sutra__V1__ConceptInput *item)
{
    return job->embed && item->embedding == NULL;
}

static enum status_code check_item(struct write_job *job, size_t i, struct status *st)
{
    Sutra__V1__ConceptInput *item = job->items[i];

    if (validate_input(item, job->arena, &job->ids[i], st) == STATUS_OK &&
        wants_vector(job, item) && item->content[0] == '\0')
        status_set_field(st, "content", "content is empty and there is no embedding");
    if (st->code != STATUS_OK)
        status_prefix_field(st, "items[%zu]", i);
    return st->code;
}

static bool make_results(struct write_job *job)
{
    job->ids = arena_calloc(job->arena, job->n, sizeof *job->ids);
    job->unembedded = arena_calloc(job->arena, job->n, sizeof *job->unembedded);
    job->results = arena_calloc(job->arena, job->n, sizeof *job->results);
    for (size_t i = 0; job->results != NULL && i < job->n; i++) {
        job->results[i] = arena_alloc(job->arena, sizeof *job->results[i]);
        if (job->results[i] == NULL)
            return false;
        sutra__v1__write_result__init(job->results[i]);
    }
    return job->ids != NULL && job->unembedded != NULL && job->results != NULL;
}

static void check_items(struct write_job *job)
{
    for (size_t i = 0; i < job->n && job->results != NULL; i++) {
        struct status st = { 0 };
        check_item(job, i, &st);
        job->results[i]->id = job->items[i]->id;
        if (st.code != STATUS_OK)
            refuse(job, i, &st);
        else if (wants_vector(job, job->items[i]))
            job->unembedded[job->unembedded_count++] = i;
    }
}

static bool attach_row(struct write_job *job, Sutra__V1__ConceptInput *item, float *row)
{
    item->embedding = arena_alloc(job->arena, sizeof *item->embedding);
    if (item->embedding == NULL)
        return false;
    sutra__v1__embedding__init(item->embedding);
    item->embedding->f32le.data = (uint8_t *)row;
    item->embedding->f32le.len = LIMIT_DIMENSION * sizeof *row;
    return true;
}

static void embedded(void *ctx, const struct status *st)
{
    struct write_job *job = ctx;

    for (size_t j = 0; j < job->unembedded_count && job->results != NULL; j++) {
        size_t i = job->unembedded[j];
        if (st->code == STATUS_FAILED_PRECONDITION) /* no model: then items must bring vectors */
            refuse(job, i, st);
        else if (st->code != STATUS_OK)
            fail(job, i, st);
        else if (!attach_row(job, job->items[i], job->rows + j * LIMIT_DIMENSION))
            job->results = NULL;
    }
    job->next(job);
}

static void embed(struct write_job *job)
{
    size_t n = job->unembedded_count;
    struct embed_text *texts = arena_calloc(job->arena, n, sizeof *texts);
    struct status st = { 0 };

    job->rows = arena_alloc(job->arena, n * LIMIT_DIMENSION * sizeof *job->rows);
    if (texts == NULL || job->rows == NULL) {
        limit_call_memory(&st);
        embedded(job, &st);
        return;
    }
    for (size_t j = 0; j < n; j++) {
        const char *content = job->items[job->unembedded[j]]->content;
        texts[j] = (struct embed_text){ .data = content, .length = strlen(content) };
    }
    embedder_embed(job->verb->cluster->embedder, job->verb->call, texts, n, job->rows, embedded,
                   job);
}

void write_prepare(struct write_job *job, write_step_fn *next)
{
    job->next = next;
    if (make_results(job))
        check_items(job);
    else
        job->results = NULL;
    if (job->results != NULL && job->unembedded_count > 0)
        embed(job);
    else
        next(job);
}

/* ---- Commit ---- */

static void fail_part(struct write_job *job, const struct split_shard *shard,
                      const struct status *st)
{
    for (size_t j = 0; j < shard->count && job->results != NULL; j++)
        fail(job, shard->indexes[j], st);
}

static void merge_part(struct write_job *job, const struct scatter_part *part)
{
    const struct split_shard *shard = &job->split.shards[part->shard];
    const Sutra__Internal__V1__WriteResponse *reply;
    ProtobufCMessage *message;
    struct status st = { 0 };

    if (scatter_unpack(part, &sutra__internal__v1__write_response__descriptor, job->arena, &message,
                       &st) != STATUS_OK) {
        fail_part(job, shard, &st);
        return;
    }
    reply = (const Sutra__Internal__V1__WriteResponse *)message;
    if (reply->n_results != shard->count) {
        status_set(&st, STATUS_INTERNAL, "shard %u answered %zu results for %zu items", part->shard,
                   reply->n_results, shard->count);
        fail_part(job, shard, &st);
        return;
    }
    for (size_t j = 0; j < shard->count; j++)
        job->results[shard->indexes[j]] = reply->results[j];
}

static void merge(struct scatter *scatter, void *ctx)
{
    struct write_job *job = ctx;

    for (size_t i = 0; i < scatter->count && job->results != NULL; i++)
        merge_part(job, &scatter->parts[i]);
    job->next(job);
}

static bool shard_part(void *ctx, const struct split_shard *shard, struct scatter_part *part)
{
    struct write_job *job = ctx;
    Sutra__Internal__V1__WriteRequest *request = arena_alloc(job->arena, sizeof *request);

    if (request == NULL)
        return false;
    sutra__internal__v1__write_request__init(request);
    request->mode = job->mode;
    request->durability = job->durability;
    request->n_items = shard->count;
    request->items = arena_calloc(job->arena, shard->count, sizeof *request->items);
    for (size_t j = 0; request->items != NULL && j < shard->count; j++)
        request->items[j] = job->items[shard->indexes[j]];
    part->request = &request->base;
    return request->items != NULL;
}

void write_commit(struct write_job *job, write_step_fn *done)
{
    struct scatter *scatter = NULL;

    job->next = done;
    if (job->results != NULL &&
        split_ids(job->verb->placement, job->ids, job->n, job->arena, &job->split))
        scatter = split_scatter(&job->split, job->verb->placement, job->verb->call, "Write",
                                shard_part, job);
    if (scatter != NULL) {
        scatter_run(scatter, merge, job);
        return;
    }
    job->results = NULL;
    done(job);
}
