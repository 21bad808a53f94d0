#include "src/embed/vocabulary.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 64 << 20, MIN_SLOTS = 1024 };

struct entry {
    const char *bytes; /* inside the file's text; NULL in an empty slot */
    uint32_t id;
    uint8_t length;
    bool continuing;
};

/* Open addressing with linear probing; at most half full. */
struct vocabulary {
    char *text;
    struct entry *slots;
    size_t n_slots; /* a power of two */
    size_t n_tokens;
    size_t longest;
};

/* FNV-1a with the kind of the token in the seed. */
static size_t hash_token(const char *bytes, size_t length, bool continuing)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) + continuing;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ (hash >> 32));
}

/* The slot of the token, or the empty one where it belongs. */
static struct entry *probe(const struct vocabulary *v, const char *bytes, size_t length,
                           bool continuing)
{
    size_t i = hash_token(bytes, length, continuing) & (v->n_slots - 1);

    while (v->slots[i].bytes != NULL &&
           (v->slots[i].length != length || v->slots[i].continuing != continuing ||
            memcmp(v->slots[i].bytes, bytes, length) != 0))
        i = (i + 1) & (v->n_slots - 1);
    return &v->slots[i];
}

static enum status_code read_stream(FILE *file, char **ret_text, size_t *ret_size,
                                    struct status *st)
{
    if (fseek(file, 0, SEEK_END) != 0)
        return status_set_errno(st, errno, "seek");
    long size = ftell(file);
    if (size < 0 || size > FILE_LIMIT)
        return status_set(st, STATUS_INVALID_ARGUMENT, "not a vocabulary: too big");
    rewind(file);

    char *text = malloc((size_t)size + 1);
    if (text == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (fread(text, 1, (size_t)size, file) != (size_t)size) {
        free(text);
        return status_set(st, STATUS_DATA_LOSS, "short read");
    }
    *ret_text = text;
    *ret_size = (size_t)size;
    return STATUS_OK;
}

static enum status_code read_file(const char *path, char **ret_text, size_t *ret_size,
                                  struct status *st)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL)
        return status_set_errno(st, errno, "open");
    read_stream(file, ret_text, ret_size, st);
    fclose(file);
    return st->code;
}

static size_t count_lines(const char *text, size_t size)
{
    size_t lines = 0;

    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n' || i + 1 == size;
    return lines;
}

static enum status_code add_token(struct vocabulary *v, const char *line, size_t length,
                                  struct status *st)
{
    bool continuing = length > 2 && memcmp(line, "##", 2) == 0;
    const char *bytes = continuing ? line + 2 : line;
    size_t n_bytes = continuing ? length - 2 : length;

    if (length == 0 || length > VOCABULARY_MAX_TOKEN_BYTES)
        return status_set(st, STATUS_INVALID_ARGUMENT, "line %zu: a token has 1 to %d bytes",
                          v->n_tokens + 1, VOCABULARY_MAX_TOKEN_BYTES);
    struct entry *entry = probe(v, bytes, n_bytes, continuing);
    if (entry->bytes != NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "line %zu: same token as line %u",
                          v->n_tokens + 1, entry->id + 1);
    *entry = (struct entry){ .bytes = bytes,
                             .id = (uint32_t)v->n_tokens++,
                             .length = (uint8_t)n_bytes,
                             .continuing = continuing };
    if (n_bytes > v->longest)
        v->longest = n_bytes;
    return STATUS_OK;
}

static enum status_code add_lines(struct vocabulary *v, size_t size, struct status *st)
{
    const char *line = v->text;
    const char *end = v->text + size;

    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *stop = newline != NULL ? newline : end;
        if (add_token(v, line, (size_t)(stop - line), st) != STATUS_OK)
            return st->code;
        line = stop + 1;
    }
    return STATUS_OK;
}

static enum status_code build(struct vocabulary *v, const char *path, struct status *st)
{
    size_t size = 0;

    if (read_file(path, &v->text, &size, st) != STATUS_OK)
        return st->code;
    size_t n_lines = count_lines(v->text, size);
    v->n_slots = MIN_SLOTS;
    while (v->n_slots / 2 < n_lines)
        v->n_slots *= 2;
    v->slots = calloc(v->n_slots, sizeof *v->slots);
    if (v->slots == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    return add_lines(v, size, st);
}

enum status_code vocabulary_open(const char *path, struct vocabulary **ret_vocabulary,
                                 struct status *st)
{
    struct vocabulary *v = calloc(1, sizeof *v);

    if (v == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (build(v, path, st) != STATUS_OK) {
        vocabulary_close(v);
        return status_wrap(st, "vocabulary '%s'", path);
    }
    *ret_vocabulary = v;
    return STATUS_OK;
}

void vocabulary_close(struct vocabulary *vocabulary)
{
    if (vocabulary == NULL)
        return;
    free(vocabulary->slots);
    free(vocabulary->text);
    free(vocabulary);
}

size_t vocabulary_size(const struct vocabulary *vocabulary)
{
    return vocabulary->n_tokens;
}

size_t vocabulary_longest(const struct vocabulary *vocabulary)
{
    return vocabulary->longest;
}

uint32_t vocabulary_find(const struct vocabulary *vocabulary, const char *bytes, size_t length,
                         bool continuing)
{
    const struct entry *entry = probe(vocabulary, bytes, length, continuing);

    return entry->bytes != NULL ? entry->id : VOCABULARY_NONE;
}
