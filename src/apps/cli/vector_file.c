#include "src/apps/cli/vector_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"

enum { MAX_VECTOR_TEXT = 1024 * 1024 };

static enum status_code out_of_memory(struct status *st)
{
    return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

static enum status_code read_text(FILE *file, const char *path, size_t max_bytes,
                                  struct arena *arena, char **ret_text, struct status *st)
{
    char *text = arena_alloc(arena, max_bytes + 2);
    size_t length;

    if (text == NULL)
        return out_of_memory(st);
    length = fread(text, 1, max_bytes + 1, file);
    if (ferror(file))
        return status_set_errno(st, errno, "read '%s'", path);
    if (length > max_bytes)
        return status_set(st, STATUS_INVALID_ARGUMENT, "'%s' is longer than %zu bytes", path,
                          max_bytes);
    if (memchr(text, '\0', length) != NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "'%s' is not text", path);
    text[length] = '\0';
    *ret_text = text;
    return STATUS_OK;
}

enum status_code text_file_read(const char *path, size_t max_bytes, struct arena *arena,
                                char **ret_text, struct status *st)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

    if (file == NULL)
        return status_set_errno(st, errno, "open '%s'", path);
    read_text(file, path, max_bytes, arena, ret_text, st);
    if (file != stdin)
        fclose(file);
    return st->code;
}

enum status_code vector_parse(const char *text, struct arena *arena, float **ret_values,
                              size_t *ret_count, struct status *st)
{
    static const char BETWEEN[] = " \t\r\n,;[]";
    float *values = arena_calloc(arena, strlen(text) / 2 + 1, sizeof *values);
    size_t count = 0;

    if (values == NULL)
        return out_of_memory(st);
    for (text += strspn(text, BETWEEN); *text != '\0'; text += strspn(text, BETWEEN)) {
        char *end;
        float value = strtof(text, &end);
        if (end == text || strcspn(end, BETWEEN) != 0 || !isfinite(value))
            return status_set(st, STATUS_INVALID_ARGUMENT, "'%.*s' is not a number",
                              (int)size_min(strcspn(text, BETWEEN), 40), text);
        values[count++] = value;
        text = end;
    }
    if (count == 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "no numbers");
    *ret_values = values;
    *ret_count = count;
    return STATUS_OK;
}

enum status_code vector_file_read(const char *path, struct arena *arena, float **ret_values,
                                  size_t *ret_count, struct status *st)
{
    char *text = NULL;

    if (text_file_read(path, MAX_VECTOR_TEXT, arena, &text, st) != STATUS_OK)
        return st->code;
    if (vector_parse(text, arena, ret_values, ret_count, st) != STATUS_OK)
        return status_wrap(st, "read the vector in '%s'", path);
    return STATUS_OK;
}
