#include "deploy/clients/c/proto3_json.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "google/protobuf/any.pb-c.h"
#include "google/rpc/error_details.pb-c.h"

enum { NAME_SIZE = 64 };

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* "include_concepts" as "includeConcepts". */
static const char *camel_name(const ProtobufCFieldDescriptor *field, char ret[NAME_SIZE])
{
    size_t length = 0;
    bool upper = false;

    for (const char *c = field->name; *c != '\0' && length + 1 < NAME_SIZE; c++) {
        if (*c != '_')
            ret[length++] = (char)(upper ? toupper((unsigned char)*c) : *c);
        upper = *c == '_';
    }
    ret[length] = '\0';
    return ret;
}

/* protobuf-c does not mark maps; their entries are called "<Field>Entry" and have key and value. */
static bool is_map(const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessageDescriptor *type = field->descriptor;
    size_t length;

    if (field->label != PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE)
        return false;
    length = strlen(type->short_name);
    return length > 5 && strcmp(type->short_name + length - 5, "Entry") == 0 &&
           type->n_fields == 2 && strcmp(type->fields[0].name, "key") == 0;
}

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return sizeof(uint32_t);
    }
}

static void *member(const ProtobufCMessage *message, unsigned offset)
{
    return (char *)(uintptr_t)message + offset;
}

/* To JSON. ------------------------------------------------------------------------------------ */

static json_t *bytes_to_json(const ProtobufCBinaryData *bytes)
{
    char *text = malloc((bytes->len + 2) / 3 * 4 + 1);
    char *to = text;
    json_t *json;

    for (size_t i = 0; text != NULL && i < bytes->len; i += 3) {
        size_t left = bytes->len - i;
        uint32_t group = (uint32_t)bytes->data[i] << 16;
        group |= left > 1 ? (uint32_t)bytes->data[i + 1] << 8 : 0;
        group |= left > 2 ? bytes->data[i + 2] : 0;
        *to++ = DIGITS[group >> 18];
        *to++ = DIGITS[group >> 12 & 63];
        *to++ = left > 1 ? DIGITS[group >> 6 & 63] : '=';
        *to++ = left > 2 ? DIGITS[group & 63] : '=';
    }
    json = text != NULL ? json_stringn(text, (size_t)(to - text)) : NULL;
    free(text);
    return json;
}

static json_t *enum_to_json(const ProtobufCEnumDescriptor *type, int value)
{
    const ProtobufCEnumValue *entry = protobuf_c_enum_descriptor_get_value(type, value);

    return entry != NULL ? json_string(entry->name) : json_integer(value);
}

/* The detail, with its type beside its fields. */
static json_t *any_to_json(const Google__Protobuf__Any *any)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &google__rpc__bad_request__descriptor,
        &google__rpc__error_info__descriptor,
    };
    const char *slash = strrchr(any->type_url, '/');
    json_t *json = NULL;

    for (size_t i = 0; slash != NULL && i < sizeof types / sizeof types[0]; i++) {
        ProtobufCMessage *detail = NULL;
        if (strcmp(slash + 1, types[i]->name) == 0)
            detail = protobuf_c_message_unpack(types[i], NULL, any->value.len, any->value.data);
        if (detail != NULL) {
            json = proto3_to_json(detail);
            protobuf_c_message_free_unpacked(detail, NULL);
        }
    }
    json = json != NULL ? json : json_object();
    json_object_set_new(json, "@type", json_string(any->type_url));
    return json;
}

static json_t *value_to_json(const ProtobufCFieldDescriptor *field, const void *value)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
        return json_integer(*(const int32_t *)value);
    case PROTOBUF_C_TYPE_UINT32:
        return json_integer(*(const uint32_t *)value);
    case PROTOBUF_C_TYPE_INT64:
        return json_integer(*(const int64_t *)value);
    case PROTOBUF_C_TYPE_UINT64:
        return json_integer((json_int_t) * (const uint64_t *)value);
    case PROTOBUF_C_TYPE_FLOAT:
        return json_real((double)*(const float *)value);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)value);
    case PROTOBUF_C_TYPE_ENUM:
        return enum_to_json(field->descriptor, *(const int *)value);
    case PROTOBUF_C_TYPE_STRING:
        return json_string(*(char *const *)value);
    case PROTOBUF_C_TYPE_BYTES:
        return bytes_to_json(value);
    case PROTOBUF_C_TYPE_MESSAGE:
        return proto3_to_json(*(ProtobufCMessage *const *)value);
    default:
        return NULL; /* the contract has no others */
    }
}

