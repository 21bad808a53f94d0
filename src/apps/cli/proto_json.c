#include "src/apps/cli/proto_json.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sutra/v1/types.pb-c.h"

/* Shortest decimal that reads back as the same float: 0.1, not 0.10000000149011612. */
static json_t *float_json(float value)
{
    char text[32];

    if (!isfinite(value))
        return json_null();
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return json_real(strtod(text, NULL));
}

static json_t *string_json(const char *text)
{
    json_t *json = json_string(text);

    return json != NULL ? json : json_string("\xEF\xBF\xBD");
}

static json_t *base64_json(const ProtobufCBinaryData *bytes)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc((bytes->len + 2) / 3 * 4 + 1);
    char *to = text;
    json_t *json;

    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < bytes->len; i += 3) {
        size_t left = bytes->len - i;
        uint32_t group = (uint32_t)bytes->data[i] << 16;
        group |= left > 1 ? (uint32_t)bytes->data[i + 1] << 8 : 0;
        group |= left > 2 ? bytes->data[i + 2] : 0;
        *to++ = DIGITS[group >> 18];
        *to++ = DIGITS[group >> 12 & 63];
        *to++ = left > 1 ? DIGITS[group >> 6 & 63] : '=';
        *to++ = left > 2 ? DIGITS[group & 63] : '=';
    }
    *to = '\0';
    json = json_string(text);
    free(text);
    return json;
}

/* "ASSOCIATION_TYPE_CAUSAL" reads "causal": what all values of the enum begin with is left out. */
static json_t *enum_json(const ProtobufCEnumDescriptor *type, int value)
{
    const ProtobufCEnumValue *entry = protobuf_c_enum_descriptor_get_value(type, value);
    const char *first = type->values[0].name;
    size_t prefix = 0;
    char word[64];
    size_t i;

    if (entry == NULL)
        return json_integer(value);
    for (i = 0; first[i] != '\0'; i++) {
        bool shared = true;
        for (unsigned v = 0; v < type->n_values; v++)
            shared = shared && strncmp(type->values[v].name, first, i + 1) == 0;
        if (!shared)
            break;
        prefix = first[i] == '_' ? i + 1 : prefix;
    }
    for (i = 0; entry->name[prefix + i] != '\0' && i + 1 < sizeof word; i++)
        word[i] = (char)tolower((unsigned char)entry->name[prefix + i]);
    word[i] = '\0';
    return json_string(word);
}

static float float_le(const uint8_t *bytes)
{
    uint32_t bits = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                    (uint32_t)bytes[3] << 24;
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static json_t *embedding_json(const Sutra__V1__Embedding *embedding)
{
    json_t *array = json_array();

    for (size_t i = 0; i < embedding->n_values; i++)
        json_array_append_new(array, float_json(embedding->values[i]));
    for (size_t i = 0; i + 4 <= embedding->f32le.len; i += 4)
        json_array_append_new(array, float_json(float_le(embedding->f32le.data + i)));
    return array;
}

/* One value of a field, at @member of the message. */
static json_t *value_json(const ProtobufCFieldDescriptor *field, const void *member)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(*(const int32_t *)member);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)member);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return json_integer(*(const int64_t *)member);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return json_integer((json_int_t) * (const uint64_t *)member);
    case PROTOBUF_C_TYPE_FLOAT:
        return float_json(*(const float *)member);
    case PROTOBUF_C_TYPE_DOUBLE:
        return json_real(*(const double *)member);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)member);
    case PROTOBUF_C_TYPE_ENUM:
        return enum_json(field->descriptor, *(const int *)member);
    case PROTOBUF_C_TYPE_STRING:
        return string_json(*(char *const *)member);
    case PROTOBUF_C_TYPE_BYTES:
        return base64_json(member);
    case PROTOBUF_C_TYPE_MESSAGE:
        return proto_json(*(ProtobufCMessage *const *)member);
    }
    return json_null();
}

static size_t value_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

/* protobuf-c does not mark maps; their entries are called "<Field>Entry" and have key and value. */
static bool is_map(const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessageDescriptor *type = field->descriptor;
    size_t length;

    if (field->type != PROTOBUF_C_TYPE_MESSAGE || type->n_fields != 2)
        return false;
    length = strlen(type->short_name);
    return length > 5 && strcmp(type->short_name + length - 5, "Entry") == 0 &&
           strcmp(type->fields[0].name, "key") == 0 && strcmp(type->fields[1].name, "value") == 0 &&
           type->fields[0].type == PROTOBUF_C_TYPE_STRING;
}

static const void *member_of(const ProtobufCMessage *message, unsigned offset)
{
    return (const char *)message + offset;
}

static json_t *map_json(ProtobufCMessage *const *entries, size_t count)
{
    json_t *object = json_object();

    for (size_t i = 0; i < count; i++) {
        const ProtobufCFieldDescriptor *fields = entries[i]->descriptor->fields;
        const char *key = *(char *const *)member_of(entries[i], fields[0].offset);
        json_object_set_new(object, key,
                            value_json(&fields[1], member_of(entries[i], fields[1].offset)));
    }
    return object;
}

static json_t *repeated_json(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
    size_t count = *(const size_t *)member_of(message, field->quantifier_offset);
    const char *values = *(const char *const *)member_of(message, field->offset);
    size_t step = value_size(field->type);
    json_t *array;

    if (is_map(field))
        return map_json((ProtobufCMessage *const *)(const void *)values, count);
    array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, value_json(field, values + i * step));
    return array;
}

/* Whether the message has a value for the field. */
static bool is_present(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
        *(const uint32_t *)member_of(message, field->quantifier_offset) != field->id)
        return false;
    return field->label == PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE ||
           *(void *const *)member_of(message, field->offset) != NULL;
}

static json_t *field_json(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return repeated_json(field, message);
    return value_json(field, member_of(message, field->offset));
}

json_t *proto_json(const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    json_t *object;

    if (type == &sutra__v1__embedding__descriptor)
        return embedding_json((const Sutra__V1__Embedding *)message);
    object = json_object();
    for (unsigned i = 0; i < type->n_fields; i++)
        if (is_present(&type->fields[i], message))
            json_object_set_new(object, type->fields[i].name,
                                field_json(&type->fields[i], message));
    return object;
}
