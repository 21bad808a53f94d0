#ifndef SUTRA_METRICS_METRICS_H
#define SUTRA_METRICS_METRICS_H

/**
 * What a process counts, and the page that Prometheus reads.
 *
 * Counters and histograms live in the structs of those who count, and cost an atomic addition or
 * two: any thread, no lock, no allocation. Nothing is registered one by one. Whoever counts also
 * offers a function that writes its families onto a page (metrics_collect_fn); a program adds those
 * functions to its `struct metrics`, and a scrape calls them all. What is known elsewhere is read
 * there, at the time of the scrape.
 *
 * Names follow Prometheus: base units, the unit last (`_seconds`, `_bytes`, `_ratio`), `_total`
 * behind counters, which is added here. HELP and TYPE are written with every family, also before
 * anything was counted.
 */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buf.h"
#include "src/base/status.h"

/* ---- Counting ---------------------------------------------------------------------------- */

/** Grows only. `{0}` is ready. */
struct metrics_counter {
    _Atomic uint64_t value;
};

static inline void metrics_count(struct metrics_counter *counter, uint64_t n)
{
    atomic_fetch_add_explicit(&counter->value, n, memory_order_relaxed);
}

static inline uint64_t metrics_counted(const struct metrics_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

/** For a counter by status: one for each code. */
enum { METRICS_STATUSES = STATUS_UNAUTHENTICATED + 1 };

enum { METRICS_BUCKETS = 40 };

/** How often a value fell between two powers of two. Whole numbers: of microseconds, bytes, texts …
 * `{0}` is ready. */
struct metrics_histogram {
    _Atomic uint64_t
        buckets[METRICS_BUCKETS]; /* [i]: 2^(i-1) < value <= 2^i; the last: all above */
    _Atomic uint64_t sum;
};

static inline void metrics_observe(struct metrics_histogram *histogram, uint64_t value)
{
    unsigned bucket = value <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(value - 1);

    if (bucket >= METRICS_BUCKETS)
        bucket = METRICS_BUCKETS - 1;
    atomic_fetch_add_explicit(&histogram->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, value, memory_order_relaxed);
}

/* ---- Writing the page -------------------------------------------------------------------- */

enum metrics_format {
    METRICS_TEXT,        /* Prometheus' text format 0.0.4 */
    METRICS_OPENMETRICS, /* OpenMetrics 1.0.0 */
};

/** The page of one scrape. */
struct metrics_page {
    enum metrics_format format;
    struct buf *text;
    const char *family; /* that samples belong to */
    enum { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM } type;
};

/** Begins a family: the samples that follow are its. @name without `_total`; lives until the next
 * family begins. Each name once per page. */
void metrics_counter_family(struct metrics_page *page, const char *name, const char *help);
void metrics_gauge_family(struct metrics_page *page, const char *name, const char *help);
void metrics_histogram_family(struct metrics_page *page, const char *name, const char *help);

/** One sample of a counter or gauge. Behind @value: names and values of labels, all strings, and
 * NULL. Label values may hold any bytes; what is not UTF-8 is replaced. */
void metrics_sample(struct metrics_page *page, double value, ...) __attribute__((sentinel));

/** How a histogram is shown: with bounds 2^first … 2^last, times @unit. */
struct metrics_scale {
    unsigned first;
    unsigned last; /* below METRICS_BUCKETS - 1 */
    double unit;
};

/** Of microseconds: 64 µs to 34 s. */
static const struct metrics_scale METRICS_LATENCY = { 6, 25, 1e-6 };
/** Of numbers of things: 1 to 16,384. */
static const struct metrics_scale METRICS_SIZES = { 0, 14, 1 };

/** One histogram; labels as in metrics_sample(). */
void metrics_histogram_sample(struct metrics_page *page, const struct metrics_histogram *histogram,
                              struct metrics_scale scale, ...) __attribute__((sentinel));

/** A counter by the status it ended with: `code` behind the labels that are given. Codes that never
 * came up are left out, but for OK and those that are the server's fault, whose first must not be
 * missed by a rate. */
void metrics_status_samples(struct metrics_page *page,
                            const struct metrics_counter counters[METRICS_STATUSES], ...)
    __attribute__((sentinel));

/** A family of one sample without labels. */
void metrics_counter_value(struct metrics_page *page, const char *name, const char *help,
                           double value);
void metrics_gauge_value(struct metrics_page *page, const char *name, const char *help,
                         double value);

/* ---- Collecting -------------------------------------------------------------------------- */

/** Writes families of @ctx. On a thread of its own, while @ctx is at work; must be quick: no scan
 * of data. */
typedef void metrics_collect_fn(void *ctx, struct metrics_page *page);

enum { METRICS_COLLECTORS = 16 };

/** All that a process has to tell. `{0}` is empty. */
struct metrics {
    struct {
        metrics_collect_fn *collect;
        void *ctx;
    } collectors[METRICS_COLLECTORS];
    atomic_size_t count;
};

/** @ctx outlives the last render. One thread adds; others may render meanwhile. Asserts that there
 * is room. */
void metrics_add(struct metrics *metrics, metrics_collect_fn *collect, void *ctx);

/** Appends the whole page. @out turns `failed` without memory. */
void metrics_render(const struct metrics *metrics, enum metrics_format format, struct buf *out);

/** The process_* families that Prometheus' own clients have: processor time, memory, files, start;
 * and its threads. @ctx is not used. */
metrics_collect_fn metrics_collect_process;

#endif
