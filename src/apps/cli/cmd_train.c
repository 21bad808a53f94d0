#include <inttypes.h>
#include <stdio.h>

#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/show.h"
#include "src/apps/cli/waiting.h"

enum { TIMEOUT_S = 3600, STATS_ARENA_BYTES = 16 << 20 };

struct train_values {
    uint64_t sample;
    uint64_t seed;
    uint64_t cells;
};

static const struct option OPTIONS[] = {
    { .name = "sample",
      .kind = OPTION_COUNT,
      .offset = offsetof(struct train_values, sample),
      .value = "N",
      .max = UINT32_MAX,
      .help = "vectors to train on (default: the server's)" },
    { .name = "seed",
      .kind = OPTION_COUNT,
      .offset = offsetof(struct train_values, seed),
      .value = "N",
      .standard = "0",
      .help = "the same seed and concepts give the same codebook" },
    { .name = "cells",
      .kind = OPTION_COUNT,
      .offset = offsetof(struct train_values, cells),
      .value = "N",
      .max = UINT32_MAX,
      .help = "coarse cells (default: as many as pay for what is stored)" },
    { 0 },
};

/* Stats tell how far the training is; where they do not come the line stays as it is. */
static void describe(void *context, char ret_text[WAITING_TEXT_SIZE])
{
    static const char *const STAGES[] = { "training", "taking a sample", "training", "re-encoding",
                                          "calibrating" };
    Sutra__V1__StatsRequest request = SUTRA__V1__STATS_REQUEST__INIT;
    Sutra__V1__StatsResponse *reply = NULL;
    struct status st = { 0 };
    struct arena arena;

    arena_init(&arena, STATS_ARENA_BYTES);
    request.allow_partial = true;
    if (client_stats(context, &request, &arena, &reply, &st) == STATUS_OK && reply->total != NULL &&
        reply->total->training != NULL) {
        const Sutra__V1__ShardStats *total = reply->total;
        size_t stage = (size_t)total->training->stage;
        double fraction = (double)total->training->fraction;
        if (total->reencode_total > 0)
            fraction = (double)total->reencoded / (double)total->reencode_total;
        if (stage < sizeof STAGES / sizeof STAGES[0])
            snprintf(ret_text, WAITING_TEXT_SIZE, "%s %.0f %%", STAGES[stage],
                     100 * (fraction < 1 ? fraction : 1));
    }
    arena_deinit(&arena);
}

static void print_text(struct cli *cli, const Sutra__V1__TrainCodebookResponse *reply)
{
    const Sutra__V1__CodebookStats *codebook = reply->codebook;

    if (codebook == NULL)
        return;
    cli_say(cli, "codebook %" PRIu64 " trained on %s vectors in %.1f s, mean squared error %.5f",
            codebook->version, show_count(&cli->arena, codebook->trained_on),
            (double)reply->elapsed_ms / 1000, (double)codebook->mean_squared_error);
    if (codebook->cells > 0)
        cli_say(cli, "%" PRIu32 " coarse cells", codebook->cells);
    if (codebook->expected_recall > 0)
        cli_say(cli, "a search is expected to find %.1f %% of the best ten",
                100 * (double)codebook->expected_recall);
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    const struct train_values *v = values;
    Sutra__V1__TrainCodebookRequest request = SUTRA__V1__TRAIN_CODEBOOK_REQUEST__INIT;
    Sutra__V1__TrainCodebookResponse *reply = NULL;
    struct waiting *waiting;

    (void)operands;
    request.sample = (uint32_t)v->sample;
    request.seed = v->seed;
    request.cells = (uint32_t)v->cells;
    waiting = waiting_start("training", describe, cli->client);
    client_train_codebook(cli->client, &request, &cli->arena, &reply, st);
    waiting_stop(waiting);
    if (st->code != STATUS_OK)
        return SUTRA_EXIT_OK;
    if (cli->globals.json)
        json_output_message(&cli->out, &reply->base);
    else
        print_text(cli, reply);
    return SUTRA_EXIT_OK;
}

const struct command command_train = {
    .name = "train",
    .operands = "",
    .summary = "Train a codebook and install it on every shard",
    .details =
        "Waits until every shard searches with it, an hour unless --timeout says otherwise; reads "
        "and\nwrites go on meanwhile.",
    .options = OPTIONS,
    .values_size = sizeof(struct train_values),
    .timeout_s = TIMEOUT_S,
    .run = run,
};
