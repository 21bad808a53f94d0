#include <stdio.h>
#include <string.h>

#include "src/base/wire.h"
#include "src/rpc/bytes.h"
#include "src/store/concept_wire.h"
#include "sutra/internal/v1/shard_service.pb-c.h"
#include "sutra/v1/types.pb-c.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_BYTES = 1 << 20 };

/* ---- Stored concepts ---- */

/* What was decoded can be encoded, and is decoded to the same again. */
static void check_concept(const struct concept *concept)
{
    struct buf first = { 0 };
    struct buf second = { 0 };
    struct concept again;
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, ARENA_BYTES);
    concept_wire_encode(concept, &first);
    fuzz_require(concept_wire_decode(first.data, first.size, &arena, &again, &st) == STATUS_OK,
                 "what was decoded can be encoded");
    concept_wire_encode(&again, &second);
    fuzz_require(first.size == second.size &&
                     (first.size == 0 || memcmp(first.data, second.data, first.size) == 0),
                 "one concept has one form");
    buf_deinit(&first);
    buf_deinit(&second);
    arena_deinit(&arena);
}

int fuzz_concept(const uint8_t *data, size_t size)
{
    struct concept concept;
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, ARENA_BYTES);
    if (concept_wire_decode(data, size, &arena, &concept, &st) == STATUS_OK)
        check_concept(&concept);
    arena_deinit(&arena);
    return 0;
}

static struct text_view view(const char *text)
{
    return (struct text_view){ text, strlen(text) };
}

bool fuzz_concept_seed(size_t n, struct buf *ret)
{
    const struct concept_attribute attributes[] = {
        { view("language"), view("en") },
        { view("part of speech"), view("noun") },
    };
    struct concept concept = {
        .id = view("tide.n.01"),
        .content = view("the periodic rise and fall of the sea level"),
        .strength = 1.5f,
        .confidence = 0.25f,
        .access_count = 300,
        .created_us = 1700000000000000,
        .last_accessed_us = 1700000000000001,
        .source = view("wordnet"),
        .category = view("noun.event"),
        .attributes = attributes,
        .attribute_count = 2,
        .version = UINT64_MAX,
    };

    if (n == 0)
        concept_wire_encode(&concept, ret);
    return n <= 1; /* the second is empty: also a concept */
}

/* ---- The reader ---- */

static bool walk(const uint8_t *data, size_t size)
{
    struct wire_reader reader = { .at = data, .end = data + size };
    struct wire_field field;
    volatile uint8_t sum = 0;

    for (const uint8_t *before = reader.at; wire_next(&reader, &field); before = reader.at) {
        fuzz_require(reader.at > before && reader.at <= reader.end, "the reader moves forward");
        fuzz_require(field.size == 0 || (field.data > before && field.data < reader.at),
                     "a field lies within its bytes");
        for (size_t i = 0; i < field.size; i++)
            sum = (uint8_t)(sum + field.data[i]);
    }
    return reader.at == reader.end;
}

/* Whether the server would let these bytes in as a message without known fields. */
static bool let_in(const uint8_t *data, size_t size)
{
    struct rpc_bytes *bytes = rpc_bytes_copy(data, size);
    ProtobufCMessage *message;
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, ARENA_BYTES);
    rpc_bytes_unpack(bytes, &sutra__internal__v1__apply_edges_response__descriptor, &arena,
                     &message, &st);
    arena_deinit(&arena);
    rpc_bytes_free(bytes);
    return st.code == STATUS_OK;
}

int fuzz_wire(const uint8_t *data, size_t size)
{
    bool whole = walk(data, size);

    for (uint32_t number = 1; number <= 3; number++) {
        const uint8_t *found;
        size_t length;
        bool ok = wire_find(data, size, number, &found, &length);
        fuzz_require(ok == whole, "finding reads all fields");
        fuzz_require(!ok || length <= size, "what is found lies within the bytes");
    }
    fuzz_require(whole || !let_in(data, size), "what is let in can be passed on");
    return 0;
}

bool fuzz_wire_seed(size_t n, struct buf *ret)
{
    if (n == 0) {
        wire_put_bytes(ret, 1, "tides", 5);
        wire_put_varint(ret, 2, UINT64_MAX);
        wire_put_bytes(ret, 1, "moon", 4);
    } else if (n == 1) {
        wire_append_varint(ret, 3 << 3 | WIRE_FIXED32);
        buf_append_u32le(ret, 0x3F800000);
        wire_append_varint(ret, 4 << 3 | WIRE_FIXED64);
        buf_append_u64le(ret, 1);
        wire_put_varint(ret, (1u << 29) - 1, 0);
    } else if (n == 2) {
        return fuzz_concept_seed(0, ret);
    }
    return n <= 2;
}
