#include <string.h>

#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/show.h"

struct neighbors_values {
    bool out;
    bool in;
    int type; /* Sutra__V1__AssociationType; 0: any */
    uint64_t limit;
};

#define AT(field) offsetof(struct neighbors_values, field)

static const struct option OPTIONS[] = {
    { .name = "out",
      .kind = OPTION_FLAG,
      .offset = AT(out),
      .help = "only associations that start here" },
    { .name = "in",
      .kind = OPTION_FLAG,
      .offset = AT(in),
      .help = "only associations that end here" },
    { .name = "type",
      .kind = OPTION_CHOICE,
      .offset = AT(type),
      .value = SHOW_TYPE_WORDS,
      .standard = "any",
      .help = "only of this type" },
    { .name = "limit",
      .letter = 'n',
      .kind = OPTION_COUNT,
      .offset = AT(limit),
      .value = "N",
      .standard = "100",
      .min = 1,
      .max = UINT32_MAX,
      .help = "at most so many" },
    { 0 },
};

/* Whether the association leaves the concept asked for; to itself counts as leaving. */
static bool leaves(const Sutra__V1__Association *association, const char *id)
{
    return strcmp(association->source, id) == 0;
}

static const char *other_end(const Sutra__V1__Association *association, const char *id)
{
    return leaves(association, id) ? association->target : association->source;
}

/* What the other ends say, in the order of the associations; NULL where there is no concept. */
static enum status_code fetch_contents(struct cli *cli, const char *id,
                                       const Sutra__V1__NeighborsResponse *reply,
                                       const char ***ret_contents, struct status *st)
{
    Sutra__V1__BatchGetRequest request = SUTRA__V1__BATCH_GET_REQUEST__INIT;
    Sutra__V1__BatchGetResponse *found = NULL;
    size_t count = reply->n_associations;
    const char **contents = arena_calloc(&cli->arena, count, sizeof *contents);
    size_t concept = 0;
    size_t missing = 0;

    request.ids = arena_calloc(&cli->arena, count, sizeof *request.ids);
    if (contents == NULL || request.ids == NULL)
        return cli_out_of_memory(st);
    *ret_contents = contents;
    for (size_t i = 0; i < count; i++)
        request.ids[i] = (char *)other_end(reply->associations[i], id);
    request.n_ids = count;
    if (count == 0 || client_batch_get(cli->client, &request, &cli->arena, &found, st) != STATUS_OK)
        return st->code;
    for (size_t i = 0; i < count; i++) {
        if (missing < found->n_missing && found->missing[missing] == i)
            missing++;
        else if (concept < found->n_concepts)
            contents[i] = found->concepts[concept++]->content;
    }
    return STATUS_OK;
}

static void print_table(struct cli *cli, const char *id, const Sutra__V1__NeighborsResponse *reply,
                        const char *const *contents)
{
    static const struct table_column COLUMNS[] = {
        { .title = "", .style = STYLE_DIM },
        { .title = "type", .style = STYLE_WORD },
        { .title = "label", .style = STYLE_PLAIN },
        { .title = "weight", .style = STYLE_NUMBER, .right = true },
        { .title = "id", .style = STYLE_ID },
        { .title = "content", .style = STYLE_PLAIN, .flexible = true },
    };
    struct table *table = table_new(&cli->arena, COLUMNS, 6);

    if (table == NULL)
        return;
    for (size_t i = 0; i < reply->n_associations; i++) {
        const Sutra__V1__Association *a = reply->associations[i];
        const char *cells[] = { leaves(a, id) ? "→" : "←",
                                show_type(a->type),
                                a->label,
                                show_float(&cli->arena, a->weight, 3),
                                other_end(a, id),
                                contents[i] != NULL ? contents[i] : "(not there)" };
        table_add(table, cells);
    }
    table_print(table, &cli->out);
}

static enum status_code print_text(struct cli *cli, const char *id,
                                   const Sutra__V1__NeighborsResponse *reply, struct status *st)
{
    const char **contents = NULL;

    if (fetch_contents(cli, id, reply, &contents, st) != STATUS_OK)
        return st->code;
    print_table(cli, id, reply, contents);
    if (reply->cursor.len > 0)
        cli_warn(cli, "there are more; see --limit");
    return STATUS_OK;
}

static Sutra__V1__Direction direction(const struct neighbors_values *v)
{
    if (v->out == v->in)
        return SUTRA__V1__DIRECTION__DIRECTION_UNSPECIFIED;
    return v->out ? SUTRA__V1__DIRECTION__DIRECTION_OUT : SUTRA__V1__DIRECTION__DIRECTION_IN;
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    const struct neighbors_values *v = values;
    Sutra__V1__NeighborsRequest request = SUTRA__V1__NEIGHBORS_REQUEST__INIT;
    Sutra__V1__NeighborsResponse *reply = NULL;
    Sutra__V1__AssociationType type = (Sutra__V1__AssociationType)v->type;

    request.id = operands->values[0];
    request.direction = direction(v);
    request.types = &type;
    request.n_types = v->type != 0;
    request.limit = (uint32_t)v->limit;
    if (client_neighbors(cli->client, &request, &cli->arena, &reply, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json)
        json_output_message(&cli->out, &reply->base);
    else
        print_text(cli, request.id, reply, st);
    return SUTRA_EXIT_OK;
}

const struct command command_neighbors = {
    .name = "neighbors",
    .operands = "ID",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "Show what a concept is associated with",
    .options = OPTIONS,
    .values_size = sizeof(struct neighbors_values),
    .run = run,
};
