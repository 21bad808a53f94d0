#ifndef SUTRA_APPS_CLI_CLI_H
#define SUTRA_APPS_CLI_CLI_H

/**
 * What a command of `sutra` is, and what all commands share. One thread.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/apps/cli/exit_code.h"
#include "src/apps/cli/options.h"
#include "src/apps/cli/output.h"
#include "src/base/arena.h"
#include "src/base/status.h"
#include "src/client/client.h"

/* Options that every command takes. */
struct cli_globals {
    const char *address; /* NULL: client_default_address() */
    /* NULL: $SUTRA_TLS_CA, $SUTRA_TLS_CERT, $SUTRA_TLS_KEY; $SUTRA_TOKEN is the token itself */
    const char *tls_ca;
    const char *tls_cert;
    const char *tls_key;
    const char *tls_server_name;
    const char *token_file;
    bool insecure;
    bool json;
    double timeout_s; /* 0: the command's own */
    int color;        /* enum color_choice */
    bool help;
    bool version;
};

struct command;

struct cli {
    struct cli_globals globals;
    const struct command *command;
    struct output out;  /* standard output */
    struct arena arena; /* for as long as the command runs */
    struct client
        *client; /* open, not necessarily connected; NULL for a command that calls nobody */
};

struct command {
    const char *name;
    const char *operands; /* "ID…" for the help */
    size_t min_operands;
    size_t max_operands;
    const char *summary; /* one line */
    const char *details; /* more for the help, or NULL */
    const struct option *options;
    size_t values_size; /* of the struct that the options' offsets are in */
    bool calls_nobody;  /* there is no client for it */
    double timeout_s;   /* unless told otherwise; 0: the client's */
    /* @values: a struct of values_size. The result counts only if @st is OK; otherwise it follows
     * from the status, which is printed. */
    enum exit_code (*run)(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st);
};

/* Every command, in the order of the help. */
#define CLI_COMMANDS(X)                                                                            \
    X(import)                                                                                      \
    X(learn)                                                                                       \
    X(get)                                                                                         \
    X(list)                                                                                        \
    X(search)                                                                                      \
    X(neighbors)                                                                                   \
    X(distance)                                                                                    \
    X(associate)                                                                                   \
    X(dissociate)                                                                                  \
    X(reinforce)                                                                                   \
    X(delete)                                                                                      \
    X(train)                                                                                       \
    X(stats)                                                                                       \
    X(topology)                                                                                    \
    X(limits)                                                                                      \
    X(health)                                                                                      \
    X(token)                                                                                       \
    X(bench)

#define CLI_DECLARE(name) extern const struct command command_##name;
CLI_COMMANDS(CLI_DECLARE)
#undef CLI_DECLARE

/** One line on standard output, made clean. */
void cli_say(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** One line on standard error: "sutra COMMAND: …", made clean. */
void cli_warn(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** The same, and how to find help. Returns SUTRA_EXIT_USAGE. */
enum exit_code cli_usage(const struct cli *cli, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** For an error of ours, not of the server (a file, an argument): prints and clears @st. Returns
 * SUTRA_EXIT_USAGE. */
enum exit_code cli_fail_locally(const struct cli *cli, struct status *st);

/** Warns when shards are missing in an answer. Returns SUTRA_EXIT_PARTIAL then, else OK. */
enum exit_code cli_check_shards(const struct cli *cli, const uint32_t *missing, size_t count);

/** RESOURCE_EXHAUSTED for an answer that the arena cannot hold. */
enum status_code cli_out_of_memory(struct status *st);

#endif
