#include "src/apps/cli/association_key.h"
#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/show.h"

static void print_text(struct cli *cli, const Sutra__V1__ReinforceResponse *reply)
{
    if (reply->result_case == SUTRA__V1__REINFORCE_RESPONSE__RESULT_CONCEPT)
        show_concept(cli, reply->concept);
    if (reply->result_case == SUTRA__V1__REINFORCE_RESPONSE__RESULT_ASSOCIATION)
        show_association(cli, reply->association);
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    Sutra__V1__ReinforceRequest request = SUTRA__V1__REINFORCE_REQUEST__INIT;
    Sutra__V1__AssociationKey key = SUTRA__V1__ASSOCIATION_KEY__INIT;
    Sutra__V1__ReinforceResponse *reply = NULL;

    if (operands->count == 1) {
        request.target_case = SUTRA__V1__REINFORCE_REQUEST__TARGET_ID;
        request.id = operands->values[0];
    } else {
        association_key_fill(&key, values, operands);
        request.target_case = SUTRA__V1__REINFORCE_REQUEST__TARGET_ASSOCIATION;
        request.association = &key;
    }
    if (client_reinforce(cli->client, &request, &cli->arena, &reply, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json)
        json_output_message(&cli->out, &reply->base);
    else
        print_text(cli, reply);
    return SUTRA_EXIT_OK;
}

const struct command command_reinforce = {
    .name = "reinforce",
    .operands = "ID | SOURCE TARGET",
    .min_operands = 1,
    .max_operands = 2,
    .summary = "Say that a concept or an association was useful",
    .details = "Each time counts: do not repeat it because an answer got lost.",
    .options = association_key_options,
    .values_size = sizeof(struct association_key_values),
    .run = run,
};
