#include <string.h>

#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"

/* What a server that is asked for nothing in particular is measured by. */
static const char READINESS[] = "readiness";

static enum exit_code exit_if(bool serving)
{
    return serving ? SUTRA_EXIT_OK : SUTRA_EXIT_UNAVAILABLE;
}

static const char *word(bool serving)
{
    return serving ? "serving" : "not serving";
}

static enum exit_code show_one(struct cli *cli, const char *service, struct status *st)
{
    bool serving = false;

    if (client_health(cli->client, service, &serving, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json)
        json_output(&cli->out, json_pack("{s:b}", "serving", serving));
    else
        fprintf(cli->out.file, "%s\n", word(serving));
    return exit_if(serving);
}

static void print_json(const struct cli *cli, const struct client_serving *list, size_t count)
{
    json_t *all = json_object();

    for (size_t i = 0; i < count; i++)
        json_object_set_new(all, list[i].service, json_boolean(list[i].serving));
    json_output(&cli->out, json_pack("{s:o}", "serving", all));
}

static void print_table(struct cli *cli, const struct client_serving *list, size_t count)
{
    static const struct table_column COLUMNS[] = { { .style = STYLE_ID },
                                                   { .style = STYLE_PLAIN } };
    struct table *table = table_new(&cli->arena, COLUMNS, 2);

    for (size_t i = 0; table != NULL && i < count; i++) {
        const char *name = list[i].service[0] != '\0' ? list[i].service : "(the server)";
        const char *cells[] = { name, word(list[i].serving) };
        table_add(table, cells);
    }
    if (table != NULL)
        table_print(table, &cli->out);
}

static enum exit_code show_all(struct cli *cli, struct status *st)
{
    struct client_serving *list = NULL;
    size_t count = 0;
    bool ready = false;

    if (client_health_list(cli->client, &cli->arena, &list, &count, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    for (size_t i = 0; i < count; i++)
        ready |= list[i].serving && strcmp(list[i].service, READINESS) == 0;
    if (cli->globals.json)
        print_json(cli, list, count);
    else
        print_table(cli, list, count);
    return exit_if(ready);
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    (void)values;
    if (operands->count > 0)
        return show_one(cli, operands->values[0], st);
    return show_all(cli, st);
}

const struct command command_health = {
    .name = "health",
    .operands = "[NAME]",
    .max_operands = 1,
    .summary = "Show what the server says of itself, its services and its shards",
    .details =
        "NAME is liveness, readiness, shard/3 (of a router) or a service's full name, such as\n"
        "sutra.v1.ConceptService. Exit code 0 says that NAME, or else readiness, is serving; 4 "
        "that\nit is not.",
    .run = run,
};
