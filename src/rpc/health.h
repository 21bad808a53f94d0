#ifndef SUTRA_RPC_HEALTH_H
#define SUTRA_RPC_HEALTH_H

/**
 * grpc.health.v1: which services answer, for load balancers and probes.
 *
 * Check gives the state now (NOT_FOUND for a name that was never set), Watch also every change
 * (SERVICE_UNKNOWN for such a name, and stays open), List the state of every name. A watcher that
 * reads slowly sees the newest state, not every one. All of them are vital methods: a server with
 * too much to do is not a dead one. Watchers have a limit of their own (4,096), and their names are
 * short.
 */

#include "src/rpc/server.h"

struct rpc_health;

enum rpc_serving {
    RPC_SERVING = 1,
    RPC_NOT_SERVING = 2,
};

/** Nothing is known, not even "" (the process), until it is set. NULL when out of memory. */
struct rpc_health *rpc_health_new(void);

/** After its server was freed. Accepts NULL. */
void rpc_health_free(struct rpc_health *health);

/** Adds the service to @server; callers need @role: ROLE_ANYONE for probes without a token. */
void rpc_health_register(struct rpc_health *health, struct rpc_server *server, enum role role);

/** Sets a service's state ("sutra.v1.ConceptService", or "") and tells its watchers. Any thread. */
void rpc_health_set(struct rpc_health *health, const char *service, enum rpc_serving serving);

/** Forgets a service: what was never known. Any thread. */
void rpc_health_remove(struct rpc_health *health, const char *service);

/** Before a shutdown: everything but @living is NOT_SERVING from now on, whatever is set later.
 * Any thread. */
void rpc_health_retire(struct rpc_health *health, const char *living);

#endif
