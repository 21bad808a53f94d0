#ifndef SUTRA_BASE_STATUS_H
#define SUTRA_BASE_STATUS_H

/**
 * The outcome of a fallible function: a code a program can act on and a sentence a person can.
 *
 * A fallible function takes `struct status *st` last and returns st->code. The caller starts with
 * `{0}` (OK). A status is set once, where the failure is found; every caller on the way up may put
 * what it was doing in front. No allocation, no global state; a status belongs to one thread.
 */

#include <stddef.h>

/* Values are gRPC's (grpc_status_code); src/rpc asserts that they stay equal. */
enum status_code {
    STATUS_OK = 0,
    STATUS_CANCELLED = 1,
    STATUS_UNKNOWN = 2,
    STATUS_INVALID_ARGUMENT = 3, /* fix the request */
    STATUS_DEADLINE_EXCEEDED = 4,
    STATUS_NOT_FOUND = 5,
    STATUS_ALREADY_EXISTS = 6,
    STATUS_PERMISSION_DENIED = 7,
    STATUS_RESOURCE_EXHAUSTED = 8,  /* a limit */
    STATUS_FAILED_PRECONDITION = 9, /* fix the system */
    STATUS_ABORTED = 10,            /* retry the larger step */
    STATUS_OUT_OF_RANGE = 11,
    STATUS_UNIMPLEMENTED = 12,
    STATUS_INTERNAL = 13,    /* our bug */
    STATUS_UNAVAILABLE = 14, /* retry this */
    STATUS_DATA_LOSS = 15,   /* a checksum does not match */
    STATUS_UNAUTHENTICATED = 16,
};

enum { STATUS_MESSAGE_SIZE = 512, STATUS_FIELD_SIZE = 96, STATUS_REASON_SIZE = 40 };

struct status {
    enum status_code code;
    char message[STATUS_MESSAGE_SIZE]; /* NUL-terminated UTF-8, cut at a character if too long */
    char field[STATUS_FIELD_SIZE];     /* path of the offending request field, "" if none */
    char reason[STATUS_REASON_SIZE];   /* UPPER_SNAKE_CASE for google.rpc.ErrorInfo, "" if none */
};

/** Sets an OK status; asserts that it was OK and that @code is not. Returns @code. */
enum status_code status_set(struct status *st, enum status_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** INVALID_ARGUMENT for one request field ("items[3].id"); becomes a google.rpc.BadRequest on the
 * wire. */
enum status_code status_set_field(struct status *st, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** Sets code and message like status_set(), and the machine-readable reason ("LIMIT_EXCEEDED"). */
enum status_code status_set_reason(struct status *st, enum status_code code, const char *reason,
                                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/** Puts "<what we were doing>: " in front of the message, keeps the code. Asserts that @st is not
 * OK. */
enum status_code status_wrap(struct status *st, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** Puts "prefix." in front of the field path, if there is one: callers know where an item stood. */
void status_prefix_field(struct status *st, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** "system call: strerror" with the code that errno suggests. */
enum status_code status_set_errno(struct status *st, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** Back to OK, for a status that was handled. */
void status_clear(struct status *st);

/** "INVALID_ARGUMENT"; "CODE_OUT_OF_RANGE" for a number outside the enum. */
const char *status_code_name(enum status_code code);

#endif
