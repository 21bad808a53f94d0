#include "src/metrics/metrics.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "src/base/utf8.h"

/* ---- Text -------------------------------------------------------------------------------- */

static void put(struct metrics_page *page, const char *text)
{
    buf_append(page->text, text, strlen(text));
}

/* What fits a double's digits is written as a whole number, which both formats allow. */
static void put_number(struct metrics_page *page, double value)
{
    if (isnan(value))
        put(page, "NaN");
    else if (isinf(value))
        put(page, value > 0 ? "+Inf" : "-Inf");
    else if (value == floor(value) && fabs(value) < 1e15)
        buf_printf(page->text, "%.0f", value);
    else
        buf_printf(page->text, "%.10g", value);
}

/* OpenMetrics wants bounds to look like floating point numbers. */
static void put_bound(struct metrics_page *page, double bound)
{
    buf_printf(page->text, bound == floor(bound) ? "%.1f" : "%.10g", bound);
}

/* Backslash, newline and, in labels, the quote are escaped in both formats. */
static void put_escaped(struct metrics_page *page, const char *text, bool quoted)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\n')
            put(page, "\\n");
        else if (*c == '\\')
            put(page, "\\\\");
        else if (*c == '"' && quoted)
            put(page, "\\\"");
        else
            buf_append(page->text, c, 1);
    }
}

/* A label's value may come from outside. */
static void put_value(struct metrics_page *page, const char *value)
{
    if (utf8_valid(value, strlen(value)))
        put_escaped(page, value, true);
    else
        put(page, "(not UTF-8)");
}

/* ---- Families ---------------------------------------------------------------------------- */

/* The unit at the end of a name, NULL: none that is known. */
static const char *unit_of(const char *name)
{
    static const char *const units[] = { "seconds", "bytes", "ratio" };
    const char *last = strrchr(name, '_');

    for (size_t i = 0; last != NULL && i < sizeof units / sizeof units[0]; i++)
        if (strcmp(last + 1, units[i]) == 0)
            return units[i];
    return NULL;
}

/* OpenMetrics names a counter's family without the suffix of its sample. */
static void put_about(struct metrics_page *page, const char *keyword)
{
    bool suffix = page->type == METRICS_COUNTER && page->format == METRICS_TEXT;

    buf_printf(page->text, "# %s %s%s ", keyword, page->family, suffix ? "_total" : "");
}

static void begin(struct metrics_page *page, const char *name, const char *help)
{
    static const char *const types[] = { "counter", "gauge", "histogram" };
    const char *unit = unit_of(name);

    page->family = name;
    put_about(page, "HELP");
    put_escaped(page, help, page->format == METRICS_OPENMETRICS);
    put(page, "\n");
    put_about(page, "TYPE");
    buf_printf(page->text, "%s\n", types[page->type]);
    if (unit != NULL && page->format == METRICS_OPENMETRICS) {
        put_about(page, "UNIT");
        buf_printf(page->text, "%s\n", unit);
    }
}

void metrics_counter_family(struct metrics_page *page, const char *name, const char *help)
{
    page->type = METRICS_COUNTER;
    begin(page, name, help);
}

void metrics_gauge_family(struct metrics_page *page, const char *name, const char *help)
{
    page->type = METRICS_GAUGE;
    begin(page, name, help);
}

void metrics_histogram_family(struct metrics_page *page, const char *name, const char *help)
{
    page->type = METRICS_HISTOGRAM;
    begin(page, name, help);
}

/* ---- Samples ----------------------------------------------------------------------------- */

/* "name_suffix{labels", with a comma behind each, so that another can follow. */
static void put_name(struct metrics_page *page, const char *suffix, va_list given)
{
    const char *name;
    va_list labels;

    va_copy(labels, given);
    buf_printf(page->text, "%s%s{", page->family, suffix);
    while ((name = va_arg(labels, const char *)) != NULL) {
        buf_printf(page->text, "%s=\"", name);
        put_value(page, va_arg(labels, const char *));
        put(page, "\",");
    }
    va_end(labels);
}

/* Closes the labels: the last comma becomes the brace, an opening one without labels goes. */
static void put_sample_value(struct metrics_page *page, double value)
{
    struct buf *text = page->text;

    if (!text->failed && text->data[text->size - 1] == '{') {
        text->size--;
    } else if (!text->failed) {
        text->data[text->size - 1] = '}';
    }
    put(page, " ");
    put_number(page, value);
    put(page, "\n");
}

