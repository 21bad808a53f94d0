#include "src/rpc/details.h"

#include <stdio.h>
#include <string.h>

#include "src/base/utf8.h"

#define TYPE_URL "type.googleapis.com/"
#define DOMAIN "sutra.v1"

enum { PARSE_LIMIT_BYTES = 64 * 1024 };

void rpc_make_utf8(char *text)
{
    if (utf8_valid(text, strlen(text)))
        return;
    for (; *text != '\0'; text++)
        if ((unsigned char)*text >= 0x80)
            *text = '?';
}

static char *clean_copy(const char *text, struct arena *arena)
{
    char *copy = arena_strndup(arena, text, strlen(text));

    if (copy != NULL)
        rpc_make_utf8(copy);
    return copy;
}

/* Writing. ------------------------------------------------------------------------------------ */

/* @detail packed into an Any. */
static Google__Protobuf__Any *wrap(const ProtobufCMessage *detail, struct arena *arena)
{
    Google__Protobuf__Any *any = arena_alloc(arena, sizeof *any);
    size_t size = protobuf_c_message_get_packed_size(detail);
    uint8_t *data = arena_alloc(arena, size);
    char *url = arena_printf(arena, TYPE_URL "%s", detail->descriptor->name);

    if (any == NULL || data == NULL || url == NULL)
        return NULL;
    google__protobuf__any__init(any);
    any->type_url = url;
    any->value = (ProtobufCBinaryData){ .len = size, .data = data };
    protobuf_c_message_pack(detail, data);
    return any;
}

static Google__Protobuf__Any *bad_request(const struct status *st, struct arena *arena)
{
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *violations[] = { &violation };
    Google__Rpc__BadRequest detail = GOOGLE__RPC__BAD_REQUEST__INIT;

    violation.field = clean_copy(st->field, arena);
    violation.description = clean_copy(st->message, arena);
    if (violation.field == NULL || violation.description == NULL)
        return NULL;
    detail.field_violations = violations;
    detail.n_field_violations = 1;
    return wrap(&detail.base, arena);
}

/* Map entries for @pairs; NULL when out of memory. */
static Google__Rpc__ErrorInfo__MetadataEntry **entries(const struct rpc_metadata_pair *pairs,
                                                       size_t count, struct arena *arena)
{
    Google__Rpc__ErrorInfo__MetadataEntry **list = arena_calloc(arena, count + 1, sizeof *list);
    Google__Rpc__ErrorInfo__MetadataEntry *entry = arena_calloc(arena, count + 1, sizeof *entry);

    if (list == NULL || entry == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        google__rpc__error_info__metadata_entry__init(&entry[i]);
        entry[i].key = clean_copy(pairs[i].key, arena);
        entry[i].value = clean_copy(pairs[i].value, arena);
        if (entry[i].key == NULL || entry[i].value == NULL)
            return NULL;
        list[i] = &entry[i];
    }
    return list;
}

static Google__Protobuf__Any *error_info(const struct status *st,
                                         const struct rpc_metadata_pair *pairs, size_t count,
                                         struct arena *arena)
{
    Google__Rpc__ErrorInfo detail = GOOGLE__RPC__ERROR_INFO__INIT;
    char domain[] = DOMAIN;

    detail.reason = clean_copy(st->reason, arena);
    detail.domain = domain;
    detail.metadata = entries(pairs, count, arena);
    detail.n_metadata = count;
    if (detail.reason == NULL || detail.metadata == NULL)
        return NULL;
    return wrap(&detail.base, arena);
}

Google__Rpc__Status *rpc_status_to_message(const struct status *st,
                                           const struct rpc_metadata_pair *pairs, size_t count,
                                           struct arena *arena)
{
    Google__Rpc__Status *message = arena_alloc(arena, sizeof *message);
    Google__Protobuf__Any **details = arena_calloc(arena, 2, sizeof *details);
    size_t n = 0;

    if (message == NULL || details == NULL)
        return NULL;
    google__rpc__status__init(message);
    message->code = (int32_t)st->code;
    message->message = clean_copy(st->message, arena);
    if (message->message == NULL)
        return NULL;
    if (st->field[0] != '\0' && (details[n++] = bad_request(st, arena)) == NULL)
        return NULL;
    if (st->reason[0] != '\0' && (details[n++] = error_info(st, pairs, count, arena)) == NULL)
        return NULL;
    message->details = details;
    message->n_details = n;
    return message;
}

/* Reading. ------------------------------------------------------------------------------------ */

/* The detail in @any if it is of @type; NULL otherwise. */
static ProtobufCMessage *unwrap(const Google__Protobuf__Any *any,
                                const ProtobufCMessageDescriptor *type, struct arena *arena)
{
    struct status ignored = { 0 };
    struct rpc_bytes *bytes;
    ProtobufCMessage *detail = NULL;
    const char *slash = strrchr(any->type_url, '/');

    if (slash == NULL || strcmp(slash + 1, type->name) != 0)
        return NULL;
    bytes = rpc_bytes_copy(any->value.data, any->value.len);
    rpc_bytes_unpack(bytes, type, arena, &detail, &ignored);
    rpc_bytes_free(bytes);
    return detail;
}

/* The first detail of @type. */
static ProtobufCMessage *find(const Google__Rpc__Status *message,
                              const ProtobufCMessageDescriptor *type, struct arena *arena)
{
    for (size_t i = 0; i < message->n_details; i++) {
        ProtobufCMessage *detail = unwrap(message->details[i], type, arena);
        if (detail != NULL)
            return detail;
    }
    return NULL;
}

static void read_details(const Google__Rpc__Status *message, struct status *ret)
{
    struct arena arena;
    const Google__Rpc__BadRequest *bad;
    const Google__Rpc__ErrorInfo *info;

    arena_init(&arena, PARSE_LIMIT_BYTES);
    bad = (void *)find(message, &google__rpc__bad_request__descriptor, &arena);
    info = (void *)find(message, &google__rpc__error_info__descriptor, &arena);
    if (bad != NULL && bad->n_field_violations > 0)
        snprintf(ret->field, sizeof ret->field, "%s", bad->field_violations[0]->field);
    if (info != NULL && strcmp(info->domain, DOMAIN) == 0)
        snprintf(ret->reason, sizeof ret->reason, "%s", info->reason);
    arena_deinit(&arena);
}

void rpc_status_from_message(const Google__Rpc__Status *message, struct status *ret)
{
    bool known = message->code >= 0 && message->code <= (int32_t)STATUS_UNAUTHENTICATED;

    if (message->code == (int32_t)STATUS_OK)
        return;
    status_set(ret, known ? (enum status_code)message->code : STATUS_UNKNOWN, "%s",
               message->message);
    read_details(message, ret);
}

const char *rpc_result_error_metadata(const struct rpc_result *result, const char *key,
                                      struct arena *arena)
{
    struct status ignored = { 0 };
    ProtobufCMessage *message;
    const Google__Rpc__ErrorInfo *info;

    if (result->details == NULL ||
        rpc_bytes_unpack(result->details, &google__rpc__status__descriptor, arena, &message,
                         &ignored) != STATUS_OK)
        return NULL;
    info =
        (void *)find((Google__Rpc__Status *)message, &google__rpc__error_info__descriptor, arena);
    for (size_t i = 0; info != NULL && i < info->n_metadata; i++)
        if (strcmp(info->metadata[i]->key, key) == 0)
            return info->metadata[i]->value;
    return NULL;
}
