#include "src/apps/cli/sources/jsonl.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "src/apps/cli/sources/item_fields.h"
#include "src/apps/cli/sources/line_reader.h"
#include "src/apps/cli/sources/source_type.h"

static enum status_code fill_item(const json_t *object, Sutra__V1__ConceptInput *item,
                                  struct arena *arena, struct status *st)
{
    const char *key;
    json_t *value;

    if (!json_is_object(object))
        return status_set(st, STATUS_INVALID_ARGUMENT, "not a JSON object");
    if (item == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "the item is too big");
    json_object_foreach((json_t *)object, key, value)
    {
        if (item_set(item, key, value, arena, st) != STATUS_OK)
            return st->code;
    }
    return STATUS_OK;
}

enum status_code jsonl_parse_item(const char *line, size_t length, struct arena *arena,
                                  Sutra__V1__ConceptInput **ret_item, struct status *st)
{
    json_error_t error;
    json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
    Sutra__V1__ConceptInput *item;

    if (object == NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "not JSON: %s (column %d)", error.text,
                          error.column);
    item = item_new(arena);
    if (fill_item(object, item, arena, st) == STATUS_OK)
        *ret_item = item;
    json_decref(object);
    return st->code;
}

static bool line_is_object(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (strchr(" \t\r", line[i]) == NULL || line[i] == '\0')
            return true;
    return false;
}

static void jsonl_close(void *state)
{
    line_reader_deinit(state);
    free(state);
}

static enum status_code jsonl_open(const char *path, void **ret_state, struct status *st)
{
    struct line_reader *reader = malloc(sizeof *reader);

    if (reader == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (line_reader_open(reader, path, st) == STATUS_OK)
        *ret_state = reader;
    else
        jsonl_close(reader);
    return st->code;
}

/* The next line with an object; NULL behind the last. */
static enum status_code next_object(struct line_reader *reader, const char **ret_line,
                                    size_t *ret_length, struct status *st)
{
    do {
        if (line_reader_next(reader, ret_line, ret_length, st) != STATUS_OK)
            return st->code;
    } while (*ret_line != NULL && !line_is_object(*ret_line, *ret_length));
    return STATUS_OK;
}

static enum status_code jsonl_skip(void *state, bool *ret_there, struct status *st)
{
    const char *line;
    size_t length;

    if (next_object(state, &line, &length, st) == STATUS_OK)
        *ret_there = line != NULL;
    return st->code;
}

static enum status_code jsonl_next(void *state, struct arena *arena,
                                   Sutra__V1__ConceptInput **ret_item, struct status *st)
{
    struct line_reader *reader = state;
    const char *line;
    size_t length;

    if (next_object(reader, &line, &length, st) != STATUS_OK)
        return st->code;
    if (line == NULL) {
        *ret_item = NULL;
        return STATUS_OK;
    }
    if (jsonl_parse_item(line, length, arena, ret_item, st) != STATUS_OK)
        return line_reader_wrap(reader, reader->line, st);
    return STATUS_OK;
}

static uint64_t jsonl_bytes_read(const void *state)
{
    return ((const struct line_reader *)state)->bytes_read;
}

const struct source_type jsonl_source = {
    .name = "jsonl",
    .open = jsonl_open,
    .close = jsonl_close,
    .next = jsonl_next,
    .skip = jsonl_skip,
    .bytes_read = jsonl_bytes_read,
    .line_is_item = line_is_object,
};
