#include "src/store/concept_wire.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "src/ids/concept_id.h"

/* Field numbers of sutra.v1.Concept. */
enum {
    FIELD_ID = 1,
    FIELD_CONTENT = 2,
    FIELD_STRENGTH = 3,
    FIELD_CONFIDENCE = 4,
    FIELD_ACCESS_COUNT = 5,
    FIELD_CREATED_US = 6,
    FIELD_LAST_ACCESSED_US = 7,
    FIELD_SOURCE = 8,
    FIELD_CATEGORY = 9,
    FIELD_ATTRIBUTES = 10,
    FIELD_VERSION = 11,
    FIELD_MAP_KEY = 1,
    FIELD_MAP_VALUE = 2,
};

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* ---- Encoding ---------------------------------------------------------------------------- */

static size_t varint_size(uint64_t value)
{
    size_t size = 1;

    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

static void put_varint(struct buf *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_append_u8(to, (uint8_t)(value | 0x80));
    buf_append_u8(to, (uint8_t)value);
}

static void put_tag(struct buf *to, uint32_t field, uint32_t type)
{
    put_varint(to, (uint64_t)field << 3 | type);
}

static void put_number(struct buf *to, uint32_t field, uint64_t value)
{
    if (value == 0)
        return;
    put_tag(to, field, WIRE_VARINT);
    put_varint(to, value);
}

/* As protobuf-c, which takes -0 for the default too. */
static void put_float(struct buf *to, uint32_t field, float value)
{
    uint32_t bits;

    if (value == 0.0f)
        return;
    memcpy(&bits, &value, sizeof bits);
    put_tag(to, field, WIRE_FIXED32);
    buf_append_u32le(to, bits);
}

static void put_text(struct buf *to, uint32_t field, struct text_view text)
{
    if (text.length == 0)
        return;
    put_tag(to, field, WIRE_BYTES);
    put_varint(to, text.length);
    buf_append(to, text.data, text.length);
}

/* Tags of fields 1 and 2 take one byte. */
static size_t text_size(struct text_view text)
{
    return text.length == 0 ? 0 : 1 + varint_size(text.length) + text.length;
}

static void put_attribute(struct buf *to, const struct concept_attribute *attribute)
{
    put_tag(to, FIELD_ATTRIBUTES, WIRE_BYTES);
    put_varint(to, text_size(attribute->key) + text_size(attribute->value));
    put_text(to, FIELD_MAP_KEY, attribute->key);
    put_text(to, FIELD_MAP_VALUE, attribute->value);
}

static int compare_keys(const void *a, const void *b)
{
    const struct text_view *left = &(*(const struct concept_attribute *const *)a)->key;
    const struct text_view *right = &(*(const struct concept_attribute *const *)b)->key;

    return concept_id_compare(left->data, left->length, right->data, right->length);
}

static void put_attributes(struct buf *to, const struct concept *concept)
{
    size_t n = concept->attribute_count;
    const struct concept_attribute **sorted;

    if (n == 0)
        return;
    sorted = calloc(n, sizeof *sorted);
    if (sorted == NULL) {
        to->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++)
        sorted[i] = &concept->attributes[i];
    qsort(sorted, n, sizeof *sorted, compare_keys);
    for (size_t i = 0; i < n; i++)
        put_attribute(to, sorted[i]);
    free(sorted);
}

void concept_wire_encode(const struct concept *concept, struct buf *to)
{
    put_text(to, FIELD_ID, concept->id);
    put_text(to, FIELD_CONTENT, concept->content);
    put_float(to, FIELD_STRENGTH, concept->strength);
    put_float(to, FIELD_CONFIDENCE, concept->confidence);
    put_number(to, FIELD_ACCESS_COUNT, concept->access_count);
    put_number(to, FIELD_CREATED_US, (uint64_t)concept->created_us);
    put_number(to, FIELD_LAST_ACCESSED_US, (uint64_t)concept->last_accessed_us);
    put_text(to, FIELD_SOURCE, concept->source);
    put_text(to, FIELD_CATEGORY, concept->category);
    put_attributes(to, concept);
    put_number(to, FIELD_VERSION, concept->version);
}

/* ---- Decoding ---------------------------------------------------------------------------- */

struct wire_reader {
    const uint8_t *at;
    const uint8_t *end;
};

/* The tag, and what follows it: a number for the three numeric types, else bytes. */
struct wire_field {
    uint64_t tag;
    uint64_t number;
    struct text_view bytes;
};

#define TAG(field, type) ((uint64_t)(field) << 3 | (type))

static bool read_varint(struct wire_reader *reader, uint64_t *ret)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte;
        if (reader->at == reader->end)
            return false;
        byte = *reader->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool read_fixed(struct wire_reader *reader, size_t size, uint64_t *ret)
{
    uint64_t value = 0;

    if ((size_t)(reader->end - reader->at) < size)
        return false;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)reader->at[i] << (8 * i);
    reader->at += size;
    *ret = value;
    return true;
}

