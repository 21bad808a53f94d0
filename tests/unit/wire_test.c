#include "src/base/wire.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "src/rpc/bytes.h"
#include "sutra/internal/v1/shard_service.pb-c.h"
#include "sutra/v1/concept_service.pb-c.h"

static const uint64_t SEED = 0x5EED;

static uint64_t state;

static uint64_t random_u64(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Numbers of every width, 0 among them. */
static uint64_t random_number(void)
{
    unsigned width = random_u64() % 65;
    return width == 0 ? 0 : random_u64() >> (64 - width);
}

/* In memory of exactly its size, so that the address sanitizer sees the first byte too many. */
static uint8_t *exact(const void *data, size_t size)
{
    uint8_t *copy = malloc(size);

    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

struct walk {
    size_t fields;
    bool whole;
};

/* Reads all fields, and every byte that a field names. */
static struct walk walk(const void *data, size_t size)
{
    uint8_t *copy = exact(data, size);
    struct wire_reader reader = { .at = copy, .end = copy + size };
    struct wire_field field;
    struct walk walk = { 0 };
    volatile uint8_t sum = 0;

    for (const uint8_t *before = copy; wire_next(&reader, &field); before = reader.at) {
        cr_assert(reader.at > before && reader.at <= reader.end);
        for (size_t i = 0; i < field.size; i++)
            sum = (uint8_t)(sum + field.data[i]);
        walk.fields++;
    }
    walk.whole = reader.at == reader.end;
    free(copy);
    return walk;
}

/* ---- Varints ---- */

static size_t varint_size(uint64_t value)
{
    size_t size = 1;

    while (value >>= 7)
        size++;
    return size;
}

Test(wire, varints_of_every_width_come_back)
{
    state = SEED;
    for (int i = 0; i < 20000; i++) {
        uint64_t value = i < 64 ? UINT64_C(1) << i : random_number();
        uint64_t back = ~value;
        struct buf buf = { 0 };
        wire_append_varint(&buf, value);
        cr_assert_eq(buf.size, varint_size(value), "seed %#lx", SEED);
        uint8_t *bytes = exact(buf.data, buf.size);
        const uint8_t *at = bytes;
        cr_assert(wire_varint(&at, bytes + buf.size, &back));
        cr_assert_eq(back, value, "seed %#lx", SEED);
        cr_assert_eq(at, bytes + buf.size);
        free(bytes);
        buf_deinit(&buf);
    }
}

Test(wire, a_varint_that_is_cut_off_is_none)
{
    static const uint8_t most[10] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 1 };

    for (size_t size = 0; size < sizeof most; size++) {
        uint8_t *bytes = exact(most, size);
        const uint8_t *at = bytes;
        uint64_t value = 7;
        cr_expect_not(wire_varint(&at, bytes + size, &value), "%zu bytes", size);
        cr_expect_eq(value, 7);
        cr_expect(at <= bytes + size);
        free(bytes);
    }
}

Test(wire, a_varint_has_at_most_ten_bytes)
{
    static const uint8_t most[10] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 1 };
    static const uint8_t eleven[11] = { 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 0 };
    static const uint8_t padded[10] = { 0x85, 128, 128, 128, 128, 128, 128, 128, 128, 0 };
    const uint8_t *at = most;
    uint64_t value = 0;

    cr_assert(wire_varint(&at, most + sizeof most, &value));
    cr_expect_eq(value, UINT64_MAX);
    at = padded;
    cr_assert(wire_varint(&at, padded + sizeof padded, &value));
    cr_expect_eq(value, 5);
    at = eleven;
    cr_expect_not(wire_varint(&at, eleven + sizeof eleven, &value));
}

/* ---- Against protobuf-c ---- */

