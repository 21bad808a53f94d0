/*
 * Import: several requests of one stream at work at once. They are prepared (embedded) side by side
 * and committed side by side, too, except that one which shares an id with one before it waits for
 * that: of two items with one id the later wins, as in a batch. They are answered in their order.
 * The next request is pulled only while fewer than WINDOW are anywhere between arrival and the
 * transport's acceptance of their answer: a client that sends too fast, or reads too slowly, is
 * held back.
 *
 * A refused item is settled; one that a failing shard or embedder kept from being written is not.
 * Such a failure ends the stream without an answer to its request, so that the client sends again
 * from there instead of going on without those items. Requests behind it may have been written, but
 * are not answered: they come again.
 *
 * The stream's state is touched on the loop only; steps that end on other threads are posted there.
 */

#include <stdlib.h>

#include "src/cluster/write.h"

enum { WINDOW = 4 };

struct import;

/* One request of the stream. */
struct chunk {
    struct import *import;
    struct rpc_message *message;
    struct write_job job;
    enum { PREPARING, PREPARED, COMMITTING, COMMITTED } state;
    uint64_t *hashes; /* [job.request.n] of its ids, sorted; set when it is prepared */
    struct chunk *next;
};

struct import {
    struct verb verb;
    struct chunk *head; /* the oldest, the one that is answered next */
    struct chunk **tail;
    unsigned open; /* chunks between arrival and accepted answer */
    bool pulling;  /* a message has been asked for */
    bool broken;   /* a request failed: neither it nor a later one is answered */
    bool ended;    /* there will be no more messages; `end` says why */
    struct status end;
    uint64_t settled_items;
};

static void advance(struct import *import);

static void chunk_free(struct chunk *chunk)
{
    rpc_message_free(chunk->message);
    free(chunk);
}

/* ---- Answer ---- */

static void answer_accepted(struct rpc_call *call, bool ok, void *ctx)
{
    struct import *import = ctx;

    (void)call;
    (void)ok; /* a broken stream shows as the end of its messages */
    import->open--;
    advance(import);
}

static void fail_stream(struct import *import, const struct status *st)
{
    if (!import->ended || import->end.code == STATUS_OK)
        import->end = *st;
    import->ended = true;
}

/* Breaks the stream if @chunk failed, and not for what its items are. */
static void look_for_failure(struct import *import, const struct chunk *chunk)
{
    struct status st = chunk->job.failure;

    if (import->broken)
        return;
    if (chunk->job.results == NULL && st.code == STATUS_OK)
        limit_call_memory(&st);
    if (st.code == STATUS_FAILED_PRECONDITION) /* a newer topology: a new stream will see it */
        st.code = STATUS_UNAVAILABLE;
    import->broken = st.code != STATUS_OK;
    if (import->broken)
        fail_stream(import, &st);
}

static void answer_chunk(struct import *import, struct chunk *chunk)
{
    Sutra__V1__ImportResponse reply = SUTRA__V1__IMPORT_RESPONSE__INIT;

    if (import->broken) {
        import->open--;
        return;
    }
    import->settled_items += chunk->job.request.n;
    reply.n_results = chunk->job.request.n;
    reply.results = chunk->job.results;
    reply.settled_items = import->settled_items;
    rpc_stream_send(import->verb.call, &reply.base, answer_accepted, import);
}

/* ---- Commit ---- */

static void chunk_committed(void *ctx)
{
    struct chunk *chunk = ctx;

    chunk->state = COMMITTED;
    advance(chunk->import);
}

static struct chunk *chunk_of(struct write_job *job)
{
    return (struct chunk *)((char *)job - offsetof(struct chunk, job));
}

static void committed(struct write_job *job)
{
    struct chunk *chunk = chunk_of(job);
    rpc_loop_post(chunk->import->verb.cluster->loop, chunk_committed, chunk);
}

static bool share_ids(const struct chunk *a, const struct chunk *b)
{
    size_t i = 0, j = 0;

    while (i < a->job.request.n && j < b->job.request.n && a->hashes[i] != b->hashes[j])
        if (a->hashes[i] < b->hashes[j])
            i++;
        else
            j++;
    return i < a->job.request.n && j < b->job.request.n;
}

static bool must_wait(const struct import *import, const struct chunk *chunk)
{
    for (const struct chunk *before = import->head; before != chunk; before = before->next)
        if (before->state != COMMITTED && share_ids(before, chunk))
            return true;
    return false;
}

static bool has_failed(const struct chunk *chunk)
{
    return chunk->job.results == NULL || chunk->job.failure.code != STATUS_OK;
}

