#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"

static enum status_code delete_one(struct cli *cli, char *id, bool *ret_existed, struct status *st)
{
    Sutra__V1__DeleteRequest request = SUTRA__V1__DELETE_REQUEST__INIT;
    Sutra__V1__DeleteResponse *reply = NULL;

    request.id = id;
    if (client_delete(cli->client, &request, &cli->arena, &reply, st) != STATUS_OK)
        return status_wrap(st, "delete '%.100s'", id);
    *ret_existed = reply->existed;
    return STATUS_OK;
}

static void book(json_t *results, const char *id, bool existed)
{
    json_t *result = json_object();

    json_object_set_new(result, "id", json_string(id));
    json_object_set_new(result, "existed", json_boolean(existed));
    json_array_append_new(results, result);
}

static void print_results(struct cli *cli, json_t *results)
{
    json_t *document = json_object();

    json_object_set(document, "results", results);
    json_output(&cli->out, document);
}

/* Stops at the first that the server refuses; what was done before is shown. */
static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    json_t *results = json_array();
    enum exit_code code = SUTRA_EXIT_OK;

    (void)values;
    for (size_t i = 0; i < operands->count && st->code == STATUS_OK; i++) {
        bool existed = false;
        if (delete_one(cli, operands->values[i], &existed, st) != STATUS_OK)
            break;
        book(results, operands->values[i], existed);
        if (existed)
            continue;
        cli_warn(cli, "no concept '%s'", operands->values[i]);
        code = SUTRA_EXIT_PARTIAL;
    }
    if (cli->globals.json)
        print_results(cli, results);
    json_decref(results);
    return code;
}

const struct command command_delete = {
    .name = "delete",
    .operands = "ID…",
    .min_operands = 1,
    .max_operands = SIZE_MAX,
    .summary = "Remove concepts with their vectors and associations",
    .details = "Ends with 1 when one of them was not there.",
    .run = run,
};
