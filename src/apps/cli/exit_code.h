#ifndef SUTRA_APPS_CLI_EXIT_CODE_H
#define SUTRA_APPS_CLI_EXIT_CODE_H

/** How `sutra` ends: scripts rely on these numbers. */

#include "src/base/status.h"

enum exit_code {
    SUTRA_EXIT_OK = 0,
    SUTRA_EXIT_PARTIAL = 1,       /* something was not found, or only a part was done */
    SUTRA_EXIT_USAGE = 2,         /* the command line, or a file it names, makes no sense */
    SUTRA_EXIT_REFUSED = 3,       /* the server said no */
    SUTRA_EXIT_UNAVAILABLE = 4,   /* the server did not answer, or not in time */
    SUTRA_EXIT_INTERRUPTED = 130, /* Ctrl-C */
};

/** For the outcome of a call. */
enum exit_code exit_code_of(enum status_code code);

#endif
