#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/rpc_fixture.h"

enum { ARENA_LIMIT = 8 << 20 };

TestSuite(rpc_stream, .timeout = 60);

static struct arena arena;
static struct status st;
static struct rpc_fixture f;

static void start(const struct rpc_method *method, void *service)
{
    arena_init(&arena, ARENA_LIMIT);
    rpc_fixture_start(
        &f, &(struct rpc_fixture_setup){ .methods = method, .count = 1, .service = service });
}

static void stop(void)
{
    rpc_fixture_stop(&f);
    arena_deinit(&arena);
}

/* Server streaming. --------------------------------------------------------------------------- */

static void send_number(struct rpc_call *call, uint64_t number, size_t padding, rpc_sent done,
                        void *ctx)
{
    Sutra__V1__ListResponse reply = SUTRA__V1__LIST_RESPONSE__INIT;
    char text[32];

    reply.cursor.len = (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    if (padding > 0)
        reply.cursor.len = padding;
    reply.cursor.data = padding > 0 ? calloc(1, padding) : (uint8_t *)text;
    rpc_stream_send(call, &reply.base, done, ctx);
    if (padding > 0)
        free(reply.cursor.data);
}

/* Sends everything at once: the queue keeps the order. */
static void list_at_once(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    const Sutra__V1__ListRequest *request = (const void *)message;
    struct status ok = { 0 };

    (void)service;
    for (uint64_t i = 0; i < request->limit; i++)
        send_number(call, i, 0, NULL, NULL);
    rpc_finish(call, NULL, &ok);
}

/* Sends one after the other. */
struct lister {
    uint64_t next, limit;
    size_t padding;
    atomic_ulong sent;
    struct latch ended;
};

static void list_next(struct rpc_call *call, bool sent_ok, void *ctx)
{
    struct lister *lister = ctx;
    struct status end = { 0 };

    if (sent_ok && lister->next < lister->limit) {
        atomic_fetch_add(&lister->sent, 1);
        send_number(call, lister->next++, lister->padding, list_next, lister);
        return;
    }
    if (!sent_ok)
        status_set(&end, STATUS_CANCELLED, "broken");
    latch_up(&lister->ended);
    rpc_finish(call, NULL, &end);
}

static void list_stepwise(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    struct lister *lister = service;

    lister->limit = ((const Sutra__V1__ListRequest *)message)->limit;
    list_next(call, true, lister);
}

static struct rpc_sync_stream *open_list(uint64_t limit)
{
    Sutra__V1__ListRequest request = SUTRA__V1__LIST_REQUEST__INIT;

    request.limit = limit;
    return rpc_sync_stream_open(
        f.channel,
        &(struct rpc_request){ .service = CONCEPTS, .method = "List", .message = &request.base });
}

static const Sutra__V1__ListResponse *next_page(struct rpc_sync_stream *stream)
{
    ProtobufCMessage *message;

    rpc_sync_stream_recv(stream, &sutra__v1__list_response__descriptor, &arena, &message, &st);
    return (const Sutra__V1__ListResponse *)message;
}

static void expect_numbers(struct rpc_sync_stream *stream, uint64_t count)
{
    const Sutra__V1__ListResponse *page;
    char text[32];

    for (uint64_t i = 0; i < count; i++) {
        size_t length = (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)i);
        page = next_page(stream);
        cr_assert(page != NULL && page->cursor.len == length &&
                  memcmp(page->cursor.data, text, length) == 0);
    }
    cr_assert(eq(ptr, (void *)next_page(stream), NULL));
}

Test(rpc_stream, sends_in_order_and_ends)
{
    struct rpc_sync_stream *stream;

    start(
        &(struct rpc_method){ .name = "List", .kind = RPC_SERVER_STREAM, .handler = list_at_once },
        NULL);
    stream = open_list(500);
    expect_numbers(stream, 500);
    cr_assert(eq(int, st.code, STATUS_OK));
    rpc_sync_stream_close(stream);
    stream = open_list(0);
    expect_numbers(stream, 0);
    cr_assert(eq(int, st.code, STATUS_OK));
    rpc_sync_stream_close(stream);
    stop();
}

