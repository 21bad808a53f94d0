#include "src/cluster/write_wire.h"

#include <string.h>

#include "src/base/wire.h"

/* sutra.v1.LearnBatchRequest and its like, and sutra.internal.v1.WriteRequest. */
enum { FIELD_ITEMS = 1, FIELD_DURABILITY = 2, FIELD_SKIP_EMBEDDING = 3, FIELD_MODE = 4 };

/* sutra.v1.ConceptInput, and sutra.v1.Embedding. */
enum { FIELD_ID = 1, FIELD_CONTENT = 2, FIELD_EMBEDDING = 3, FIELD_F32LE = 2 };

enum { ROW_BYTES = LIMIT_DIMENSION * sizeof(float), ITEM_HEAD_BYTES = 8 };

/* ---- Reading: the bytes were checked, so that nothing can be malformed ---- */

static struct wire_reader reader_of(struct text_view bytes)
{
    const uint8_t *data = (const uint8_t *)bytes.data;

    return (struct wire_reader){ data, data + bytes.length };
}

static struct text_view text_of(const struct wire_field *field)
{
    return (struct text_view){ (const char *)field->data, field->size };
}

static struct write_item read_item(struct text_view bytes)
{
    struct write_item item = { .bytes = bytes };
    struct wire_reader reader = reader_of(bytes);
    struct wire_field field;

    while (wire_next(&reader, &field)) {
        if (field.number_in_message == FIELD_ID)
            item.id = text_of(&field);
        else if (field.number_in_message == FIELD_CONTENT)
            item.content = text_of(&field);
        item.has_embedding |= field.number_in_message == FIELD_EMBEDDING;
    }
    return item;
}

static size_t count_items(struct wire_reader reader)
{
    struct wire_field field;
    size_t n = 0;

    while (wire_next(&reader, &field))
        n += field.number_in_message == FIELD_ITEMS;
    return n;
}

static void read_fields(struct wire_reader reader, struct write_request *request)
{
    struct wire_field field;

    while (wire_next(&reader, &field)) {
        if (field.number_in_message == FIELD_ITEMS)
            request->items[request->n++] = read_item(text_of(&field));
        else if (field.number_in_message == FIELD_DURABILITY)
            request->durability = (Sutra__V1__Durability)field.number;
        else if (field.number_in_message == FIELD_SKIP_EMBEDDING)
            request->skip_embedding = field.number != 0;
    }
}

static enum status_code read_all(const struct rpc_bytes *bytes,
                                 const ProtobufCMessageDescriptor *type, size_t limit,
                                 struct arena *arena, struct write_request *ret, struct status *st)
{
    struct wire_reader reader;
    const uint8_t *data;
    size_t size;
    size_t n;

    *ret = (struct write_request){ 0 };
    if (rpc_bytes_checked_view(bytes, type, arena, &data, &size, st) != STATUS_OK)
        return st->code;
    reader = (struct wire_reader){ data, data + size };
    n = count_items(reader);
    if (validate_count("items", n, limit, st) != STATUS_OK)
        return st->code;
    ret->items = arena_alloc(arena, n * sizeof *ret->items);
    if (ret->items == NULL)
        return limit_call_memory(st);
    read_fields(reader, ret);
    return STATUS_OK;
}

enum status_code write_request_read(const struct rpc_bytes *bytes,
                                    const ProtobufCMessageDescriptor *type, struct arena *arena,
                                    struct write_request *ret, struct status *st)
{
    return read_all(bytes, type, LIMIT_BATCH_ITEMS, arena, ret, st);
}

/* A message that comes in several parts is their concatenation. */
static enum status_code join_items(struct write_request *request, struct arena *arena,
                                   struct status *st)
{
    size_t size = 0;
    char *joined;

    for (size_t i = 0; i < request->n; i++)
        size += request->items[i].bytes.length;
    joined = arena_alloc(arena, size);
    if (joined == NULL)
        return limit_call_memory(st);
    for (size_t i = 0, at = 0; i < request->n; at += request->items[i++].bytes.length)
        memcpy(joined + at, request->items[i].bytes.data, request->items[i].bytes.length);
    request->items[0] = read_item((struct text_view){ joined, size });
    request->n = 1;
    return STATUS_OK;
}

enum status_code write_request_read_one(const struct rpc_bytes *bytes,
                                        const ProtobufCMessageDescriptor *type, struct arena *arena,
                                        struct write_request *ret, struct status *st)
{
    if (read_all(bytes, type, SIZE_MAX, arena, ret, st) != STATUS_OK)
        return st->code;
    if (ret->n == 0)
        return status_set_field(st, "concept", "concept is missing");
    return ret->n == 1 ? STATUS_OK : join_items(ret, arena, st);
}

/* ---- Writing ---- */

static void put_row(struct buf *to, const float *row)
{
    struct buf embedding = { 0 };

    wire_put_bytes(&embedding, FIELD_F32LE, row, ROW_BYTES);
    wire_put_bytes(to, FIELD_EMBEDDING, embedding.data, embedding.size);
    to->failed |= embedding.failed;
    buf_deinit(&embedding);
}

size_t write_size(const struct write_request *request)
{
    size_t size = 0;

    for (size_t i = 0; i < request->n; i++)
        size += request->items[i].bytes.length +
                (request->items[i].new_row != NULL ? ITEM_HEAD_BYTES + ROW_BYTES : ITEM_HEAD_BYTES);
    return size;
}

/* What is added comes last, where it counts. */
void write_put_item(struct buf *to, const struct write_item *item)
{
    struct buf added = { 0 };

    if (item->new_id.length > 0)
        wire_put_bytes(&added, FIELD_ID, item->new_id.data, item->new_id.length);
    if (item->new_row != NULL)
        put_row(&added, item->new_row);
    wire_put_header(to, FIELD_ITEMS, item->bytes.length + added.size);
    buf_append(to, item->bytes.data, item->bytes.length);
    buf_append(to, added.data, added.size);
    to->failed |= added.failed;
    buf_deinit(&added);
}

void write_put_options(struct buf *to, Sutra__Internal__V1__WriteMode mode,
                       Sutra__V1__Durability durability)
{
    wire_put_varint(to, FIELD_DURABILITY, durability);
    wire_put_varint(to, FIELD_MODE, mode);
}
