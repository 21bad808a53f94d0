#ifndef SUTRA_APPS_CLI_INTERRUPT_H
#define SUTRA_APPS_CLI_INTERRUPT_H

/**
 * Ctrl-C (SIGINT) and SIGTERM, for commands that have something to finish first. The first asks the
 * command to stop; the second ends the process at once with SUTRA_EXIT_INTERRUPTED. Process-wide.
 */

#include <stdbool.h>

void interrupt_install(void);

bool interrupt_requested(void);

#endif
