#ifndef SUTRA_APPS_CLI_SOURCES_LINE_READER_H
#define SUTRA_APPS_CLI_SOURCES_LINE_READER_H

/**
 * A text file, line by line, in bounded memory.
 *
 * Lines end with LF; a UTF-8 byte order mark in front of the first is skipped. Nothing is said
 * about the bytes of a line: they may be anything. One thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/status.h"

/* A longer line is refused: more than a concept at its limits takes, escapes included. */
enum { LINE_MAX_BYTES = 16 * 1024 * 1024 };

struct line_reader {
    char *path;
    int fd; /* -1 when not open */
    char *data;
    size_t capacity;
    size_t start; /* data[start, end) is read but not yet returned */
    size_t end;
    bool at_end;
    uint64_t line;       /* number of the line last returned, from 1 */
    uint64_t bytes_read; /* up to and including that line */
};

/** Opens @path ("-": standard input). NOT_FOUND, PERMISSION_DENIED, … as errno says. */
enum status_code line_reader_open(struct line_reader *reader, const char *path, struct status *st);

/** `{0}` with fd -1, and what failed to open, are valid arguments. */
void line_reader_deinit(struct line_reader *reader);

/** The next line without its LF, valid until the next call; NULL behind the last. INVALID_ARGUMENT
 * beyond LINE_MAX_BYTES. */
enum status_code line_reader_next(struct line_reader *reader, const char **ret_line,
                                  size_t *ret_length, struct status *st);

/** Puts "path:line: " in front of an error about line @line. Returns its code. */
enum status_code line_reader_wrap(const struct line_reader *reader, uint64_t line,
                                  struct status *st);

#endif
