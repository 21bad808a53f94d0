#include "src/rpc/wire_check.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "src/base/utf8.h"
#include "src/base/wire.h"

enum { MAX_DEPTH = 64 };

static enum status_code malformed(const ProtobufCMessageDescriptor *type, struct status *st)
{
    return status_set(st, STATUS_INVALID_ARGUMENT, "message of type %s cannot be decoded",
                      type->name);
}

/* How many fields @number end at or before @end; only asked when something is wrong. */
static unsigned occurrences(const uint8_t *data, const uint8_t *end, uint32_t number)
{
    struct wire_reader reader = { data, end };
    struct wire_field field;
    unsigned count = 0;

    while (wire_next(&reader, &field))
        count += field.number_in_message == number;
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

static uint32_t wire_type_of(ProtobufCType type)
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

static bool is_packed_whole(uint32_t element, const struct wire_field *wire)
{
    const uint8_t *at = wire->data;
    const uint8_t *end = wire->data + wire->size;
    uint64_t ignored;

    if (element == WIRE_FIXED32)
        return wire->size % 4 == 0;
    if (element == WIRE_FIXED64)
        return wire->size % 8 == 0;
    while (at < end)
        if (!wire_varint(&at, end, &ignored))
            return false;
    return true;
}

/* Numbers may be packed where they are repeated. */
static bool fits(const ProtobufCFieldDescriptor *field, const struct wire_field *wire)
{
    uint32_t expected = wire_type_of(field->type);

    if (wire->wire_type == expected)
        return true;
    return wire->wire_type == WIRE_BYTES && field->label == PROTOBUF_C_LABEL_REPEATED &&
           is_packed_whole(expected, wire);
}

/* @data is where the message begins that holds the field. */
static enum status_code check_field(const ProtobufCFieldDescriptor *field, const uint8_t *data,
                                    const struct wire_field *wire, unsigned depth,
                                    struct status *st)
{
    char name[STATUS_FIELD_SIZE];
    const char *fault;

    if (wire->wire_type != WIRE_BYTES)
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
    struct wire_reader reader = { data, data + size };
    struct wire_field wire;
    const ProtobufCFieldDescriptor *field;

    if (depth > MAX_DEPTH)
        return malformed(type, st);
    while (wire_next(&reader, &wire)) {
        field = protobuf_c_message_descriptor_get_field(type, wire.number_in_message);
        if (field == NULL)
            continue;
        if (!fits(field, &wire))
            return malformed(type, st);
        if (check_field(field, data, &wire, depth, st) != STATUS_OK)
            return st->code;
    }
    return reader.at == reader.end ? STATUS_OK : malformed(type, st);
}

enum status_code wire_check(const ProtobufCMessageDescriptor *type, const uint8_t *data,
                            size_t size, struct status *st)
{
    return check_message(type, data, size, 0, st);
}
