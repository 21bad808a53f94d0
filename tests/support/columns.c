#include "tests/support/columns.h"

#include <stdbool.h>
#include <string.h>

struct rows {
    Sutra__V1__Concept *const *concepts; /* [n] */
    size_t n;
};

static int32_t int_at(ProtobufCBinaryData column, size_t i)
{
    int32_t value;

    memcpy(&value, column.data + i * sizeof value, sizeof value);
    return value;
}

/* From 0, ascending, to @end. */
static bool offsets_are_sound(ProtobufCBinaryData offsets, size_t n, size_t end)
{
    bool ascend = true;

    if (offsets.len != (n + 1) * sizeof(int32_t))
        return false;
    for (size_t i = 0; i < n; i++)
        ascend &= int_at(offsets, i) <= int_at(offsets, i + 1);
    return ascend && int_at(offsets, 0) == 0 && (size_t)int_at(offsets, n) == end;
}

static bool is_sound(const Sutra__V1__TextColumn *column, size_t n)
{
    return column != NULL && offsets_are_sound(column->offsets, n, column->data.len);
}

/* Of a sound column. */
static bool text_is(const Sutra__V1__TextColumn *column, size_t i, const char *expected)
{
    size_t begin = (size_t)int_at(column->offsets, i);
    size_t length = (size_t)int_at(column->offsets, i + 1) - begin;

    return length == strlen(expected) &&
           (length == 0 || memcmp(column->data.data + begin, expected, length) == 0);
}

/* @member: where a row has the value, as in offsetof(). */
static bool texts_agree(const Sutra__V1__TextColumn *column, struct rows rows, size_t member)
{
    bool all = is_sound(column, rows.n);

    for (size_t i = 0; i < rows.n && all; i++)
        all = text_is(column, i, *(char *const *)((const char *)rows.concepts[i] + member));
    return all;
}

static bool numbers_agree(ProtobufCBinaryData column, struct rows rows, size_t member, size_t width)
{
    bool all = column.len == rows.n * width;

    for (size_t i = 0; i < rows.n && all; i++)
        all = memcmp(column.data + i * width, (const char *)rows.concepts[i] + member, width) == 0;
    return all;
}

static size_t count_attributes(struct rows rows)
{
    size_t count = 0;

    for (size_t i = 0; i < rows.n; i++)
        count += rows.concepts[i]->n_attributes;
    return count;
}

static bool attributes_agree(const Sutra__V1__AttributeColumn *column, struct rows rows)
{
    size_t count = count_attributes(rows);
    size_t at = 0;

    if (column == NULL || !offsets_are_sound(column->offsets, rows.n, count) ||
        !is_sound(column->keys, count) || !is_sound(column->values, count))
        return false;
    for (size_t i = 0; i < rows.n; i++) {
        if (at != (size_t)int_at(column->offsets, i))
            return false;
        for (size_t a = 0; a < rows.concepts[i]->n_attributes; a++, at++)
            if (!text_is(column->keys, at, rows.concepts[i]->attributes[a]->key) ||
                !text_is(column->values, at, rows.concepts[i]->attributes[a]->value))
                return false;
    }
    return true;
}

static bool is_zero(const uint8_t *data, size_t size)
{
    size_t i = 0;

    while (i < size && data[i] == 0)
        i++;
    return i == size;
}

static bool embeddings_agree(const Sutra__V1__ConceptColumns *columns, struct rows rows, size_t d)
{
    size_t bytes = d * sizeof(float);
    size_t without = 0;

    if (columns->dimension != d || columns->embedding.len != rows.n * bytes)
        return false;
    for (size_t i = 0; d > 0 && i < rows.n; i++) {
        const Sutra__V1__Embedding *expected = rows.concepts[i]->embedding;
        const uint8_t *row = columns->embedding.data + i * bytes;
        bool none = expected == NULL || expected->f32le.len == 0;
        if (none ? !is_zero(row, bytes) : memcmp(row, expected->f32le.data, bytes) != 0)
            return false;
        if (none &&
            (without == columns->n_without_embedding || columns->without_embedding[without++] != i))
            return false;
    }
    return without == columns->n_without_embedding;
}

/* Where both messages have a field. */
#define AT(name)                                                                                   \
#name, offsetof(Sutra__V1__ConceptColumns, name), offsetof(Sutra__V1__Concept, name)

static const struct {
    const char *name;
    size_t column;
    size_t row;
    size_t width; /* 0: text */
} fields[] = {
    { AT(id), 0 },
    { AT(content), 0 },
    { AT(strength), 4 },
    { AT(confidence), 4 },
    { AT(access_count), 8 },
    { AT(created_us), 8 },
    { AT(last_accessed_us), 8 },
    { AT(source), 0 },
    { AT(category), 0 },
    { AT(version), 8 },
};

static bool field_agrees(const Sutra__V1__ConceptColumns *columns, struct rows rows, size_t field)
{
    const void *column = (const char *)columns + fields[field].column;

    if (fields[field].width == 0)
        return texts_agree(*(Sutra__V1__TextColumn *const *)column, rows, fields[field].row);
    return numbers_agree(*(const ProtobufCBinaryData *)column, rows, fields[field].row,
                         fields[field].width);
}

const char *test_columns_differ(const Sutra__V1__ConceptColumns *columns,
                                Sutra__V1__Concept *const *rows, size_t n, size_t dimension)
{
    const struct rows all = { rows, n };

    if (columns->count != n)
        return "count";
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (!field_agrees(columns, all, i))
            return fields[i].name;
    if (!attributes_agree(columns->attributes, all))
        return "attributes";
    return embeddings_agree(columns, all, dimension) ? NULL : "embedding";
}
