#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "src/rpc/bytes.h"
#include "src/rpc/details.h"
#include "sutra/v1/concept_service.pb-c.h"

TestSuite(rpc_bytes, .timeout = 60);

static struct arena arena;
static struct status st;

static void init(void)
{
    arena_init(&arena, 1 << 20);
}

static void deinit(void)
{
    arena_deinit(&arena);
}

static void expect(const struct rpc_bytes *bytes, const char *text)
{
    const uint8_t *data;
    size_t size;

    cr_assert(eq(int, rpc_bytes_view(bytes, &arena, &data, &size, &st), STATUS_OK));
    cr_assert(eq(sz, size, strlen(text)));
    cr_assert(eq(sz, rpc_bytes_size(bytes), strlen(text)));
    cr_assert(size == 0 || memcmp(data, text, size) == 0);
}

Test(rpc_bytes, from_every_source, .init = init, .fini = deinit)
{
    struct rpc_bytes *bytes[4];
    struct buf buf = { 0 };

    buf_printf(&buf, "from a buffer");
    bytes[0] = rpc_bytes_copy("copied", 6);
    bytes[1] = rpc_bytes_from_malloc(strdup("from malloc"), 11);
    bytes[2] = rpc_bytes_from_buf(&buf);
    bytes[3] = rpc_bytes_copy(NULL, 0);
    cr_assert(eq(ptr, buf.data, NULL));
    expect(bytes[0], "copied");
    expect(bytes[1], "from malloc");
    expect(bytes[2], "from a buffer");
    expect(bytes[3], "");
    for (int i = 0; i < 4; i++)
        rpc_bytes_free(bytes[i]);
    rpc_bytes_free(NULL);
}

Test(rpc_bytes, one_piece_is_viewed_without_a_copy, .init = init, .fini = deinit)
{
    char *text = strdup("a piece of text that is too long to be kept inside a slice");
    struct rpc_bytes *bytes = rpc_bytes_from_malloc(text, strlen(text));
    const uint8_t *data;
    size_t size;

    rpc_bytes_view(bytes, &arena, &data, &size, &st);
    cr_assert(eq(ptr, (void *)data, text));
    cr_assert(eq(sz, arena.used_bytes, 0));
    rpc_bytes_free(bytes);
}

Test(rpc_bytes, shares_and_joins_outlive_their_parts, .init = init, .fini = deinit)
{
    struct rpc_bytes *parts[3] = { rpc_bytes_copy("sun ", 4), rpc_bytes_copy(NULL, 0),
                                   rpc_bytes_copy("moon", 4) };
    struct rpc_bytes *whole = rpc_bytes_join(parts, 3);
    struct rpc_bytes *twice[2] = { whole, rpc_bytes_share(whole) };
    struct rpc_bytes *all = rpc_bytes_join(twice, 2);
    struct rpc_bytes *none = rpc_bytes_join(NULL, 0);

    for (int i = 0; i < 3; i++)
        rpc_bytes_free(parts[i]);
    expect(whole, "sun moon");
    rpc_bytes_free(whole);
    expect(twice[1], "sun moon");
    rpc_bytes_free(twice[1]);
    expect(all, "sun moonsun moon");
    expect(none, "");
    rpc_bytes_free(all);
    rpc_bytes_free(none);
}

Test(rpc_bytes, a_view_beyond_the_arena_is_exhausting)
{
    struct rpc_bytes *parts[2] = { rpc_bytes_from_malloc(calloc(1, 600), 600),
                                   rpc_bytes_from_malloc(calloc(1, 600), 600) };
    struct rpc_bytes *whole = rpc_bytes_join(parts, 2);
    const uint8_t *data;
    size_t size;

    arena_init(&arena, 1000);
    cr_assert(eq(int, rpc_bytes_view(whole, &arena, &data, &size, &st), STATUS_RESOURCE_EXHAUSTED));
    cr_assert(eq(str, st.reason, "LIMIT_EXCEEDED"));
    rpc_bytes_free(parts[0]);
    rpc_bytes_free(parts[1]);
    rpc_bytes_free(whole);
    arena_deinit(&arena);
}

Test(rpc_bytes, joined_messages_are_the_merged_message, .init = init, .fini = deinit)
{
    Sutra__V1__BatchGetRequest request = SUTRA__V1__BATCH_GET_REQUEST__INIT;
    char *ids[] = { (char *)"a", (char *)"b", (char *)"c" };
    struct rpc_bytes *parts[2];
    struct rpc_bytes *whole;
    ProtobufCMessage *message;

    request.ids = ids;
    request.n_ids = 3;
    parts[0] = parts[1] = rpc_bytes_pack(&request.base);
    whole = rpc_bytes_join(parts, 2);
    rpc_bytes_unpack(whole, &sutra__v1__batch_get_request__descriptor, &arena, &message, &st);
    cr_assert(eq(int, st.code, STATUS_OK));
    cr_assert(eq(sz, ((Sutra__V1__BatchGetRequest *)message)->n_ids, 6));
    rpc_bytes_free(parts[0]);
    rpc_bytes_free(whole);
}

/* Decoding. ----------------------------------------------------------------------------------- */

struct refused {
    const char *bytes;
    size_t size;
    const char *field; /* "" for bytes that are no message */
};

static enum status_code unpack(const char *data, size_t size, struct status *ret)
{
    struct rpc_bytes *bytes = rpc_bytes_copy(data, size);
    ProtobufCMessage *message;

    rpc_bytes_unpack(bytes, &sutra__v1__learn_batch_request__descriptor, &arena, &message, ret);
    rpc_bytes_free(bytes);
    return ret->code;
}

#define BYTES(s) s, sizeof s - 1

