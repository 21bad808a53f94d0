#include "src/cluster/concept_columns.h"

#include <string.h>

#include "src/base/text_view.h"
#include "src/base/wire.h"
#include "src/serve/limits.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "numbers are copied as they lie in memory");

/* Fields of ConceptColumns that are no field of Concept; of Concept.embedding; of its attributes;
 * of TextColumn and AttributeColumn. */
enum { FIELD_COUNT = 16, FIELD_DIMENSION = 17, FIELD_WITHOUT_EMBEDDING = 18 };
enum { FIELD_F32LE = 2 };
enum { FIELD_MAP_KEY = 1, FIELD_MAP_VALUE = 2 };
enum { FIELD_TEXT_DATA = 1, FIELD_TEXT_OFFSETS = 2 };
enum { FIELD_ATTRIBUTE_OFFSETS = 1, FIELD_ATTRIBUTE_KEYS = 2, FIELD_ATTRIBUTE_VALUES = 3 };

enum kind { KIND_NONE, KIND_TEXT, KIND_FLOAT, KIND_NUMBER, KIND_ATTRIBUTES, KIND_EMBEDDING };

/* The fields of Concept by number, and under the same numbers the columns. */
enum { FIELDS = 16 };
static const enum kind kinds[FIELDS] = {
    [1] = KIND_TEXT,                            /* id */
    [2] = KIND_TEXT,                            /* content */
    [3] = KIND_FLOAT,                           /* strength */
    [4] = KIND_FLOAT,                           /* confidence */
    [5] = KIND_NUMBER,                          /* access_count */
    [6] = KIND_NUMBER,                          /* created_us */
    [7] = KIND_NUMBER,                          /* last_accessed_us */
    [8] = KIND_TEXT,                            /* source */
    [9] = KIND_TEXT,                            /* category */
    [10] = KIND_ATTRIBUTES, [11] = KIND_NUMBER, /* version */
    [15] = KIND_EMBEDDING,
};

struct texts {
    struct text_view *views; /* [n] */
    size_t n;
    size_t bytes; /* of all */
};

struct attributes {
    const uint8_t **first; /* [n] where a record's first one begins; NULL: it has none */
    const uint8_t **end;   /* [n] of the record */
    uint32_t *offsets;     /* [n + 1] */
    struct texts keys;
    struct texts values;
};

/* One concept after the other is read into these, then one column after the other written. */
struct columns {
    size_t n;
    size_t dimension;
    /* By field, those of its kind. */
    struct texts texts[FIELDS];
    uint32_t *floats[FIELDS];   /* [n] bits */
    uint64_t *numbers[FIELDS];  /* [n] */
    const uint8_t **embeddings; /* [n][dimension] float; NULL: none */
    struct attributes attributes;
};

/* ---- Reading ---- */

static bool new_texts(struct texts *texts, size_t n, struct arena *arena)
{
    texts->n = n;
    texts->views = arena_calloc(arena, n, sizeof *texts->views);
    return texts->views != NULL;
}

static bool new_attributes(struct attributes *attributes, size_t n, struct arena *arena)
{
    attributes->first = arena_calloc(arena, n, sizeof *attributes->first);
    attributes->end = arena_calloc(arena, n, sizeof *attributes->end);
    attributes->offsets = arena_calloc(arena, n + 1, sizeof *attributes->offsets);
    return attributes->first != NULL && attributes->end != NULL && attributes->offsets != NULL;
}

static bool new_column(struct columns *columns, uint32_t field, struct arena *arena)
{
    size_t n = columns->n;

    switch (kinds[field]) {
    case KIND_TEXT:
        return new_texts(&columns->texts[field], n, arena);
    case KIND_FLOAT:
        columns->floats[field] = arena_calloc(arena, n, sizeof *columns->floats[field]);
        return columns->floats[field] != NULL;
    case KIND_NUMBER:
        columns->numbers[field] = arena_calloc(arena, n, sizeof *columns->numbers[field]);
        return columns->numbers[field] != NULL;
    case KIND_ATTRIBUTES:
        return new_attributes(&columns->attributes, n, arena);
    case KIND_EMBEDDING:
        columns->embeddings = arena_calloc(arena, n, sizeof *columns->embeddings);
        return columns->embeddings != NULL;
    default:
        return true;
    }
}

