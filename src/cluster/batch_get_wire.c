#include "src/cluster/batch_get_wire.h"

#include <stdio.h>

#include "src/base/wire.h"
#include "src/cluster/validate.h"
#include "src/serve/limits.h"

enum {
    FIELD_IDS = 1,
    FIELD_INCLUDE_EMBEDDING = 2,
    FIELD_ALLOW_PARTIAL = 3,
    FIELD_COLUMNS = 4,
};

static bool is_id(const struct wire_field *field)
{
    return field->number_in_message == FIELD_IDS && field->wire_type == WIRE_BYTES;
}

/* With another wire type a field is an unknown one. */
static bool is_option(const struct wire_field *field, uint32_t number)
{
    return field->number_in_message == number && field->wire_type == WIRE_VARINT;
}

/* Everything but the ids, which are counted. */
static enum status_code read_options(struct wire_reader reader, struct batch_get_request *ret,
                                     struct status *st)
{
    struct wire_field field;

    while (wire_next(&reader, &field)) {
        if (is_id(&field))
            ret->n++;
        else if (is_option(&field, FIELD_INCLUDE_EMBEDDING))
            ret->include_embedding = field.number != 0;
        else if (is_option(&field, FIELD_ALLOW_PARTIAL))
            ret->allow_partial = field.number != 0;
        else if (is_option(&field, FIELD_COLUMNS))
            ret->columns = field.number != 0;
    }
    if (reader.at != reader.end)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "message of type sutra.v1.BatchGetRequest cannot be decoded");
    return validate_count("ids", ret->n, LIMIT_BATCH_ITEMS, st);
}

static enum status_code read_ids(struct wire_reader reader, struct concept_id *ids,
                                 struct status *st)
{
    struct wire_field field;
    size_t n = 0;

    while (st->code == STATUS_OK && wire_next(&reader, &field)) {
        char name[32];
        if (!is_id(&field))
            continue;
        if (concept_id_parse((const char *)field.data, field.size, &ids[n], st) != STATUS_OK) {
            snprintf(name, sizeof name, "ids[%zu]", n);
            validate_name_field(st, name);
        }
        n++;
    }
    return st->code;
}

enum status_code batch_get_read(const struct rpc_bytes *bytes, struct arena *arena,
                                struct batch_get_request *ret, struct status *st)
{
    struct wire_reader reader;
    const uint8_t *data;
    size_t size;

    *ret = (struct batch_get_request){ 0 };
    if (rpc_bytes_view(bytes, arena, &data, &size, st) != STATUS_OK)
        return st->code;
    reader = (struct wire_reader){ .at = data, .end = data + size };
    if (read_options(reader, ret, st) != STATUS_OK)
        return st->code;
    ret->ids = arena_alloc(arena, (ret->n + 1) * sizeof *ret->ids);
    if (ret->ids == NULL)
        return limit_call_memory(st);
    return read_ids(reader, ret->ids, st);
}

void batch_get_put_id(struct buf *to, const struct concept_id *id)
{
    wire_put_bytes(to, FIELD_IDS, id->data, id->length);
}

void batch_get_put_options(struct buf *to, bool include_embedding)
{
    if (include_embedding)
        wire_put_varint(to, FIELD_INCLUDE_EMBEDDING, 1);
}
