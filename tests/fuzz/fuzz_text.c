#include <stdio.h>
#include <string.h>

#include "src/auth/tokens.h"
#include "src/config/config.h"
#include "src/embed/tokenizer.h"
#include "src/ids/topology.h"
#include "tests/fuzz/fuzz.h"

/* ---- Topologies ---- */

int fuzz_topology(const uint8_t *data, size_t size)
{
    struct topology *topology = NULL;
    struct status st = { 0 };

    if (topology_parse((const char *)data, size, &topology, &st) != STATUS_OK) {
        fuzz_require(topology == NULL, "a refused topology is none");
        return 0;
    }
    fuzz_require(topology->epoch >= 1 && topology->shard_count >= 1, "a topology has shards");
    for (size_t slot = 0; slot < SLOT_COUNT; slot++)
        fuzz_require(topology->owner[slot] < topology->shard_count, "every slot has an owner");
    for (uint32_t s = 0; s < topology->shard_count; s++)
        fuzz_require(topology->addresses[s][0] != '\0', "every shard has an address");
    topology_unref(topology);
    return 0;
}

/* ---- Configuration files ---- */

struct options {
    char *listen;
    uint64_t threads;
    bool partial;
};

static const struct config_option table[] = {
    CONFIG_OPTION(struct options, listen, "listen", CONFIG_STRING, "127.0.0.1:0", 0, 0, ""),
    CONFIG_OPTION(struct options, threads, "threads", CONFIG_UINT, "8", 1, 64, ""),
    CONFIG_OPTION(struct options, partial, "partial", CONFIG_BOOL, "false", 0, 0, ""),
};

int fuzz_config(const uint8_t *data, size_t size)
{
    static const struct config_program program = { "fuzz", "", table, 3 };
    char path[32];
    char *argv[] = { "fuzz", "--config", path };
    struct options options = { 0 };
    enum config_outcome outcome;
    struct status st = { 0 };

    snprintf(path, sizeof path, "%s", fuzz_file(data, size));
    if (config_load(&program, 3, argv, &options, &outcome, &st) != STATUS_OK) {
        fuzz_require(options.listen == NULL, "a refused configuration holds nothing");
        return 0;
    }
    fuzz_require(outcome == CONFIG_RUN, "a file does not ask for help");
    fuzz_require(options.listen != NULL, "strings are never NULL");
    fuzz_require(options.threads >= 1 && options.threads <= 64, "numbers are within their range");
    config_deinit(&program, &options);
    return 0;
}

/* ---- Files of tokens ---- */

int fuzz_tokens(const uint8_t *data, size_t size)
{
    struct tokens *tokens = NULL;
    struct status st = { 0 };

    if (tokens_parse((const char *)data, size, &tokens, &st) != STATUS_OK) {
        fuzz_require(tokens == NULL, "a refused file is none");
        fuzz_require(st.message[0] != '\0', "it says why");
        return 0;
    }
    fuzz_require(tokens_count(tokens) >= 1 && tokens_count(tokens) <= TOKENS_MAX,
                 "there are tokens, and not too many");
    fuzz_require(tokens_find(tokens, (const char *)data, size) == NULL,
                 "a file is not the token whose digest it holds");
    tokens_close(tokens);
    return 0;
}

/* ---- The tokenizer ---- */

static const char *const words[] = {
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "tide", "##s",    "##ing",    "moon",
    "a",     "##a",   "b",     "##b",   ",",      "!",   "cafe", "\u6F22", "##\u0628",
};

enum { MAX_IDS = 32, CLS = 2, SEP = 3 };

static void encode(const struct tokenizer *tokenizer, const uint8_t *data, size_t size,
                   size_t max_ids)
{
    uint32_t ids[MAX_IDS];
    size_t n = tokenizer_encode(tokenizer, (const char *)data, size, ids, max_ids);

    fuzz_require(n >= 2 && n <= max_ids, "there are as many ids as were asked for");
    for (size_t i = 0; i < n; i++)
        fuzz_require(ids[i] < tokenizer_size(tokenizer), "ids are those of tokens");
}

int fuzz_vocabulary(const uint8_t *data, size_t size)
{
    struct tokenizer *tokenizer = NULL;
    struct status st = { 0 };

    if (tokenizer_open(fuzz_file(data, size), &tokenizer, &st) != STATUS_OK) {
        fuzz_require(tokenizer == NULL, "a refused vocabulary is none");
        return 0;
    }
    encode(tokenizer, data, size, MAX_IDS);
    tokenizer_close(tokenizer);
    return 0;
}

static const struct tokenizer *shared_tokenizer(void)
{
    static struct tokenizer *tokenizer;
    struct buf file = { 0 };
    struct status st = { 0 };

    if (tokenizer != NULL)
        return tokenizer;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        buf_printf(&file, "%s\n", words[i]);
    fuzz_require(tokenizer_open(fuzz_file(file.data, file.size), &tokenizer, &st) == STATUS_OK,
                 "the vocabulary is fine");
    buf_deinit(&file);
    return tokenizer;
}

int fuzz_text(const uint8_t *data, size_t size)
{
    encode(shared_tokenizer(), data, size, MAX_IDS);
    encode(shared_tokenizer(), data, size, 2);
    return 0;
}
