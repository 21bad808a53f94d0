#ifndef SUTRA_SERVE_NOTIFY_H
#define SUTRA_SERVE_NOTIFY_H

/**
 * What a service manager hears of this process: sd_notify(3)'s datagrams, without its library.
 */

/** Sends @state ("READY=1") to the socket that $NOTIFY_SOCKET names, a path or '@' and an abstract
 * name; does nothing without it. A failure is one line in the log: the manager will notice. */
void notify_manager(const char *state);

#endif
