#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/proto_json.h"
#include "src/apps/cli/show.h"

struct get_values {
    bool embedding;
};

static const struct option OPTIONS[] = {
    { .name = "embedding",
      .kind = OPTION_FLAG,
      .offset = offsetof(struct get_values, embedding),
      .help = "also the vector" },
    { 0 },
};

static void print_json(struct cli *cli, const Sutra__V1__BatchGetResponse *reply,
                       const struct operands *ids)
{
    json_t *json = json_object();
    json_t *concepts = json_array();
    json_t *missing = json_array();

    for (size_t i = 0; i < reply->n_concepts; i++)
        json_array_append_new(concepts, proto_json(&reply->concepts[i]->base));
    for (size_t i = 0; i < reply->n_missing; i++)
        if (reply->missing[i] < ids->count)
            json_array_append_new(missing, json_string(ids->values[reply->missing[i]]));
    json_object_set_new(json, "concepts", concepts);
    json_object_set_new(json, "missing", missing);
    json_output(&cli->out, json);
}

static void print_text(struct cli *cli, const Sutra__V1__BatchGetResponse *reply)
{
    for (size_t i = 0; i < reply->n_concepts; i++) {
        if (i > 0)
            fputc('\n', cli->out.file);
        show_concept(cli, reply->concepts[i]);
    }
}

static enum exit_code warn_of_missing(const struct cli *cli,
                                      const Sutra__V1__BatchGetResponse *reply,
                                      const struct operands *ids)
{
    for (size_t i = 0; i < reply->n_missing; i++)
        if (reply->missing[i] < ids->count)
            cli_warn(cli, "no concept '%s'", ids->values[reply->missing[i]]);
    return reply->n_missing > 0 ? SUTRA_EXIT_PARTIAL : SUTRA_EXIT_OK;
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    const struct get_values *v = values;
    Sutra__V1__BatchGetRequest request = SUTRA__V1__BATCH_GET_REQUEST__INIT;
    Sutra__V1__BatchGetResponse *reply = NULL;

    request.ids = operands->values;
    request.n_ids = operands->count;
    request.include_embedding = v->embedding;
    if (client_batch_get(cli->client, &request, &cli->arena, &reply, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json)
        print_json(cli, reply, operands);
    else
        print_text(cli, reply);
    return warn_of_missing(cli, reply, operands);
}

const struct command command_get = {
    .name = "get",
    .operands = "ID…",
    .min_operands = 1,
    .max_operands = SIZE_MAX,
    .summary = "Show concepts",
    .details = "JSON: {\"concepts\": […], \"missing\": [ids]}.",
    .options = OPTIONS,
    .values_size = sizeof(struct get_values),
    .run = run,
};
