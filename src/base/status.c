#include "src/base/status.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts a torn UTF-8 sequence off the end of a string that vsnprintf truncated. */
static void trim_torn_character(char *s)
{
    size_t n = strlen(s);
    size_t start = n;

    while (start > 0 && ((unsigned char)s[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)s[start - 1];
    size_t need = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (n - start < need)
        s[start - 1] = '\0';
}

static enum status_code set_va(struct status *st, enum status_code code, const char *fmt,
                               va_list args)
{
    assert(st->code == STATUS_OK && code != STATUS_OK);
    st->code = code;
    st->field[0] = st->reason[0] = '\0';
    vsnprintf(st->message, sizeof st->message, fmt, args);
    trim_torn_character(st->message);
    return code;
}

enum status_code status_set(struct status *st, enum status_code code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_va(st, code, fmt, args);
    va_end(args);
    return code;
}

enum status_code status_set_field(struct status *st, const char *field, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_va(st, STATUS_INVALID_ARGUMENT, fmt, args);
    va_end(args);
    snprintf(st->field, sizeof st->field, "%s", field);
    return st->code;
}

enum status_code status_set_reason(struct status *st, enum status_code code, const char *reason,
                                   const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_va(st, code, fmt, args);
    va_end(args);
    snprintf(st->reason, sizeof st->reason, "%s", reason);
    return code;
}

/* Writes prefix and the old text into @text, cutting at its size. */
static void put_in_front(char *text, size_t size, const char *separator, const char *fmt,
                         va_list args)
{
    char old[STATUS_MESSAGE_SIZE];
    size_t length;

    snprintf(old, sizeof old, "%s", text);
    vsnprintf(text, size, fmt, args);
    length = strlen(text);
    snprintf(text + length, size - length, "%s%s", separator, old);
    trim_torn_character(text);
}

enum status_code status_wrap(struct status *st, const char *fmt, ...)
{
    va_list args;
    assert(st->code != STATUS_OK);
    va_start(args, fmt);
    put_in_front(st->message, sizeof st->message, ": ", fmt, args);
    va_end(args);
    return st->code;
}

void status_prefix_field(struct status *st, const char *fmt, ...)
{
    va_list args;
    if (st->field[0] == '\0')
        return;
    va_start(args, fmt);
    put_in_front(st->field, sizeof st->field, ".", fmt, args);
    va_end(args);
}

static enum status_code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
        return STATUS_NOT_FOUND;
    case EACCES:
    case EPERM:
        return STATUS_PERMISSION_DENIED;
    case ENOMEM:
    case ENOSPC:
    case EMFILE:
    case ENFILE:
        return STATUS_RESOURCE_EXHAUSTED;
    case EINVAL:
        return STATUS_INVALID_ARGUMENT;
    default:
        return STATUS_UNAVAILABLE;
    }
}

enum status_code status_set_errno(struct status *st, int errnum, const char *fmt, ...)
{
    va_list args;
    size_t length;

    va_start(args, fmt);
    set_va(st, code_of_errno(errnum), fmt, args);
    va_end(args);
    length = strlen(st->message);
    snprintf(st->message + length, sizeof st->message - length, ": %s", strerror(errnum));
    return st->code;
}

void status_clear(struct status *st)
{
    st->code = STATUS_OK;
    st->message[0] = st->field[0] = st->reason[0] = '\0';
}

const char *status_code_name(enum status_code code)
{
    static const char *const names[] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };

    if ((unsigned)code < sizeof names / sizeof names[0])
        return names[code];
    return "CODE_OUT_OF_RANGE";
}
