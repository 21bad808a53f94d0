#include "src/cluster/concept_columns.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/wire.h"
#include "src/rpc/bytes.h"
#include "src/serve/limits.h"
#include "sutra/v1/concept_service.pb-c.h"
#include "tests/support/columns.h"

static const uint64_t SEED = 0x5EED;

enum { ROUNDS = 1000, MOST = 20, DIMENSION = 5, MOST_ATTRIBUTES = 4, MESSAGE_BYTES = 64 << 20 };

static uint64_t state;
static struct arena arena;

static void start(void)
{
    arena_init(&arena, SIZE_MAX);
    state = SEED;
}

static void stop(void)
{
    arena_deinit(&arena);
}

TestSuite(columns, .init = start, .fini = stop);

static uint64_t random_u64(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* ---- Concepts ---- */

/* Every third is empty. */
static char *random_text(size_t most)
{
    size_t length = random_u64() % 3 == 0 ? 0 : random_u64() % most;
    char *text = arena_calloc(&arena, length + 1, 1);

    for (size_t i = 0; i < length; i++)
        text[i] = (char)('a' + random_u64() % 26);
    return text;
}

/* Of every width, 0 among them. */
static uint64_t random_number(void)
{
    unsigned width = random_u64() % 65;
    return width == 0 ? 0 : random_u64() >> (64 - width);
}

static void add_attributes(Sutra__V1__Concept *concept)
{
    size_t n = random_u64() % (MOST_ATTRIBUTES + 1);

    concept->n_attributes = n;
    concept->attributes = arena_calloc(&arena, n, sizeof *concept->attributes);
    for (size_t i = 0; i < n; i++) {
        concept->attributes[i] = arena_calloc(&arena, 1, sizeof *concept->attributes[i]);
        sutra__v1__concept__attributes_entry__init(concept->attributes[i]);
        concept->attributes[i]->key = random_text(10);
        concept->attributes[i]->value = random_text(300);
    }
}

static void add_embedding(Sutra__V1__Concept *concept)
{
    concept->embedding = arena_calloc(&arena, 1, sizeof *concept->embedding);
    sutra__v1__embedding__init(concept->embedding);
    concept->embedding->f32le.len = DIMENSION * sizeof(float);
    concept->embedding->f32le.data = arena_calloc(&arena, DIMENSION, sizeof(float));
    for (size_t i = 0; i < concept->embedding->f32le.len; i++)
        concept->embedding->f32le.data[i] = (uint8_t)random_u64();
}

static Sutra__V1__Concept *random_concept(void)
{
    Sutra__V1__Concept *concept = arena_calloc(&arena, 1, sizeof *concept);

    sutra__v1__concept__init(concept);
    if (random_u64() % 10 == 0)
        return concept;
    concept->id = random_text(255);
    concept->content = random_text(2000);
    concept->strength = (float)(random_u64() % 10);
    concept->confidence = (float)(random_u64() % 3) / 2;
    concept->access_count = random_number();
    concept->created_us = (int64_t)random_number();
    concept->last_accessed_us = (int64_t)random_number();
    concept->source = random_text(20);
    concept->category = random_text(20);
    concept->version = random_number();
    add_attributes(concept);
    if (random_u64() % 3 != 0)
        add_embedding(concept);
    return concept;
}

/* In memory of exactly its size, so that the address sanitizer sees the first byte too many. */
static struct concept_record packed(const Sutra__V1__Concept *concept)
{
    size_t size = sutra__v1__concept__get_packed_size(concept);
    uint8_t *data = malloc(size);

    sutra__v1__concept__pack(concept, data);
    return (struct concept_record){ data, size };
}

/* ---- Columns ---- */

/* What a reply with these columns holds; its bytes are those that protobuf writes. */
static Sutra__V1__ConceptColumns *unpacked(const struct buf *reply)
{
    struct rpc_bytes *bytes = rpc_bytes_copy(reply->data, reply->size);
    Sutra__V1__BatchGetResponse *message = NULL;
    struct status st = { 0 };
    size_t size;
    uint8_t *again;

    rpc_bytes_unpack(bytes, &sutra__v1__batch_get_response__descriptor, &arena,
                     (ProtobufCMessage **)&message, &st);
    rpc_bytes_free(bytes);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_not_null(message->columns);
    size = sutra__v1__batch_get_response__get_packed_size(message);
    again = arena_alloc(&arena, size);
    sutra__v1__batch_get_response__pack(message, again);
    cr_expect_eq(size, reply->size);
    cr_expect_arr_eq(again, reply->data, size);
    return message->columns;
}

static void expect_columns(const struct concept_record *records, size_t n_records,
                           Sutra__V1__Concept *const *rows, size_t n, size_t dimension)
{
    struct status st = { 0 };
    struct buf reply = { 0 };
    const char *field;

    concept_columns_put(records, n_records, dimension, MESSAGE_BYTES, &arena, &reply, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    field = test_columns_differ(unpacked(&reply), rows, n, dimension);
    cr_expect_null(field, "%s, seed %#lx", field, SEED);
    buf_deinit(&reply);
}

/* Concepts, some of them twice, and places without any. */
static void round_trip(void)
{
    struct concept_record records[MOST] = { 0 };
    Sutra__V1__Concept *rows[MOST] = { NULL };
    size_t n_records = random_u64() % (MOST + 1);
    size_t n = 0;

    for (size_t i = 0; i < n_records; i++) {
        if (random_u64() % 4 == 0)
            continue;
        rows[n] = n > 0 && random_u64() % 4 == 0 ? rows[random_u64() % n] : random_concept();
        records[i] = packed(rows[n++]);
    }
    expect_columns(records, n_records, rows, n, 0);
    expect_columns(records, n_records, rows, n, DIMENSION);
    for (size_t i = 0; i < n_records; i++)
        free((void *)records[i].data);
    arena_reset(&arena);
}

Test(columns, are_what_protobuf_c_decodes_from_the_records)
{
    for (int i = 0; i < ROUNDS; i++)
        round_trip();
}

Test(columns, of_no_concept_are_there_and_empty)
{
    const struct concept_record none = { 0 };

    expect_columns(NULL, 0, NULL, 0, 0);
    expect_columns(&none, 1, NULL, 0, DIMENSION);
}

/* ---- Odd records ---- */

static enum status_code code_of(const struct concept_record *records, size_t n, size_t dimension)
{
    struct status st = { 0 };
    struct buf reply = { 0 };

    concept_columns_put(records, n, dimension, MESSAGE_BYTES, &arena, &reply, &st);
    buf_deinit(&reply);
    return st.code;
}

/* id "a"; field 15 as a varint; field 1000; strength as a varint; id "b"; version as bytes, then 7
 */
Test(columns, take_the_last_of_a_field_and_skip_what_they_do_not_know)
{
    static const uint8_t bytes[] = { 0x0a, 1,    'a', 0x78, 5,    0xc0, 0x3e, 5,    0x18,
                                     9,    0x0a, 1,   'b',  0x5a, 1,    'x',  0x58, 7 };
    struct concept_record record = { bytes, sizeof bytes };
    Sutra__V1__Concept expected = SUTRA__V1__CONCEPT__INIT;
    Sutra__V1__Concept *row = &expected;

    expected.id = "b";
    expected.version = 7;
    expect_columns(&record, 1, &row, 1, DIMENSION);
}

static void expect_refused(const uint8_t *bytes, size_t size)
{
    const struct concept_record records[] = { { bytes, 0 }, { bytes, size } };

    cr_expect_eq(code_of(records, 2, 1), STATUS_DATA_LOSS, "%zu bytes beginning with %02x", size,
                 bytes[0]);
}

Test(columns, refuse_bytes_that_are_no_concept)
{
    expect_refused((const uint8_t[]){ 0x0a }, 1);                   /* a tag alone */
    expect_refused((const uint8_t[]){ 0x0a, 2, 'x' }, 3);           /* longer than the rest */
    expect_refused((const uint8_t[]){ 0x0a, 0xff, 0xff, 0xff }, 4); /* a length without end */
    expect_refused((const uint8_t[]){ 0x0b }, 1);                   /* a group */
    expect_refused((const uint8_t[]){ 0x1d, 0, 0, 0 }, 4);          /* three bytes of a float */
    expect_refused((const uint8_t[]){ 0x52, 2, 0x0a, 5 }, 4);       /* an attribute torn inside */
    expect_refused((const uint8_t[]){ 0x7a, 2, 0x12, 4 }, 4);       /* an embedding torn inside */
    expect_refused((const uint8_t[]){ 0x7a, 5, 0x12, 3, 0, 0, 0 }, 7); /* of another dimension */
}

/* ---- Limits ---- */

Test(columns, are_refused_where_the_rows_or_they_exceed_a_message)
{
    enum { BIG = 1 << 20, BIGS = 64, SMALLS = MESSAGE_BYTES / LIMIT_DIMENSION / 4 };
    struct concept_record *records = arena_calloc(&arena, SMALLS, sizeof *records);
    struct buf big = { 0 };

    wire_put_bytes(&big, 1000, arena_calloc(&arena, 1, BIG), BIG);
    for (size_t i = 0; i < BIGS; i++)
        records[i] = (struct concept_record){ big.data, big.size };
    cr_expect_eq(code_of(records, BIGS - 1, 0), STATUS_OK);
    cr_expect_eq(code_of(records, BIGS, 0), STATUS_RESOURCE_EXHAUSTED, "in rows");
    for (size_t i = 0; i < SMALLS; i++)
        records[i] = (struct concept_record){ big.data, 0 };
    cr_expect_eq(code_of(records, SMALLS, 0), STATUS_OK);
    cr_expect_eq(code_of(records, SMALLS, LIMIT_DIMENSION), STATUS_RESOURCE_EXHAUSTED,
                 "in columns");
    buf_deinit(&big);
}

Test(columns, need_memory_of_the_arena)
{
    Sutra__V1__Concept *concept = random_concept();
    struct concept_record record = packed(concept);
    enum status_code code = STATUS_RESOURCE_EXHAUSTED;

    for (size_t limit = 0; code != STATUS_OK; limit += 16) {
        arena_deinit(&arena);
        arena_init(&arena, limit);
        code = code_of(&record, 1, 0);
        cr_assert(code == STATUS_OK || code == STATUS_RESOURCE_EXHAUSTED);
    }
    free((void *)record.data);
}
