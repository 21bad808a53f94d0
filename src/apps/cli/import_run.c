#include "src/apps/cli/import_run.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "src/base/clock.h"

enum {
    ARENA_BYTES = 64 * 1024 * 1024,
    TICK_MS = 100,
    FIRST_BACKOFF_MS = 200,
    MAX_BACKOFF_MS = 3000,
};

/* A request and, once it is there, its response. */
struct slot {
    struct arena request_arena;
    Sutra__V1__ImportRequest request;
    struct arena response_arena;
    Sutra__V1__ImportResponse *response;
};

/*
 * Requests are numbered from 0 and live in slots[number mod window]:
 *
 *   settled ≤ received ≤ sent ≤ filled ≤ settled + window
 *
 * The receiving thread writes `received`, the response of that slot, `ended` and stream_status, the
 * sending thread changes `sent`, `settled` and `half_closed`, all under the lock; everything else
 * is the sending thread's alone. The receiving thread asks the stream for a response only when a
 * request waits for one, or for the end when nothing more will be sent; so it never writes to a
 * slot that is being read.
 */
struct importer {
    struct client *client;
    struct import_feed *feed;
    const struct import_settings *settings;
    const struct import_events *events;
    struct import_report *report;

    struct slot slots[IMPORT_MAX_WINDOW];
    uint64_t filled;
    uint64_t sent;
    uint64_t received;
    uint64_t settled;
    bool source_done;            /* nothing more will be filled */
    struct status source_status; /* why, if not because it is at its end */

    struct client_import *stream;
    pthread_t receiver;
    bool receiving;   /* the thread runs */
    bool half_closed; /* everything was sent and the server knows it */
    bool ended;       /* the stream has; stream_status says how */
    struct status stream_status;

    int64_t broken_us; /* since when nothing was settled after a break; 0: all is well */
    long backoff_ms;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* for the sender: received, ended */
    pthread_cond_t asked;   /* for the receiver: sent, half_closed */
};

static struct slot *slot_of(struct importer *im, uint64_t number)
{
    return &im->slots[number % im->settings->window];
}

/* Receiving ----------------------------------------------------------------------------------- */

static void end_stream(struct importer *im, const struct status *st)
{
    pthread_mutex_lock(&im->lock);
    im->stream_status = *st;
    im->ended = true;
    pthread_cond_signal(&im->changed);
    pthread_mutex_unlock(&im->lock);
}

/* Waits until there is something to receive. True: the response to request @number; false: the end.
 */
static bool wait_until_asked(struct importer *im, uint64_t number)
{
    bool response;

    pthread_mutex_lock(&im->lock);
    while (number == im->sent && !im->half_closed)
        pthread_cond_wait(&im->asked, &im->lock);
    response = number < im->sent;
    pthread_mutex_unlock(&im->lock);
    return response;
}

static void book(struct importer *im, struct slot *slot, Sutra__V1__ImportResponse *response)
{
    pthread_mutex_lock(&im->lock);
    slot->response = response;
    im->received++;
    pthread_cond_signal(&im->changed);
    pthread_mutex_unlock(&im->lock);
}

/* False when the stream is at its end, one way or the other. */
static bool receive_response(struct importer *im, struct slot *slot, struct status *st)
{
    Sutra__V1__ImportResponse *response = NULL;

    if (client_import_receive(im->stream, &slot->response_arena, &response, st) != STATUS_OK ||
        response == NULL)
        return false;
    if (response->n_results != slot->request.n_items) {
        status_set(st, STATUS_INTERNAL, "the server answered %zu items of %zu", response->n_results,
                   slot->request.n_items);
        return false;
    }
    book(im, slot, response);
    return true;
}

static void receive_end(struct importer *im, struct status *st)
{
    Sutra__V1__ImportResponse *response = NULL;
    struct arena arena;

    arena_init(&arena, ARENA_BYTES);
    if (client_import_receive(im->stream, &arena, &response, st) == STATUS_OK && response != NULL)
        status_set(st, STATUS_INTERNAL, "the server answered something that was not asked");
    arena_deinit(&arena);
}

static void *receive(void *context)
{
    struct importer *im = context;
    struct status st = { 0 };
    uint64_t number = im->settled;
    bool more = true;

    while (more && wait_until_asked(im, number))
        more = receive_response(im, slot_of(im, number++), &st);
    if (more)
        receive_end(im, &st);
    end_stream(im, &st);
    return NULL;
}

/* The stream ---------------------------------------------------------------------------------- */

