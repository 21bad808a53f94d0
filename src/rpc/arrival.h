#ifndef SUTRA_RPC_ARRIVAL_H
#define SUTRA_RPC_ARRIVAL_H

/** How a call gets from the completion queue to its handler. */

#include "src/rpc/server_impl.h"

/** Waits for one call of @method, or with NULL of any that is not registered; when it arrives,
 * waits for the next and handles it. */
void arrival_await(struct rpc_server *server, const struct server_method *method);

#endif