static bool read_bytes(struct wire_reader *reader, struct text_view *ret)
{
    uint64_t length;

    if (!read_varint(reader, &length) || length > (uint64_t)(reader->end - reader->at))
        return false;
    *ret = (struct text_view){ (const char *)reader->at, (size_t)length };
    reader->at += length;
    return true;
}

/* False for bytes that are no field; groups were never part of proto3. */
static bool read_field(struct wire_reader *reader, struct wire_field *ret)
{
    *ret = (struct wire_field){ 0 };
    if (!read_varint(reader, &ret->tag) || ret->tag >> 3 == 0 || ret->tag > UINT32_MAX)
        return false;
    switch (ret->tag & 7) {
    case WIRE_VARINT:
        return read_varint(reader, &ret->number);
    case WIRE_FIXED64:
        return read_fixed(reader, 8, &ret->number);
    case WIRE_FIXED32:
        return read_fixed(reader, 4, &ret->number);
    case WIRE_BYTES:
        return read_bytes(reader, &ret->bytes);
    default:
        return false;
    }
}

static float float_of_bits(uint64_t bits)
{
    uint32_t low = (uint32_t)bits;
    float value;

    memcpy(&value, &low, sizeof value);
    return value;
}

static bool read_attribute(struct text_view entry, struct concept_attribute *ret)
{
    struct wire_reader reader = { (const uint8_t *)entry.data,
                                  (const uint8_t *)entry.data + entry.length };
    struct wire_field field;

    *ret = (struct concept_attribute){ 0 };
    while (reader.at != reader.end) {
        if (!read_field(&reader, &field))
            return false;
        if (field.tag == TAG(FIELD_MAP_KEY, WIRE_BYTES))
            ret->key = field.bytes;
        else if (field.tag == TAG(FIELD_MAP_VALUE, WIRE_BYTES))
            ret->value = field.bytes;
    }
    return true;
}

/* All but the attributes, of which @ret->attribute_count tells the number. */
static bool read_scalars(struct wire_reader reader, struct concept *ret)
{
    struct wire_field field;

    while (reader.at != reader.end) {
        if (!read_field(&reader, &field))
            return false;
        switch (field.tag) {
        case TAG(FIELD_ID, WIRE_BYTES):
            ret->id = field.bytes;
            break;
        case TAG(FIELD_CONTENT, WIRE_BYTES):
            ret->content = field.bytes;
            break;
        case TAG(FIELD_STRENGTH, WIRE_FIXED32):
            ret->strength = float_of_bits(field.number);
            break;
        case TAG(FIELD_CONFIDENCE, WIRE_FIXED32):
            ret->confidence = float_of_bits(field.number);
            break;
        case TAG(FIELD_ACCESS_COUNT, WIRE_VARINT):
            ret->access_count = field.number;
            break;
        case TAG(FIELD_CREATED_US, WIRE_VARINT):
            ret->created_us = (int64_t)field.number;
            break;
        case TAG(FIELD_LAST_ACCESSED_US, WIRE_VARINT):
            ret->last_accessed_us = (int64_t)field.number;
            break;
        case TAG(FIELD_SOURCE, WIRE_BYTES):
            ret->source = field.bytes;
            break;
        case TAG(FIELD_CATEGORY, WIRE_BYTES):
            ret->category = field.bytes;
            break;
        case TAG(FIELD_ATTRIBUTES, WIRE_BYTES):
            ret->attribute_count++;
            break;
        case TAG(FIELD_VERSION, WIRE_VARINT):
            ret->version = field.number;
            break;
        default:
            break;
        }
    }
    return true;
}

/* Fills @attributes; every field was read once before, so only an entry can be at fault. */
static bool read_attributes(struct wire_reader reader, struct concept_attribute *attributes)
{
    struct wire_field field;

    while (reader.at != reader.end) {
        if (!read_field(&reader, &field))
            return false;
        if (field.tag == TAG(FIELD_ATTRIBUTES, WIRE_BYTES) &&
            !read_attribute(field.bytes, attributes++))
            return false;
    }
    return true;
}

enum status_code concept_wire_decode(const void *data, size_t size, struct arena *arena,
                                     struct concept *ret, struct status *st)
{
    struct wire_reader reader = { data, (const uint8_t *)data + size };
    struct concept concept = { 0 };
    struct concept_attribute *attributes;

    if (!read_scalars(reader, &concept))
        return status_set(st, STATUS_DATA_LOSS, "%zu bytes are no concept", size);
    attributes = arena_calloc(arena, concept.attribute_count, sizeof *attributes);
    if (attributes == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for %zu attributes",
                          concept.attribute_count);
    if (!read_attributes(reader, attributes))
        return status_set(st, STATUS_DATA_LOSS, "an attribute of a concept is damaged");
    concept.attributes = attributes;
    *ret = concept;
    return STATUS_OK;
}
