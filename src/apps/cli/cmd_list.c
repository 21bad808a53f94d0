#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/show.h"

enum { PAGE_ARENA_BYTES = 256 * 1024 * 1024 };

struct list_values {
    uint64_t limit;
    uint64_t page_size;
    bool embedding;
};

#define AT(field) offsetof(struct list_values, field)

static const struct option OPTIONS[] = {
    { .name = "limit",
      .letter = 'n',
      .kind = OPTION_COUNT,
      .offset = AT(limit),
      .value = "N",
      .help = "stop after so many (default: all)" },
    { .name = "page-size",
      .kind = OPTION_COUNT,
      .offset = AT(page_size),
      .value = "N",
      .max = UINT32_MAX,
      .help = "concepts per message (default: the server's)" },
    { .name = "embedding",
      .kind = OPTION_FLAG,
      .offset = AT(embedding),
      .help = "with --json, also the vectors" },
    { 0 },
};

static void print_lines(const struct cli *cli, const Sutra__V1__ListResponse *page)
{
    for (size_t i = 0; i < page->n_concepts; i++)
        json_output_line(&cli->out, &page->concepts[i]->base);
}

static void print_rows(const struct cli *cli, const Sutra__V1__ListResponse *page,
                       struct arena *arena)
{
    static const struct table_column COLUMNS[] = { { .style = STYLE_ID },
                                                   { .style = STYLE_PLAIN, .flexible = true } };
    struct table *table = table_new(arena, COLUMNS, 2);

    if (table == NULL)
        return;
    for (size_t i = 0; i < page->n_concepts; i++) {
        const char *cells[] = { page->concepts[i]->id, page->concepts[i]->content };
        table_add(table, cells);
    }
    table_print(table, &cli->out);
}

static void print_pages(struct cli *cli, struct client_list *list, struct status *st)
{
    struct arena arena;
    Sutra__V1__ListResponse *page = NULL;

    arena_init(&arena, PAGE_ARENA_BYTES);
    while (client_list_next(list, &arena, &page, st) == STATUS_OK && page != NULL &&
           !ferror(cli->out.file)) {
        if (cli->globals.json)
            print_lines(cli, page);
        else
            print_rows(cli, page, &arena);
        arena_reset(&arena);
    }
    arena_deinit(&arena);
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    const struct list_values *v = values;
    Sutra__V1__ListRequest request = SUTRA__V1__LIST_REQUEST__INIT;
    struct client_list *list = NULL;

    (void)operands;
    request.limit = v->limit;
    request.page_size = (uint32_t)v->page_size;
    request.include_embedding = v->embedding;
    if (client_list_open(cli->client, &request, &list, st) == STATUS_OK)
        print_pages(cli, list, st);
    client_list_close(list);
    return SUTRA_EXIT_OK;
}

const struct command command_list = {
    .name = "list",
    .operands = "",
    .summary = "Show all concepts, in the order of the store",
    .details = "With --json one concept per line, which 'sutra import --format jsonl' reads.",
    .options = OPTIONS,
    .values_size = sizeof(struct list_values),
    .run = run,
};
