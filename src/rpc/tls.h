#ifndef SUTRA_RPC_TLS_H
#define SUTRA_RPC_TLS_H

/**
 * Who a process is to others, and whom it believes: a certificate with its key, and the
 * certificates of authorities, as PEM files.
 *
 * A server with one listens with TLS if there is a certificate; a channel with one connects with
 * TLS if there is an authority. The files are looked at again for every connection that a server
 * accepts and every channel that is opened: what replaces them is taken if it is good, else the
 * last good ones stay. (A channel that is open keeps what it was opened with.) Any thread.
 */

#include <stdbool.h>

#include "src/base/status.h"

struct rpc_tls;

/** Paths; NULL or "" where there is none. The structure and its strings are copied. */
struct rpc_tls_options {
    const char *cert; /* ours, intermediate ones behind it */
    const char *key;  /* of the certificate; both or neither */
    const char *ca;   /* whose certificates are believed */
    /* A server takes connections only from clients with a certificate of @ca. */
    bool require_client;
    /* Told of what can be used and should not be so, and of replaced files that cannot be used. At
     * once or later, on any thread; may be NULL. */
    void (*warn)(const char *message);
};

/** Reads and checks the files. INVALID_ARGUMENT for options that lack each other,
 * FAILED_PRECONDITION for files that cannot be used; both name the option. */
enum status_code rpc_tls_open(const struct rpc_tls_options *options, struct rpc_tls **ret,
                              struct status *st);

/** After the servers and channels that were given it. Accepts NULL. */
void rpc_tls_close(struct rpc_tls *tls);

/** Whether servers with it listen with TLS; false for NULL. */
bool rpc_tls_serves(const struct rpc_tls *tls);

/** Whether channels with it connect with TLS; false for NULL. */
bool rpc_tls_connects(const struct rpc_tls *tls);

#endif
