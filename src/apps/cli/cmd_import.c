#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "src/apps/cli/cli.h"
#include "src/apps/cli/import_feed.h"
#include "src/apps/cli/import_run.h"
#include "src/apps/cli/import_state.h"
#include "src/apps/cli/interrupt.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/progress.h"
#include "src/apps/cli/show.h"
#include "src/apps/cli/waiting.h"
#include "src/base/clock.h"
#include "src/base/size.h"

enum {
    REQUEST_BYTES = 4 * 1024 * 1024,
    DEFAULT_MESSAGE_BYTES = 4 * 1024 * 1024, /* gRPC's own, for a server that does not say */
    REFUSALS_SHOWN = 10,
    OUTBOX_POLL_MS = 200,
};

struct import_values {
    const char *format;
    uint64_t limit;
    uint64_t batch;
    uint64_t window;
    bool resume;
    bool skip_embedding;
    bool buffered;
    const char *state;
    double retry_seconds;
    bool no_wait;
};

#define AT(field) offsetof(struct import_values, field)

static const struct option OPTIONS[] = {
    { .name = "format",
      .letter = 'f',
      .kind = OPTION_TEXT,
      .offset = AT(format),
      .value = "FORMAT",
      .help = "wordnet, jsonl, csv or tsv; else by the name" },
    { .name = "limit",
      .letter = 'n',
      .kind = OPTION_COUNT,
      .offset = AT(limit),
      .value = "N",
      .help = "stop after the first N items (default: all)" },
    { .name = "batch",
      .kind = OPTION_COUNT,
      .offset = AT(batch),
      .value = "N",
      .standard = "256",
      .min = 1,
      .max = 1000000,
      .help = "items per request" },
    { .name = "window",
      .kind = OPTION_COUNT,
      .offset = AT(window),
      .value = "N",
      .standard = "4",
      .min = 1,
      .max = IMPORT_MAX_WINDOW,
      .help = "requests under way" },
    { .name = "resume",
      .kind = OPTION_FLAG,
      .offset = AT(resume),
      .help = "go on where an import of the same source stopped" },
    { .name = "skip-embedding",
      .kind = OPTION_FLAG,
      .offset = AT(skip_embedding),
      .help = "write concepts that bring no vector without one" },
    { .name = "buffered",
      .kind = OPTION_FLAG,
      .offset = AT(buffered),
      .help = "do not wait until items are safe from a power cut" },
    { .name = "state",
      .kind = OPTION_TEXT,
      .offset = AT(state),
      .value = "FILE",
      .help = "where to note what is settled (default: below ~/.cache/sutra)" },
    { .name = "retry-seconds",
      .kind = OPTION_NUMBER,
      .offset = AT(retry_seconds),
      .value = "X",
      .standard = "30",
      .max = 1e9,
      .help = "how long to try again when the connection breaks" },
    { .name = "no-wait",
      .kind = OPTION_FLAG,
      .offset = AT(no_wait),
      .help = "do not wait until associations have arrived at their targets" },
    { 0 },
};

/* One run of the command. */
struct job {
    struct cli *cli;
    const struct import_values *values;
    struct import_feed feed;
    struct source_size size;
    struct import_report report;
    uint64_t resumed_at;   /* items settled by an earlier run … */
    uint64_t resumed_byte; /* … and where the files go on behind them */
    int64_t start_us;
    struct progress progress;
    const char *fingerprint; /* NULL: the source cannot be read again, nothing is noted */
    const char *state_path;
    bool state_failed; /* and was reported */
};

/* Files --------------------------------------------------------------------------------------- */

/* "import wordnet DIR" is "import --format wordnet DIR". */
static const char *take_format(const struct import_values *v, struct operands *operands)
{
    const char *first = operands->values[0];

    if (v->format != NULL || operands->count < 2 || source_format_parse(first) == SOURCE_FORMATS)
        return v->format;
    operands->values++;
    operands->count--;
    return first;
}

