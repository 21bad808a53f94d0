#include "src/metrics/http.h"
#include "src/metrics/metrics.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct buf page;

/* The page that @collect writes. */
static const char *rendered(metrics_collect_fn *collect, enum metrics_format format)
{
    struct metrics metrics = { 0 };

    metrics_add(&metrics, collect, NULL);
    metrics_render(&metrics, format, &page);
    buf_append_u8(&page, 0);
    cr_assert(!page.failed);
    return (const char *)page.data;
}

/* ---- Values ---- */

static uint64_t bucket(const struct metrics_histogram *histogram, int i)
{
    return atomic_load(&histogram->buckets[i]);
}

Test(metrics, a_value_falls_at_or_below_its_bound)
{
    struct metrics_histogram histogram = { 0 };
    const uint64_t values[] = { 0, 1, 2, 3, 4, 5, 1 << 20, (1 << 20) + 1, UINT64_MAX };

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        metrics_observe(&histogram, values[i]);
    cr_expect_eq(bucket(&histogram, 0), 2); /* 0 and 1 */
    cr_expect_eq(bucket(&histogram, 1), 1); /* 2 */
    cr_expect_eq(bucket(&histogram, 2), 2); /* 3 and 4 */
    cr_expect_eq(bucket(&histogram, 3), 1); /* 5 */
    cr_expect_eq(bucket(&histogram, 20), 1);
    cr_expect_eq(bucket(&histogram, 21), 1);
    cr_expect_eq(bucket(&histogram, METRICS_BUCKETS - 1), 1);
}

static struct metrics_counter counter;
static struct metrics_histogram sizes;

static void collect_all(void *ctx, struct metrics_page *to)
{
    (void)ctx;
    metrics_counter_family(to, "sutra_test_bytes", "Bytes \\ and\nlines.");
    metrics_sample(to, (double)metrics_counted(&counter), "from", "a\"b\\c\nd", "to", "x", NULL);
    metrics_sample(to, 1e300, "from", "\xff", "to", "x", NULL);
    metrics_gauge_value(to, "sutra_test_ratio", "A part.", 0.25);
    metrics_gauge_value(to, "sutra_test_unknown_ratio", "Not known.", NAN);
    metrics_histogram_family(to, "sutra_test_texts", "Texts.");
    metrics_histogram_sample(to, &sizes, (struct metrics_scale){ 0, 2, 1 }, "kind", "k", NULL);
}

static void fill(void)
{
    metrics_count(&counter, 40);
    metrics_count(&counter, 2);
    metrics_observe(&sizes, 1);
    metrics_observe(&sizes, 2);
    metrics_observe(&sizes, 1000);
}

Test(metrics, a_page_in_text_format)
{
    fill();
    cr_expect_str_eq(rendered(collect_all, METRICS_TEXT),
                     "# HELP sutra_test_bytes_total Bytes \\\\ and\\nlines.\n"
                     "# TYPE sutra_test_bytes_total counter\n"
                     "sutra_test_bytes_total{from=\"a\\\"b\\\\c\\nd\",to=\"x\"} 42\n"
                     "sutra_test_bytes_total{from=\"(not UTF-8)\",to=\"x\"} 1e+300\n"
                     "# HELP sutra_test_ratio A part.\n"
                     "# TYPE sutra_test_ratio gauge\n"
                     "sutra_test_ratio 0.25\n"
                     "# HELP sutra_test_unknown_ratio Not known.\n"
                     "# TYPE sutra_test_unknown_ratio gauge\n"
                     "sutra_test_unknown_ratio NaN\n"
                     "# HELP sutra_test_texts Texts.\n"
                     "# TYPE sutra_test_texts histogram\n"
                     "sutra_test_texts_bucket{kind=\"k\",le=\"1.0\"} 1\n"
                     "sutra_test_texts_bucket{kind=\"k\",le=\"2.0\"} 2\n"
                     "sutra_test_texts_bucket{kind=\"k\",le=\"4.0\"} 2\n"
                     "sutra_test_texts_bucket{kind=\"k\",le=\"+Inf\"} 3\n"
                     "sutra_test_texts_sum{kind=\"k\"} 1003\n"
                     "sutra_test_texts_count{kind=\"k\"} 3\n");
}

static void collect_statuses(void *ctx, struct metrics_page *to)
{
    static struct metrics_counter ended[METRICS_STATUSES];

    (void)ctx;
    ended[STATUS_OK].value = 7;
    ended[STATUS_ABORTED].value = 2;
    metrics_counter_family(to, "sutra_test_calls", "Calls.");
    metrics_status_samples(to, ended, "to", "x", NULL);
}

