#ifndef SUTRA_RPC_REFLECTION_H
#define SUTRA_RPC_REFLECTION_H

/**
 * grpc.reflection.v1 and v1alpha: a server describes itself to grpcurl and its like.
 *
 * The descriptors are those embedded in the program at build time. list_services names what was
 * actually added to the server, before or after, as far as the embedded descriptors know it: the
 * service between the processes of a cluster stays out of sight. Few streams may be open at a time.
 */

#include "src/rpc/server.h"

/** Adds both services to @server; callers need @role. */
void rpc_reflection_register(struct rpc_server *server, enum role role);

#endif
