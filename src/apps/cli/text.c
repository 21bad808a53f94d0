#include "src/apps/cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <utf8proc.h>

static const char REPLACEMENT[] = "\xEF\xBF\xBD";
static const char ELLIPSIS[] = "…";

/* The character at @text and its length; -1 and 1 for what is not one. */
static size_t next_character(const char *text, size_t length, utf8proc_int32_t *ret)
{
    utf8proc_ssize_t step =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, ret);

    return step > 0 ? (size_t)step : 1;
}

/* Columns of the first @length bytes. */
static size_t width_of(const char *text, size_t length)
{
    size_t width = 0;
    utf8proc_int32_t character;

    for (size_t i = 0; i < length;) {
        i += next_character(text + i, length - i, &character);
        width += character >= 0 ? (size_t)utf8proc_charwidth(character) : 1;
    }
    return width;
}

size_t text_width(const char *text)
{
    return width_of(text, strlen(text));
}

/* Controls, and the marks that reorder what surrounds them. */
static bool is_dangerous(utf8proc_int32_t character)
{
    utf8proc_category_t category = utf8proc_category(character);

    return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_ZL ||
           category == UTF8PROC_CATEGORY_ZP || (character >= 0x202A && character <= 0x202E) ||
           (character >= 0x2066 && character <= 0x2069);
}

static bool is_blank(utf8proc_int32_t character)
{
    return character == ' ' || (character >= '\t' && character <= '\r');
}

/* Writes one character of the clean copy at @to, which ends what was written before. */
static char *put_clean(char *to, const char *start, utf8proc_int32_t character, const char *from,
                       size_t length, bool keep_lines)
{
    if (character == '\n' && keep_lines) {
        *to = '\n';
        return to + 1;
    }
    if (character >= 0 && is_blank(character)) {
        if (to > start && to[-1] == ' ')
            return to;
        *to = ' ';
        return to + 1;
    }
    if (character < 0 || is_dangerous(character)) {
        from = REPLACEMENT;
        length = sizeof REPLACEMENT - 1;
    }
    memcpy(to, from, length);
    return to + length;
}

char *text_clean(struct arena *arena, const char *text, bool keep_lines)
{
    size_t length = strlen(text);
    char *clean = arena_calloc(arena, length + 1, sizeof REPLACEMENT - 1);
    char *to = clean;

    if (clean == NULL)
        return NULL;
    for (size_t i = 0; i < length;) {
        utf8proc_int32_t character;
        size_t step = next_character(text + i, length - i, &character);
        to = put_clean(to, clean, character, text + i, step, keep_lines);
        i += step;
    }
    *to = '\0';
    return clean;
}

/* Bytes of @text that fit @width columns. */
static size_t fitting(const char *text, size_t width)
{
    size_t length = strlen(text);
    size_t used = 0;
    size_t i = 0;

    while (i < length) {
        utf8proc_int32_t character;
        size_t step = next_character(text + i, length - i, &character);
        used += width_of(text + i, step);
        if (used > width)
            break;
        i += step;
    }
    return i;
}

char *text_cut(struct arena *arena, const char *text, size_t width)
{
    size_t length;

    if (text_width(text) <= width)
        return arena_strndup(arena, text, strlen(text));
    if (width == 0)
        return arena_strndup(arena, "", 0);
    length = fitting(text, width - 1);
    return arena_printf(arena, "%.*s%s", (int)length, text, ELLIPSIS);
}

const char *text_count(uint64_t number, char ret[TEXT_NUMBER_SIZE])
{
    char digits[TEXT_NUMBER_SIZE];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, number);
    char *to = ret;

    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return ret;
}

const char *text_bytes(uint64_t bytes, char ret[TEXT_NUMBER_SIZE])
{
    static const char *const UNITS[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double value = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(ret, TEXT_NUMBER_SIZE, "%" PRIu64 " B", bytes);
        return ret;
    }
    while (value >= 1023.95 && unit + 1 < sizeof UNITS / sizeof UNITS[0]) {
        value /= 1024;
        unit++;
    }
    snprintf(ret, TEXT_NUMBER_SIZE, "%.1f %s", value, UNITS[unit]);
    return ret;
}

const char *text_duration(double seconds, char ret[TEXT_NUMBER_SIZE])
{
    unsigned long whole = seconds > 0 && seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 0;

    if (whole < 3600)
        snprintf(ret, TEXT_NUMBER_SIZE, "%lu:%02lu", whole / 60, whole % 60);
    else
        snprintf(ret, TEXT_NUMBER_SIZE, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60,
                 whole % 60);
    return ret;
}

const char *text_time(int64_t us, char ret[TEXT_NUMBER_SIZE])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;

    if (us == 0 || gmtime_r(&seconds, &tm) == NULL ||
        strftime(ret, TEXT_NUMBER_SIZE, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(ret, TEXT_NUMBER_SIZE, "%s", us == 0 ? "never" : "out of range");
    return ret;
}
