#include "src/rpc/meter.h"

#include <assert.h>
#include <string.h>

#include "src/rpc/server_impl.h"

/* A method by its two labels. */
struct named_meter {
    char service[128];
    const char *method;
    const struct method_meter *meter;
    bool streams;
};

/* ---- What is told of each ---------------------------------------------------------------- */

static uint64_t count_handled(const struct method_meter *meter)
{
    uint64_t count = 0;

    for (int code = 0; code < METRICS_STATUSES; code++)
        count += metrics_counted(&meter->handled[code]);
    return count;
}

static void put_count(struct metrics_page *page, const struct named_meter *named,
                      const struct metrics_counter *counter)
{
    metrics_sample(page, (double)metrics_counted(counter), "service", named->service, "method",
                   named->method, NULL);
}

static void put_started(struct metrics_page *page, const struct named_meter *named)
{
    put_count(page, named, &named->meter->started);
}

static void put_handled(struct metrics_page *page, const struct named_meter *named)
{
    metrics_status_samples(page, named->meter->handled, "service", named->service, "method",
                           named->method, NULL);
}

/* What was handled is read first: so nothing has ended that had not begun. */
static void put_in_flight(struct metrics_page *page, const struct named_meter *named)
{
    uint64_t handled = count_handled(named->meter);
    uint64_t started = metrics_counted(&named->meter->started);

    metrics_sample(page, (double)(started - handled), "service", named->service, "method",
                   named->method, NULL);
}

static void put_abandoned(struct metrics_page *page, const struct named_meter *named)
{
    put_count(page, named, &named->meter->abandoned);
}

static void put_duration(struct metrics_page *page, const struct named_meter *named)
{
    metrics_histogram_sample(page, &named->meter->duration_us, METRICS_LATENCY, "service",
                             named->service, "method", named->method, NULL);
}

static void put_received_bytes(struct metrics_page *page, const struct named_meter *named)
{
    put_count(page, named, &named->meter->received_bytes);
}

static void put_sent_bytes(struct metrics_page *page, const struct named_meter *named)
{
    put_count(page, named, &named->meter->sent_bytes);
}

/* Of others it is one per call. */
static void put_received_messages(struct metrics_page *page, const struct named_meter *named)
{
    if (named->streams)
        put_count(page, named, &named->meter->received_messages);
}

static void put_sent_messages(struct metrics_page *page, const struct named_meter *named)
{
    if (named->streams)
        put_count(page, named, &named->meter->sent_messages);
}

static const struct family {
    void (*begin)(struct metrics_page *page, const char *name, const char *help);
    const char *name;
    const char *help;
    void (*put)(struct metrics_page *page, const struct named_meter *named);
} families[] = {
    { metrics_counter_family, "sutra_rpc_server_started", "Calls that arrived.", put_started },
    { metrics_counter_family, "sutra_rpc_server_handled", "Calls that were answered, by status.",
      put_handled },
    { metrics_gauge_family, "sutra_rpc_server_in_flight", "Calls that are being answered.",
      put_in_flight },
    { metrics_counter_family, "sutra_rpc_server_abandoned",
      "Calls whose caller had gone, or whose deadline had passed, when they were answered.",
      put_abandoned },
    { metrics_histogram_family, "sutra_rpc_server_duration_seconds",
      "From a call's arrival to its answer.", put_duration },
    { metrics_counter_family, "sutra_rpc_server_received_bytes",
      "Requests, without their frames and headers.", put_received_bytes },
    { metrics_counter_family, "sutra_rpc_server_sent_bytes",
      "Answers, without their frames and headers.", put_sent_bytes },
    { metrics_counter_family, "sutra_rpc_server_received_messages",
      "Messages of streaming calls that came in.", put_received_messages },
    { metrics_counter_family, "sutra_rpc_server_sent_messages",
      "Messages of streaming calls that went out.", put_sent_messages },
};

/* ---- Of a server ------------------------------------------------------------------------- */

static struct named_meter name_method(const struct server_method *method)
{
    struct named_meter named = {
        .method = method->method.name,
        .meter = method->meter,
        .streams = method->method.kind != RPC_UNARY,
    };
    size_t length = strlen(method->path) - strlen(named.method) - 2; /* "/service/method" */

    assert(length < sizeof named.service);
    memcpy(named.service, method->path + 1, length);
    return named;
}

static void collect_family(const struct rpc_server *server, const struct family *family,
                           struct metrics_page *page)
{
    const struct named_meter unknown = { .service = "unknown",
                                         .method = "unknown",
                                         .meter = server->unknown };

    family->begin(page, family->name, family->help);
    for (const struct server_method *m = server->methods; m != NULL; m = m->next) {
        struct named_meter named = name_method(m);
        family->put(page, &named);
    }
    family->put(page, &unknown);
}

static void collect_refused(const struct rpc_server *server, struct metrics_page *page)
{
    static const char *const reasons[METER_REFUSALS] = {
        [REFUSED_CALLER] = "caller",
        [REFUSED_STARTING] = "starting",
        [REFUSED_UNKNOWN_METHOD] = "unknown_method",
        [REFUSED_STOPPING] = "shutting_down",
        [REFUSED_TOO_MANY_CALLS] = "too_many_calls",
        [REFUSED_QUEUE_FULL] = "queue_full",
        [REFUSED_UNDECODABLE] = "undecodable",
    };

    metrics_counter_family(page, "sutra_rpc_server_refused",
                           "Calls that were answered without being begun, by reason.");
    for (int reason = 0; reason < METER_REFUSALS; reason++)
        metrics_sample(page, (double)metrics_counted(&server->refused[reason]), "reason",
                       reasons[reason], NULL);
}

void rpc_server_collect(void *ctx, struct metrics_page *page)
{
    const struct rpc_server *server = ctx;

    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        collect_family(server, &families[i], page);
    collect_refused(server, page);
    if (server->pool != NULL)
        metrics_gauge_value(page, "sutra_rpc_server_queued_calls",
                            "Calls that wait for a thread of the server's pool.",
                            (double)pool_waiting(server->pool));
    metrics_gauge_value(page, "sutra_rpc_server_calls_limit",
                        "Calls that may be in flight at once; more are refused.",
                        (double)server->options.max_calls);
}