Test(wire, protobuf_c_reads_what_it_writes)
{
    state = SEED;
    for (int i = 0; i < 1000; i++) {
        char id[200] = { 0 };
        struct buf buf = { 0 };
        uint64_t version = random_number();
        memset(id, 'a' + i % 26, random_u64() % sizeof id);
        wire_put_bytes(&buf, 1, id, strlen(id));
        wire_put_varint(&buf, 2, version);
        wire_put_varint(&buf, 3, SUTRA__V1__DURABILITY__DURABILITY_BUFFERED);
        Sutra__V1__DeleteRequest *read =
            sutra__v1__delete_request__unpack(NULL, buf.size, buf.data);
        cr_assert_not_null(read);
        cr_assert_str_eq(read->id, id);
        cr_assert_eq(read->if_version, version, "seed %#lx", SEED);
        cr_assert_eq(read->durability, SUTRA__V1__DURABILITY__DURABILITY_BUFFERED);
        sutra__v1__delete_request__free_unpacked(read, NULL);
        buf_deinit(&buf);
    }
}

Test(wire, the_size_of_a_field_is_known_before_it_is_written)
{
    static const uint8_t data[1 << 15];
    static const uint32_t numbers[] = { 1, 15, 16, (1u << 29) - 1 };
    static const size_t sizes[] = { 0, 1, 127, 128, 16383, 16384, sizeof data };

    for (size_t i = 0; i < 28; i++) {
        struct buf buf = { 0 };
        wire_put_bytes(&buf, numbers[i / 7], data, sizes[i % 7]);
        cr_expect_eq(wire_bytes_size(numbers[i / 7], sizes[i % 7]), buf.size);
        buf_deinit(&buf);
    }
}

Test(wire, a_header_and_the_bytes_behind_it_are_a_field)
{
    struct buf whole = { 0 };
    struct buf parts = { 0 };

    wire_put_bytes(&whole, 300, "tides", 5);
    wire_put_header(&parts, 300, 5);
    buf_append(&parts, "tides", 5);
    cr_assert_eq(parts.size, whole.size);
    cr_expect_arr_eq(parts.data, whole.data, whole.size);
    buf_deinit(&whole);
    buf_deinit(&parts);
}

/* Field numbers, wire types and values of @concept in the order of their numbers. */
static void expect_concept(const Sutra__V1__Concept *concept, struct wire_reader reader)
{
    struct wire_field field;
    float strength;

    cr_assert(wire_next(&reader, &field));
    cr_expect(field.number_in_message == 1 && field.wire_type == WIRE_BYTES);
    cr_expect_eq(field.size, strlen(concept->id));
    cr_expect_eq(memcmp(field.data, concept->id, field.size), 0);

    cr_assert(wire_next(&reader, &field));
    cr_expect(field.number_in_message == 3 && field.wire_type == WIRE_FIXED32);
    cr_assert_eq(field.size, sizeof strength);
    memcpy(&strength, field.data, sizeof strength);
    cr_expect_eq(strength, concept->strength);

    cr_assert(wire_next(&reader, &field));
    cr_expect(field.number_in_message == 5 && field.wire_type == WIRE_VARINT);
    cr_expect_eq(field.number, concept->access_count);

    cr_assert(wire_next(&reader, &field));
    cr_expect(field.number_in_message == 6 && field.wire_type == WIRE_VARINT);
    cr_expect_eq((int64_t)field.number, concept->created_us);

    cr_assert(wire_next(&reader, &field));
    cr_expect(field.number_in_message == 15 && field.wire_type == WIRE_BYTES);
    cr_expect_not(wire_next(&reader, &field));
    cr_expect_eq(reader.at, reader.end);
}

Test(wire, reads_what_protobuf_c_wrote)
{
    Sutra__V1__Concept concept = SUTRA__V1__CONCEPT__INIT;
    Sutra__V1__Embedding embedding = SUTRA__V1__EMBEDDING__INIT;
    char id[] = "the moon";
    uint8_t bytes[256];
    size_t size;

    concept.id = id;
    concept.strength = 2.5f;
    concept.access_count = UINT64_MAX;
    concept.created_us = -5;
    concept.embedding = &embedding;
    size = sutra__v1__concept__pack(&concept, bytes);
    uint8_t *copy = exact(bytes, size);
    expect_concept(&concept, (struct wire_reader){ .at = copy, .end = copy + size });
    free(copy);
}