static void put_sample(struct metrics_page *page, const char *suffix, double value, va_list labels)
{
    put_name(page, suffix, labels);
    put_sample_value(page, value);
}

void metrics_sample(struct metrics_page *page, double value, ...)
{
    va_list labels;

    assert(page->type != METRICS_HISTOGRAM);
    va_start(labels, value);
    put_sample(page, page->type == METRICS_COUNTER ? "_total" : "", value, labels);
    va_end(labels);
}

static void put_bucket(struct metrics_page *page, double bound, uint64_t count, va_list labels)
{
    put_name(page, "_bucket", labels);
    put(page, "le=\"");
    if (isinf(bound))
        put(page, "+Inf");
    else
        put_bound(page, bound);
    put(page, "\",");
    put_sample_value(page, (double)count);
}

/* The count is the sum of the buckets as they were read, so that the two agree whatever is counted
 * meanwhile. */
static void put_histogram(struct metrics_page *page, const struct metrics_histogram *histogram,
                          struct metrics_scale scale, va_list labels)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
        count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        if (i >= scale.first && i <= scale.last)
            put_bucket(page, ldexp(scale.unit, (int)i), count, labels);
    }
    put_bucket(page, INFINITY, count, labels);
    put_sample(page, "_sum",
               (double)atomic_load_explicit(&histogram->sum, memory_order_relaxed) * scale.unit,
               labels);
    put_sample(page, "_count", (double)count, labels);
}

void metrics_histogram_sample(struct metrics_page *page, const struct metrics_histogram *histogram,
                              struct metrics_scale scale, ...)
{
    va_list labels;

    assert(page->type == METRICS_HISTOGRAM && scale.last < METRICS_BUCKETS - 1);
    va_start(labels, scale);
    put_histogram(page, histogram, scale, labels);
    va_end(labels);
}

static bool is_always_shown(enum status_code code)
{
    switch (code) {
    case STATUS_OK:
    case STATUS_UNKNOWN:
    case STATUS_DEADLINE_EXCEEDED:
    case STATUS_RESOURCE_EXHAUSTED:
    case STATUS_INTERNAL:
    case STATUS_UNAVAILABLE:
    case STATUS_DATA_LOSS:
        return true;
    default:
        return false;
    }
}

void metrics_status_samples(struct metrics_page *page,
                            const struct metrics_counter counters[METRICS_STATUSES], ...)
{
    va_list labels;

    assert(page->type == METRICS_COUNTER);
    va_start(labels, counters);
    for (int i = 0; i < METRICS_STATUSES; i++) {
        uint64_t count = metrics_counted(&counters[i]);
        if (count == 0 && !is_always_shown((enum status_code)i))
            continue;
        put_name(page, "_total", labels);
        buf_printf(page->text, "code=\"%s\",", status_code_name((enum status_code)i));
        put_sample_value(page, (double)count);
    }
    va_end(labels);
}

void metrics_counter_value(struct metrics_page *page, const char *name, const char *help,
                           double value)
{
    metrics_counter_family(page, name, help);
    metrics_sample(page, value, NULL);
}

void metrics_gauge_value(struct metrics_page *page, const char *name, const char *help,
                         double value)
{
    metrics_gauge_family(page, name, help);
    metrics_sample(page, value, NULL);
}

/* ---- Collecting -------------------------------------------------------------------------- */

void metrics_add(struct metrics *metrics, metrics_collect_fn *collect, void *ctx)
{
    size_t count = atomic_load_explicit(&metrics->count, memory_order_relaxed);

    assert(count < METRICS_COLLECTORS);
    metrics->collectors[count].collect = collect;
    metrics->collectors[count].ctx = ctx;
    atomic_store_explicit(&metrics->count, count + 1, memory_order_release);
}

void metrics_render(const struct metrics *metrics, enum metrics_format format, struct buf *out)
{
    struct metrics_page page = { .format = format, .text = out };
    size_t count = atomic_load_explicit(&metrics->count, memory_order_acquire);

    for (size_t i = 0; i < count; i++)
        metrics->collectors[i].collect(metrics->collectors[i].ctx, &page);
    if (format == METRICS_OPENMETRICS)
        put(&page, "# EOF\n");
}
