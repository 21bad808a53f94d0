#include "src/apps/cli/sources/source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "src/apps/cli/sources/line_reader.h"
#include "src/apps/cli/sources/source_type.h"

enum { ITEM_ARENA_BYTES = 64 * 1024 * 1024 };

struct source {
    const struct source_type *type;
    void *state;
};

static const struct source_type *const TYPES[SOURCE_FORMATS] = {
    [SOURCE_WORDNET] = &wordnet_source,
    [SOURCE_JSONL] = &jsonl_source,
    [SOURCE_CSV] = &csv_source,
    [SOURCE_TSV] = &tsv_source,
};

const char *source_format_name(enum source_format format)
{
    return TYPES[format]->name;
}

enum source_format source_format_parse(const char *name)
{
    enum source_format format = 0;

    while (format < SOURCE_FORMATS && strcasecmp(name, TYPES[format]->name) != 0)
        format++;
    return format;
}

enum status_code source_format_guess(const char *path, enum source_format *ret, struct status *st)
{
    struct stat info;
    const char *dot = strrchr(path, '.');
    enum source_format format;

    if (strcmp(path, "-") != 0 && stat(path, &info) != 0)
        return status_set_errno(st, errno, "open '%s'", path);
    if (strcmp(path, "-") != 0 && S_ISDIR(info.st_mode)) {
        *ret = SOURCE_WORDNET;
        return STATUS_OK;
    }
    format = dot != NULL ? source_format_parse(dot + 1) : SOURCE_FORMATS;
    if (format == SOURCE_FORMATS)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "'%s' does not tell its format; name it with --format", path);
    *ret = format;
    return STATUS_OK;
}

enum status_code source_open(enum source_format format, const char *path,
                             struct source **ret_source, struct status *st)
{
    struct source *source = calloc(1, sizeof *source);

    if (source == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    source->type = TYPES[format];
    if (source->type->open(path, &source->state, st) != STATUS_OK) {
        free(source);
        return st->code;
    }
    *ret_source = source;
    return STATUS_OK;
}

void source_close(struct source *source)
{
    if (source == NULL)
        return;
    source->type->close(source->state);
    free(source);
}

enum status_code source_next(struct source *source, struct arena *arena,
                             Sutra__V1__ConceptInput **ret_item, struct status *st)
{
    return source->type->next(source->state, arena, ret_item, st);
}

static enum status_code make_and_forget(struct source *source, bool *ret_there, struct status *st)
{
    Sutra__V1__ConceptInput *item = NULL;
    struct arena arena;

    arena_init(&arena, ITEM_ARENA_BYTES);
    if (source_next(source, &arena, &item, st) == STATUS_OK)
        *ret_there = item != NULL;
    arena_deinit(&arena);
    return st->code;
}

enum status_code source_skip(struct source *source, bool *ret_there, struct status *st)
{
    if (source->type->skip == NULL)
        return make_and_forget(source, ret_there, st);
    return source->type->skip(source->state, ret_there, st);
}

uint64_t source_bytes_read(const struct source *source)
{
    return source->type->bytes_read(source->state);
}

/* Calls @visit for each file of the source. */
typedef enum status_code file_visitor(const char *file, void *context, struct status *st);

static enum status_code visit_files(enum source_format format, const char *path,
                                    file_visitor *visit, void *context, struct status *st)
{
    const char *const *name = TYPES[format]->files;
    char file[4096];

    if (name == NULL)
        return visit(path, context, st);
    for (; *name != NULL; name++) {
        int length = snprintf(file, sizeof file, "%s/%s", path, *name);
        if (length < 0 || (size_t)length >= sizeof file)
            return status_set(st, STATUS_INVALID_ARGUMENT, "the path '%.80s…' is too long", path);
        if (visit(file, context, st) != STATUS_OK)
            return st->code;
    }
    return STATUS_OK;
}

struct measuring {
    const struct source_type *type;
    struct source_size size;
};

static enum status_code count_items(struct measuring *m, const char *file, struct status *st)
{
    struct line_reader reader;
    const char *line = NULL;
    size_t length;

    line_reader_open(&reader, file, st);
    while (st->code == STATUS_OK && line_reader_next(&reader, &line, &length, st) == STATUS_OK &&
           line != NULL)
        m->size.items += m->type->line_is_item(line, length);
    line_reader_deinit(&reader);
    return st->code;
}

static enum status_code measure_file(const char *file, void *context, struct status *st)
{
    struct measuring *m = context;
    struct stat info;

    if (stat(file, &info) != 0)
        return status_set_errno(st, errno, "open '%s'", file);
    if (!S_ISREG(info.st_mode)) /* a pipe can be read only once */
        return STATUS_OK;
    m->size.bytes += (uint64_t)info.st_size;
    return m->type->line_is_item != NULL ? count_items(m, file, st) : STATUS_OK;
}

enum status_code source_measure(enum source_format format, const char *path,
                                struct source_size *ret, struct status *st)
{
    struct measuring m = { .type = TYPES[format] };

    if (strcmp(path, "-") != 0 && visit_files(format, path, measure_file, &m, st) != STATUS_OK)
        return st->code;
    *ret = m.size;
    return STATUS_OK;
}

struct fingerprinting {
    struct arena *arena;
    const char *text;
};

static enum status_code fingerprint_file(const char *file, void *context, struct status *st)
{
    struct fingerprinting *f = context;
    struct stat info;
    char *absolute = realpath(file, NULL);

    if (absolute == NULL || stat(absolute, &info) != 0) {
        status_set_errno(st, errno, "open '%s'", file);
        goto out;
    }
    f->text =
        arena_printf(f->arena, "%s%s %" PRIu64 " %" PRId64 ".%09ld\n", f->text, absolute,
                     (uint64_t)info.st_size, (int64_t)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
    if (f->text == NULL)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
out:
    free(absolute);
    return st->code;
}

enum status_code source_fingerprint(enum source_format format, const char *path,
                                    struct arena *arena, const char **ret, struct status *st)
{
    struct fingerprinting f = { .arena = arena, .text = "" };

    if (strcmp(path, "-") == 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "standard input cannot be read again");
    if (visit_files(format, path, fingerprint_file, &f, st) != STATUS_OK)
        return st->code;
    *ret = f.text;
    return STATUS_OK;
}