static json_t *map_to_json(ProtobufCMessage *const *entries, size_t count)
{
    json_t *object = json_object();

    for (size_t i = 0; i < count; i++) {
        const ProtobufCFieldDescriptor *fields = entries[i]->descriptor->fields;
        json_object_set_new(object, *(char **)member(entries[i], fields[0].offset),
                            value_to_json(&fields[1], member(entries[i], fields[1].offset)));
    }
    return object;
}

static json_t *repeated_to_json(const ProtobufCFieldDescriptor *field,
                                const ProtobufCMessage *message)
{
    const size_t count = *(size_t *)member(message, field->quantifier_offset);
    const char *values = *(char **)member(message, field->offset);
    json_t *array;

    if (is_map(field))
        return map_to_json((ProtobufCMessage *const *)(const void *)values, count);
    array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, value_to_json(field, values + i * value_size(field)));
    return array;
}

static bool is_present(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
        *(uint32_t *)member(message, field->quantifier_offset) != field->id)
        return false;
    return field->label == PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE ||
           *(void **)member(message, field->offset) != NULL;
}

json_t *proto3_to_json(const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    char name[NAME_SIZE];
    json_t *object;

    if (type == &google__protobuf__any__descriptor)
        return any_to_json((const Google__Protobuf__Any *)message);
    object = json_object();
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (is_present(field, message))
            json_object_set_new(object, camel_name(field, name),
                                field->label == PROTOBUF_C_LABEL_REPEATED
                                    ? repeated_to_json(field, message)
                                    : value_to_json(field, member(message, field->offset)));
    }
    return object;
}

/* From JSON. ---------------------------------------------------------------------------------- */

static enum status_code refuse(const char *what, const char *name, struct status *st)
{
    return status_set(st, STATUS_INVALID_ARGUMENT, "%s '%.80s'", what, name);
}

static enum status_code out_of_memory(struct status *st)
{
    return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

static enum status_code bytes_from_json(const char *text, ProtobufCBinaryData *ret,
                                        struct arena *arena, struct status *st)
{
    const size_t digits = strcspn(text, "=");
    uint32_t group = 0;

    ret->len = 0;
    ret->data = arena_alloc(arena, digits + 1);
    if (ret->data == NULL)
        return out_of_memory(st);
    for (size_t i = 0; i < digits; i++) {
        const char *digit = strchr(DIGITS, text[i]);
        if (digit == NULL)
            return refuse("no base64:", text, st);
        group = group << 6 | (uint32_t)(digit - DIGITS);
        if (i % 4 != 0)
            ret->data[ret->len++] = (uint8_t)(group >> (6 - i % 4 * 2));
    }
    return STATUS_OK;
}

static enum status_code string_from_json(const json_t *json, char **ret, struct arena *arena,
                                         struct status *st)
{
    *ret = arena_strndup(arena, json_string_value(json), json_string_length(json));
    return *ret != NULL ? STATUS_OK : out_of_memory(st);
}

static enum status_code enum_from_json(const ProtobufCEnumDescriptor *type, const char *name,
                                       int *ret, struct status *st)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value_by_name(type, name);

    if (value == NULL)
        return refuse("no value of the enum:", name, st);
    *ret = value->value;
    return STATUS_OK;
}

static enum status_code message_from_json(const json_t *json,
                                          const ProtobufCMessageDescriptor *type,
                                          ProtobufCMessage **ret, struct arena *arena,
                                          struct status *st)
{
    *ret = proto3_from_json(json, type, arena, st);
    return st->code;
}

static int64_t integer_of(const json_t *json)
{
    return json_is_string(json) ? strtoll(json_string_value(json), NULL, 10)
                                : json_integer_value(json);
}

static bool fits(const ProtobufCFieldDescriptor *field, const json_t *json)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_ENUM:
        return json_is_string(json);
    case PROTOBUF_C_TYPE_BOOL:
        return json_is_boolean(json);
    case PROTOBUF_C_TYPE_MESSAGE:
        return json_is_object(json);
    case PROTOBUF_C_TYPE_FLOAT:
        return json_is_number(json);
    default:
        return json_is_integer(json) || json_is_string(json);
    }
}