static bool new_columns(struct columns *columns, struct arena *arena)
{
    bool all = true;

    for (uint32_t field = 0; field < FIELDS && all; field++)
        all = new_column(columns, field, arena);
    return all;
}

static struct text_view view(const struct wire_field *field)
{
    return (struct text_view){ (const char *)field->data, field->size };
}

static bool read_embedding(const struct columns *columns, struct text_view message,
                           const uint8_t **ret)
{
    const uint8_t *data = (const uint8_t *)message.data;
    struct wire_reader reader = { .at = data, .end = data + message.length };
    struct wire_field field;

    if (columns->dimension == 0)
        return true;
    while (wire_next(&reader, &field)) {
        if (field.number_in_message != FIELD_F32LE || field.wire_type != WIRE_BYTES)
            continue;
        if (field.size != 0 && field.size != columns->dimension * sizeof(float))
            return false;
        *ret = field.size == 0 ? NULL : field.data;
    }
    return reader.at == reader.end;
}

/* @begin is where the field, with its tag, begins. A field of another wire type is an unknown one.
 */
static bool read_field(struct columns *columns, size_t i, const struct wire_field *field,
                       const uint8_t *begin)
{
    uint32_t number = field->number_in_message;
    uint32_t type = field->wire_type;

    switch (number < FIELDS ? kinds[number] : KIND_NONE) {
    case KIND_TEXT:
        if (type == WIRE_BYTES)
            columns->texts[number].views[i] = view(field);
        return true;
    case KIND_FLOAT:
        if (type == WIRE_FIXED32)
            memcpy(&columns->floats[number][i], field->data, sizeof(float));
        return true;
    case KIND_NUMBER:
        if (type == WIRE_VARINT)
            columns->numbers[number][i] = field->number;
        return true;
    case KIND_ATTRIBUTES:
        if (type != WIRE_BYTES)
            return true;
        if (columns->attributes.offsets[i + 1]++ == 0)
            columns->attributes.first[i] = begin;
        return true;
    case KIND_EMBEDDING:
        return type != WIRE_BYTES || read_embedding(columns, view(field), &columns->embeddings[i]);
    default:
        return true;
    }
}

static bool read_record(struct columns *columns, size_t i, const struct concept_record *record)
{
    struct wire_reader reader = { .at = record->data, .end = record->data + record->size };
    struct wire_field field;

    for (const uint8_t *begin = reader.at; wire_next(&reader, &field); begin = reader.at)
        if (!read_field(columns, i, &field, begin))
            return false;
    columns->attributes.end[i] = reader.end;
    return reader.at == reader.end;
}

static bool read_entry(const struct wire_field *entry, struct text_view *key,
                       struct text_view *value)
{
    struct wire_reader reader = { .at = entry->data, .end = entry->data + entry->size };
    struct wire_field field;

    while (wire_next(&reader, &field)) {
        if (field.wire_type != WIRE_BYTES)
            continue;
        if (field.number_in_message == FIELD_MAP_KEY)
            *key = view(&field);
        else if (field.number_in_message == FIELD_MAP_VALUE)
            *value = view(&field);
    }
    return reader.at == reader.end;
}

/* Those of one record into the entries from @at on. */
static bool read_entries(struct attributes *attributes, struct wire_reader reader, size_t at)
{
    struct wire_field field;

    while (wire_next(&reader, &field)) {
        if (field.number_in_message >= FIELDS ||
            kinds[field.number_in_message] != KIND_ATTRIBUTES || field.wire_type != WIRE_BYTES)
            continue;
        if (!read_entry(&field, &attributes->keys.views[at], &attributes->values.views[at]))
            return false;
        at++;
    }
    return true;
}

/* Offsets hold what was counted, one place further on. */
static enum status_code read_attributes(struct attributes *attributes, size_t n,
                                        struct arena *arena, struct status *st)
{
    for (size_t i = 0; i < n; i++)
        attributes->offsets[i + 1] += attributes->offsets[i];
    if (!new_texts(&attributes->keys, attributes->offsets[n], arena) ||
        !new_texts(&attributes->values, attributes->offsets[n], arena))
        return limit_call_memory(st);
    for (size_t i = 0; i < n; i++) {
        struct wire_reader rest = { .at = attributes->first[i], .end = attributes->end[i] };
        if (rest.at != NULL && !read_entries(attributes, rest, attributes->offsets[i]))
            return status_set(st, STATUS_DATA_LOSS, "an attribute of a concept is damaged");
    }
    return STATUS_OK;
}

