#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/proto_json.h"
#include "src/apps/cli/show.h"

/* All limits are numbers, so the contract's names and values are the table. */
static void print_table(struct cli *cli, const Sutra__V1__GetLimitsResponse *reply)
{
    static const struct table_column COLUMNS[] = { { .style = STYLE_PLAIN },
                                                   { .style = STYLE_NUMBER, .right = true } };
    struct table *table = table_new(&cli->arena, COLUMNS, 2);
    json_t *fields = proto_json(&reply->base);
    const char *name;
    json_t *value;

    json_object_foreach(fields, name, value)
    {
        const char *cells[] = { name,
                                show_count(&cli->arena, (uint64_t)json_integer_value(value)) };
        if (table != NULL)
            table_add(table, cells);
    }
    if (table != NULL)
        table_print(table, &cli->out);
    json_decref(fields);
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    Sutra__V1__GetLimitsRequest request = SUTRA__V1__GET_LIMITS_REQUEST__INIT;
    Sutra__V1__GetLimitsResponse *reply = NULL;

    (void)values;
    (void)operands;
    if (client_get_limits(cli->client, &request, &cli->arena, &reply, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json)
        json_output_message(&cli->out, &reply->base);
    else
        print_table(cli, reply);
    return SUTRA_EXIT_OK;
}

const struct command command_limits = {
    .name = "limits",
    .operands = "",
    .summary = "Show every limit that a request can meet",
    .run = run,
};
