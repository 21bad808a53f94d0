#include "src/serve/audit.h"

#include <string.h>

#include "src/base/clock.h"
#include "src/log/log.h"
#include "src/log/log_limit.h"

/* Of the process: what it protects is the disk. */
static struct log_limit refusals = LOG_LIMIT_INIT;

static void say_refused(const struct rpc_call_summary *summary)
{
    uint64_t suppressed;

    if (!log_limit_take(&refusals, clock_monotonic_us(), &suppressed))
        return;
    log_line(LOG_WARN, "call_refused", LOG_TEXT("caller", summary->caller),
             LOG_TEXT("certificate", summary->certificate), LOG_TEXT("peer", summary->peer),
             LOG_TEXT("method", summary->method),
             LOG_TEXT("code", status_code_name(summary->status->code)),
             LOG_TEXT("reason", summary->status->reason),
             LOG_TEXT("role_needed", role_name(summary->role)),
             LOG_NUMBER("suppressed", suppressed), LOG_TEXT("trace", summary->trace->trace_id),
             LOG_TEXT("call", summary->trace->call_id));
}

/* Where nobody has to say who calls, everybody is an admin: then it is what strangers can cause. */
static void say_admin(const struct rpc_call_summary *summary)
{
    bool anybody = summary->caller[0] == '\0' && summary->certificate[0] == '\0';
    uint64_t suppressed = 0;

    if (anybody && !log_limit_take(&refusals, clock_monotonic_us(), &suppressed))
        return;
    log_line(LOG_INFO, "admin_call", LOG_TEXT("caller", summary->caller),
             LOG_TEXT("certificate", summary->certificate), LOG_TEXT("peer", summary->peer),
             LOG_TEXT("method", summary->method),
             LOG_TEXT("code", status_code_name(summary->status->code)),
             LOG_NUMBER("duration_us", summary->duration_us), LOG_NUMBER("suppressed", suppressed),
             LOG_TEXT("trace", summary->trace->trace_id),
             LOG_TEXT("call", summary->trace->call_id));
}

/* Of a method that asks for no token. NOT_FOUND and a caller that has gone are no failures. */
static void say_open_failed(const struct rpc_call_summary *summary)
{
    enum status_code code = summary->status->code;
    uint64_t suppressed;

    if (code == STATUS_OK || code == STATUS_NOT_FOUND || summary->cancelled ||
        !log_limit_take(&refusals, clock_monotonic_us(), &suppressed))
        return;
    log_line(LOG_WARN, "open_call_failed", LOG_TEXT("peer", summary->peer),
             LOG_TEXT("method", summary->method), LOG_TEXT("code", status_code_name(code)),
             LOG_TEXT("message", summary->status->message), LOG_NUMBER("suppressed", suppressed));
}

bool audit_call(const struct rpc_call_summary *summary)
{
    if (summary->refused)
        say_refused(summary);
    else if (summary->role == ROLE_ANYONE)
        say_open_failed(summary);
    else if (summary->role == ROLE_ADMIN)
        say_admin(summary);
    return summary->refused || summary->role == ROLE_ANYONE;
}

void audit_grpc(const char *message)
{
    static const char handshake[] = "Handshake failed";
    bool failed = strncmp(message, handshake, sizeof handshake - 1) == 0;
    uint64_t suppressed;

    if (log_limit_take(&refusals, clock_monotonic_us(), &suppressed))
        log_line(LOG_WARN, failed ? "tls_handshake_failed" : "grpc", LOG_TEXT("message", message),
                 LOG_NUMBER("suppressed", suppressed));
}

void audit_end(void)
{
    uint64_t suppressed = log_limit_suppressed(&refusals);

    if (suppressed > 0)
        log_line(LOG_WARN, "refusals_not_logged", LOG_NUMBER("suppressed", suppressed));
}
