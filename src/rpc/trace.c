#include "src/rpc/trace.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* "00-" trace id "-" parent "-" flags */
enum {
    VERSION_AT = 0,
    TRACE_AT = 3,
    PARENT_AT = TRACE_AT + TRACE_ID_SIZE,
    FLAGS_AT = PARENT_AT + TRACE_CALL_ID_SIZE,
    HEADER_LENGTH = TRACE_HEADER_SIZE - 1,
};

/* ---- Ids --------------------------------------------------------------------------------- */

/* Of this thread; unlike those of others, which is all that an id needs. */
static uint64_t seed(void)
{
    struct timespec now;
    uint64_t value;

    if (getrandom(&value, sizeof value, 0) == (ssize_t)sizeof value)
        return value;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000007 + (uint64_t)now.tv_nsec + (uint64_t)(uintptr_t)&value;
}

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014. Never 0, which
 * is no id. */
static uint64_t next_id(void)
{
    static _Thread_local uint64_t state;
    uint64_t z;

    if (state == 0)
        state = seed();
    state += 0x9e3779b97f4a7c15;
    z = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    return z != 0 ? z : 1;
}

static void put_hex(char *to, uint64_t value)
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 15; i >= 0; i--, value >>= 4)
        to[i] = digits[value & 15];
    to[16] = '\0';
}

/* ---- Headers ----------------------------------------------------------------------------- */

/* Copies @count digits; false if they are not lower-case hex. */
static bool take_hex(char *to, const char *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((from[i] < '0' || from[i] > '9') && (from[i] < 'a' || from[i] > 'f'))
            return false;
    memcpy(to, from, count);
    to[count] = '\0';
    return true;
}

static bool is_zero(const char *id)
{
    return strspn(id, "0") == strlen(id);
}

/* Later versions may append fields, not change these. */
static bool has_right_length(const char *header, size_t length, const char *version)
{
    if (length == HEADER_LENGTH)
        return true;
    return length > HEADER_LENGTH && strcmp(version, "00") != 0 && header[HEADER_LENGTH] == '-';
}

bool rpc_trace_continue(const char *header, size_t length, struct rpc_trace *ret)
{
    struct rpc_trace trace;
    char version[3];

    if (length < HEADER_LENGTH || !take_hex(version, header + VERSION_AT, 2) ||
        strcmp(version, "ff") == 0 || !has_right_length(header, length, version) ||
        header[TRACE_AT - 1] != '-' || header[PARENT_AT - 1] != '-' ||
        header[FLAGS_AT - 1] != '-' ||
        !take_hex(trace.trace_id, header + TRACE_AT, TRACE_ID_SIZE - 1) ||
        !take_hex(trace.parent, header + PARENT_AT, TRACE_CALL_ID_SIZE - 1) ||
        !take_hex(trace.flags, header + FLAGS_AT, 2) || is_zero(trace.trace_id) ||
        is_zero(trace.parent))
        return false;
    put_hex(trace.call_id, next_id());
    *ret = trace;
    return true;
}

void rpc_trace_begin(struct rpc_trace *ret)
{
    *ret = (struct rpc_trace){ .flags = "00" }; /* nobody records it */
    put_hex(ret->trace_id, next_id());
    put_hex(ret->trace_id + 16, next_id());
    put_hex(ret->call_id, next_id());
}

void rpc_trace_header(const struct rpc_trace *trace, char ret[TRACE_HEADER_SIZE])
{
    memcpy(ret, "00-", TRACE_AT);
    memcpy(ret + TRACE_AT, trace->trace_id, TRACE_ID_SIZE - 1);
    ret[PARENT_AT - 1] = '-';
    memcpy(ret + PARENT_AT, trace->call_id, TRACE_CALL_ID_SIZE - 1);
    ret[FLAGS_AT - 1] = '-';
    memcpy(ret + FLAGS_AT, trace->flags, 3);
}
