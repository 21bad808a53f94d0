#ifndef SUTRA_APPS_CLI_WAITING_H
#define SUTRA_APPS_CLI_WAITING_H

/**
 * A line on a terminal that shows how long a call has been going on; nothing elsewhere. Its own
 * thread draws to standard error between start and stop, so the caller writes nothing there
 * meanwhile.
 */

struct waiting;

/** @what ("training") is borrowed until waiting_stop(). NULL when there is no terminal. */
struct waiting *waiting_start(const char *what);

/** Removes the line. Accepts NULL. */
void waiting_stop(struct waiting *waiting);

#endif
