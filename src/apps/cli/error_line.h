#ifndef SUTRA_APPS_CLI_ERROR_LINE_H
#define SUTRA_APPS_CLI_ERROR_LINE_H

/** What a status is for a person at a terminal. Stateless. */

#include "src/base/arena.h"
#include "src/base/status.h"

/** "k must be at least 1 (INVALID_ARGUMENT, field k)": the sentence, the code, and the field and
 * reason where the server gave them. In @arena; never NULL. */
const char *error_line(const struct status *st, struct arena *arena);

#endif
