#include "src/apps/cli/connect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/auth/token.h"

/* An option, else a variable of the environment, else NULL. */
static const char *given_or(const char *option, const char *variable)
{
    return option != NULL ? option : getenv(variable);
}

/* Copies the token out of a file or the environment; "" where there is none. */
static enum status_code find_token(const struct cli *cli, char ret[TOKEN_MAX_BYTES + 1],
                                   struct status *st)
{
    const char *file = cli->globals.token_file;
    const char *token = getenv("SUTRA_TOKEN");

    ret[0] = '\0';
    if (file != NULL && token_read(file, ret, st) != STATUS_OK)
        return status_wrap(st, "--token-file '%s'", file);
    if (file != NULL || token == NULL || token[0] == '\0')
        return STATUS_OK;
    if (token_check(token, st) != STATUS_OK)
        return status_wrap(st, "$SUTRA_TOKEN");
    memcpy(ret, token, strlen(token) + 1);
    return STATUS_OK;
}

static void warn(const char *message)
{
    fprintf(stderr, "sutra: warning: %s\n", message);
}

enum status_code cli_connect(struct cli *cli, struct status *st)
{
    const struct cli_globals *globals = &cli->globals;
    double timeout_s = globals->timeout_s > 0 ? globals->timeout_s : cli->command->timeout_s;
    char token[TOKEN_MAX_BYTES + 1];
    const struct client_options options = {
        .timeout_ms = (uint32_t)(timeout_s * 1000),
        .tls_ca = given_or(globals->tls_ca, "SUTRA_TLS_CA"),
        .tls_cert = given_or(globals->tls_cert, "SUTRA_TLS_CERT"),
        .tls_key = given_or(globals->tls_key, "SUTRA_TLS_KEY"),
        .tls_server_name = globals->tls_server_name,
        .warn = warn,
        .token = token,
        .insecure = globals->insecure,
    };

    if (find_token(cli, token, st) == STATUS_OK)
        client_open(globals->address, &options, &cli->client, st);
    explicit_bzero(token, sizeof token);
    return st->code;
}
