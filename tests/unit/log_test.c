#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include "src/log/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
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