Test(metrics, statuses_that_are_the_servers_fault_are_shown_from_the_beginning)
{
    cr_expect_str_eq(rendered(collect_statuses, METRICS_TEXT),
                     "# HELP sutra_test_calls_total Calls.\n"
                     "# TYPE sutra_test_calls_total counter\n"
                     "sutra_test_calls_total{to=\"x\",code=\"OK\"} 7\n"
                     "sutra_test_calls_total{to=\"x\",code=\"UNKNOWN\"} 0\n"
                     "sutra_test_calls_total{to=\"x\",code=\"DEADLINE_EXCEEDED\"} 0\n"
                     "sutra_test_calls_total{to=\"x\",code=\"RESOURCE_EXHAUSTED\"} 0\n"
                     "sutra_test_calls_total{to=\"x\",code=\"ABORTED\"} 2\n"
                     "sutra_test_calls_total{to=\"x\",code=\"INTERNAL\"} 0\n"
                     "sutra_test_calls_total{to=\"x\",code=\"UNAVAILABLE\"} 0\n"
                     "sutra_test_calls_total{to=\"x\",code=\"DATA_LOSS\"} 0\n");
}

static void collect_unit(void *ctx, struct metrics_page *to)
{
    (void)ctx;
    metrics_counter_value(to, "sutra_test_seconds", "Say \"time\".", 1.5);
}

Test(metrics, a_page_in_openmetrics)
{
    cr_expect_str_eq(rendered(collect_unit, METRICS_OPENMETRICS),
                     "# HELP sutra_test_seconds Say \\\"time\\\".\n"
                     "# TYPE sutra_test_seconds counter\n"
                     "# UNIT sutra_test_seconds seconds\n"
                     "sutra_test_seconds_total 1.5\n"
                     "# EOF\n");
}

/* What Prometheus' own parser and its linter say. $SUTRA_PROMTOOL is the program, as tests/run
 * gives it; without one the test is skipped. */
static int promtool_says(const char *text)
{
    FILE *promtool;

    if (getenv("SUTRA_PROMTOOL") == NULL)
        cr_skip_test("SUTRA_PROMTOOL is not set");
    promtool = popen("\"$SUTRA_PROMTOOL\" check metrics >&2", "w");

    cr_assert_not_null(promtool);
    cr_assert_geq(fputs(text, promtool), 0);
    return pclose(promtool);
}

Test(metrics, prometheus_accepts_the_page)
{
    fill();
    cr_expect_eq(promtool_says(rendered(collect_all, METRICS_TEXT)), 0);
    cr_expect_neq(promtool_says("sutra_test_total{x=\"} 1\n"), 0);
}

Test(metrics, prometheus_accepts_what_a_process_tells)
{
    const char *text = rendered(metrics_collect_process, METRICS_TEXT);

    cr_expect_eq(promtool_says(text), 0);
    cr_expect_not_null(strstr(text, "\nprocess_cpu_seconds_total "));
    cr_expect_not_null(strstr(text, "\nprocess_resident_memory_bytes "));
    cr_expect_not_null(strstr(text, "\nprocess_open_fds "));
    cr_expect_not_null(strstr(text, "\nprocess_start_time_seconds "));
}

static double value_of(const char *text, const char *name)
{
    const char *line = strstr(text, name);

    cr_assert_not_null(line, "%s", name);
    return strtod(line + strlen(name), NULL);
}

Test(metrics, what_a_process_tells_is_so)
{
    const char *text = rendered(metrics_collect_process, METRICS_TEXT);
    double begun = value_of(text, "\nprocess_start_time_seconds ");
    double files = value_of(text, "\nprocess_open_fds ");
    int fd;

    cr_expect_lt(fabs(begun - (double)time(NULL)), 60);
    cr_expect_gt(value_of(text, "\nprocess_resident_memory_bytes "), 1e6);
    cr_expect_geq(value_of(text, "\nprocess_threads "), 1);
    fd = dup(STDERR_FILENO);
    cr_assert_geq(fd, 0);
    buf_reset(&page);
    cr_expect_eq(value_of(rendered(metrics_collect_process, METRICS_TEXT), "\nprocess_open_fds "),
                 files + 1);
}

/* ---- Over HTTP ---- */

static struct metrics metrics;
static struct metrics_server *server;

static void serve(void)
{
    struct status st = { 0 };

    fill();
    metrics_add(&metrics, collect_all, NULL);
    cr_assert_eq(metrics_server_start("127.0.0.1:0", &metrics, &server, &st), STATUS_OK, "%s",
                 st.message);
}

