#include "src/base/wire.h"

bool wire_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool take(struct wire_reader *reader, uint64_t size, struct wire_field *field)
{
    if (size > (uint64_t)(reader->end - reader->at))
        return false;
    field->data = reader->at;
    field->size = (size_t)size;
    reader->at += size;
    return true;
}

static bool read_value(struct wire_reader *reader, struct wire_field *field)
{
    uint64_t size;

    switch (field->wire_type) {
    case WIRE_VARINT:
        return wire_varint(&reader->at, reader->end, &field->number);
    case WIRE_FIXED64:
        return take(reader, 8, field);
    case WIRE_BYTES:
        return wire_varint(&reader->at, reader->end, &size) && take(reader, size, field);
    case WIRE_FIXED32:
        return take(reader, 4, field);
    default:
        return false;
    }
}

bool wire_next(struct wire_reader *reader, struct wire_field *ret)
{
    struct wire_reader ahead = *reader;
    struct wire_field field = { 0 };
    uint64_t tag;

    if (!wire_varint(&ahead.at, ahead.end, &tag) || tag >> 3 == 0 || tag > UINT32_MAX)
        return false;
    field.number_in_message = (uint32_t)(tag >> 3);
    field.wire_type = tag & 7;
    if (!read_value(&ahead, &field))
        return false;
    *reader = ahead;
    *ret = field;
    return true;
}

bool wire_find(const uint8_t *data, size_t size, uint32_t number, const uint8_t **ret_data,
               size_t *ret_size)
{
    struct wire_reader reader = { .at = data, .end = data + size };
    struct wire_field field;

    *ret_data = data;
    *ret_size = 0;
    while (wire_next(&reader, &field)) {
        if (field.number_in_message != number || field.wire_type != WIRE_BYTES)
            continue;
        *ret_data = field.data;
        *ret_size = field.size;
    }
    return reader.at == reader.end;
}

void wire_append_varint(struct buf *to, uint64_t value)
{
    while (value >= 0x80) {
        buf_append_u8(to, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    buf_append_u8(to, (uint8_t)value);
}

void wire_put_header(struct buf *to, uint32_t number, size_t size)
{
    wire_append_varint(to, (uint64_t)number << 3 | WIRE_BYTES);
    wire_append_varint(to, size);
}

void wire_put_bytes(struct buf *to, uint32_t number, const void *data, size_t size)
{
    wire_put_header(to, number, size);
    buf_append(to, data, size);
}

static size_t varint_size(uint64_t value)
{
    size_t size = 1;

    while (value >>= 7)
        size++;
    return size;
}

size_t wire_bytes_size(uint32_t number, size_t size)
{
    return varint_size((uint64_t)number << 3 | WIRE_BYTES) + varint_size(size) + size;
}

void wire_put_varint(struct buf *to, uint32_t number, uint64_t value)
{
    wire_append_varint(to, (uint64_t)number << 3 | WIRE_VARINT);
    wire_append_varint(to, value);
}