static enum status_code set_format(struct import_file *file, const char *format, struct status *st)
{
    if (format == NULL)
        return source_format_guess(file->path, &file->format, st);
    file->format = source_format_parse(format);
    if (file->format == SOURCE_FORMATS)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "unknown format '%.80s'; there are wordnet, jsonl, csv and tsv", format);
    return STATUS_OK;
}

static enum status_code open_feed(struct job *job, struct operands operands, struct status *st)
{
    const char *format = take_format(job->values, &operands);
    struct import_file *files = arena_calloc(&job->cli->arena, operands.count, sizeof *files);

    if (files == NULL)
        return cli_out_of_memory(st);
    for (size_t i = 0; i < operands.count; i++) {
        files[i].path = operands.values[i];
        if (set_format(&files[i], format, st) != STATUS_OK)
            return st->code;
    }
    import_feed_init(&job->feed, files, operands.count, job->values->limit);
    return import_feed_measure(&job->feed, &job->size, st);
}

/* State --------------------------------------------------------------------------------------- */

static bool reads_standard_input(const struct job *job)
{
    for (size_t i = 0; i < job->feed.file_count; i++)
        if (strcmp(job->feed.files[i].path, "-") == 0)
            return true;
    return false;
}

static enum status_code find_state(struct job *job, struct status *st)
{
    struct arena *arena = &job->cli->arena;
    const char *key = NULL;

    if (reads_standard_input(job) && !job->values->resume)
        return STATUS_OK;
    if (import_feed_fingerprint(&job->feed, arena, &job->fingerprint, st) != STATUS_OK ||
        import_feed_key(&job->feed, arena, &key, st) != STATUS_OK)
        return st->code;
    job->state_path = job->values->state;
    if (job->state_path != NULL)
        return import_state_check_path(job->state_path, st);
    return import_state_default_path(client_address(job->cli->client), key, arena, &job->state_path,
                                     st);
}

static enum status_code resume(struct job *job, struct status *st)
{
    struct import_state state;

    if (!job->values->resume)
        return STATUS_OK;
    if (import_state_read(job->state_path, &job->cli->arena, &state, st) == STATUS_NOT_FOUND) {
        status_clear(st);
        cli_warn(job->cli, "nothing to resume; starting with the first item");
        return STATUS_OK;
    }
    if (st->code != STATUS_OK ||
        import_state_check(&state, client_address(job->cli->client), job->fingerprint, st) !=
            STATUS_OK ||
        import_feed_skip(&job->feed, state.settled_items, st) != STATUS_OK)
        return st->code;
    job->resumed_at = job->report.settled = state.settled_items;
    job->resumed_byte = import_feed_bytes(&job->feed);
    return STATUS_OK;
}

/* A note that cannot be written does not stop the import. */
static void note_state(struct job *job)
{
    struct import_state state = {
        .address = client_address(job->cli->client),
        .fingerprint = job->fingerprint,
        .settled_items = job->report.settled,
    };
    struct status st = { 0 };

    if (job->fingerprint == NULL || job->state_failed ||
        import_state_write(job->state_path, &state, &st) == STATUS_OK)
        return;
    job->state_failed = true;
    progress_clear(&job->progress);
    cli_warn(job->cli, "this import cannot be resumed: %s", st.message);
}

static enum status_code prepare(struct job *job, const struct operands *operands, struct status *st)
{
    if (open_feed(job, *operands, st) != STATUS_OK || find_state(job, st) != STATUS_OK)
        return st->code;
    return resume(job, st);
}

/* Running ------------------------------------------------------------------------------------- */

static double seconds_so_far(const struct job *job)
{
    return (double)(clock_monotonic_us() - job->start_us) / 1e6;
}

