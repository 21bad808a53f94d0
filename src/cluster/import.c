/*
 * Import: several requests of one stream at work at once. They are prepared (embedded) side by side
 * but committed one after the other, so that of two items with one id the later wins, as in a
 * batch. The next request is pulled only while fewer than WINDOW are anywhere between arrival and
 * the transport's acceptance of their answer: a client that sends too fast, or reads too slowly, is
 * held back.
 *
 * A refused item is settled; one that a failing shard or embedder kept from being written is not.
 * Such a failure ends the stream without an answer to its request, so that the client sends again
 * from there instead of going on without those items.
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
    bool prepared;
    struct chunk *next;
};

struct import {
    struct verb verb;
    struct chunk *head; /* the oldest, the one that is committed next */
    struct chunk **tail;
    bool committing; /* head is on its way to the shards */
    unsigned open;   /* chunks between arrival and accepted answer */
    bool pulling;    /* a message has been asked for */
    bool broken;     /* a request failed: neither it nor a later one is answered */
    bool ended;      /* there will be no more messages; `end` says why */
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

static void head_committed(void *ctx)
{
    struct import *import = ctx;
    struct chunk *chunk = import->head;

    import->head = chunk->next;
    if (import->head == NULL)
        import->tail = &import->head;
    import->committing = false;
    look_for_failure(import, chunk);
    answer_chunk(import, chunk);
    chunk_free(chunk);
    advance(import);
}

static struct chunk *chunk_of(struct write_job *job)
{
    return (struct chunk *)((char *)job - offsetof(struct chunk, job));
}

static void committed(struct write_job *job)
{
    struct import *import = chunk_of(job)->import;
    rpc_loop_post(import->verb.cluster->loop, head_committed, import);
}

/* Behind a failure nothing is written any more; the chunks only pass through. */
static void commit_head(struct import *import)
{
    import->committing = true;
    look_for_failure(import, import->head);
    if (import->broken)
        rpc_loop_post(import->verb.cluster->loop, head_committed, import);
    else
        write_commit(&import->head->job, committed);
}

/* ---- Prepare ---- */

static void chunk_prepared(void *ctx)
{
    struct chunk *chunk = ctx;

    chunk->prepared = true;
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

/* What can go on now: the next commit, the next message, or the end. */
static void advance(struct import *import)
{
    if (import->head != NULL && import->head->prepared && !import->committing)
        commit_head(import);
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
