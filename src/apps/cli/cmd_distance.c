#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/show.h"

struct distance_values {
    bool approximate;
};

static const struct option OPTIONS[] = {
    { .name = "approximate",
      .kind = OPTION_FLAG,
      .offset = offsetof(struct distance_values, approximate),
      .help = "from the codes instead of the vectors" },
    { 0 },
};

/* From the first operand to each of the others. */
static enum status_code fill_pairs(Sutra__V1__DistanceRequest *request,
                                   const struct operands *operands, struct arena *arena,
                                   struct status *st)
{
    size_t count = operands->count - 1;
    Sutra__V1__DistanceRequest__Pair *pairs = arena_calloc(arena, count, sizeof *pairs);

    request->pairs = arena_calloc(arena, count, sizeof *request->pairs);
    if (pairs == NULL || request->pairs == NULL)
        return cli_out_of_memory(st);
    request->n_pairs = count;
    for (size_t i = 0; i < count; i++) {
        sutra__v1__distance_request__pair__init(&pairs[i]);
        pairs[i].a = operands->values[0];
        pairs[i].b = operands->values[i + 1];
        request->pairs[i] = &pairs[i];
    }
    return STATUS_OK;
}

static bool is_missing(const Sutra__V1__DistanceResponse *reply, size_t pair)
{
    for (size_t i = 0; i < reply->n_missing; i++)
        if (reply->missing[i] == pair)
            return true;
    return false;
}

/* JSON: null for a pair of which one has no vector, so that nobody takes its 0 for nearness. */
static void print_json(struct cli *cli, const Sutra__V1__DistanceRequest *request,
                       const Sutra__V1__DistanceResponse *reply)
{
    json_t *array = json_array();
    json_t *document = json_object();

    for (size_t i = 0; i < reply->n_distances && i < request->n_pairs; i++) {
        json_t *pair = json_object();
        json_object_set_new(pair, "a", json_string(request->pairs[i]->a));
        json_object_set_new(pair, "b", json_string(request->pairs[i]->b));
        json_object_set_new(pair, "distance",
                            is_missing(reply, i) ? json_null()
                                                 : json_real((double)reply->distances[i]));
        json_array_append_new(array, pair);
    }
    json_object_set_new(document, "distances", array);
    json_output(&cli->out, document);
}

static void print_table(struct cli *cli, const Sutra__V1__DistanceRequest *request,
                        const Sutra__V1__DistanceResponse *reply)
{
    static const struct table_column COLUMNS[] = {
        { .title = "distance", .style = STYLE_NUMBER, .right = true },
        { .title = "from", .style = STYLE_ID },
        { .title = "to", .style = STYLE_ID },
    };
    struct table *table = table_new(&cli->arena, COLUMNS, 3);

    if (table == NULL)
        return;
    for (size_t i = 0; i < reply->n_distances && i < request->n_pairs; i++) {
        const char *cells[] = { is_missing(reply, i)
                                    ? "—"
                                    : show_float(&cli->arena, reply->distances[i], 5),
                                request->pairs[i]->a, request->pairs[i]->b };
        table_add(table, cells);
    }
    table_print(table, &cli->out);
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    const struct distance_values *v = values;
    Sutra__V1__DistanceRequest request = SUTRA__V1__DISTANCE_REQUEST__INIT;
    Sutra__V1__DistanceResponse *reply = NULL;

    request.approximate = v->approximate;
    if (fill_pairs(&request, operands, &cli->arena, st) != STATUS_OK ||
        client_distance(cli->client, &request, &cli->arena, &reply, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json)
        print_json(cli, &request, reply);
    else
        print_table(cli, &request, reply);
    if (reply->n_missing == 0)
        return SUTRA_EXIT_OK;
    cli_warn(cli, "%zu of %zu pairs: a concept does not exist or has no vector", reply->n_missing,
             request.n_pairs);
    return SUTRA_EXIT_PARTIAL;
}

const struct command command_distance = {
    .name = "distance",
    .operands = "A B…",
    .min_operands = 2,
    .max_operands = SIZE_MAX,
    .summary = "Show cosine distances (0 to 2) from one concept to others",
    .options = OPTIONS,
    .values_size = sizeof(struct distance_values),
    .run = run,
};
