#include "src/rpc/sync_client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "src/base/clock.h"
#include "src/rpc/client_impl.h"

/* Unary. -------------------------------------------------------------------------------------- */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool done;
    struct rpc_result result;
};

static void on_answered(void *ctx, struct rpc_result *result)
{
    struct waiter *waiter = ctx;

    pthread_mutex_lock(&waiter->lock);
    waiter->result = rpc_result_move(result);
    waiter->done = true;
    pthread_cond_signal(&waiter->answered);
    pthread_mutex_unlock(&waiter->lock);
}

struct rpc_sync_member {
    struct rpc_client_call *call;
    struct rpc_sync_member *next;
};

void rpc_sync_calls_init(struct rpc_sync_calls *calls)
{

    pthread_mutex_init(&calls->lock, NULL);
    clock_cond_init(&calls->cancelled);
    calls->cancels = 0;
    calls->first = NULL;
}

void rpc_sync_calls_deinit(struct rpc_sync_calls *calls)
{
    assert(calls->first == NULL);
    pthread_cond_destroy(&calls->cancelled);
    pthread_mutex_destroy(&calls->lock);
}

void rpc_sync_calls_cancel(struct rpc_sync_calls *calls)
{
    pthread_mutex_lock(&calls->lock);
    for (struct rpc_sync_member *m = calls->first; m != NULL; m = m->next)
        rpc_client_call_cancel(m->call);
    calls->cancels++;
    pthread_cond_broadcast(&calls->cancelled);
    pthread_mutex_unlock(&calls->lock);
}

bool rpc_sync_calls_pause(struct rpc_sync_calls *calls, int64_t ms)
{
    struct timespec until = clock_after_ms(ms);
    uint64_t before;
    bool cancelled;

    pthread_mutex_lock(&calls->lock);
    before = calls->cancels;
    while (calls->cancels == before &&
           pthread_cond_timedwait(&calls->cancelled, &calls->lock, &until) != ETIMEDOUT)
        continue;
    cancelled = calls->cancels != before;
    pthread_mutex_unlock(&calls->lock);
    return !cancelled;
}

static void join(struct rpc_sync_calls *calls, struct rpc_sync_member *member)
{
    pthread_mutex_lock(&calls->lock);
    member->next = calls->first;
    calls->first = member;
    pthread_mutex_unlock(&calls->lock);
}

static void leave(struct rpc_sync_calls *calls, struct rpc_sync_member *member)
{
    struct rpc_sync_member **at = &calls->first;

    pthread_mutex_lock(&calls->lock);
    while (*at != member)
        at = &(*at)->next;
    *at = member->next;
    pthread_mutex_unlock(&calls->lock);
}

/* Makes the call and waits for its end; as one of @calls unless that is NULL. */
static void make_call(struct rpc_sync_calls *calls, struct rpc_channel *channel,
                      const struct rpc_request *request, struct rpc_result *ret_result)
{
    struct rpc_sync_member member = { 0 };
    struct waiter waiter = { .lock = PTHREAD_MUTEX_INITIALIZER,
                             .answered = PTHREAD_COND_INITIALIZER };

    assert(!rpc_loop_is_current(channel->loop));
    rpc_call_unary(channel, request, on_answered, &waiter, calls != NULL ? &member.call : NULL);
    if (calls != NULL)
        join(calls, &member);
    pthread_mutex_lock(&waiter.lock);
    while (!waiter.done)
        pthread_cond_wait(&waiter.answered, &waiter.lock);
    pthread_mutex_unlock(&waiter.lock);
    if (calls != NULL)
        leave(calls, &member);
    rpc_client_call_unref(member.call);
    *ret_result = waiter.result;
    pthread_cond_destroy(&waiter.answered);
    pthread_mutex_destroy(&waiter.lock);
}

void rpc_sync_call_result(struct rpc_channel *channel, const struct rpc_request *request,
                          struct rpc_result *ret_result)
{
    make_call(NULL, channel, request, ret_result);
}

enum status_code rpc_sync_call(struct rpc_channel *channel, const struct rpc_request *request,
                               const ProtobufCMessageDescriptor *reply_type, struct arena *arena,
                               ProtobufCMessage **ret_reply, struct status *st)
{
    return rpc_sync_call_in(NULL, channel, request, reply_type, arena, ret_reply, st);
}

