#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include "src/log/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 20 };

static int read_end;

/* From here on standard error is a pipe that the test reads. */
static void capture(void)
{
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    cr_assert_geq(fcntl(ends[1], F_SETPIPE_SZ, TEXT_MAX), TEXT_MAX);
    cr_assert_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[1]);
    read_end = ends[0];
}

static const char *captured(void)
{
    static char text[TEXT_MAX + 1];
    size_t length = 0;
    ssize_t got;

    close(STDERR_FILENO);
    while ((got = read(read_end, text + length, TEXT_MAX - length)) > 0)
        length += (size_t)got;
    close(read_end);
    text[length] = '\0';
    return text;
}

static bool matches(const char *text, const char *pattern)
{
    regex_t regex;
    int result;

    cr_assert_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    result = regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    return result == 0;
}

/* What follows the time, up to the newline. */
static void expect_line(const char *rest)
{
    const char *text = captured();
    const char *space = strchr(text, ' ');

    cr_assert(matches(text, "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "),
              "%s", text);
    cr_expect_str_eq(space + 1, rest, "%s", text);
}

Test(log, a_line_is_time_level_event_and_fields)
{
    capture();
    log_line(LOG_WARN, "call_failed", LOG_TEXT("method", "Get"), LOG_NUMBER("shard", 3),
             LOG_NUMBER("delta", -7));
    expect_line("level=warn event=call_failed method=Get shard=3 delta=-7\n");
}

Test(log, an_event_needs_no_fields)
{
    capture();
    log_event(LOG_INFO, "ready", NULL, 0);
    expect_line("level=info event=ready\n");
}

Test(log, quotes_what_would_not_parse)
{
    capture();
    log_line(LOG_ERROR, "x", LOG_TEXT("space", "a b"), LOG_TEXT("quote", "say \"hi\""),
             LOG_TEXT("backslash", "a\\b"), LOG_TEXT("equals", "k=v"), LOG_TEXT("empty", ""),
             LOG_TEXT("plain", "unix:/run/s1"));
    expect_line("level=error event=x space=\"a b\" quote=\"say \\\"hi\\\"\" "
                "backslash=\"a\\\\b\" equals=\"k=v\" empty=\"\" plain=unix:/run/s1\n");
}

Test(log, no_value_starts_a_line_of_its_own)
{
    capture();
    log_line(LOG_INFO, "x", LOG_TEXT("v", "a\nlevel=error event=forged"),
             LOG_TEXT("w", "\x1b[2J\r"));
    expect_line("level=info event=x v=\"a level=error event=forged\" w=\" [2J \"\n");
}

Test(log, cuts_a_line_at_4096_bytes_and_ends_it)
{
    static char text[10000];
    const char *line;

    memset(text, 'x', sizeof text - 1);
    capture();
    log_line(LOG_INFO, "x", LOG_TEXT("v", text), LOG_TEXT("w", text));
    line = captured();
    cr_expect_eq(strlen(line), 4096);
    cr_expect_eq(strchr(line, '\n'), line + 4095);
}

Test(log, an_unwritable_standard_error_fails_nobody)
{
    close(STDERR_FILENO);
    log_line(LOG_INFO, "x", LOG_NUMBER("n", 1));
}

/* ---- JSON ---- */

/* One line, parsed; the caller's. */
static json_t *captured_json(void)
{
    json_error_t error;
    const char *text = captured();
    json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, &error);

    cr_assert_not_null(line, "%s: %s", error.text, text);
    cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1, "%s", text);
    return line;
}

static const char *text_of(const json_t *line, const char *key)
{
    const char *text = json_string_value(json_object_get(line, key));

    cr_assert_not_null(text, "%s", key);
    return text;
}

Test(log, a_line_as_json)
{
    json_t *line;

    capture();
    log_set_format(LOG_JSON);
    log_line(LOG_WARN, "call_failed", LOG_TEXT("method", "Get"), LOG_NUMBER("shard", -3),
             LOG_TEXT("message", "say \"hi\" \\ \n\x1b\x7f Zażółć 月"));
    line = captured_json();
    cr_expect(matches(text_of(line, "time"), "^[0-9-]{10}T[0-9:]{8}\\.[0-9]{3}Z$"));
    cr_expect_str_eq(text_of(line, "level"), "warn");
    cr_expect_str_eq(text_of(line, "event"), "call_failed");
    cr_expect_str_eq(text_of(line, "method"), "Get");
    cr_expect_eq(json_integer_value(json_object_get(line, "shard")), -3);
    cr_expect_str_eq(text_of(line, "message"), "say \"hi\" \\ \n\x1b\x7f Zażółć 月");
    json_decref(line);
}

Test(log, json_has_no_bytes_that_are_no_text)
{
    json_t *line;

    capture();
    log_set_format(LOG_JSON);
    log_line(LOG_INFO, "x", LOG_TEXT("v", "a\xff\xc3"));
    line = captured_json();
    cr_expect_str_eq(text_of(line, "v"), "a\uFFFD\uFFFD");
    json_decref(line);
}

static void expect_cut(char *line, const char *text)
{
    json_error_t error;
    json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    const char *got;

    cr_assert_not_null(json, "%s: %s", error.text, line);
    got = text_of(json, "v");
    cr_expect_geq(strlen(got), 3900);
    cr_expect_eq(strncmp(got, text, strlen(got)), 0);
    json_decref(json);
}

static void fill(char *text, size_t length)
{
    memset(text, 'x', length % 3);
    for (size_t at = length % 3; at < length; at += 3)
        memcpy(text + at, "月", 4);
}

/* The cut moves over a character of three bytes, and over what is left for further fields. */
Test(log, a_line_of_json_is_cut_and_whole)
{
    enum { FIRST = 3990, LAST = 4060 };
    static char text[3 * LAST];
    char *rest;

    capture();
    log_set_format(LOG_JSON);
    for (size_t length = FIRST; length <= LAST; length++) {
        fill(text, length);
        log_line(LOG_INFO, "x", LOG_TEXT("v", text), LOG_NUMBER("n", 7), LOG_TEXT("w", "\"\"\""));
    }
    rest = (char *)captured();
    for (size_t length = FIRST; length <= LAST; length++) {
        fill(text, length);
        expect_cut(strsep(&rest, "\n"), text);
    }
}

Test(log, formats_have_names)
{
    enum log_format format = LOG_JSON;

    cr_expect(log_format_parse("logfmt", &format));
    cr_expect_eq(format, LOG_LOGFMT);
    cr_expect(log_format_parse("json", &format));
    cr_expect_eq(format, LOG_JSON);
    cr_expect(!log_format_parse("JSON", &format));
    cr_expect(!log_format_parse("", &format));
}

enum { THREADS = 4, LINES = 500 };

static void *write_lines(void *arg)
{
    const char *name = arg;

    for (int i = 0; i < LINES; i++)
        log_line(LOG_INFO, "turn", LOG_TEXT("thread", name), LOG_NUMBER("i", i));
    return NULL;
}

Test(log, lines_of_threads_do_not_mix)
{
    static char *const names[THREADS] = { "aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc", "dddddddddd" };
    pthread_t threads[THREADS];
    char *line;
    char *rest;
    int count = 0;

    capture();
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    rest = (char *)captured();
    for (line = strsep(&rest, "\n"); line != NULL && *line != '\0'; line = strsep(&rest, "\n")) {
        cr_assert(
            matches(line, "Z level=info event=turn thread=(a{10}|b{10}|c{10}|d{10}) i=[0-9]+$"),
            "%s", line);
        count++;
    }
    cr_expect_eq(count, THREADS * LINES);
}
