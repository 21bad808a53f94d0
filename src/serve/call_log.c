#include "src/serve/call_log.h"

#include <assert.h>

#include "src/base/clock.h"
#include "src/log/log.h"
#include "src/serve/audit.h"

void call_log_init(struct call_log *log)
{
    *log = (struct call_log){ .shard = -1, .limit = LOG_LIMIT_INIT };
}

static bool is_failure(const struct rpc_call_summary *summary)
{
    enum status_code code = summary->status->code;

    return code != STATUS_OK && code != STATUS_NOT_FOUND && !summary->cancelled;
}

/* A line that grows by fields. */
struct fields {
    struct log_field at[LOG_MAX_FIELDS];
    int count;
};

static void add(struct fields *fields, struct log_field field)
{
    assert(fields->count < LOG_MAX_FIELDS);
    fields->at[fields->count++] = field;
}

static void add_text(struct fields *fields, const char *key, const char *text)
{
    if (text[0] != '\0')
        add(fields, LOG_TEXT(key, text));
}

static void add_trace(struct fields *fields, const struct rpc_trace *trace)
{
    add_text(fields, "trace", trace->trace_id);
    add_text(fields, "call", trace->call_id);
    add_text(fields, "parent", trace->parent);
}

void call_log_finished(const struct rpc_call_summary *summary, void *ctx)
{
    struct call_log *log = ctx;
    struct fields fields = { .count = 0 };
    bool failed = is_failure(summary);
    uint64_t suppressed;

    if (audit_call(summary) || (!failed && !summary->slow))
        return;
    if (!log_limit_take(&log->limit, clock_monotonic_us(), &suppressed)) {
        metrics_count(&log->left_out, 1);
        return;
    }
    add_text(&fields, "method", summary->method);
    add_text(&fields, "code", status_code_name(summary->status->code));
    add_text(&fields, "message", summary->status->message);
    add_trace(&fields, summary->trace);
    if (log->shard >= 0)
        add(&fields, LOG_NUMBER("shard", log->shard));
    if (summary->asked >= 0)
        add(&fields, LOG_NUMBER("asked_shard", summary->asked));
    add_text(&fields, "peer", summary->peer);
    add(&fields, LOG_NUMBER("duration_us", summary->duration_us));
    if (suppressed > 0)
        add(&fields, LOG_NUMBER("suppressed", suppressed));
    log_event(failed ? LOG_WARN : LOG_INFO, failed ? "call_failed" : "call_slow", fields.at,
              fields.count);
}

void call_log_collect(void *ctx, struct metrics_page *page)
{
    const struct call_log *log = ctx;

    metrics_counter_value(page, "sutra_log_left_out_lines",
                          "Lines about calls that were not written because there were too many.",
                          (double)metrics_counted(&log->left_out));
}
