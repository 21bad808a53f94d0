#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "src/rpc/bytes_impl.h"
#include "src/rpc/client_impl.h"
#include "src/rpc/send_queue.h"

/* One reference for the caller, one for every batch under way. `done` is reported when the status
 * has come and no other batch is out. */
struct rpc_client_stream {
    struct client_half half;
    struct rpc_stream_events events;
    atomic_uint refs;

    pthread_mutex_t lock; /* of what follows; all batches are started under it */
    unsigned under_way;   /* batches */
    bool ended;           /* the status has come */
    bool reported;

    struct rpc_tag open_tag, metadata_tag, status_tag;

    struct rpc_tag send_tag;
    struct send_queue queue;
    bool sending; /* until the opening batch is through, and whenever a message is out */
    bool closing; /* half-close was asked for */
    bool closed;  /* and was sent */

    struct rpc_tag receive_tag;
    grpc_byte_buffer *incoming;
    bool pulling;
};

/* Life. --------------------------------------------------------------------------------------- */

static void stream_free(struct rpc_client_stream *stream)
{
    client_half_deinit(&stream->half);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

void rpc_client_stream_unref(struct rpc_client_stream *stream)
{
    if (stream != NULL && atomic_fetch_sub_explicit(&stream->refs, 1, memory_order_acq_rel) == 1)
        stream_free(stream);
}

void rpc_client_stream_cancel(struct rpc_client_stream *stream)
{
    client_half_cancel(&stream->half);
}

/* Under the lock. */
static void start(struct rpc_client_stream *stream, const grpc_op *ops, size_t count,
                  struct rpc_tag *tag)
{
    stream->under_way++;
    atomic_fetch_add_explicit(&stream->refs, 1, memory_order_relaxed);
    rpc_start_batch(stream->half.grpc, ops, count, tag);
}

/* A batch has come back and its callback, if it had one, was called. */
static void finish(struct rpc_client_stream *stream)
{
    bool last;

    pthread_mutex_lock(&stream->lock);
    stream->under_way--;
    last = stream->ended && stream->under_way == 0 && !stream->reported;
    if (last)
        stream->reported = true;
    pthread_mutex_unlock(&stream->lock);
    if (last)
        client_half_report(&stream->half, NULL, false);
    rpc_client_stream_unref(stream);
}

/* Sending. ------------------------------------------------------------------------------------ */

/* Under the lock. */
static void pump(struct rpc_client_stream *stream)
{
    grpc_op op = { 0 };

    if (stream->sending || stream->closed)
        return;
    if (stream->queue.first != NULL) {
        op.op = GRPC_OP_SEND_MESSAGE;
        op.data.send_message.send_message = rpc_bytes_buffer(stream->queue.first->bytes);
    } else if (stream->closing) {
        op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
        stream->closed = true;
    } else {
        return;
    }
    stream->sending = true;
    start(stream, &op, 1, &stream->send_tag);
}

static void tell_and_free(struct send_item *item, bool ok)
{
    if (item->client_sent != NULL)
        item->client_sent(item->ctx, ok);
    send_item_free(item);
}

static void on_sent(struct rpc_tag *tag, bool ok)
{
    struct rpc_client_stream *stream = RPC_TAG_OWNER(tag, struct rpc_client_stream, send_tag);
    struct send_item *item = NULL;

    pthread_mutex_lock(&stream->lock);
    if (!stream->closed)
        item = send_queue_pop(&stream->queue);
    stream->sending = false;
    pump(stream);
    pthread_mutex_unlock(&stream->lock);
    if (item != NULL)
        tell_and_free(item, ok);
    finish(stream);
}

static void on_opened(struct rpc_tag *tag, bool ok)
{
    struct rpc_client_stream *stream = RPC_TAG_OWNER(tag, struct rpc_client_stream, open_tag);

    (void)ok; /* if not, sends fail and the status says why */
    pthread_mutex_lock(&stream->lock);
    stream->sending = false;
    pump(stream);
    pthread_mutex_unlock(&stream->lock);
    finish(stream);
}

void rpc_client_stream_send(struct rpc_client_stream *stream, struct rpc_bytes *bytes,
                            void (*sent)(void *ctx, bool ok), void *ctx)
{
    struct send_item *item = send_item_new(bytes, ctx);

    item->client_sent = sent;
    pthread_mutex_lock(&stream->lock);
    assert(!stream->closing);
    send_queue_push(&stream->queue, item);
    pump(stream);
    pthread_mutex_unlock(&stream->lock);
}

void rpc_client_stream_half_close(struct rpc_client_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    assert(!stream->closing);
    stream->closing = true;
    pump(stream);
    pthread_mutex_unlock(&stream->lock);
}

/* Receiving. ---------------------------------------------------------------------------------- */

static void on_received(struct rpc_tag *tag, bool ok)
{
    struct rpc_client_stream *stream = RPC_TAG_OWNER(tag, struct rpc_client_stream, receive_tag);
    struct rpc_bytes *message = rpc_bytes_from_buffer(stream->incoming);

    (void)ok; /* without a message the status follows */
    stream->incoming = NULL;
    pthread_mutex_lock(&stream->lock);
    stream->pulling = false;
    pthread_mutex_unlock(&stream->lock);
    if (message != NULL)
        stream->events.message(stream->half.ctx, message);
    finish(stream);
}

static void on_metadata(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    finish(RPC_TAG_OWNER(tag, struct rpc_client_stream, metadata_tag));
}

static void on_status(struct rpc_tag *tag, bool ok)
{
    struct rpc_client_stream *stream = RPC_TAG_OWNER(tag, struct rpc_client_stream, status_tag);

    (void)ok;
    pthread_mutex_lock(&stream->lock);
    stream->ended = true;
    pthread_mutex_unlock(&stream->lock);
    finish(stream);
}

void rpc_client_stream_pull(struct rpc_client_stream *stream)
{
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };

    op.data.recv_message.recv_message = &stream->incoming;
    pthread_mutex_lock(&stream->lock);
    if (!stream->ended) {
        assert(!stream->pulling);
        stream->pulling = true;
        start(stream, &op, 1, &stream->receive_tag);
    }
    pthread_mutex_unlock(&stream->lock);
}

