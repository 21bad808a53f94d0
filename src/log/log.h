#ifndef SUTRA_LOG_LOG_H
#define SUTRA_LOG_LOG_H

/**
 * One line per event on standard error: "2026-01-02T03:04:05.678Z level=warn event=call_failed
 * key=value …", or the same as a JSON object: {"time":"2026-…","level":"warn", …}.
 *
 * Any thread; a line is written by one write(2), so lines do not mix; never blocks on a lock, never
 * fails its caller. Values with spaces, quotes or control characters are quoted. No concept text
 * and no vectors.
 */

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_format { LOG_LOGFMT, LOG_JSON };

/** For the whole process; logfmt until it is called. */
void log_set_format(enum log_format format);

/** "logfmt" or "json"; false for another. */
bool log_format_parse(const char *name, enum log_format *ret);

/** One key and its value; @text NULL means the number counts. */
struct log_field {
    const char *key;
    const char *text;
    int64_t number;
};

#define LOG_TEXT(key_, text_)                                                                      \
    (struct log_field)                                                                             \
    {                                                                                              \
        .key = (key_), .text = (text_)                                                             \
    }
#define LOG_NUMBER(key_, number_)                                                                  \
    (struct log_field)                                                                             \
    {                                                                                              \
        .key = (key_), .number = (int64_t)(number_)                                                \
    }

enum { LOG_MAX_FIELDS = 20 };

/** Writes one line; cut at 4 KiB, and behind LOG_MAX_FIELDS fields. A line of JSON is whole all the
 * same. */
void log_event(enum log_level level, const char *event, const struct log_field *fields,
               int field_count);

/** log_event() with the fields written out: log_line(LOG_INFO, "ready", LOG_TEXT("address", a)). */
#define log_line(level, event, ...)                                                                \
    log_event(level, event, (const struct log_field[]){ __VA_ARGS__ },                             \
              (int)(sizeof((const struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field)))

#endif