static void on_tick(void *context, const struct import_report *report)
{
    struct job *job = context;
    struct progress_state state = {
        .items = report->settled,
        .items_total = job->size.items,
        .items_before = job->resumed_at,
        .bytes = import_feed_bytes(&job->feed),
        .bytes_total = job->size.bytes,
        .bytes_before = job->resumed_byte,
        .seconds = seconds_so_far(job),
    };

    progress_update(&job->progress, &state);
}

static void on_settled(void *context, const struct import_report *report)
{
    (void)report;
    note_state(context);
}

static void on_refused(void *context, uint64_t number, const Sutra__V1__WriteResult *result)
{
    struct job *job = context;

    if (job->report.refused > REFUSALS_SHOWN)
        return;
    progress_clear(&job->progress);
    cli_warn(job->cli, "item %" PRIu64 " ('%s') refused: %s (%s)", number, result->id,
             result->status->message, status_code_name((enum status_code)result->status->code));
    if (job->report.refused == REFUSALS_SHOWN)
        cli_warn(job->cli, "further refusals are only counted");
}

static bool on_stop(void *context)
{
    (void)context;
    return interrupt_requested();
}

static enum status_code settle_on(struct job *job, struct import_settings *ret, struct status *st)
{
    Sutra__V1__GetLimitsRequest request = SUTRA__V1__GET_LIMITS_REQUEST__INIT;
    Sutra__V1__GetLimitsResponse *limits = NULL;
    size_t message_bytes;

    if (client_get_limits(job->cli->client, &request, &job->cli->arena, &limits, st) != STATUS_OK)
        return st->code;
    message_bytes =
        limits->max_message_bytes != 0 ? limits->max_message_bytes : DEFAULT_MESSAGE_BYTES;
    *ret = (struct import_settings){
        .batch = limits->max_batch_items != 0
                     ? size_min(job->values->batch, limits->max_batch_items)
                     : job->values->batch,
        .window = job->values->window,
        .request_bytes = size_min(REQUEST_BYTES, message_bytes / 4),
        .max_item_bytes = message_bytes / 2,
        .skip_embedding = job->values->skip_embedding,
        .durability = job->values->buffered ? SUTRA__V1__DURABILITY__DURABILITY_BUFFERED
                                            : SUTRA__V1__DURABILITY__DURABILITY_SYNCED,
        .retry_seconds = job->values->retry_seconds,
    };
    return STATUS_OK;
}

static void send_all(struct job *job, const struct import_settings *settings, struct status *st)
{
    struct import_events events = {
        .context = job,
        .refused = on_refused,
        .settled = on_settled,
        .tick = on_tick,
        .stop = on_stop,
    };

    job->start_us = clock_monotonic_us();
    import_run(job->cli->client, &job->feed, settings, &events, &job->report, st);
    progress_clear(&job->progress);
}

/* Afterwards ---------------------------------------------------------------------------------- */

static enum status_code pending(struct cli *cli, uint64_t *ret, struct status *st)
{
    Sutra__V1__StatsRequest request = SUTRA__V1__STATS_REQUEST__INIT;
    Sutra__V1__StatsResponse *reply = NULL;

    if (client_stats(cli->client, &request, &cli->arena, &reply, st) != STATUS_OK)
        return status_wrap(st, "wait for associations to arrive");
    *ret = reply->total != NULL ? reply->total->outbox_pending : 0;
    return STATUS_OK;
}

/* Associations are written at their source and arrive at their target a little later. */
static enum status_code wait_for_outbox(struct job *job, struct status *st)
{
    struct timespec pause = { .tv_nsec = OUTBOX_POLL_MS * 1000000L };
    struct waiting *waiting;
    uint64_t left = 0;

    if (job->values->no_wait)
        return STATUS_OK;
    waiting = waiting_start("associations are arriving", NULL, NULL);
    while (pending(job->cli, &left, st) == STATUS_OK && left > 0 && !interrupt_requested())
        nanosleep(&pause, NULL);
    waiting_stop(waiting);
    return st->code;
}