/* In their order; behind a failure nothing more is begun. */
static void commit_prepared(struct import *import)
{
    for (struct chunk *chunk = import->head; chunk != NULL; chunk = chunk->next) {
        if (chunk->state == PREPARED && has_failed(chunk))
            chunk->state = COMMITTED;
        if (import->broken || chunk->state == PREPARING ||
            (chunk->state == COMMITTED && has_failed(chunk)) ||
            (chunk->state == PREPARED && must_wait(import, chunk)))
            return;
        if (chunk->state != PREPARED)
            continue;
        chunk->state = COMMITTING;
        write_commit(&chunk->job, committed);
    }
}

/* In a broken stream what is prepared only passes through. */
static bool is_done(const struct import *import, const struct chunk *chunk)
{
    return chunk->state == COMMITTED || (import->broken && chunk->state == PREPARED);
}

static void answer_done(struct import *import)
{
    struct chunk *chunk;

    while ((chunk = import->head) != NULL && is_done(import, chunk)) {
        import->head = chunk->next;
        if (import->head == NULL)
            import->tail = &import->head;
        look_for_failure(import, chunk);
        answer_chunk(import, chunk);
        chunk_free(chunk);
    }
}

/* ---- Prepare ---- */

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static bool hash_ids(struct chunk *chunk)
{
    const struct write_job *job = &chunk->job;

    chunk->hashes = arena_calloc(job->arena, job->request.n, sizeof *chunk->hashes);
    for (size_t i = 0; chunk->hashes != NULL && i < job->request.n; i++)
        chunk->hashes[i] = job->ids[i].hash;
    if (chunk->hashes != NULL)
        qsort(chunk->hashes, job->request.n, sizeof *chunk->hashes, compare);
    return chunk->hashes != NULL;
}

static void chunk_prepared(void *ctx)
{
    struct chunk *chunk = ctx;

    if (chunk->job.results != NULL && !hash_ids(chunk))
        chunk->job.results = NULL;
    chunk->state = PREPARED;
    advance(chunk->import);
}

static void prepared(struct write_job *job)
{
    struct chunk *chunk = chunk_of(job);
    rpc_loop_post(chunk->import->verb.cluster->loop, chunk_prepared, chunk);
}

static void start_chunk(struct import *import, struct chunk *chunk)
{
    *import->tail = chunk;
    import->tail = &chunk->next;
    import->open++;
    write_prepare(&chunk->job, prepared);
}

/* ---- The stream ---- */

/* What can go on now: commits, answers, the next message, or the end. */
static void advance(struct import *import)
{
    commit_prepared(import);
    answer_done(import);
    if (import->ended && import->open == 0) {
        verb_finish(&import->verb, NULL, &import->end);
        return;
    }
    if (!import->ended && !import->pulling && import->open < WINDOW) {
        import->pulling = true;
        rpc_stream_pull(import->verb.call);
    }
}

/* *Takes* @message. */
static enum status_code accept_message(struct import *import, struct rpc_message *message,
                                       struct status *st)
{
    struct chunk *chunk = calloc(1, sizeof *chunk);

    if (chunk == NULL) {
        rpc_message_free(message);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    chunk->import = import;
    chunk->message = message;
    chunk->job = (struct write_job){
        .verb = &import->verb,
        .arena = &message->arena,
        .mode = SUTRA__INTERNAL__V1__WRITE_MODE__WRITE_MODE_LEARN,
    };
    if (write_request_read(message->bytes, &sutra__v1__import_request__descriptor, &message->arena,
                           &chunk->job.request, st) != STATUS_OK) {
        chunk_free(chunk);
        return st->code;
    }
    chunk->job.embed = !chunk->job.request.skip_embedding;
    start_chunk(import, chunk);
    return STATUS_OK;
}

static void on_message(struct rpc_call *call, struct rpc_message *message, const struct status *st,
                       void *ctx)
{
    struct import *import = ctx;
    struct status failed = *st;

    (void)call;
    import->pulling = false;
    if (message != NULL)
        accept_message(import, message, &failed);
    if (message == NULL || failed.code != STATUS_OK)
        fail_stream(import, &failed);
    advance(import);
}

void serve_import(struct rpc_call *call, const ProtobufCMessage *none, void *cluster)
{
    struct import *import = verb_new(cluster, call, sizeof *import);

    (void)none;
    if (import == NULL)
        return;
    import->tail = &import->head;
    rpc_stream_on_message(call, on_message, import);
    advance(import);
}
