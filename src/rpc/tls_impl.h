#ifndef SUTRA_RPC_TLS_IMPL_H
#define SUTRA_RPC_TLS_IMPL_H

/** gRPC's credentials out of a struct rpc_tls. */

#include <grpc/grpc_security.h>

#include "src/rpc/tls.h"

/** One address that a server listens on: which files it was last given. */
struct tls_listener;

/** *ret_listener (NULL for plaintext) outlives the server; tls_listener_free(). */
grpc_server_credentials *tls_server_credentials(struct rpc_tls *tls,
                                                struct tls_listener **ret_listener);

/** Accepts NULL. */
void tls_listener_free(struct tls_listener *listener);

/** For one channel. @tls may be NULL: plaintext. */
grpc_channel_credentials *tls_channel_credentials(struct rpc_tls *tls);

#endif