/* Opening. ------------------------------------------------------------------------------------ */

static void open_sending(struct rpc_client_stream *stream)
{
    grpc_op ops[3] = { client_half_send_metadata(&stream->half) };
    size_t count = 1;

    if (stream->half.request != NULL) {
        ops[count++] = client_half_send_request(&stream->half);
        ops[count++] = (grpc_op){ .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT };
        stream->closing = stream->closed = true;
    }
    stream->sending = true;
    start(stream, ops, count, &stream->open_tag);
}

static void open_receiving(struct rpc_client_stream *stream)
{
    grpc_op metadata = client_half_receive_metadata(&stream->half);
    grpc_op status = client_half_receive_status(&stream->half);

    start(stream, &metadata, 1, &stream->metadata_tag);
    start(stream, &status, 1, &stream->status_tag);
}

static void set_tags(struct rpc_client_stream *stream)
{
    stream->open_tag.fn = on_opened;
    stream->metadata_tag.fn = on_metadata;
    stream->status_tag.fn = on_status;
    stream->send_tag.fn = on_sent;
    stream->receive_tag.fn = on_received;
}

struct rpc_client_stream *rpc_client_stream_open(struct rpc_channel *channel,
                                                 const struct rpc_request *request,
                                                 const struct rpc_stream_events *events, void *ctx)
{
    struct rpc_client_stream *stream = calloc(1, sizeof *stream);

    assert(stream != NULL); /* as gRPC's own allocator would */
    client_half_init(&stream->half, channel, request, events->done, ctx);
    stream->events = *events;
    atomic_init(&stream->refs, 1);
    pthread_mutex_init(&stream->lock, NULL);
    set_tags(stream);
    pthread_mutex_lock(&stream->lock);
    open_sending(stream);
    open_receiving(stream);
    pthread_mutex_unlock(&stream->lock);
    return stream;
}
