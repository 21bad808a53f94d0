#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "src/store/concept_wire.h"
#include "sutra/v1/types.pb-c.h"

static uint64_t state = UINT64_C(0x5eed5eed5eed);

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
    return random_u64() >> (random_u64() % 65 == 64 ? 63 : random_u64() % 64);
}

static float random_float(void)
{
    return random_u64() % 4 == 0 ? 0.0f : (float)(random_u64() % 10000) / 997.0f;
}

static struct text_view random_text(struct arena *arena, size_t max)
{
    size_t length = random_u64() % (max + 1);
    char *text = arena_alloc(arena, length);

    for (size_t i = 0; i < length; i++)
        text[i] = (char)('a' + random_u64() % 26);
    return (struct text_view){ text, length };
}

/* Keys ascend, as the wire form has them. */
static void random_attributes(struct arena *arena, struct concept *ret)
{
    struct concept_attribute *attributes;

    ret->attribute_count = random_u64() % 6;
    attributes = arena_calloc(arena, ret->attribute_count, sizeof *attributes);
    for (size_t i = 0; i < ret->attribute_count; i++) {
        char *key = arena_printf(arena, "key%zu", i);
        attributes[i].key = (struct text_view){ key, strlen(key) };
        attributes[i].value = random_text(arena, 200);
    }
    ret->attributes = attributes;
}

static struct concept random_concept(struct arena *arena)
{
    struct concept concept = {
        .id = random_text(arena, 255),
        .content = random_text(arena, 3000),
        .strength = random_float(),
        .confidence = random_float(),
        .access_count = random_number(),
        .created_us = (int64_t)random_number(),
        .last_accessed_us = (int64_t)random_number(),
        .source = random_text(arena, 20),
        .category = random_text(arena, 20),
        .version = random_number(),
    };

    random_attributes(arena, &concept);
    return concept;
}

static char *c_string(struct arena *arena, struct text_view text)
{
    return arena_strndup(arena, text.data, text.length);
}

static void fill_message(struct arena *arena, const struct concept *concept,
                         Sutra__V1__Concept *message)
{
    sutra__v1__concept__init(message);
    message->id = c_string(arena, concept->id);
    message->content = c_string(arena, concept->content);
    message->strength = concept->strength;
    message->confidence = concept->confidence;
    message->access_count = concept->access_count;
    message->created_us = concept->created_us;
    message->last_accessed_us = concept->last_accessed_us;
    message->source = c_string(arena, concept->source);
    message->category = c_string(arena, concept->category);
    message->version = concept->version;
    message->n_attributes = concept->attribute_count;
    message->attributes =
        arena_calloc(arena, concept->attribute_count, sizeof *message->attributes);
    for (size_t i = 0; i < concept->attribute_count; i++) {
        message->attributes[i] = arena_calloc(arena, 1, sizeof *message->attributes[i]);
        sutra__v1__concept__attributes_entry__init(message->attributes[i]);
        message->attributes[i]->key = c_string(arena, concept->attributes[i].key);
        message->attributes[i]->value = c_string(arena, concept->attributes[i].value);
    }
}

