#include <inttypes.h>

#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/show.h"
#include "src/apps/cli/text.h"

struct stats_values {
    bool partial;
};

static const struct option OPTIONS[] = {
    { .name = "partial",
      .kind = OPTION_FLAG,
      .offset = offsetof(struct stats_values, partial),
      .help = "answer also when a shard is missing" },
    { 0 },
};

static const struct table_column COLUMNS[] = {
    { .title = "shard", .style = STYLE_ID },
    { .title = "concepts", .style = STYLE_NUMBER, .right = true },
    { .title = "vectors", .style = STYLE_NUMBER, .right = true },
    { .title = "out", .style = STYLE_NUMBER, .right = true },
    { .title = "in", .style = STYLE_NUMBER, .right = true },
    { .title = "pending", .style = STYLE_NUMBER, .right = true },
    { .title = "content", .style = STYLE_NUMBER, .right = true },
    { .title = "disk", .style = STYLE_NUMBER, .right = true },
    { .title = "memory", .style = STYLE_NUMBER, .right = true },
    { .title = "up", .style = STYLE_NUMBER, .right = true },
    { .title = "codebook", .style = STYLE_NUMBER, .right = true },
    { .title = "encoded", .style = STYLE_NUMBER, .right = true },
    { .title = "cells", .style = STYLE_NUMBER, .right = true },
    { .title = "recall", .style = STYLE_NUMBER, .right = true },
    { .title = "drift", .style = STYLE_NUMBER, .right = true },
    { .title = "kernel", .style = STYLE_DIM },
};

enum { COLUMN_COUNT = sizeof COLUMNS / sizeof COLUMNS[0] };

/* What there is, or, while codes are being replaced, how far that is. */
static const char *show_encoded(struct arena *arena, const Sutra__V1__ShardStats *s)
{
    if (s->reencode_total == 0)
        return show_count(arena, s->vectors_encoded);
    return arena_printf(arena, "%s of %s", show_count(arena, s->reencoded),
                        show_count(arena, s->reencode_total));
}

static const char *show_known(struct arena *arena, float value)
{
    return value > 0 ? show_float(arena, value, 3) : "-";
}

static void add_row(struct arena *arena, struct table *table, const char *name,
                    const Sutra__V1__ShardStats *s)
{
    static const Sutra__V1__CodebookStats NO_CODEBOOK = SUTRA__V1__CODEBOOK_STATS__INIT;
    const Sutra__V1__CodebookStats *codebook = s->codebook != NULL ? s->codebook : &NO_CODEBOOK;
    char up[TEXT_NUMBER_SIZE];
    const char *cells[COLUMN_COUNT] = {
        name,
        show_count(arena, s->concepts),
        show_count(arena, s->vectors),
        show_count(arena, s->associations_out),
        show_count(arena, s->associations_in),
        show_count(arena, s->outbox_pending),
        show_bytes(arena, s->content_bytes),
        show_bytes(arena, s->disk_bytes),
        show_bytes(arena, s->memory_bytes),
        text_duration((double)s->uptime_ms / 1000, up),
        show_count(arena, codebook->version),
        show_encoded(arena, s),
        show_count(arena, codebook->cells),
        show_known(arena, codebook->expected_recall),
        show_known(arena, codebook->drift),
        s->kernel,
    };

    table_add(table, cells);
}

static void print_table(struct cli *cli, const Sutra__V1__StatsResponse *reply)
{
    struct arena *arena = &cli->arena;
    struct table *table = table_new(arena, COLUMNS, COLUMN_COUNT);

    if (table == NULL)
        return;
    for (size_t i = 0; i < reply->n_shards; i++)
        add_row(arena, table, arena_printf(arena, "%" PRIu32, reply->shards[i]->shard),
                reply->shards[i]);
    if (reply->total != NULL)
        add_row(arena, table, "total", reply->total);
    table_print(table, &cli->out);
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    const struct stats_values *v = values;
    Sutra__V1__StatsRequest request = SUTRA__V1__STATS_REQUEST__INIT;
    Sutra__V1__StatsResponse *reply = NULL;

    (void)operands;
    request.allow_partial = v->partial;
    if (client_stats(cli->client, &request, &cli->arena, &reply, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json)
        json_output_message(&cli->out, &reply->base);
    else
        print_table(cli, reply);
    return cli_check_shards(cli, reply->shards_missing, reply->n_shards_missing);
}

const struct command command_stats = {
    .name = "stats",
    .operands = "",
    .summary = "Show how much is stored, per shard and in total",
    .options = OPTIONS,
    .values_size = sizeof(struct stats_values),
    .run = run,
};