static enum status_code open_stream(struct importer *im, struct status *st)
{
    im->sent = im->received = im->settled;
    im->half_closed = im->ended = false;
    im->stream_status = (struct status){ 0 };
    for (uint64_t i = 0; i < im->settings->window; i++)
        arena_reset(&im->slots[i].response_arena);
    if (client_import_open(im->client, &im->stream, st) != STATUS_OK)
        return st->code;
    if (pthread_create(&im->receiver, NULL, receive, im) != 0)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no thread to receive with");
    im->receiving = true;
    return STATUS_OK;
}

/* Only for a stream whose receiver has ended or never began. */
static void close_stream(struct importer *im)
{
    if (im->receiving)
        pthread_join(im->receiver, NULL);
    im->receiving = false;
    client_import_close(im->stream);
    im->stream = NULL;
}

/* Waits for the receiver's news, at most one tick. */
static void wait_for_change(struct importer *im)
{
    int64_t until_us = clock_wall_us() + TICK_MS * 1000;
    struct timespec until = { .tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000 };

    pthread_mutex_lock(&im->lock);
    if (im->received == im->settled && !im->ended)
        pthread_cond_timedwait(&im->changed, &im->lock, &until);
    pthread_mutex_unlock(&im->lock);
}

/* Sending ------------------------------------------------------------------------------------- */

static enum status_code check_size(const struct importer *im, size_t bytes, struct status *st)
{
    if (bytes <= im->settings->max_item_bytes)
        return STATUS_OK;
    return status_set(st, STATUS_INVALID_ARGUMENT,
                      "item %" PRIu64 " takes %zu bytes, more than the %zu that fit a message",
                      im->feed->position, bytes, im->settings->max_item_bytes);
}

/* Adds items until the request is full or the feed is at its end. An item that cannot be sent ends
 * the feed; the items before it are. */
static void add_items(struct importer *im, struct slot *slot, struct status *st)
{
    size_t bytes = 0;

    while (slot->request.n_items < im->settings->batch && bytes < im->settings->request_bytes) {
        Sutra__V1__ConceptInput *item = NULL;
        size_t size;
        if (import_feed_next(im->feed, &slot->request_arena, &item, st) != STATUS_OK)
            return;
        if (item == NULL) {
            im->source_done = true;
            return;
        }
        size = protobuf_c_message_get_packed_size(&item->base);
        if (check_size(im, size, st) != STATUS_OK)
            return;
        bytes += size;
        slot->request.items[slot->request.n_items++] = item;
    }
}