static bool same_text(struct text_view a, struct text_view b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static void expect_same(const struct concept *a, const struct concept *b)
{
    cr_assert(same_text(a->id, b->id));
    cr_assert(same_text(a->content, b->content));
    cr_assert_eq(a->strength, b->strength);
    cr_assert_eq(a->confidence, b->confidence);
    cr_assert_eq(a->access_count, b->access_count);
    cr_assert_eq(a->created_us, b->created_us);
    cr_assert_eq(a->last_accessed_us, b->last_accessed_us);
    cr_assert(same_text(a->source, b->source));
    cr_assert(same_text(a->category, b->category));
    cr_assert_eq(a->version, b->version);
    cr_assert_eq(a->attribute_count, b->attribute_count);
    for (size_t i = 0; i < a->attribute_count; i++) {
        cr_assert(same_text(a->attributes[i].key, b->attributes[i].key));
        cr_assert(same_text(a->attributes[i].value, b->attributes[i].value));
    }
}

Test(store_wire, writes_the_bytes_that_protobuf_writes)
{
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    for (int round = 0; round < 2000; round++) {
        struct concept concept = random_concept(&arena);
        Sutra__V1__Concept message;
        struct buf ours = { 0 };
        uint8_t *theirs;
        size_t size;

        fill_message(&arena, &concept, &message);
        size = sutra__v1__concept__get_packed_size(&message);
        theirs = arena_alloc(&arena, size);
        sutra__v1__concept__pack(&message, theirs);
        concept_wire_encode(&concept, &ours);
        cr_assert(same_text((struct text_view){ (char *)ours.data, ours.size },
                            (struct text_view){ (char *)theirs, size }),
                  "round %d", round);
        buf_deinit(&ours);
        arena_reset(&arena);
    }
    arena_deinit(&arena);
}

Test(store_wire, reads_what_it_writes)
{
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    for (int round = 0; round < 2000; round++) {
        struct concept concept = random_concept(&arena);
        struct concept read;
        struct status st = { 0 };
        struct buf bytes = { 0 };

        concept_wire_encode(&concept, &bytes);
        concept_wire_decode(bytes.data, bytes.size, &arena, &read, &st);
        cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
        expect_same(&concept, &read);
        buf_deinit(&bytes);
        arena_reset(&arena);
    }
    arena_deinit(&arena);
}

Test(store_wire, sorts_attributes_by_key)
{
    const struct concept_attribute unsorted[] = { { { "b", 1 }, { "2", 1 } },
                                                  { { "aa", 2 }, { "3", 1 } },
                                                  { { "a", 1 }, { "1", 1 } } };
    const struct concept_attribute sorted[] = { unsorted[2], unsorted[1], unsorted[0] };
    struct concept a = { .attributes = unsorted, .attribute_count = 3 };
    struct concept b = { .attributes = sorted, .attribute_count = 3 };
    struct buf first = { 0 };
    struct buf second = { 0 };

    concept_wire_encode(&a, &first);
    concept_wire_encode(&b, &second);
    cr_assert_eq(first.size, second.size);
    cr_assert_arr_eq(first.data, second.data, first.size);
    buf_deinit(&first);
    buf_deinit(&second);
}

Test(store_wire, skips_fields_it_does_not_know)
{
    /* id "x"; field 15 (embedding) of 2 bytes; field 1000 varint; field 3 as a varint, not a float;
     * field 20 fixed64; version 7 */
    const uint8_t bytes[] = { 0x0a, 1,    'x', 0x7a, 2, 0x01, 0x02, 0xc0, 0x3e, 5, 0x18, 9,
                              0xa1, 0x01, 1,   2,    3, 4,    5,    6,    7,    8, 0x58, 7 };
    struct concept read;
    struct arena arena;
    struct status st = { 0 };

    arena_init(&arena, SIZE_MAX);
    concept_wire_decode(bytes, sizeof bytes, &arena, &read, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert(same_text(read.id, (struct text_view){ "x", 1 }));
    cr_assert_eq(read.strength, 0.0f);
    cr_assert_eq(read.version, 7);
    arena_deinit(&arena);
}

static void expect_refused(const uint8_t *bytes, size_t size)
{
    struct concept read;
    struct arena arena;
    struct status st = { 0 };

    arena_init(&arena, SIZE_MAX);
    concept_wire_decode(bytes, size, &arena, &read, &st);
    cr_assert_eq(st.code, STATUS_DATA_LOSS, "%zu bytes beginning with %02x", size, bytes[0]);
    arena_deinit(&arena);
}

Test(store_wire, refuses_bytes_that_are_no_concept)
{
    expect_refused((const uint8_t[]){ 0x0a }, 1);                   /* a tag alone */
    expect_refused((const uint8_t[]){ 0x0a, 2, 'x' }, 3);           /* longer than the rest */
    expect_refused((const uint8_t[]){ 0x0a, 0xff, 0xff, 0xff }, 4); /* a length without end */
    expect_refused((const uint8_t[]){ 0x02, 0 }, 2);                /* field 0 */
    expect_refused((const uint8_t[]){ 0x0b }, 1);                   /* a group */
    expect_refused((const uint8_t[]){ 0x0e, 0 }, 2);                /* wire type 6 */
    expect_refused((const uint8_t[]){ 0x1d, 0, 0, 0 }, 4);          /* three bytes of a float */
    expect_refused((const uint8_t[]){ 0x52, 2, 0x0a, 5 }, 4);       /* an attribute torn inside */
    expect_refused(
        (const uint8_t[]){ 0x58, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1 },
        12); /* a varint of eleven bytes */
}

/* Every outcome but a crash is fine; whatever is read lies inside the bytes. */
Test(store_wire, survives_any_bytes)
{
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    for (int round = 0; round < 20000; round++) {
        struct concept concept = random_concept(&arena);
        struct concept read = { 0 };
        struct status st = { 0 };
        struct buf bytes = { 0 };
        uint8_t *exact;
        size_t size;

        concept_wire_encode(&concept, &bytes);
        size = bytes.size == 0 ? 0 : random_u64() % (bytes.size + 1);
        exact = malloc(size + 1);
        memcpy(exact + 1, bytes.data, size); /* ends where the allocation ends */
        for (uint64_t flips = random_u64() % 4; flips > 0 && size > 0; flips--)
            exact[1 + random_u64() % size] = (uint8_t)random_u64();
        concept_wire_decode(exact + 1, size, &arena, &read, &st);
        cr_assert(st.code == STATUS_OK || st.code == STATUS_DATA_LOSS);
        cr_assert(read.content.length <= size);
        free(exact);
        buf_deinit(&bytes);
        arena_reset(&arena);
    }
    arena_deinit(&arena);
}
