#ifndef SUTRA_CONFIG_CONFIG_H
#define SUTRA_CONFIG_CONFIG_H

/**
 * A program's options as one table: key, type, default, range, help, place in a struct.
 *
 * A flag (--listen-address X, --listen-address=X) wins over the environment (SUTRA_LISTEN_ADDRESS),
 * which wins over a file (--config FILE: lines "key = value", # comments). Everything is read and
 * checked before anything starts; a mistake is a status that names the key. Strings live in the
 * struct until config_deinit().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/status.h"

enum config_type {
    CONFIG_STRING, /* const char *, never NULL */
    CONFIG_UINT,   /* uint64_t within [min, max] */
    CONFIG_BOOL,   /* bool; a flag without a value means true */
};

struct config_option {
    const char *key; /* "train-threshold" */
    enum config_type type;
    const char *default_value;
    uint64_t min; /* of CONFIG_UINT */
    uint64_t max;
    const char *help; /* one line */
    size_t offset;    /* of the field in the struct */
};

struct config_program {
    const char *name;    /* "sutra-shard" */
    const char *summary; /* one line for --help */
    const struct config_option *options;
    size_t option_count;
};

/** One row of a table: CONFIG_OPTION(struct my_config, listen, "listen", CONFIG_STRING, "…", 0, 0,
 * "help"). */
#define CONFIG_OPTION(config_, field_, key_, type_, default_, min_, max_, help_)                   \
    {                                                                                              \
        .key = key_, .type = type_, .default_value = default_, .min = min_, .max = max_,           \
        .help = help_, .offset = offsetof(config_, field_)                                         \
    }

/** What the caller does next. */
enum config_outcome {
    CONFIG_RUN,
    CONFIG_EXIT, /* --help, --version or --print-config has been answered on standard output */
};

/** Fills @ret_config. INVALID_ARGUMENT names the key, its source and what it takes; then
 * @ret_config holds nothing. */
enum status_code config_load(const struct config_program *program, int argc, char **argv,
                             void *ret_config, enum config_outcome *ret_outcome, struct status *st);

/** Releases the strings. */
void config_deinit(const struct config_program *program, void *config);

#endif
