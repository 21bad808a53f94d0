#include "src/apps/cli/show.h"

#include <stdio.h>

#include "src/apps/cli/text.h"

const char *show_type(Sutra__V1__AssociationType type)
{
    static const char *const WORDS[] = { "any",      "semantic",     "causal",
                                         "temporal", "hierarchical", "compositional" };

    return (size_t)type < sizeof WORDS / sizeof WORDS[0] ? WORDS[type] : "unknown";
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

const char *show_float(struct arena *arena, float value, int decimals)
{
    return or_empty(arena_printf(arena, "%.*f", decimals, (double)value));
}

const char *show_count(struct arena *arena, uint64_t count)
{
    char text[TEXT_NUMBER_SIZE];

    return or_empty(arena_printf(arena, "%s", text_count(count, text)));
}

const char *show_bytes(struct arena *arena, uint64_t bytes)
{
    char text[TEXT_NUMBER_SIZE];

    return or_empty(arena_printf(arena, "%s", text_bytes(bytes, text)));
}

struct table *show_fields_new(struct cli *cli)
{
    static const struct table_column COLUMNS[] = { { .style = STYLE_DIM },
                                                   { .style = STYLE_PLAIN } };

    return table_new(&cli->arena, COLUMNS, 2);
}

void show_field(struct table *table, const char *name, const char *value)
{
    const char *cells[] = { name, value };

    if (value[0] != '\0')
        table_add(table, cells);
}

static void add_standing(struct cli *cli, struct table *table, const Sutra__V1__Concept *concept)
{
    char time[TEXT_NUMBER_SIZE];

    show_field(table, "strength", show_float(&cli->arena, concept->strength, 3));
    show_field(table, "confidence", show_float(&cli->arena, concept->confidence, 3));
    show_field(table, "version", show_count(&cli->arena, concept->version));
    show_field(table, "accesses", show_count(&cli->arena, concept->access_count));
    show_field(table, "created", text_time(concept->created_us, time));
    show_field(table, "accessed", text_time(concept->last_accessed_us, time));
}

static void add_attributes(struct cli *cli, struct table *table, const Sutra__V1__Concept *concept)
{
    for (size_t i = 0; i < concept->n_attributes; i++) {
        const char *name = arena_printf(&cli->arena, "  %s", concept->attributes[i]->key);
        show_field(table, or_empty(name), concept->attributes[i]->value);
    }
}

static void add_embedding(struct cli *cli, struct table *table,
                          const Sutra__V1__Embedding *embedding)
{
    size_t dimension;

    if (embedding == NULL)
        return;
    dimension = embedding->n_values > 0 ? embedding->n_values : embedding->f32le.len / 4;
    show_field(
        table, "embedding",
        or_empty(arena_printf(&cli->arena, "%zu dimensions; --json prints them", dimension)));
}

void show_concept(struct cli *cli, const Sutra__V1__Concept *concept)
{
    struct table *table = show_fields_new(cli);
    const char *content = text_clean(&cli->arena, concept->content, true);
    const char *id = text_clean(&cli->arena, concept->id, false);

    if (table == NULL)
        return;
    output_styled(&cli->out, STYLE_ID, or_empty(id));
    fputc('\n', cli->out.file);
    show_field(table, "source", concept->source);
    show_field(table, "category", concept->category);
    add_standing(cli, table, concept);
    add_attributes(cli, table, concept);
    add_embedding(cli, table, concept->embedding);
    table_print(table, &cli->out);
    fprintf(cli->out.file, "\n%s\n", or_empty(content));
}

void show_association(struct cli *cli, const Sutra__V1__Association *association)
{
    struct arena *arena = &cli->arena;
    const char *arrow = arena_printf(
        arena, "%s —%s%s%s→ %s", association->source, show_type(association->type),
        association->label[0] != '\0' ? " " : "", association->label, association->target);
    const char *clean = text_clean(arena, or_empty(arrow), false);

    fprintf(cli->out.file, "%s  weight %s  confidence %s\n", or_empty(clean),
            show_float(arena, association->weight, 3),
            show_float(arena, association->confidence, 3));
}