static void print_json(const struct job *job, uint64_t items, double seconds)
{
    const struct import_report *r = &job->report;
    json_t *json =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "items", (json_int_t)items,
                  "created", (json_int_t)r->created, "updated", (json_int_t)r->updated, "refused",
                  (json_int_t)r->refused, "associations", (json_int_t)r->associations, "resumed_at",
                  (json_int_t)job->resumed_at, "settled_items", (json_int_t)r->settled,
                  "reconnects", (json_int_t)r->reconnects, "seconds", seconds, "items_per_second",
                  seconds > 0 ? (double)items / seconds : 0.0);

    json_output(&job->cli->out, json);
}

static void print_text(const struct job *job, uint64_t items, double seconds)
{
    struct arena *arena = &job->cli->arena;
    const struct import_report *r = &job->report;

    cli_say(job->cli,
            "%s items: %s created, %s updated, %s refused; %s associations; %.1f s, %s items/s",
            show_count(arena, items), show_count(arena, r->created), show_count(arena, r->updated),
            show_count(arena, r->refused), show_count(arena, r->associations), seconds,
            show_count(arena, seconds > 0 ? (uint64_t)((double)items / seconds) : 0));
}

static void summarize(const struct job *job, double seconds)
{
    uint64_t items = job->report.settled - job->resumed_at;

    if (job->cli->globals.json)
        print_json(job, items, seconds);
    else
        print_text(job, items, seconds);
}

static void say_how_to_go_on(const struct job *job)
{
    if (job->fingerprint != NULL && !job->state_failed)
        cli_warn(job->cli, "%" PRIu64 " items are settled; the same command with --resume goes on",
                 job->report.settled);
}

static enum exit_code finish(struct job *job, struct status *st)
{
    double seconds = seconds_so_far(job);

    if (st->code == STATUS_OK && !interrupt_requested()) {
        if (job->state_path != NULL)
            import_state_remove(job->state_path);
        wait_for_outbox(job, st);
        summarize(job, seconds_so_far(job));
        return job->report.refused > 0 ? SUTRA_EXIT_PARTIAL : SUTRA_EXIT_OK;
    }
    summarize(job, seconds);
    if (st->code != STATUS_OK && (interrupt_requested() || job->report.source_failed))
        cli_fail_locally(job->cli, st);
    if (!job->report.source_failed) /* a file that is mended is another file */
        say_how_to_go_on(job);
    return interrupt_requested() ? SUTRA_EXIT_INTERRUPTED : SUTRA_EXIT_PARTIAL;
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    struct job job = { .cli = cli, .values = values };
    struct import_settings settings;
    enum exit_code code = SUTRA_EXIT_USAGE;

    interrupt_install();
    progress_init(&job.progress, stderr);
    if (prepare(&job, operands, st) != STATUS_OK) {
        code = cli_fail_locally(cli, st);
    } else if (settle_on(&job, &settings, st) == STATUS_OK) {
        send_all(&job, &settings, st);
        code = finish(&job, st);
    }
    import_feed_deinit(&job.feed);
    return code;
}

const struct command command_import = {
    .name = "import",
    .operands = "[FORMAT] FILE…",
    .min_operands = 1,
    .max_operands = SIZE_MAX,
    .summary = "Write concepts from files: WordNet, JSON Lines, CSV, TSV",
    .details =
        "FORMAT is wordnet (FILE is the folder with data.noun …), jsonl, csv or tsv; else the name "
        "of the\n"
        "file tells. '-' is standard input. JSON keys and CSV columns: id, content (or text), "
        "embedding,\n"
        "strength, confidence, source, category, attributes, created_us, associations; further "
        "CSV\n"
        "columns are attributes.\n"
        "\n"
        "Ctrl-C stops after what was sent is settled, a second one at once; --resume goes on.",
    .options = OPTIONS,
    .values_size = sizeof(struct import_values),
    .run = run,
};