static void sum_bytes(struct texts *texts)
{
    for (size_t i = 0; i < texts->n; i++)
        texts->bytes += texts->views[i].length;
}

static void sum_all_bytes(struct columns *columns)
{
    for (uint32_t field = 0; field < FIELDS; field++)
        sum_bytes(&columns->texts[field]);
    sum_bytes(&columns->attributes.keys);
    sum_bytes(&columns->attributes.values);
}

static enum status_code read_columns(struct columns *columns, const struct concept_record *records,
                                     size_t n, struct arena *arena, struct status *st)
{
    size_t row = 0;

    if (!new_columns(columns, arena))
        return limit_call_memory(st);
    for (size_t i = 0; i < n; i++)
        if (records[i].data != NULL && !read_record(columns, row++, &records[i]))
            return status_set(st, STATUS_DATA_LOSS, "a concept of %zu bytes is damaged",
                              records[i].size);
    if (read_attributes(&columns->attributes, columns->n, arena, st) == STATUS_OK)
        sum_all_bytes(columns);
    return st->code;
}

/* ---- Sizes ---- */

/* Of a field that is left out where it is empty. */
static size_t field_size(uint32_t number, size_t size)
{
    return size == 0 ? 0 : wire_bytes_size(number, size);
}

static size_t offsets_bytes(size_t n)
{
    return (n + 1) * sizeof(uint32_t);
}

static size_t texts_size(const struct texts *texts)
{
    return field_size(FIELD_TEXT_DATA, texts->bytes) +
           field_size(FIELD_TEXT_OFFSETS, offsets_bytes(texts->n));
}

static size_t attributes_size(const struct attributes *attributes, size_t n)
{
    return field_size(FIELD_ATTRIBUTE_OFFSETS, offsets_bytes(n)) +
           field_size(FIELD_ATTRIBUTE_KEYS, texts_size(&attributes->keys)) +
           field_size(FIELD_ATTRIBUTE_VALUES, texts_size(&attributes->values));
}

/* Without tag and length. Nothing overflows: of a message's worth of records, each of at least two
 * bytes, there are few. */
static size_t column_size(const struct columns *columns, uint32_t field)
{
    switch (kinds[field]) {
    case KIND_TEXT:
        return texts_size(&columns->texts[field]);
    case KIND_FLOAT:
        return columns->n * sizeof *columns->floats[field];
    case KIND_NUMBER:
        return columns->n * sizeof *columns->numbers[field];
    case KIND_ATTRIBUTES:
        return attributes_size(&columns->attributes, columns->n);
    case KIND_EMBEDDING:
        return columns->n * columns->dimension * sizeof(float);
    default:
        return 0;
    }
}

static size_t columns_size(const struct columns *columns)
{
    size_t size = 0;

    for (uint32_t field = 0; field < FIELDS; field++)
        size += field_size(field, column_size(columns, field));
    return size;
}

/* ---- Writing ---- */

static void put_nonempty(struct buf *to, uint32_t number, const void *data, size_t size)
{
    if (size > 0)
        wire_put_bytes(to, number, data, size);
}

static void put_data(struct buf *to, const struct texts *texts)
{
    uint8_t *at;

    wire_put_header(to, FIELD_TEXT_DATA, texts->bytes);
    at = buf_extend(to, texts->bytes);
    for (size_t i = 0; at != NULL && i < texts->n; i++) {
        const struct text_view *text = &texts->views[i];
        if (text->length > 0)
            memcpy(at, text->data, text->length);
        at += text->length;
    }
}

static void put_offsets(struct buf *to, const struct texts *texts)
{
    uint32_t offset = 0;
    uint8_t *at;

    wire_put_header(to, FIELD_TEXT_OFFSETS, offsets_bytes(texts->n));
    at = buf_extend(to, offsets_bytes(texts->n));
    for (size_t i = 0; at != NULL && i <= texts->n; i++) {
        memcpy(at + i * sizeof offset, &offset, sizeof offset);
        if (i < texts->n)
            offset += (uint32_t)texts->views[i].length;
    }
}

