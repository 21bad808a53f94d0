/*
 * The reader of requests that write, against protobuf-c: both take the same bytes and see the same
 * items, and what is passed on to a shard it can read, with what was added.
 */

#include <string.h>

#include "src/base/wire.h"
#include "src/cluster/write_wire.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_BYTES = 1 << 22 };

static const char new_id[] = "0123456789abcdef";

static bool same(struct text_view view, const char *expected)
{
    return view.length == strlen(expected) &&
           (view.length == 0 || memcmp(view.data, expected, view.length) == 0);
}

static void check_read(const Sutra__V1__ImportRequest *expected,
                       const struct write_request *request)
{
    fuzz_require(request->n == expected->n_items, "all items are read");
    for (size_t i = 0; i < request->n; i++)
        fuzz_require(same(request->items[i].id, expected->items[i]->id) &&
                         same(request->items[i].content, expected->items[i]->content) &&
                         request->items[i].has_embedding == (expected->items[i]->embedding != NULL),
                     "items are read in order");
    fuzz_require(request->durability == expected->durability &&
                     request->skip_embedding == expected->skip_embedding,
                 "options are read");
}

/* Gives every item what a cluster may have to add, and has a shard read it. */
static void check_passed_on(const Sutra__V1__ImportRequest *expected, struct write_request *request,
                            struct arena *arena)
{
    static const float row[LIMIT_DIMENSION] = { 1 };
    const Sutra__Internal__V1__WriteRequest *shard;
    ProtobufCMessage *message = NULL;
    struct rpc_bytes *bytes;
    struct status st = { 0 };
    struct buf to = { 0 };

    for (size_t i = 0; i < request->n; i++) {
        struct write_item *item = &request->items[i];
        if (item->id.length == 0)
            item->new_id = (struct text_view){ new_id, strlen(new_id) };
        item->new_row = item->has_embedding ? NULL : row;
        write_put_item(&to, item);
    }
    write_put_options(&to, SUTRA__INTERNAL__V1__WRITE_MODE__WRITE_MODE_PUT, request->durability);
    bytes = rpc_bytes_from_buf(&to);
    rpc_bytes_unpack(bytes, &sutra__internal__v1__write_request__descriptor, arena, &message, &st);
    fuzz_require(message != NULL, "a shard reads what a cluster passes on");
    shard = (const Sutra__Internal__V1__WriteRequest *)message;
    fuzz_require(shard->n_items == request->n &&
                     shard->mode == SUTRA__INTERNAL__V1__WRITE_MODE__WRITE_MODE_PUT &&
                     shard->durability == expected->durability,
                 "the shard sees all of it");
    for (size_t i = 0; i < request->n; i++) {
        const char *id = expected->items[i]->id;
        fuzz_require(strcmp(shard->items[i]->id, id[0] == '\0' ? new_id : id) == 0 &&
                         strcmp(shard->items[i]->content, expected->items[i]->content) == 0 &&
                         shard->items[i]->embedding != NULL &&
                         (request->items[i].has_embedding ||
                          shard->items[i]->embedding->f32le.len == sizeof row),
                     "the shard sees the same items, with what was added");
    }
    rpc_bytes_free(bytes);
}

int fuzz_write(const uint8_t *data, size_t size)
{
    const ProtobufCMessageDescriptor *type = &sutra__v1__import_request__descriptor;
    struct rpc_bytes *bytes = rpc_bytes_copy(data, size);
    const Sutra__V1__ImportRequest *expected;
    ProtobufCMessage *message = NULL;
    struct write_request request;
    struct status unpacked = { 0 };
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, ARENA_BYTES);
    rpc_bytes_unpack(bytes, type, &arena, &message, &unpacked);
    write_request_read(bytes, type, &arena, &request, &st);
    expected = (const Sutra__V1__ImportRequest *)message;
    if (expected != NULL && expected->n_items <= LIMIT_BATCH_ITEMS) {
        fuzz_require(st.code == STATUS_OK, "a good request is read");
        check_read(expected, &request);
        check_passed_on(expected, &request, &arena);
    } else {
        fuzz_require(st.code != STATUS_OK || unpacked.code == STATUS_RESOURCE_EXHAUSTED,
                     "what a shard could not read is refused");
    }
    arena_deinit(&arena);
    rpc_bytes_free(bytes);
    return 0;
}

bool fuzz_write_seed(size_t n, struct buf *ret)
{
    static const float row[4] = { 0.5f, -1, 2, 0 };
    struct buf embedding = { 0 };
    struct buf item = { 0 };

    wire_put_bytes(&embedding, 1 + n % 2, row, sizeof row);
    if (n > 0)
        wire_put_bytes(&item, 1, "tides", 5);
    wire_put_bytes(&item, 2, "the moon pulls", 14);
    if (n > 1)
        wire_put_bytes(&item, 3, embedding.data, embedding.size);
    for (size_t i = 0; i < n; i++)
        wire_put_bytes(ret, 1, item.data, item.size);
    wire_put_varint(ret, 2, n == 2);
    wire_put_varint(ret, 3, n == 3);
    buf_deinit(&embedding);
    buf_deinit(&item);
    return n <= 4;
}