Test(rpc_bytes, refuses_text_that_protobuf_c_would_let_pass, .init = init, .fini = deinit)
{
    /* LearnBatchRequest { items = 1 { id = 1, content = 2, attributes = 8 { key 1, value 2 } } } */
    static const struct refused cases[] = {
        { BYTES("\x0a\x04\x0a\x02\xc3\x28"), "items[0].id" },
        { BYTES("\x0a\x03\x0a\x01x\x0a\x04\x12\x02\xff\xff"), "items[1].content" },
        { BYTES("\x0a\x05\x12\x03"
                "a\0b"),
          "items[0].content" },
        { BYTES("\x0a\x05\x12\x03\xed\xa0\x80"), "items[0].content" }, /* a surrogate */
        { BYTES("\x0a\x08\x42\x00\x42\x04\x12\x02\xc0\x80"),
          "items[0].attributes[1].value" }, /* overlong */
        { BYTES("\x0a"), "" },
        { BYTES("\x0a\x05"), "" },
        { BYTES("\x0a\x02\x0a\x05"), "" },
        { BYTES("\x00\x00"), "" },
        { BYTES("\x0b"), "" },                                             /* a group */
        { BYTES("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "" }, /* 11 bytes */
        { BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "" },
        { BYTES("\x15\x01\x02"), "" },
        { BYTES("\x11\x01\x02"), "" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct status refused = { 0 };
        cr_assert(eq(int, unpack(cases[i].bytes, cases[i].size, &refused), STATUS_INVALID_ARGUMENT),
                  "case %zu", i);
        cr_assert(eq(str, refused.field, (char *)cases[i].field), "case %zu", i);
    }
}

Test(rpc_bytes, accepts_what_is_right_and_skips_what_it_does_not_know, .init = init, .fini = deinit)
{
    cr_assert(eq(int, unpack(BYTES(""), &st), STATUS_OK));
    cr_assert(eq(int, unpack(BYTES("\x0a\x06\x0a\x04\xf0\x9f\x8c\x95"), &st), STATUS_OK));
    /* field 100: bytes that are not UTF-8, a varint, fixed32, fixed64 */
    cr_assert(eq(int,
                 unpack(BYTES("\xa2\x06\x01\xff\xa0\x06\x05\xa5\x06wxyz\xa1\x06"
                              "stuvwxyz"),
                        &st),
                 STATUS_OK));
}

/* Every cut and every flipped bit of a real message is decoded or refused, never worse. */
Test(rpc_bytes, survives_damage, .init = init, .fini = deinit)
{
    static const char whole[] = "\x0a\x1c\x0a\x04moon\x12\x05round\x42\x06\x0a\x01k\x12\x01v"
                                "\x25\x00\x00\x80\x3f\x48\x07\x10\x01";
    const size_t size = sizeof whole - 1;

    cr_assert(eq(int, unpack(whole, size, &st), STATUS_OK), "%s", st.message);
    for (size_t cut = 0; cut < size; cut++)
        unpack(whole, cut, &(struct status){ 0 });
    for (size_t bit = 0; bit < size * 8; bit++) {
        char damaged[sizeof whole];
        memcpy(damaged, whole, sizeof whole);
        damaged[bit / 8] = (char)(damaged[bit / 8] ^ (1 << bit % 8));
        unpack(damaged, size, &(struct status){ 0 });
        arena_reset(&arena);
    }
}

/* Status messages. ---------------------------------------------------------------------------- */

static void round_trip(const struct status *from, struct status *to)
{
    Google__Rpc__Status *message = rpc_status_to_message(from, NULL, 0, &arena);
    struct rpc_bytes *bytes = rpc_bytes_pack(&message->base);
    ProtobufCMessage *back;
    struct status unpacked = { 0 };

    rpc_bytes_unpack(bytes, &google__rpc__status__descriptor, &arena, &back, &unpacked);
    cr_assert(eq(int, unpacked.code, STATUS_OK));
    rpc_status_from_message((Google__Rpc__Status *)back, to);
    rpc_bytes_free(bytes);
}

Test(rpc_bytes, a_status_survives_its_message, .init = init, .fini = deinit)
{
    struct status from = { 0 }, to = { 0 };

    round_trip(&from, &to);
    cr_assert(eq(int, to.code, STATUS_OK));
    status_set_field(&from, "items[3].id", "wrong: %d", 7);
    strcpy(from.reason, "LIMIT_EXCEEDED");
    round_trip(&from, &to);
    cr_assert(eq(int, to.code, STATUS_INVALID_ARGUMENT));
    cr_assert(eq(str, to.message, "wrong: 7"));
    cr_assert(eq(str, to.field, "items[3].id"));
    cr_assert(eq(str, to.reason, "LIMIT_EXCEEDED"));
}

Test(rpc_bytes, a_foreign_code_is_unknown, .init = init, .fini = deinit)
{
    Google__Rpc__Status message = GOOGLE__RPC__STATUS__INIT;

    message.code = 99;
    rpc_status_from_message(&message, &st);
    cr_assert(eq(int, st.code, STATUS_UNKNOWN));
}

Test(rpc_bytes, a_status_beyond_the_arena_has_no_message)
{
    struct status from = { 0 };

    status_set_reason(&from, STATUS_ABORTED, "X", "y");
    for (size_t limit = 0; limit < 400; limit += 7) {
        arena_init(&arena, limit);
        rpc_status_to_message(&from, NULL, 0, &arena);
        arena_deinit(&arena);
    }
    arena_init(&arena, 10);
    cr_assert(eq(ptr, rpc_status_to_message(&from, NULL, 0, &arena), NULL));
    arena_deinit(&arena);
}
