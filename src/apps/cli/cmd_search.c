#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/show.h"
#include "src/apps/cli/vector_file.h"

struct search_values {
    const char *id;
    const char *vector;
    uint64_t k;
    uint64_t rerank;
    uint64_t nprobe;
    double recall;
    bool exact;
    bool partial;
};

#define AT(field) offsetof(struct search_values, field)

static const struct option OPTIONS[] = {
    { .name = "id",
      .kind = OPTION_TEXT,
      .offset = AT(id),
      .value = "ID",
      .help = "what is near this concept, instead of a text" },
    { .name = "vector",
      .kind = OPTION_TEXT,
      .offset = AT(vector),
      .value = "FILE",
      .help = "what is near this vector: numbers in a file, or '-'" },
    { .name = "count",
      .letter = 'k',
      .kind = OPTION_COUNT,
      .offset = AT(k),
      .value = "K",
      .standard = "10",
      .max = UINT32_MAX,
      .help = "how many" },
    { .name = "rerank",
      .kind = OPTION_COUNT,
      .offset = AT(rerank),
      .value = "N",
      .max = UINT32_MAX,
      .help = "how many candidates to score again (default: by --recall)" },
    { .name = "nprobe",
      .kind = OPTION_COUNT,
      .offset = AT(nprobe),
      .value = "N",
      .max = UINT32_MAX,
      .help = "how many coarse cells to scan (default: by --recall; all with --rerank)" },
    { .name = "recall",
      .kind = OPTION_NUMBER,
      .offset = AT(recall),
      .value = "SHARE",
      .min = 0,
      .max = 1,
      .help = "the share of the best that is to be found, 0 to 1 (default: the server's)" },
    { .name = "exact",
      .kind = OPTION_FLAG,
      .offset = AT(exact),
      .help = "score every vector: slow, and the yardstick" },
    { .name = "partial",
      .kind = OPTION_FLAG,
      .offset = AT(partial),
      .help = "answer also when a shard is missing" },
    { 0 },
};

/* Exactly one of text, --id and --vector. */
static bool is_one_query(const struct search_values *v, const struct operands *operands)
{
    return operands->count + (v->id != NULL) + (v->vector != NULL) == 1;
}

static enum status_code fill_query(Sutra__V1__Query *query, Sutra__V1__Embedding *embedding,
                                   const struct search_values *v, const struct operands *operands,
                                   struct arena *arena, struct status *st)
{
    if (v->id != NULL) {
        query->by_case = SUTRA__V1__QUERY__BY_CONCEPT_ID;
        query->concept_id = (char *)v->id;
        return STATUS_OK;
    }
    if (v->vector != NULL) {
        query->by_case = SUTRA__V1__QUERY__BY_EMBEDDING;
        query->embedding = embedding;
        return vector_file_read(v->vector, arena, &embedding->values, &embedding->n_values, st);
    }
    query->by_case = SUTRA__V1__QUERY__BY_TEXT;
    query->text = operands->values[0];
    return STATUS_OK;
}

static void print_hits(struct cli *cli, const Sutra__V1__SearchResponse *reply)
{
    static const struct table_column COLUMNS[] = {
        { .title = "score", .style = STYLE_NUMBER, .right = true },
        { .title = "id", .style = STYLE_ID },
        { .title = "content", .style = STYLE_PLAIN, .flexible = true },
    };
    struct table *table = table_new(&cli->arena, COLUMNS, 3);

    if (table == NULL)
        return;
    for (size_t i = 0; i < reply->n_hits; i++) {
        const Sutra__V1__Hit *hit = reply->hits[i];
        const char *cells[] = { show_float(&cli->arena, hit->score, 4), hit->id,
                                hit->concept != NULL ? hit->concept->content : "" };
        table_add(table, cells);
    }
    table_print(table, &cli->out);
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    const struct search_values *v = values;
    Sutra__V1__SearchRequest request = SUTRA__V1__SEARCH_REQUEST__INIT;
    Sutra__V1__Query query = SUTRA__V1__QUERY__INIT;
    Sutra__V1__Embedding embedding = SUTRA__V1__EMBEDDING__INIT;
    Sutra__V1__SearchResponse *reply = NULL;

    if (!is_one_query(v, operands))
        return cli_usage(cli, "expected one of TEXT, --id and --vector");
    if (fill_query(&query, &embedding, v, operands, &cli->arena, st) != STATUS_OK)
        return cli_fail_locally(cli, st);
    request.query = &query;
    request.k = (uint32_t)v->k;
    request.rerank = (uint32_t)v->rerank;
    request.nprobe = (uint32_t)v->nprobe;
    request.recall_target = (float)v->recall;
    request.exact = v->exact;
    request.allow_partial = v->partial;
    request.include_concepts = true;
    if (client_search(cli->client, &request, &cli->arena, &reply, st) != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json)
        json_output_message(&cli->out, &reply->base);
    else
        print_hits(cli, reply);
    return cli_check_shards(cli, reply->shards_missing, reply->n_shards_missing);
}

const struct command command_search = {
    .name = "search",
    .operands = "TEXT | --id ID | --vector FILE",
    .max_operands = 1,
    .summary = "Find the concepts nearest in meaning, best first",
    .options = OPTIONS,
    .values_size = sizeof(struct search_values),
    .run = run,
};
