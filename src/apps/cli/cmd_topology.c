#include <inttypes.h>
#include <string.h>

#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/show.h"
#include "src/base/buf.h"

static const char *show_slots(struct arena *arena, const Sutra__V1__TopologyShard *shard)
{
    struct buf text = { 0 };
    const char *copy;

    for (size_t i = 0; i < shard->n_slots; i++)
        buf_printf(&text, "%s%" PRIu32 "–%" PRIu32, i > 0 ? ", " : "", shard->slots[i]->first,
                   shard->slots[i]->last);
    copy = arena_strndup(arena, (const char *)text.data, text.size);
    buf_deinit(&text);
    return copy;
}

static void print_table(struct cli *cli, const Sutra__V1__GetTopologyResponse *reply)
{
    static const struct table_column COLUMNS[] = {
        { .title = "shard", .style = STYLE_ID },
        { .title = "address", .style = STYLE_PLAIN },
        { .title = "slots", .style = STYLE_NUMBER, .flexible = true },
    };
    struct table *table = table_new(&cli->arena, COLUMNS, 3);

    if (table == NULL)
        return;
    for (size_t i = 0; i < reply->n_shards; i++) {
        const Sutra__V1__TopologyShard *shard = reply->shards[i];
        const char *cells[] = { arena_printf(&cli->arena, "%" PRIu32, shard->shard), shard->address,
                                show_slots(&cli->arena, shard) };
        table_add(table, cells);
    }
    table_print(table, &cli->out);
}

static void print_text(struct cli *cli, const Sutra__V1__GetTopologyResponse *reply)
{
    const char *who = strcmp(reply->role, "shard") == 0
                          ? arena_printf(&cli->arena, "shard %" PRIu32, reply->shard)
                          : reply->role;

    cli_say(cli, "%s answers; epoch %" PRIu64 ", %" PRIu32 " slots", who != NULL ? who : "",
            reply->epoch, reply->slot_count);
    print_table(cli, reply);
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    Sutra__V1__GetTopologyRequest request = SUTRA__V1__GET_TOPOLOGY_REQUEST__INIT;
    Sutra__V1__GetTopologyResponse *reply = NULL;

    (void)values;
    (void)operands;
    if (client_get_topology(cli->client, &request, &cli->arena, &reply, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json)
        json_output_message(&cli->out, &reply->base);
    else
        print_text(cli, reply);
    return SUTRA_EXIT_OK;
}

const struct command command_topology = {
    .name = "topology",
    .operands = "",
    .summary = "Show which shard owns which slots, and who answers",
    .run = run,
};
