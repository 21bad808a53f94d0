#include "src/log/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/base/utf8.h"

enum { LINE_MAX_BYTES = 4096 };

static _Atomic(enum log_format) format = LOG_LOGFMT;

void log_set_format(enum log_format wanted)
{
    atomic_store_explicit(&format, wanted, memory_order_relaxed);
}

bool log_format_parse(const char *name, enum log_format *ret)
{
    static const char *const names[] = { [LOG_LOGFMT] = "logfmt", [LOG_JSON] = "json" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum log_format)i;
            return true;
        }
    return false;
}

/* ---- Writing into a line ------------------------------------------------------------------ */

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

static void put_number(struct line *line, int64_t number)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)number);
    put_plain(line, text);
}

/* ---- logfmt ------------------------------------------------------------------------------- */

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

static void put_field(struct line *line, const struct log_field *field)
{
    put(line, ' ');
    put_plain(line, field->key);
    put(line, '=');
    if (field->text != NULL)
        put_text(line, field->text);
    else
        put_number(line, field->number);
}

/* ---- JSON --------------------------------------------------------------------------------- */

enum {
    JSON_END = 3,         /* what closes a value and the line */
    JSON_LEAST_FIELD = 24 /* beside the key: a field that has less is left out */
};

static bool has_room(const struct line *line, size_t bytes)
{
    return line->length + bytes + JSON_END < sizeof line->text;
}

/* The bytes of the character at @s, which is well-formed. */
static size_t character_length(const char *s)
{
    unsigned char lead = (unsigned char)*s;

    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* One character as JSON has it; returns what it takes of @s. */
static size_t escape(const char *s, bool valid, char ret[8])
{
    unsigned char c = (unsigned char)*s;
    size_t length = valid ? character_length(s) : 1;

    if (c == '"' || c == '\\')
        snprintf(ret, 8, "\\%c", c);
    else if (c < ' ' || c == 0x7f)
        snprintf(ret, 8, "\\u%04x", c);
    else if (c >= 0x80 && !valid)
        snprintf(ret, 8, "\\ufffd");
    else
        snprintf(ret, 8, "%.*s", (int)length, s);
    return length;
}

/* Cut, where there is no more room, between two characters. */
static void put_json_text(struct line *line, const char *s)
{
    bool valid = utf8_valid(s, strlen(s));
    char escaped[8];

    put(line, '"');
    while (*s != '\0') {
        s += escape(s, valid, escaped);
        if (!has_room(line, strlen(escaped)))
            break;
        put_plain(line, escaped);
    }
    put(line, '"');
}

static void put_json_field(struct line *line, const struct log_field *field)
{
    if (!has_room(line, strlen(field->key) + JSON_LEAST_FIELD))
        return;
    put_plain(line, ",\"");
    put_plain(line, field->key);
    put_plain(line, "\":");
    if (field->text != NULL)
        put_json_text(line, field->text);
    else
        put_number(line, field->number);
}

/* ---- Lines -------------------------------------------------------------------------------- */

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

static void put_line(struct line *line, const struct log_field *fields, int count)
{
    put_time(line);
    for (int i = 0; i < count; i++)
        put_field(line, &fields[i]);
}

static void put_json_line(struct line *line, const struct log_field *fields, int count)
{
    put_plain(line, "{\"time\":\"");
    put_time(line);
    put(line, '"');
    for (int i = 0; i < count; i++)
        put_json_field(line, &fields[i]);
    put(line, '}');
}

void log_event(enum log_level level, const char *event, const struct log_field *fields,
               int field_count)
{
    static const char *const levels[] = { "info", "warn", "error" };
    const struct log_field first[] = { LOG_TEXT("level", levels[level]), LOG_TEXT("event", event) };
    struct log_field all[2 + LOG_MAX_FIELDS];
    struct line line = { .length = 0 };
    ssize_t written;

    if (field_count > LOG_MAX_FIELDS)
        field_count = LOG_MAX_FIELDS;
    memcpy(all, first, sizeof first);
    if (field_count > 0)
        memcpy(all + 2, fields, (size_t)field_count * sizeof *fields);
    if (atomic_load_explicit(&format, memory_order_relaxed) == LOG_JSON)
        put_json_line(&line, all, 2 + field_count);
    else
        put_line(&line, all, 2 + field_count);
    line.text[line.length++] = '\n';
    written = write(STDERR_FILENO, line.text, line.length);
    (void)written; /* nowhere left to say that logging failed */
}
