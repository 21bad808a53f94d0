#ifndef SUTRA_APPS_CLI_WAITING_H
#define SUTRA_APPS_CLI_WAITING_H

/**
 * A line on a terminal that shows how long a call has been going on; nothing elsewhere. Its own
 * thread draws to standard error between start and stop, so the caller writes nothing there
 * meanwhile.
 */

struct waiting;

enum { WAITING_TEXT_SIZE = 128 };

/** Says what is going on now ("training 40 %"); on the thread that draws, once a second. */
typedef void waiting_describe_fn(void *context, char ret_text[WAITING_TEXT_SIZE]);

/** @what ("training") is shown until @describe, which may be NULL, says something else. Both are
 * borrowed until waiting_stop(). NULL when there is no terminal. */
struct waiting *waiting_start(const char *what, waiting_describe_fn *describe, void *context);

/** Removes the line. Accepts NULL. */
void waiting_stop(struct waiting *waiting);

#endif