Test(rpc_stream, done_paces_the_sender)
{
    struct lister lister = { .ended = LATCH_INIT };
    struct rpc_sync_stream *stream;

    start(
        &(struct rpc_method){ .name = "List", .kind = RPC_SERVER_STREAM, .handler = list_stepwise },
        &lister);
    stream = open_list(100);
    expect_numbers(stream, 100);
    cr_assert(eq(int, st.code, STATUS_OK));
    rpc_sync_stream_close(stream);
    stop();
}

Test(rpc_stream, a_slow_reader_holds_the_sender_back)
{
    struct lister lister = { .padding = 100000, .ended = LATCH_INIT };
    struct rpc_sync_stream *stream;
    unsigned long sent;

    start(
        &(struct rpc_method){ .name = "List", .kind = RPC_SERVER_STREAM, .handler = list_stepwise },
        &lister);
    stream = open_list(1000); /* 100 MB, far beyond what flow control lets through */
    for (int i = 0; i < 3; i++)
        cr_assert(ne(ptr, (void *)next_page(stream), NULL));
    /* Whatever is in flight settles: a whole other call has to go through in between. */
    for (int i = 0; i < 50; i++)
        get_id(f.channel, "x", &arena, &(struct status){ 0 });
    sent = atomic_load(&lister.sent);
    cr_assert(lt(ulong, sent, 300));
    rpc_sync_stream_close(stream); /* cancels */
    latch_wait(&lister.ended, 1);
    stop();
}

/* Bidirectional. ------------------------------------------------------------------------------ */

/* Answers each message with the sum of items so far. */
struct importer {
    uint64_t settled;
    atomic_ulong pulled;
    struct latch gate; /* closed while count is 0, where wanted */
    bool gated;
    struct latch ended;
    struct status end;
    bool reply_bytes;
};

static void answer(struct rpc_call *call, struct importer *importer)
{
    Sutra__V1__ImportResponse reply = SUTRA__V1__IMPORT_RESPONSE__INIT;

    reply.settled_items = importer->settled;
    if (importer->reply_bytes)
        rpc_stream_send_bytes(call, rpc_bytes_pack(&reply.base), NULL, NULL);
    else
        rpc_stream_send(call, &reply.base, NULL, NULL);
}

static void import_message(struct rpc_call *call, struct rpc_message *message,
                           const struct status *why, void *ctx)
{
    struct importer *importer = ctx;

    if (message == NULL) {
        importer->end = *why;
        latch_up(&importer->ended);
        rpc_finish(call, NULL, why);
        return;
    }
    if (importer->gated)
        latch_wait(&importer->gate, 1);
    importer->settled += ((const Sutra__V1__ImportRequest *)message->body)->n_items;
    rpc_message_free(message);
    answer(call, importer);
    atomic_fetch_add(&importer->pulled, 1);
    rpc_stream_pull(call);
}

static void import(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    cr_assert(eq(ptr, (void *)message, NULL));
    rpc_stream_on_message(call, import_message, service);
    rpc_stream_pull(call);
}

static const struct rpc_method import_on_loop = { .name = "Import",
                                                  .kind = RPC_BIDI,
                                                  .handler = import };
static const struct rpc_method import_on_pool = {
    .name = "Import", .kind = RPC_BIDI, .run = RPC_ON_POOL, .handler = import
};

static struct rpc_sync_stream *open_import(void)
{
    return rpc_sync_stream_open(f.channel,
                                &(struct rpc_request){ .service = CONCEPTS, .method = "Import" });
}

static bool send_items(struct rpc_sync_stream *stream, size_t count, char *content)
{
    Sutra__V1__ImportRequest request = SUTRA__V1__IMPORT_REQUEST__INIT;
    Sutra__V1__ConceptInput item = SUTRA__V1__CONCEPT_INPUT__INIT;
    Sutra__V1__ConceptInput *items[] = { &item, &item, &item, &item };

    item.content = content;
    request.items = items;
    request.n_items = count;
    return rpc_sync_stream_send(stream, &request.base);
}

static const Sutra__V1__ImportResponse *next_answer(struct rpc_sync_stream *stream)
{
    ProtobufCMessage *message;

    rpc_sync_stream_recv(stream, &sutra__v1__import_response__descriptor, &arena, &message, &st);
    return (const Sutra__V1__ImportResponse *)message;
}

