#include <inttypes.h>

#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/apps/cli/show.h"
#include "src/apps/cli/waiting.h"

enum { TIMEOUT_S = 3600 };

struct train_values {
    uint64_t sample;
    uint64_t seed;
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
    { 0 },
};

static void print_text(struct cli *cli, const Sutra__V1__TrainCodebookResponse *reply)
{
    const Sutra__V1__CodebookStats *codebook = reply->codebook;

    if (codebook == NULL)
        return;
    cli_say(cli, "codebook %" PRIu64 " trained on %s vectors in %.1f s, mean squared error %.5f",
            codebook->version, show_count(&cli->arena, codebook->trained_on),
            (double)reply->elapsed_ms / 1000, (double)codebook->mean_squared_error);
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
    waiting = waiting_start("training");
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