Test(wire, reads_fields_of_eight_bytes)
{
    Sutra__Internal__V1__SampleRequest request = SUTRA__INTERNAL__V1__SAMPLE_REQUEST__INIT;
    struct wire_field field;
    uint8_t bytes[16];
    uint64_t hash;
    size_t size;

    request.max_hash = 0x0123456789ABCDEFu;
    size = sutra__internal__v1__sample_request__pack(&request, bytes);
    struct wire_reader reader = { .at = bytes, .end = bytes + size };
    cr_assert(wire_next(&reader, &field));
    cr_assert(field.wire_type == WIRE_FIXED64 && field.size == sizeof hash);
    memcpy(&hash, field.data, sizeof hash);
    cr_expect_eq(hash, request.max_hash);
}

/* ---- Hostile bytes ---- */

static struct buf two_fields(void)
{
    struct buf buf = { 0 };

    wire_put_bytes(&buf, 1, "abc", 3);
    wire_put_varint(&buf, 2, 300);
    return buf;
}

Test(wire, a_cut_message_is_whole_only_between_fields)
{
    struct buf buf = two_fields(); /* 5 bytes, 3 bytes */

    for (size_t size = 0; size <= buf.size; size++) {
        struct walk got = walk(buf.data, size);
        cr_expect_eq(got.fields, (size >= 5) + (size >= 8), "%zu bytes", size);
        cr_expect_eq(got.whole, size == 0 || size == 5 || size == 8, "%zu bytes", size);
    }
    buf_deinit(&buf);
}

#define BYTES(...)                                                                                 \
    (const uint8_t[]){ __VA_ARGS__ }, sizeof(const uint8_t[])                                      \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static const struct {
    const char *what;
    const uint8_t *bytes;
    size_t size;
} malformed[] = {
    { "tag 0", BYTES(0x00, 0x00) },
    { "field 0 of bytes", BYTES(0x02, 0x00) },
    { "the start of a group", BYTES(0x0B) },
    { "the end of a group", BYTES(0x0C) },
    { "a whole group", BYTES(0x0B, 0x0C) },
    { "wire type 6", BYTES(0x0E, 0x00) },
    { "wire type 7", BYTES(0x0F, 0x00) },
    { "a tag without a value", BYTES(0x08) },
    { "a tag that does not end", BYTES(0x88) },
    { "a tag of 33 bits", BYTES(0x88, 0x80, 0x80, 0x80, 0x10, 0x00) },
    { "a tag of 64 bits", BYTES(0xF8, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0) },
    { "a length one too big", BYTES(0x0A, 0x02, 'a') },
    { "a length of 2^32", BYTES(0x0A, 0x80, 0x80, 0x80, 0x80, 0x10, 'a') },
    { "a length of 2^64 - 1", BYTES(0x0A, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 'a') },
    { "a length without an end", BYTES(0x0A, 0x80) },
    { "three bytes of a fixed32", BYTES(0x0D, 1, 2, 3) },
    { "seven bytes of a fixed64", BYTES(0x09, 1, 2, 3, 4, 5, 6, 7) },
};

Test(wire, malformed_fields_are_refused_and_nothing_moves)
{
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        uint8_t *copy = exact(malformed[i].bytes, malformed[i].size);
        struct wire_reader reader = { .at = copy, .end = copy + malformed[i].size };
        struct wire_field field = { .number = 7 };
        cr_expect_not(wire_next(&reader, &field), "%s", malformed[i].what);
        cr_expect_eq(reader.at, copy, "%s", malformed[i].what);
        cr_expect_eq(field.number, 7, "%s", malformed[i].what);
        free(copy);
    }
}

