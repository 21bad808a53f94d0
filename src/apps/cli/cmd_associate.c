#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/show.h"

struct associate_values {
    int type;
    const char *label;
    double weight;
    double confidence;
};

#define AT(field) offsetof(struct associate_values, field)

static const struct option OPTIONS[] = {
    { .name = "type",
      .kind = OPTION_CHOICE,
      .offset = AT(type),
      .value = SHOW_TYPE_NAMES,
      .standard = "semantic",
      .help = "what kind it is" },
    { .name = "label",
      .kind = OPTION_TEXT,
      .offset = AT(label),
      .value = "TEXT",
      .standard = "",
      .help = "what the relation is called" },
    { .name = "weight",
      .kind = OPTION_NUMBER,
      .offset = AT(weight),
      .value = "X",
      .standard = "1",
      .max = 5,
      .help = "0 to 5" },
    { .name = "confidence",
      .kind = OPTION_NUMBER,
      .offset = AT(confidence),
      .value = "X",
      .standard = "1",
      .max = 1,
      .help = "0 to 1" },
    { 0 },
};

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    const struct associate_values *v = values;
    Sutra__V1__AssociateRequest request = SUTRA__V1__ASSOCIATE_REQUEST__INIT;
    Sutra__V1__Association association = SUTRA__V1__ASSOCIATION__INIT;
    Sutra__V1__AssociateResponse *reply = NULL;

    association.source = operands->values[0];
    association.target = operands->values[1];
    association.type = show_type_of_choice(v->type);
    association.label = (char *)v->label;
    association.optional_weight_case = SUTRA__V1__ASSOCIATION__OPTIONAL_WEIGHT_WEIGHT;
    association.weight = (float)v->weight;
    association.optional_confidence_case = SUTRA__V1__ASSOCIATION__OPTIONAL_CONFIDENCE_CONFIDENCE;
    association.confidence = (float)v->confidence;
    request.association = &association;
    if (client_associate(cli->client, &request, &cli->arena, &reply, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json) {
        json_output_message(&cli->out, &reply->base);
        return SUTRA_EXIT_OK;
    }
    fputs(reply->created ? "created " : "replaced ", cli->out.file);
    show_association(cli, reply->association != NULL ? reply->association : &association);
    return SUTRA_EXIT_OK;
}

const struct command command_associate = {
    .name = "associate",
    .operands = "SOURCE TARGET",
    .min_operands = 2,
    .max_operands = 2,
    .summary = "Write an association between two concepts",
    .options = OPTIONS,
    .values_size = sizeof(struct associate_values),
    .run = run,
};
