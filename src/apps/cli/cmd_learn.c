#include <inttypes.h>
#include <string.h>

#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/sources/item_fields.h"
#include "src/apps/cli/vector_file.h"

enum { MAX_TEXT_BYTES = 16 * 1024 * 1024 };

struct learn_values {
    const char *id;
    const char *source;
    const char *category;
    struct option_list attributes;
    struct option_list strength; /* the last counts; a list, since 0 is not "not given" */
    struct option_list confidence;
    bool buffered;
};

#define AT(field) offsetof(struct learn_values, field)

static const struct option OPTIONS[] = {
    { .name = "id",
      .kind = OPTION_TEXT,
      .offset = AT(id),
      .value = "ID",
      .help = "else made from the text" },
    { .name = "source",
      .kind = OPTION_TEXT,
      .offset = AT(source),
      .value = "TEXT",
      .help = "where it comes from" },
    { .name = "category",
      .kind = OPTION_TEXT,
      .offset = AT(category),
      .value = "TEXT",
      .help = "what it belongs to" },
    { .name = "attribute",
      .kind = OPTION_LIST,
      .offset = AT(attributes),
      .value = "KEY=VALUE",
      .help = "anything else; repeatable" },
    { .name = "strength",
      .kind = OPTION_LIST,
      .offset = AT(strength),
      .value = "X",
      .help = "0 to 10; a new concept has 1" },
    { .name = "confidence",
      .kind = OPTION_LIST,
      .offset = AT(confidence),
      .value = "X",
      .help = "0 to 1; a new concept has 1" },
    { .name = "buffered",
      .kind = OPTION_FLAG,
      .offset = AT(buffered),
      .help = "do not wait until it is safe from a power cut" },
    { 0 },
};

/* Sets a number by its name, as an import file would. */
static void set_number(Sutra__V1__ConceptInput *item, const char *key,
                       const struct option_list *given, struct arena *arena, struct status *st)
{
    json_t *value;

    if (given->count == 0 || st->code != STATUS_OK)
        return;
    value = json_loads(given->values[given->count - 1], JSON_DECODE_ANY, NULL);
    if (value == NULL)
        status_set(st, STATUS_INVALID_ARGUMENT, "--%s takes a number", key);
    else
        item_set(item, key, value, arena, st);
    json_decref(value);
}

static void set_attribute(Sutra__V1__ConceptInput *item, const char *given, struct arena *arena,
                          struct status *st)
{
    const char *equals = strchr(given, '=');
    char *key;

    if (st->code != STATUS_OK)
        return;
    if (equals == NULL || equals == given) {
        status_set(st, STATUS_INVALID_ARGUMENT, "--attribute takes KEY=VALUE, not '%.80s'", given);
        return;
    }
    key = arena_strndup(arena, given, (size_t)(equals - given));
    if (key == NULL)
        cli_out_of_memory(st);
    else
        item_add_attribute(item, key, equals + 1, arena, st);
}

/* Without the line feed that ends every text file: "echo TEXT | sutra learn -" learns TEXT. */
static void read_standard_input(Sutra__V1__ConceptInput *item, struct arena *arena,
                                struct status *st)
{
    size_t length;

    if (text_file_read("-", MAX_TEXT_BYTES, arena, &item->content, st) != STATUS_OK)
        return;
    length = strlen(item->content);
    if (length > 0 && item->content[length - 1] == '\n')
        item->content[length - 1] = '\0';
}

static enum status_code fill(Sutra__V1__ConceptInput *item, const struct learn_values *v,
                             const char *text, struct arena *arena, struct status *st)
{
    item->content = (char *)text;
    if (v->id != NULL)
        item->id = (char *)v->id;
    if (v->source != NULL)
        item->source = (char *)v->source;
    if (v->category != NULL)
        item->category = (char *)v->category;
    set_number(item, "strength", &v->strength, arena, st);
    set_number(item, "confidence", &v->confidence, arena, st);
    for (size_t i = 0; i < v->attributes.count; i++)
        set_attribute(item, v->attributes.values[i], arena, st);
    if (st->code == STATUS_OK && strcmp(text, "-") == 0)
        read_standard_input(item, arena, st);
    return st->code;
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    const struct learn_values *v = values;
    Sutra__V1__LearnRequest request = SUTRA__V1__LEARN_REQUEST__INIT;
    Sutra__V1__ConceptInput item = SUTRA__V1__CONCEPT_INPUT__INIT;
    Sutra__V1__LearnResponse *reply = NULL;

    if (fill(&item, v, operands->values[0], &cli->arena, st) != STATUS_OK)
        return cli_fail_locally(cli, st);
    request.concept = &item;
    request.durability = v->buffered ? SUTRA__V1__DURABILITY__DURABILITY_BUFFERED
                                     : SUTRA__V1__DURABILITY__DURABILITY_SYNCED;
    if (client_learn(cli->client, &request, &cli->arena, &reply, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json)
        json_output_message(&cli->out, &reply->base);
    else
        cli_say(cli, "%s %s, version %" PRIu64, reply->created ? "created" : "updated", reply->id,
                reply->version);
    return SUTRA_EXIT_OK;
}

const struct command command_learn = {
    .name = "learn",
    .operands = "TEXT",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "Write a concept from text; the server embeds it",
    .details = "TEXT may be '-' for standard input. Learning the same text twice is one concept.",
    .options = OPTIONS,
    .values_size = sizeof(struct learn_values),
    .run = run,
};
