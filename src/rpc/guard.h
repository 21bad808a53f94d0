#ifndef SUTRA_RPC_GUARD_H
#define SUTRA_RPC_GUARD_H

/** Whether a caller may call what it calls. */

#include "src/rpc/call_impl.h"

/**
 * Finds out who calls, and whether that is enough for the method. UNAUTHENTICATED without a token
 * that the server knows, PERMISSION_DENIED for one with too small a role. Nothing of the request
 * has been read. Methods that the server does not have need some token.
 */
enum status_code guard_admit(struct rpc_call *call, struct status *st);

/** The role that @call needs. */
enum role guard_role(const struct rpc_call *call);

/** The subject of the client's certificate, to be freed; NULL without one. */
char *guard_certificate(const struct rpc_call *call);

#endif
