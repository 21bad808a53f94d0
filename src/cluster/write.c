#include "src/cluster/write.h"

#include <string.h>

#include "src/rpc/details.h"

/* Where in the request an item's field is. */
static void name_item(const struct write_job *job, size_t i, struct status *st)
{
    if (job->single)
        status_prefix_field(st, "concept");
    else
        status_prefix_field(st, "items[%zu]", i);
}

/* Under the id that the item was given, where no shard has said it. */
static void refuse(struct write_job *job, size_t i, const struct status *why)
{
    const struct text_view *id = &job->request.items[i].id;
    Sutra__V1__WriteResult *result = job->results[i];

    job->ids[i].length = 0;
    if (result->id[0] == '\0')
        result->id = arena_strndup(job->arena, id->data, id->length);
    result->status = rpc_status_to_message(why, NULL, 0, job->arena);
    if (result->id == NULL || result->status == NULL)
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

static bool wants_vector(const struct write_job *job, const struct write_item *item)
{
    return job->embed && !item->has_embedding;
}

static enum status_code check_content(const struct write_item *item, struct status *st)
{
    if (item->content.length == 0)
        return status_set_field(st, "content", "content is empty and there is no embedding");
    return validate_content(item->content.length, st);
}

static enum status_code check_item(struct write_job *job, size_t i, struct status *st)
{
    struct write_item *item = &job->request.items[i];
    struct concept_id *id = &job->ids[i];

    if (validate_new_id(item->id, item->content, job->arena, id, st) == STATUS_OK) {
        if (item->id.length == 0)
            item->new_id = (struct text_view){ id->data, id->length };
        if (wants_vector(job, item))
            check_content(item, st);
    }
    if (st->code != STATUS_OK)
        name_item(job, i, st);
    return st->code;
}

static bool make_results(struct write_job *job)
{
    const size_t n = job->request.n;

    job->ids = arena_calloc(job->arena, n, sizeof *job->ids);
    job->unembedded = arena_calloc(job->arena, n, sizeof *job->unembedded);
    job->results = arena_calloc(job->arena, n, sizeof *job->results);
    for (size_t i = 0; job->results != NULL && i < n; i++) {
        job->results[i] = arena_alloc(job->arena, sizeof *job->results[i]);
        if (job->results[i] == NULL)
            return false;
        sutra__v1__write_result__init(job->results[i]);
    }
    return job->ids != NULL && job->unembedded != NULL && job->results != NULL;
}

static void check_items(struct write_job *job)
{
    for (size_t i = 0; i < job->request.n && job->results != NULL; i++) {
        struct status st = { 0 };
        if (check_item(job, i, &st) != STATUS_OK)
            refuse(job, i, &st);
        else if (wants_vector(job, &job->request.items[i]))
            job->unembedded[job->unembedded_count++] = i;
    }
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
        else
            job->request.items[i].new_row = job->rows + j * LIMIT_DIMENSION;
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
        const struct text_view *content = &job->request.items[job->unembedded[j]].content;
        texts[j] = (struct embed_text){ .data = content->data, .length = content->length };
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

static void take_result(struct write_job *job, size_t i, Sutra__V1__WriteResult *result)
{
    struct status st = { 0 };

    job->results[i] = result;
    if (result->status == NULL)
        return;
    rpc_status_from_message(result->status, &st);
    name_item(job, i, &st);
    refuse(job, i, &st);
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
    for (size_t j = 0; j < shard->count && job->results != NULL; j++)
        take_result(job, shard->indexes[j], reply->results[j]);
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
    struct buf request = { 0 };

    buf_reserve(&request, write_size(&job->request) * shard->count / job->request.n);
    for (size_t j = 0; j < shard->count; j++)
        write_put_item(&request, &job->request.items[shard->indexes[j]]);
    write_put_options(&request, job->mode, job->request.durability);
    if (!request.failed)
        part->bytes = rpc_bytes_from_buf(&request);
    buf_deinit(&request);
    return part->bytes != NULL;
}

void write_commit(struct write_job *job, write_step_fn *done)
{
    struct scatter *scatter = NULL;

    job->next = done;
    if (job->results != NULL &&
        split_ids(job->verb->placement, job->ids, job->request.n, job->arena, &job->split))
        scatter = split_scatter(&job->split, job->verb->placement, job->verb->call, "Write",
                                shard_part, job);
    if (scatter != NULL) {
        scatter_run(scatter, merge, job);
        return;
    }
    job->results = NULL;
    done(job);
}
