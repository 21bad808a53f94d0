#ifndef SUTRA_RPC_ADDRESS_H
#define SUTRA_RPC_ADDRESS_H

/**
 * What may be listened on and connected to: "host:port" or "unix:/path". Pure but for the look at a
 * socket.
 */

#include <stdbool.h>

/** Whether @text has one of the two forms, with a port from @min_port (0: any free one) to 65535.
 */
bool rpc_address_valid(const char *text, long min_port);

/** Whether what is sent to a valid address stays on this machine: "unix:…", "localhost:…", or
 * numbers of 127.0.0.0/8 or [::1]. */
bool rpc_address_is_local(const char *text);

/** Whether somebody answers on the socket of a "unix:" address: gRPC would take its path away
 * without asking. */
bool rpc_address_in_use(const char *text);

#endif