static void put_texts(struct buf *to, const struct texts *texts)
{
    if (texts->bytes > 0)
        put_data(to, texts);
    put_offsets(to, texts);
}

static void put_attributes(struct buf *to, const struct attributes *attributes, size_t n)
{
    wire_put_bytes(to, FIELD_ATTRIBUTE_OFFSETS, attributes->offsets, offsets_bytes(n));
    wire_put_header(to, FIELD_ATTRIBUTE_KEYS, texts_size(&attributes->keys));
    put_texts(to, &attributes->keys);
    wire_put_header(to, FIELD_ATTRIBUTE_VALUES, texts_size(&attributes->values));
    put_texts(to, &attributes->values);
}

static void put_embeddings(struct buf *to, const struct columns *columns)
{
    size_t row_bytes = columns->dimension * sizeof(float);
    uint8_t *at = buf_extend(to, columns->n * row_bytes);

    for (size_t i = 0; at != NULL && i < columns->n; i++, at += row_bytes) {
        if (columns->embeddings[i] == NULL)
            memset(at, 0, row_bytes);
        else
            memcpy(at, columns->embeddings[i], row_bytes);
    }
}

static void put_column(struct buf *to, const struct columns *columns, uint32_t field)
{
    size_t size = column_size(columns, field);

    if (size == 0)
        return;
    wire_put_header(to, field, size);
    switch (kinds[field]) {
    case KIND_TEXT:
        put_texts(to, &columns->texts[field]);
        return;
    case KIND_FLOAT:
        buf_append(to, columns->floats[field], size);
        return;
    case KIND_NUMBER:
        buf_append(to, columns->numbers[field], size);
        return;
    case KIND_ATTRIBUTES:
        put_attributes(to, &columns->attributes, columns->n);
        return;
    case KIND_EMBEDDING:
        put_embeddings(to, columns);
        return;
    default:
        return;
    }
}

static void put_without_embedding(struct buf *to, const struct columns *columns)
{
    struct buf rows = { 0 };

    for (size_t i = 0; i < columns->n; i++)
        if (columns->embeddings[i] == NULL)
            wire_append_varint(&rows, i);
    put_nonempty(to, FIELD_WITHOUT_EMBEDDING, rows.data, rows.size);
    to->failed |= rows.failed;
    buf_deinit(&rows);
}

/* What is no field of Concept. */
static void put_shape(struct buf *to, const struct columns *columns)
{
    if (columns->n > 0)
        wire_put_varint(to, FIELD_COUNT, columns->n);
    if (columns->dimension == 0)
        return;
    wire_put_varint(to, FIELD_DIMENSION, columns->dimension);
    put_without_embedding(to, columns);
}

static enum status_code put_columns(struct buf *to, const struct columns *columns, size_t most,
                                    struct status *st)
{
    struct buf shape = { 0 };
    size_t size;

    put_shape(&shape, columns);
    size = columns_size(columns) + shape.size;
    if (limit_reply_size(wire_bytes_size(BATCH_GET_COLUMNS, size), most, st) == STATUS_OK) {
        buf_reserve(to, wire_bytes_size(BATCH_GET_COLUMNS, size));
        wire_put_header(to, BATCH_GET_COLUMNS, size);
        for (uint32_t field = 0; field < FIELDS; field++)
            put_column(to, columns, field);
        buf_append(to, shape.data, shape.size);
    }
    to->failed |= shape.failed;
    buf_deinit(&shape);
    return st->code;
}

enum status_code concept_columns_put(const struct concept_record *records, size_t n,
                                     size_t dimension, size_t most, struct arena *arena,
                                     struct buf *to, struct status *st)
{
    struct columns columns = { .dimension = dimension };
    size_t rows_size = 0;

    for (size_t i = 0; i < n; i++) {
        if (records[i].data == NULL)
            continue;
        columns.n++;
        rows_size += wire_bytes_size(BATCH_GET_CONCEPTS, records[i].size);
    }
    if (limit_reply_size(rows_size, most, st) != STATUS_OK ||
        read_columns(&columns, records, n, arena, st) != STATUS_OK)
        return st->code;
    return put_columns(to, &columns, most, st);
}