static void fill_slot(struct importer *im)
{
    struct slot *slot = slot_of(im, im->filled);

    arena_reset(&slot->request_arena);
    sutra__v1__import_request__init(&slot->request);
    slot->request.durability = im->settings->durability;
    slot->request.skip_embedding = im->settings->skip_embedding;
    slot->request.items =
        arena_calloc(&slot->request_arena, im->settings->batch, sizeof *slot->request.items);
    if (slot->request.items == NULL)
        status_set(&im->source_status, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    else
        add_items(im, slot, &im->source_status);
    im->report->source_failed = im->source_status.code != STATUS_OK;
    im->source_done = im->source_done || im->report->source_failed;
    im->filled += slot->request.n_items > 0;
}

/* A stream that breaks here tells the receiver why. */
static void send_slot(struct importer *im)
{
    struct slot *slot = slot_of(im, im->sent);

    pthread_mutex_lock(&im->lock);
    im->sent++;
    pthread_cond_signal(&im->asked);
    pthread_mutex_unlock(&im->lock);
    client_import_send(im->stream, &slot->request);
}

static void half_close(struct importer *im)
{
    client_import_send_done(im->stream);
    pthread_mutex_lock(&im->lock);
    im->half_closed = true;
    pthread_cond_signal(&im->asked);
    pthread_mutex_unlock(&im->lock);
}

/* Settling ------------------------------------------------------------------------------------ */

static void count_result(struct importer *im, const Sutra__V1__ConceptInput *item,
                         const Sutra__V1__WriteResult *result)
{
    im->report->settled++;
    if (result->status != NULL && result->status->code != 0) {
        im->report->refused++;
        im->events->refused(im->events->context, im->report->settled, result);
        return;
    }
    im->report->created += result->created != 0;
    im->report->updated += result->created == 0;
    im->report->associations += item->n_associations;
}

static void settle_slot(struct importer *im)
{
    struct slot *slot = slot_of(im, im->settled);

    for (size_t i = 0; i < slot->response->n_results; i++)
        count_result(im, slot->request.items[i], slot->response->results[i]);
    slot->response = NULL;
    arena_reset(&slot->response_arena);
    pthread_mutex_lock(&im->lock);
    im->settled++;
    pthread_mutex_unlock(&im->lock);
    im->broken_us = 0;
    im->backoff_ms = FIRST_BACKOFF_MS;
    im->events->settled(im->events->context, im->report);
}

/* The loop ------------------------------------------------------------------------------------ */

static void stop_if_asked(struct importer *im)
{
    im->source_done = im->source_done || im->events->stop(im->events->context);
}

static bool all_settled(const struct importer *im)
{
    return im->source_done && im->settled == im->filled;
}

static bool may_retry(struct importer *im)
{
    int64_t now_us = clock_monotonic_us();

    if (im->broken_us == 0)
        im->broken_us = now_us;
    return im->stream_status.code == STATUS_UNAVAILABLE &&
           (double)(now_us - im->broken_us) / 1e6 < im->settings->retry_seconds &&
           !im->events->stop(im->events->context);
}

static void back_off(struct importer *im)
{
    struct timespec tick = { .tv_nsec = TICK_MS * 1000000L };

    for (long waited = 0; waited < im->backoff_ms; waited += TICK_MS) {
        nanosleep(&tick, NULL);
        im->events->tick(im->events->context, im->report);
        if (im->events->stop(im->events->context))
            break;
    }
    im->backoff_ms = im->backoff_ms * 2 < MAX_BACKOFF_MS ? im->backoff_ms * 2 : MAX_BACKOFF_MS;
}

/* The stream has ended and its last response is settled. True: all is done; or a new stream is open
 * and the loop goes on unless @st says otherwise. */
static bool finish_or_reconnect(struct importer *im, struct status *st)
{
    close_stream(im);
    if (im->stream_status.code == STATUS_OK && all_settled(im))
        return true;
    if (im->stream_status.code == STATUS_OK)
        status_set(&im->stream_status, STATUS_UNAVAILABLE, "the server ended the import early");
    if (!may_retry(im)) {
        *st = im->stream_status;
        return false;
    }
    back_off(im);
    im->report->reconnects++;
    open_stream(im, st);
    return false;
}

struct news {
    bool response;
    bool ended;
};

static struct news look(struct importer *im)
{
    struct news news;

    pthread_mutex_lock(&im->lock);
    news.response = im->received > im->settled;
    news.ended = im->ended;
    pthread_mutex_unlock(&im->lock);
    return news;
}

/* Does the most urgent thing. True when there is nothing left to do. */
static bool step(struct importer *im, struct status *st)
{
    struct news news = look(im);

    if (news.response)
        settle_slot(im);
    else if (news.ended)
        return finish_or_reconnect(im, st);
    else if (im->sent < im->filled)
        send_slot(im);
    else if (!im->source_done && im->filled < im->settled + im->settings->window)
        fill_slot(im);
    else if (im->source_done && !im->half_closed)
        half_close(im);
    else
        wait_for_change(im);
    return false;
}

static void run(struct importer *im, struct status *st)
{
    bool done = false;

    if (open_stream(im, st) == STATUS_OK)
        while (!done && st->code == STATUS_OK) {
            stop_if_asked(im);
            done = step(im, st);
            im->events->tick(im->events->context, im->report);
        }
    if (st->code == STATUS_OK)
        *st = im->source_status;
}

static void importer_free(struct importer *im)
{
    close_stream(im);
    for (uint64_t i = 0; i < im->settings->window; i++) {
        arena_deinit(&im->slots[i].request_arena);
        arena_deinit(&im->slots[i].response_arena);
    }
    pthread_cond_destroy(&im->asked);
    pthread_cond_destroy(&im->changed);
    pthread_mutex_destroy(&im->lock);
    free(im);
}

enum status_code import_run(struct client *client, struct import_feed *feed,
                            const struct import_settings *settings,
                            const struct import_events *events, struct import_report *report,
                            struct status *st)
{
    struct importer *im = calloc(1, sizeof *im);

    assert(settings->window >= 1 && settings->window <= IMPORT_MAX_WINDOW && settings->batch >= 1);
    if (im == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    im->client = client;
    im->feed = feed;
    im->settings = settings;
    im->events = events;
    im->report = report;
    im->backoff_ms = FIRST_BACKOFF_MS;
    pthread_mutex_init(&im->lock, NULL);
    pthread_cond_init(&im->changed, NULL);
    pthread_cond_init(&im->asked, NULL);
    for (uint64_t i = 0; i < settings->window; i++) {
        arena_init(&im->slots[i].request_arena, ARENA_BYTES);
        arena_init(&im->slots[i].response_arena, ARENA_BYTES);
    }
    run(im, st);
    importer_free(im);
    return st->code;
}