Test(wire, the_greatest_tag_is_a_field)
{
    static const uint8_t bytes[] = { 0xF8, 0xFF, 0xFF, 0xFF, 0x0F, 0x01 };
    struct wire_reader reader = { .at = bytes, .end = bytes + sizeof bytes };
    struct wire_field field;

    cr_assert(wire_next(&reader, &field));
    cr_expect_eq(field.number_in_message, (1u << 29) - 1);
    cr_expect_eq(field.number, 1);
}

Test(wire, random_bytes_are_never_read_beyond_their_end)
{
    uint8_t bytes[40];

    state = SEED;
    for (int i = 0; i < 200000; i++) {
        size_t size = random_u64() % (sizeof bytes + 1);
        for (size_t j = 0; j < size; j++)
            bytes[j] = (uint8_t)(random_u64() >> (random_u64() % 8 + 52));
        walk(bytes, size);
    }
}

/* What the server lets in must also be readable where it is passed on. */
Test(wire, every_message_that_is_let_in_can_be_read)
{
    const ProtobufCMessageDescriptor *type = &sutra__internal__v1__apply_edges_response__descriptor;
    uint8_t bytes[12];
    int let_in = 0;

    state = SEED;
    for (int i = 0; i < 50000; i++) {
        struct arena arena;
        ProtobufCMessage *message;
        struct status st = { 0 };
        size_t size = random_u64() % (sizeof bytes + 1);
        for (size_t j = 0; j < size; j++)
            bytes[j] = (uint8_t)(random_u64() >> (random_u64() % 8 + 52));
        struct rpc_bytes *packed = rpc_bytes_copy(bytes, size);
        arena_init(&arena, 1 << 20);
        bool ok = rpc_bytes_unpack(packed, type, &arena, &message, &st) == STATUS_OK;
        cr_assert(!ok || walk(bytes, size).whole, "seed %#lx, case %d", SEED, i);
        let_in += ok;
        arena_deinit(&arena);
        rpc_bytes_free(packed);
    }
    cr_expect_gt(let_in, 1000, "the question was asked often enough");
}

/* ---- wire_find ---- */

static bool finds(const struct buf *buf, uint32_t number, const char *expected)
{
    const uint8_t *data = NULL;
    size_t size = 99;

    return wire_find(buf->data, buf->size, number, &data, &size) && size == strlen(expected) &&
           (size == 0 || memcmp(data, expected, size) == 0);
}

Test(wire, the_last_of_a_field_is_found)
{
    struct buf buf = { 0 };

    wire_put_bytes(&buf, 1, "first", 5);
    wire_put_bytes(&buf, 2, "other", 5);
    wire_put_bytes(&buf, 1, "last", 4);
    cr_expect(finds(&buf, 1, "last"));
    cr_expect(finds(&buf, 2, "other"));
    buf_deinit(&buf);
}

Test(wire, a_later_empty_field_wins_too)
{
    struct buf buf = { 0 };

    wire_put_bytes(&buf, 1, "first", 5);
    wire_put_bytes(&buf, 1, "", 0);
    cr_expect(finds(&buf, 1, ""));
    buf_deinit(&buf);
}

Test(wire, an_absent_field_is_empty)
{
    struct buf buf = two_fields();
    struct buf empty = { 0 };

    cr_expect(finds(&buf, 3, ""));
    cr_expect(finds(&buf, 2, ""), "a varint of that number is not bytes");
    cr_expect(finds(&empty, 1, ""));
    buf_deinit(&buf);
}

Test(wire, nothing_is_found_in_malformed_bytes)
{
    struct buf buf = two_fields();
    const uint8_t *data;
    size_t size;

    buf_append_u8(&buf, 0x0A);
    cr_expect_not(wire_find(buf.data, buf.size, 1, &data, &size));
    buf_deinit(&buf);
}
