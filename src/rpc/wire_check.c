#include "src/rpc/wire_check.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "src/base/utf8.h"

enum { MAX_DEPTH = 64 };

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

/* One field as it stands on the wire. */
struct wire_field {
    uint32_t number;
    enum wire_type type;
    const uint8_t *data; /* of WIRE_BYTES */
    size_t size;
};

static bool read_varint(struct cursor *c, uint64_t *ret)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 70 && c->at < c->end; shift += 7) {
        uint8_t byte = *c->at++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool skip(struct cursor *c, uint64_t size)
{
    if (size > (uint64_t)(c->end - c->at))
        return false;
    c->at += size;
    return true;
}

static bool read_bytes(struct cursor *c, struct wire_field *field)
{
    uint64_t size;

    if (!read_varint(c, &size))
        return false;
    field->data = c->at;
    field->size = (size_t)size;
    return skip(c, size);
}

/* The next field; groups are not proto3. */
static bool read_field(struct cursor *c, struct wire_field *field)
{
    uint64_t tag, ignored;

    if (!read_varint(c, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return false;
    field->number = (uint32_t)tag >> 3;
    field->type = (enum wire_type)(tag & 7);
    switch (field->type) {
    case WIRE_VARINT:
        return read_varint(c, &ignored);
    case WIRE_FIXED64:
        return skip(c, 8);
    case WIRE_BYTES:
        return read_bytes(c, field);
    case WIRE_FIXED32:
        return skip(c, 4);
    default:
        return false;
    }
}

static enum status_code malformed(const ProtobufCMessageDescriptor *type, struct status *st)
{
    return status_set(st, STATUS_INVALID_ARGUMENT, "message of type %s cannot be decoded",
                      type->name);
}

/* How many fields @number end at or before @end; only asked when something is wrong. */
static unsigned occurrences(const uint8_t *data, const uint8_t *end, uint32_t number)
{
    struct cursor c = { data, end };
    struct wire_field field;
    unsigned count = 0;

    while (c.at < c.end && read_field(&c, &field))
        count += field.number == number;
    return count;
}

/* What a faulty string or message is called: "id", "items[3]". */
static void print_name(const ProtobufCFieldDescriptor *field, const uint8_t *data,
                       const struct wire_field *wire, char name[STATUS_FIELD_SIZE])
{
    const uint8_t *end = wire->data + wire->size;

    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        snprintf(name, STATUS_FIELD_SIZE, "%s", field->name);
    else
        snprintf(name, STATUS_FIELD_SIZE, "%s[%u]", field->name,
                 occurrences(data, end, field->id) - 1);
}

static const char *fault_of_text(const struct wire_field *wire)
{
    if (!utf8_valid((const char *)wire->data, wire->size))
        return "is not valid UTF-8";
    if (memchr(wire->data, '\0', wire->size) != NULL)
        return "contains a NUL character";
    return NULL;
}

static enum status_code check_message(const ProtobufCMessageDescriptor *type, const uint8_t *data,
                                      size_t size, unsigned depth, struct status *st);

static enum wire_type wire_type_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return WIRE_FIXED32;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_BYTES;
    default:
        return WIRE_VARINT;
    }
}

static bool is_packed_whole(enum wire_type element, const struct wire_field *wire)
{
    struct cursor c = { wire->data, wire->data + wire->size };
    uint64_t ignored;

    if (element == WIRE_FIXED32)
        return wire->size % 4 == 0;
    if (element == WIRE_FIXED64)
        return wire->size % 8 == 0;
    while (c.at < c.end)
        if (!read_varint(&c, &ignored))
            return false;
    return true;
}

/* Numbers may be packed where they are repeated. */
static bool fits(const ProtobufCFieldDescriptor *field, const struct wire_field *wire)
{
    enum wire_type expected = wire_type_of(field->type);

    if (wire->type == expected)
        return true;
    return wire->type == WIRE_BYTES && field->label == PROTOBUF_C_LABEL_REPEATED &&
           is_packed_whole(expected, wire);
}

/* @data is where the message begins that holds the field. */
static enum status_code check_field(const ProtobufCFieldDescriptor *field, const uint8_t *data,
                                    const struct wire_field *wire, unsigned depth,
                                    struct status *st)
{
    char name[STATUS_FIELD_SIZE];
    const char *fault;

    if (wire->type != WIRE_BYTES)
        return STATUS_OK;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (check_message(field->descriptor, wire->data, wire->size, depth + 1, st) == STATUS_OK)
            return STATUS_OK;
        print_name(field, data, wire, name);
        status_prefix_field(st, "%s", name);
        return st->code;
    }
    if (field->type != PROTOBUF_C_TYPE_STRING || (fault = fault_of_text(wire)) == NULL)
        return STATUS_OK;
    print_name(field, data, wire, name);
    return status_set_field(st, name, "text %s", fault);
}

static enum status_code check_message(const ProtobufCMessageDescriptor *type, const uint8_t *data,
                                      size_t size, unsigned depth, struct status *st)
{
    struct cursor c = { data, data + size };
    struct wire_field wire;
    const ProtobufCFieldDescriptor *field;

    if (depth > MAX_DEPTH)
        return malformed(type, st);
    while (c.at < c.end) {
        if (!read_field(&c, &wire))
            return malformed(type, st);
        field = protobuf_c_message_descriptor_get_field(type, wire.number);
        if (field == NULL)
            continue;
        if (!fits(field, &wire))
            return malformed(type, st);
        if (check_field(field, data, &wire, depth, st) != STATUS_OK)
            return st->code;
    }
    return STATUS_OK;
}

enum status_code wire_check(const ProtobufCMessageDescriptor *type, const uint8_t *data,
                            size_t size, struct status *st)
{
    return check_message(type, data, size, 0, st);
}
