#include "src/apps/cli/association_key.h"
#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    Sutra__V1__DissociateRequest request = SUTRA__V1__DISSOCIATE_REQUEST__INIT;
    Sutra__V1__AssociationKey key = SUTRA__V1__ASSOCIATION_KEY__INIT;
    Sutra__V1__DissociateResponse *reply = NULL;

    association_key_fill(&key, values, operands);
    request.key = &key;
    if (client_dissociate(cli->client, &request, &cli->arena, &reply, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json)
        json_output_message(&cli->out, &reply->base);
    else
        fprintf(cli->out.file, "%s\n", reply->existed ? "removed" : "not there");
    return reply->existed ? SUTRA_EXIT_OK : SUTRA_EXIT_PARTIAL;
}

const struct command command_dissociate = {
    .name = "dissociate",
    .operands = "SOURCE TARGET",
    .min_operands = 2,
    .max_operands = 2,
    .summary = "Remove an association",
    .options = association_key_options,
    .values_size = sizeof(struct association_key_values),
    .run = run,
};