static void converse(const struct rpc_method *method, struct importer *importer)
{
    struct rpc_sync_stream *stream;

    start(method, importer);
    stream = open_import();
    for (uint64_t i = 1; i <= 50; i++) {
        cr_assert(send_items(stream, 3, (char *)"moon"));
        cr_assert(eq(u64, next_answer(stream)->settled_items, 3 * i));
    }
    rpc_sync_stream_half_close(stream);
    cr_assert(eq(ptr, (void *)next_answer(stream), NULL));
    cr_assert(eq(int, st.code, STATUS_OK));
    cr_assert(eq(int, importer->end.code, STATUS_OK), "%s", importer->end.message);
    rpc_sync_stream_close(stream);
    stop();
}

Test(rpc_stream, a_conversation_on_the_loop)
{
    converse(&import_on_loop, &(struct importer){ .ended = LATCH_INIT });
}

Test(rpc_stream, a_conversation_on_the_pool)
{
    converse(&import_on_pool, &(struct importer){ .ended = LATCH_INIT });
}

Test(rpc_stream, encoded_answers)
{
    converse(&import_on_loop, &(struct importer){ .ended = LATCH_INIT, .reply_bytes = true });
}

Test(rpc_stream, half_close_is_not_cancellation)
{
    struct importer importer = { .ended = LATCH_INIT };
    struct rpc_sync_stream *stream;

    start(&import_on_loop, &importer);
    stream = open_import();
    rpc_sync_stream_half_close(stream);
    latch_wait(&importer.ended, 1);
    cr_assert(eq(int, importer.end.code, STATUS_OK));
    rpc_sync_stream_close(stream);
    stop();
}

Test(rpc_stream, cancellation_is_not_half_close)
{
    struct importer importer = { .ended = LATCH_INIT };
    struct rpc_sync_stream *stream;

    start(&import_on_loop, &importer);
    for (int i = 0; i < 20; i++) {
        stream = open_import();
        cr_assert(send_items(stream, 1, (char *)"moon"));
        cr_assert(ne(ptr, (void *)next_answer(stream), NULL));
        rpc_sync_stream_close(stream);
        latch_wait(&importer.ended, i + 1);
        cr_assert(eq(int, importer.end.code, STATUS_CANCELLED));
    }
    stop();
}

Test(rpc_stream, an_undecodable_message_ends_it_with_the_reason)
{
    struct importer importer = { .ended = LATCH_INIT };
    struct rpc_sync_stream *stream;

    start(&import_on_loop, &importer);
    stream = open_import();
    cr_assert(send_items(stream, 2, (char *)"moon \xff"));
    cr_assert(eq(ptr, (void *)next_answer(stream), NULL));
    cr_assert(eq(int, st.code, STATUS_INVALID_ARGUMENT));
    cr_assert(eq(str, st.field, "items[0].content"));
    rpc_sync_stream_close(stream);
    stop();
}

struct window {
    struct latch sent;
    atomic_int failed;
};

static void note_sent(void *ctx, bool ok)
{
    struct window *window = ctx;

    if (!ok)
        atomic_fetch_add(&window->failed, 1);
    latch_up(&window->sent);
}

static void no_message(void *ctx, struct rpc_bytes *message)
{
    (void)ctx;
    rpc_bytes_free(message);
}

static void note_done(void *ctx, struct rpc_result *result)
{
    (void)result;
    latch_up(ctx);
}

/* One item with so much content. */
static struct rpc_bytes *import_of(size_t size)
{
    Sutra__V1__ImportRequest request = SUTRA__V1__IMPORT_REQUEST__INIT;
    Sutra__V1__ConceptInput item = SUTRA__V1__CONCEPT_INPUT__INIT;
    Sutra__V1__ConceptInput *items[] = { &item };
    struct rpc_bytes *bytes;

    item.content = calloc(1, size + 1);
    memset(item.content, 'x', size);
    request.items = items;
    request.n_items = 1;
    bytes = rpc_bytes_pack(&request.base);
    free(item.content);
    return bytes;
}

/* The receiver is stuck in its first message: a fast client cannot push more than the windows of
 * the transport hold. */
