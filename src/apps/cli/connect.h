#ifndef SUTRA_APPS_CLI_CONNECT_H
#define SUTRA_APPS_CLI_CONNECT_H

/**
 * The client of a command, from the options that every command takes and the environment.
 */

#include "src/apps/cli/cli.h"

/** Sets cli->client. INVALID_ARGUMENT or FAILED_PRECONDITION names the option at fault. */
enum status_code cli_connect(struct cli *cli, struct status *st);

#endif
