#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    const char *service = operands->count > 0 ? operands->values[0] : "";
    bool serving = false;

    (void)values;
    if (client_health(cli->client, service, &serving, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json)
        json_output(&cli->out, json_pack("{s:b}", "serving", serving));
    else
        fprintf(cli->out.file, "%s\n", serving ? "serving" : "not serving");
    return serving ? SUTRA_EXIT_OK : SUTRA_EXIT_UNAVAILABLE;
}

const struct command command_health = {
    .name = "health",
    .operands = "[SERVICE]",
    .max_operands = 1,
    .summary = "Ask whether the server, or one of its services, takes calls",
    .details = "SERVICE is a full name: sutra.v1.ConceptService.",
    .run = run,
};