enum status_code rpc_sync_call_in(struct rpc_sync_calls *calls, struct rpc_channel *channel,
                                  const struct rpc_request *request,
                                  const ProtobufCMessageDescriptor *reply_type, struct arena *arena,
                                  ProtobufCMessage **ret_reply, struct status *st)
{
    struct rpc_result result;

    make_call(calls, channel, request, &result);
    rpc_result_unpack(&result, reply_type, arena, ret_reply, st);
    rpc_result_deinit(&result);
    return st->code;
}

/* Streams. ------------------------------------------------------------------------------------ */

struct rpc_sync_stream {
    struct rpc_channel *channel;
    struct rpc_client_stream *stream;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct rpc_bytes *message; /* arrived, not yet received */
    bool pulled;               /* and not yet arrived */
    bool done;
    struct rpc_result result;
};

/* One blocking send. */
struct sending {
    struct rpc_sync_stream *stream;
    bool through;
    bool ok;
};

static void on_message(void *ctx, struct rpc_bytes *message)
{
    struct rpc_sync_stream *stream = ctx;

    pthread_mutex_lock(&stream->lock);
    stream->message = message;
    stream->pulled = false;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

static void on_done(void *ctx, struct rpc_result *result)
{
    struct rpc_sync_stream *stream = ctx;

    pthread_mutex_lock(&stream->lock);
    stream->result = rpc_result_move(result);
    stream->done = true;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

static void on_sent(void *ctx, bool ok)
{
    struct sending *sending = ctx;
    struct rpc_sync_stream *stream = sending->stream;

    pthread_mutex_lock(&stream->lock);
    sending->ok = ok;
    sending->through = true;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

struct rpc_sync_stream *rpc_sync_stream_open(struct rpc_channel *channel,
                                             const struct rpc_request *request)
{
    static const struct rpc_stream_events events = { .message = on_message, .done = on_done };
    struct rpc_sync_stream *stream = calloc(1, sizeof *stream);

    assert(stream != NULL && !rpc_loop_is_current(channel->loop));
    stream->channel = channel;
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->changed, NULL);
    stream->stream = rpc_client_stream_open(channel, request, &events, stream);
    return stream;
}

bool rpc_sync_stream_send(struct rpc_sync_stream *stream, const ProtobufCMessage *message)
{
    struct sending sending = { .stream = stream };

    rpc_client_stream_send(stream->stream, rpc_bytes_pack(message), on_sent, &sending);
    pthread_mutex_lock(&stream->lock);
    while (!sending.through)
        pthread_cond_wait(&stream->changed, &stream->lock);
    pthread_mutex_unlock(&stream->lock);
    return sending.ok;
}

void rpc_sync_stream_half_close(struct rpc_sync_stream *stream)
{
    rpc_client_stream_half_close(stream->stream);
}

/* The next message, to the caller; NULL at the end. */
static struct rpc_bytes *next_message(struct rpc_sync_stream *stream)
{
    struct rpc_bytes *message;
    bool pull;

    pthread_mutex_lock(&stream->lock);
    pull = !stream->done && stream->message == NULL && !stream->pulled;
    stream->pulled |= pull;
    pthread_mutex_unlock(&stream->lock);
    if (pull)
        rpc_client_stream_pull(stream->stream);
    pthread_mutex_lock(&stream->lock);
    while (stream->message == NULL && !stream->done)
        pthread_cond_wait(&stream->changed, &stream->lock);
    message = stream->message;
    stream->message = NULL;
    pthread_mutex_unlock(&stream->lock);
    return message;
}

enum status_code rpc_sync_stream_recv(struct rpc_sync_stream *stream,
                                      const ProtobufCMessageDescriptor *type, struct arena *arena,
                                      ProtobufCMessage **ret_message, struct status *st)
{
    struct rpc_bytes *message = next_message(stream);

    if (message == NULL) {
        *ret_message = NULL;
        *st = stream->result.status;
        return st->code;
    }
    if (rpc_bytes_unpack(message, type, arena, ret_message, st) != STATUS_OK)
        status_wrap(st, "reply");
    rpc_bytes_free(message);
    return st->code;
}

void rpc_sync_stream_cancel(struct rpc_sync_stream *stream)
{
    rpc_client_stream_cancel(stream->stream);
}

void rpc_sync_stream_close(struct rpc_sync_stream *stream)
{
    struct rpc_bytes *message;

    if (stream == NULL)
        return;
    rpc_client_stream_cancel(stream->stream);
    while ((message = next_message(stream)) != NULL)
        rpc_bytes_free(message);
    rpc_client_stream_unref(stream->stream);
    rpc_result_deinit(&stream->result);
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}