static void stop(void)
{
    metrics_server_stop(server);
}

static int connect_to_server(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_port = htons((uint16_t)atoi(strrchr(metrics_server_address(server), ':') + 1));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* What comes back for @request until the server hangs up. */
static const char *answer(const char *request)
{
    static char text[65536];
    size_t length = 0;
    ssize_t got;
    int fd = connect_to_server();

    cr_assert_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    while ((got = read(fd, text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    close(fd);
    return text;
}

#define HTTP " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"

static void expect(const char *request, const char *first_line, const char *part)
{
    const char *text = answer(request);

    cr_expect_eq(strncmp(text, first_line, strlen(first_line)), 0, "%s", text);
    cr_expect_not_null(strstr(text, part), "%s", text);
}

Test(metrics_http, serves_the_page, .init = serve, .fini = stop)
{
    expect("GET /metrics" HTTP "\r\n", "HTTP/1.1 200 ",
           "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    expect("GET /metrics" HTTP "\r\n", "HTTP/1.1 200 ", "\nsutra_test_texts_count{kind=\"k\"} 3\n");
}

Test(metrics_http, serves_openmetrics_to_those_who_take_it, .init = serve, .fini = stop)
{
    const char *request = "GET /metrics" HTTP
                          "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n"
                          "\r\n";

    expect(request, "HTTP/1.1 200 ",
           "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n");
    expect(request, "HTTP/1.1 200 ", "\n# EOF\n");
}

Test(metrics_http, says_where_the_page_is, .init = serve, .fini = stop)
{
    expect("GET /" HTTP "\r\n", "HTTP/1.1 200 ", "GET /metrics\n");
    expect("GET /metrics/" HTTP "\r\n", "HTTP/1.1 404 ", "only /metrics");
    expect("GET /../../etc/passwd" HTTP "\r\n", "HTTP/1.1 404 ", "only /metrics");
}

Test(metrics_http, refuses_what_does_not_read, .init = serve, .fini = stop)
{
    expect("POST /metrics" HTTP "Content-Length: 0\r\n\r\n", "HTTP/1.1 405 ",
           "Allow: GET, HEAD\r\n");
    expect("DELETE /" HTTP "\r\n", "HTTP/1.1 405 ", "Only GET");
}

Test(metrics_http, answers_head_without_a_body, .init = serve, .fini = stop)
{
    const char *text = answer("HEAD /metrics" HTTP "\r\n");

    cr_expect_eq(strncmp(text, "HTTP/1.1 200 ", 13), 0, "%s", text);
    cr_expect_null(strstr(text, "# TYPE"), "%s", text);
}

Test(metrics_http, survives_foreign_bytes, .init = serve, .fini = stop)
{
    static char header[64 * 1024];

    answer("\x16\x03\x01\x02\x01 TLS?\r\n\r\n");
    snprintf(header, sizeof header, "GET /metrics" HTTP "X: %060000d\r\n\r\n", 1);
    expect(header, "HTTP/1.1 431 ", "");
    expect("GET /metrics" HTTP "\r\n", "HTTP/1.1 200 ", "# TYPE");
}

Test(metrics_http, has_room_again_when_silent_connections_went, .init = serve, .fini = stop)
{
    int fds[40];

    for (size_t i = 0; i < 40; i++)
        fds[i] = connect_to_server();
    for (size_t i = 0; i < 40; i++)
        close(fds[i]);
    expect("GET /metrics" HTTP "\r\n", "HTTP/1.1 200 ", "# TYPE");
}

static void expect_refused(const char *address, enum status_code code)
{
    struct metrics_server *none = NULL;
    struct status st = { 0 };

    cr_expect_eq(metrics_server_start(address, &metrics, &none, &st), code, "%s: %s", address,
                 st.message);
    cr_expect_not_null(strstr(st.message, address), "%s", st.message);
    cr_expect_null(none);
}

Test(metrics_http, says_where_it_cannot_listen, .init = serve, .fini = stop)
{
    expect_refused("nowhere", STATUS_INVALID_ARGUMENT);
    expect_refused("127.0.0.1:", STATUS_INVALID_ARGUMENT);
    expect_refused("127.0.0.1:port", STATUS_INVALID_ARGUMENT);
    expect_refused("127.0.0.1:65536", STATUS_INVALID_ARGUMENT);
    expect_refused("unix:/tmp/x", STATUS_INVALID_ARGUMENT);
    expect_refused("192.0.2.1:1", STATUS_UNAVAILABLE);
    expect_refused(metrics_server_address(server), STATUS_UNAVAILABLE);
}