Test(rpc_stream, a_slow_handler_holds_the_client_back)
{
    enum { MESSAGES = 1000, BYTES = 100000 };
    struct importer importer = { .ended = LATCH_INIT, .gate = LATCH_INIT, .gated = true };
    struct window window = { .sent = LATCH_INIT };
    struct rpc_stream_events events = { no_message, note_done };
    struct latch done = LATCH_INIT;
    struct rpc_client_stream *stream;
    struct rpc_bytes *bytes;

    start(&import_on_pool, &importer);
    stream = rpc_client_stream_open(
        f.channel, &(struct rpc_request){ .service = CONCEPTS, .method = "Import" }, &events,
        &done);
    bytes = import_of(BYTES);
    for (int i = 0; i < MESSAGES; i++)
        rpc_client_stream_send(stream, rpc_bytes_share(bytes), note_sent, &window);
    rpc_bytes_free(bytes);
    for (int i = 0; i < 50; i++)
        get_id(f.channel, "x", &arena, &(struct status){ 0 });
    cr_assert(lt(int, latch_count(&window.sent), 300));
    cr_assert(eq(ulong, atomic_load(&importer.pulled), 0));
    rpc_client_stream_cancel(stream);
    latch_up(&importer.gate);
    latch_wait(&window.sent, MESSAGES); /* every send is answered for */
    latch_wait(&importer.ended, 1);
    latch_wait(&done, 1);
    cr_assert(gt(int, atomic_load(&window.failed), 0));
    rpc_client_stream_unref(stream);
    stop();
}

/* Several messages in work at once, answered by whoever is ready. ----------------------------- */

struct hoard {
    struct rpc_message *messages[3];
    int count;
    struct latch full;
    struct rpc_call *call;
};

static void hoard_message(struct rpc_call *call, struct rpc_message *message,
                          const struct status *why, void *ctx)
{
    struct hoard *hoard = ctx;

    if (message == NULL) {
        rpc_finish(call, NULL, why);
        return;
    }
    hoard->messages[hoard->count++] = message;
    hoard->call = call;
    if (hoard->count < 3)
        rpc_stream_pull(call);
    else
        latch_up(&hoard->full);
}

static void hoard_import(struct rpc_call *call, const ProtobufCMessage *message, void *service)
{
    (void)message;
    rpc_stream_on_message(call, hoard_message, service);
    rpc_stream_pull(call);
}

Test(rpc_stream, messages_outlive_their_successors)
{
    struct hoard hoard = { .full = LATCH_INIT };
    struct rpc_sync_stream *stream;
    char texts[3][8] = { "sun", "moon", "tide" };

    start(&(struct rpc_method){ .name = "Import", .kind = RPC_BIDI, .handler = hoard_import },
          &hoard);
    stream = open_import();
    for (int i = 0; i < 3; i++)
        cr_assert(send_items(stream, 1, texts[i]));
    latch_wait(&hoard.full, 1);
    for (int i = 0; i < 3; i++) {
        const Sutra__V1__ImportRequest *body = (const void *)hoard.messages[i]->body;
        cr_assert(eq(str, body->items[0]->content, texts[i]));
        rpc_message_free(hoard.messages[i]);
    }
    rpc_stream_pull(hoard.call); /* from a thread of our own */
    rpc_sync_stream_half_close(stream);
    cr_assert(eq(ptr, (void *)next_answer(stream), NULL));
    cr_assert(eq(int, st.code, STATUS_OK));
    rpc_sync_stream_close(stream);
    stop();
}

Test(rpc_stream, an_oversize_message_breaks_the_stream)
{
    struct importer importer = { .ended = LATCH_INIT };
    struct rpc_sync_stream *stream;
    char *content = calloc(1, 200001);

    memset(content, 'x', 200000);
    arena_init(&arena, ARENA_LIMIT);
    rpc_fixture_start(&f, &(struct rpc_fixture_setup){ .options = { .max_message_bytes = 100000 },
                                                       .methods = &import_on_loop,
                                                       .count = 1,
                                                       .service = &importer });
    stream = open_import();
    send_items(stream, 1, content);
    cr_assert(eq(ptr, (void *)next_answer(stream), NULL));
    cr_assert(eq(int, st.code, STATUS_RESOURCE_EXHAUSTED), "%d %s", st.code, st.message);
    cr_assert(ne(ptr, strstr(st.message, "100000"), NULL), "%s", st.message);
    latch_wait(&importer.ended, 1);
    cr_assert(ne(int, importer.end.code, STATUS_OK));
    rpc_sync_stream_close(stream);
    free(content);
    stop();
}
