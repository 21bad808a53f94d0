#include "src/log/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 };

struct line {
    char text[LINE_MAX_BYTES];
    size_t length;
};

static void put(struct line *line, char c)
{
    if (line->length < sizeof line->text - 1) /* room for the newline */
        line->text[line->length++] = c;
}

static void put_plain(struct line *line, const char *s)
{
    while (*s != '\0')
        put(line, *s++);
}

static void put_quoted(struct line *line, const char *s)
{
    put(line, '"');
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\')
            put(line, '\\');
        put(line, (unsigned char)*s < ' ' ? ' ' : *s);
    }
    put(line, '"');
}

static void put_text(struct line *line, const char *s)
{
    size_t length = strlen(s);

    if (length > 0 && strcspn(s, " \"=\\\t\n\r") == length)
        put_plain(line, s);
    else
        put_quoted(line, s);
}

static void put_time(struct line *line)
{
    char text[64];
    struct timespec now;
    struct tm utc;
    size_t length;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + length, sizeof text - length, ".%03ldZ", now.tv_nsec / 1000000);
    put_plain(line, text);
}

static void put_field(struct line *line, const struct log_field *field)
{
    char number[32];

    put(line, ' ');
    put_plain(line, field->key);
    put(line, '=');
    if (field->text != NULL) {
        put_text(line, field->text);
        return;
    }
    snprintf(number, sizeof number, "%lld", (long long)field->number);
    put_plain(line, number);
}

void log_event(enum log_level level, const char *event, const struct log_field *fields,
               int field_count)
{
    static const char *const levels[] = { "info", "warn", "error" };
    struct line line = { .length = 0 };
    ssize_t written;

    put_time(&line);
    put_field(&line, &LOG_TEXT("level", levels[level]));
    put_field(&line, &LOG_TEXT("event", event));
    for (int i = 0; i < field_count; i++)
        put_field(&line, &fields[i]);
    line.text[line.length++] = '\n';
    written = write(STDERR_FILENO, line.text, line.length);
    (void)written; /* nowhere left to say that logging failed */
}
