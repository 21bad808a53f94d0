#include "src/apps/cli/sources/line_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/size.h"

enum { CHUNK_BYTES = 64 * 1024 };

static const char BYTE_ORDER_MARK[] = "\xEF\xBB\xBF";

enum status_code line_reader_open(struct line_reader *reader, const char *path, struct status *st)
{
    bool standard_input = strcmp(path, "-") == 0;

    *reader = (struct line_reader){ .fd = -1 };
    reader->path = strdup(standard_input ? "standard input" : path);
    if (reader->path == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    reader->fd = standard_input ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (reader->fd < 0)
        return status_set_errno(st, errno, "open '%s'", path);
    return STATUS_OK;
}

void line_reader_deinit(struct line_reader *reader)
{
    if (reader->fd >= 0)
        close(reader->fd);
    free(reader->data);
    free(reader->path);
    *reader = (struct line_reader){ .fd = -1 };
}

/* Room for another chunk behind the unreturned bytes. */
static enum status_code make_room(struct line_reader *reader, struct status *st)
{
    size_t kept = reader->end - reader->start;
    size_t capacity = size_max(reader->capacity, 2 * CHUNK_BYTES);
    char *data;

    if (reader->start > 0) {
        memmove(reader->data, reader->data + reader->start, kept);
        reader->start = 0;
        reader->end = kept;
    }
    while (capacity - kept < CHUNK_BYTES)
        capacity *= 2;
    if (capacity == reader->capacity)
        return STATUS_OK;
    data = realloc(reader->data, capacity);
    if (data == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    reader->data = data;
    reader->capacity = capacity;
    return STATUS_OK;
}

static enum status_code read_chunk(struct line_reader *reader, struct status *st)
{
    ssize_t got;

    if (make_room(reader, st) != STATUS_OK)
        return st->code;
    do
        got = read(reader->fd, reader->data + reader->end, CHUNK_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return status_set_errno(st, errno, "read '%s'", reader->path);
    reader->at_end = got == 0;
    reader->end += (size_t)got;
    return STATUS_OK;
}

/* Reads until a whole line is there or the file ends; *ret_lf is its LF, or NULL. */
static enum status_code fill_line(struct line_reader *reader, char **ret_lf, struct status *st)
{
    size_t searched = 0;

    for (;;) {
        size_t there = reader->end - reader->start;
        char *lf = there == searched
                       ? NULL
                       : memchr(reader->data + reader->start + searched, '\n', there - searched);
        if (lf != NULL || reader->at_end) {
            *ret_lf = lf;
            return STATUS_OK;
        }
        if (there > LINE_MAX_BYTES)
            break;
        searched = there;
        if (read_chunk(reader, st) != STATUS_OK)
            return st->code;
    }
    status_set(st, STATUS_INVALID_ARGUMENT, "the line is longer than %d bytes", LINE_MAX_BYTES);
    return line_reader_wrap(reader, reader->line + 1, st);
}

static size_t mark_length(const struct line_reader *reader, const char *line, size_t length)
{
    size_t mark = sizeof BYTE_ORDER_MARK - 1;

    return reader->line == 1 && length >= mark && memcmp(line, BYTE_ORDER_MARK, mark) == 0 ? mark
                                                                                           : 0;
}

enum status_code line_reader_next(struct line_reader *reader, const char **ret_line,
                                  size_t *ret_length, struct status *st)
{
    char *lf = NULL;
    const char *line;
    size_t length;
    size_t mark;

    if (fill_line(reader, &lf, st) != STATUS_OK)
        return st->code;
    if (lf == NULL && reader->start == reader->end) {
        *ret_line = NULL;
        *ret_length = 0;
        return STATUS_OK;
    }
    line = reader->data + reader->start;
    length = lf != NULL ? (size_t)(lf - line) : reader->end - reader->start;
    reader->start += length + (lf != NULL);
    reader->bytes_read += length + (lf != NULL);
    reader->line++;
    mark = mark_length(reader, line, length);
    *ret_line = line + mark;
    *ret_length = length - mark;
    return STATUS_OK;
}

enum status_code line_reader_wrap(const struct line_reader *reader, uint64_t line,
                                  struct status *st)
{
    return status_wrap(st, "%s:%" PRIu64, reader->path, line);
}