static enum status_code value_from_json(const ProtobufCFieldDescriptor *field, const json_t *json,
                                        void *ret, struct arena *arena, struct status *st)
{
    if (!fits(field, json))
        return refuse("a value of another type for", field->name, st);
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        *(int64_t *)ret = integer_of(json);
        return STATUS_OK;
    case PROTOBUF_C_TYPE_FLOAT:
        *(float *)ret = (float)json_number_value(json);
        return STATUS_OK;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)ret = json_is_true(json);
        return STATUS_OK;
    case PROTOBUF_C_TYPE_ENUM:
        return enum_from_json(field->descriptor, json_string_value(json), ret, st);
    case PROTOBUF_C_TYPE_STRING:
        return string_from_json(json, ret, arena, st);
    case PROTOBUF_C_TYPE_BYTES:
        return bytes_from_json(json_string_value(json), ret, arena, st);
    case PROTOBUF_C_TYPE_MESSAGE:
        return message_from_json(json, field->descriptor, ret, arena, st);
    default:
        *(int32_t *)ret = (int32_t)integer_of(json);
        return STATUS_OK;
    }
}

/* Room for @count values of a repeated field of the message. */
static char *make_room(const ProtobufCFieldDescriptor *field, ProtobufCMessage *message,
                       size_t count, struct arena *arena, struct status *st)
{
    char *values = arena_calloc(arena, count + 1, value_size(field));

    if (values == NULL) {
        out_of_memory(st);
        return NULL;
    }
    *(size_t *)member(message, field->quantifier_offset) = count;
    *(char **)member(message, field->offset) = values;
    return values;
}

static enum status_code list_from_json(const ProtobufCFieldDescriptor *field, const json_t *json,
                                       ProtobufCMessage *message, struct arena *arena,
                                       struct status *st)
{
    char *values;

    if (!json_is_array(json))
        return refuse("no list for", field->name, st);
    values = make_room(field, message, json_array_size(json), arena, st);
    for (size_t i = 0; values != NULL && i < json_array_size(json); i++)
        if (value_from_json(field, json_array_get(json, i), values + i * value_size(field), arena,
                            st) != STATUS_OK)
            break;
    return st->code;
}

static enum status_code map_from_json(const ProtobufCFieldDescriptor *field, json_t *json,
                                      ProtobufCMessage *message, struct arena *arena,
                                      struct status *st)
{
    ProtobufCMessage **entry = (void *)make_room(field, message, json_object_size(json), arena, st);
    const char *key;
    json_t *value;

    if (entry == NULL)
        return st->code;
    json_object_foreach(json, key, value)
    {
        json_t *pair = json_pack("{s:s, s:O}", "key", key, "value", value);
        *entry++ = proto3_from_json(pair, field->descriptor, arena, st);
        json_decref(pair);
        if (st->code != STATUS_OK)
            break;
    }
    return st->code;
}

static enum status_code field_from_json(const ProtobufCFieldDescriptor *field, json_t *json,
                                        ProtobufCMessage *message, struct arena *arena,
                                        struct status *st)
{
    if (is_map(field))
        return map_from_json(field, json, message, arena, st);
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return list_from_json(field, json, message, arena, st);
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        *(uint32_t *)member(message, field->quantifier_offset) = field->id;
    return value_from_json(field, json, member(message, field->offset), arena, st);
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
                                                  const char *name)
{
    char camel[NAME_SIZE];

    for (unsigned i = 0; i < type->n_fields; i++)
        if (strcmp(camel_name(&type->fields[i], camel), name) == 0)
            return &type->fields[i];
    return NULL;
}

ProtobufCMessage *proto3_from_json(const json_t *json, const ProtobufCMessageDescriptor *type,
                                   struct arena *arena, struct status *st)
{
    ProtobufCMessage *message = arena_alloc(arena, type->sizeof_message);
    const char *name;
    json_t *value;

    if (message == NULL) {
        out_of_memory(st);
        return NULL;
    }
    protobuf_c_message_init(type, message);
    json_object_foreach((json_t *)(uintptr_t)json, name, value)
    {
        const ProtobufCFieldDescriptor *field = find_field(type, name);
        if (field == NULL)
            refuse("no field", name, st);
        else
            field_from_json(field, value, message, arena, st);
        if (st->code != STATUS_OK)
            return NULL;
    }
    return message;
}
