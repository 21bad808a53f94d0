#ifndef SUTRA_SERVE_AUDIT_H
#define SUTRA_SERVE_AUDIT_H

/**
 * One line per call, or connection, that was refused, and per call that only an admin may make:
 * who, from where, what, and why not.
 *
 * What whoever reaches the port can cause is limited in number (src/log/log_limit.h): refusals,
 * failures of methods that ask for no token, and what only an admin may call where callers need
 * neither token nor certificate. No line holds a token, nor a part of one. Any thread.
 */

#include "src/rpc/server.h"

/** Writes the line of a call that ended, if it is one of these. True if nothing else needs to be
 * said of it. */
bool audit_call(const struct rpc_call_summary *summary);

/** What gRPC itself has to say, above all of connections that did not come about (it does not tell
 * whose they would have been). */
void audit_grpc(const char *message);

/** Says how many lines were left out since the last one. */
void audit_end(void);

#endif
