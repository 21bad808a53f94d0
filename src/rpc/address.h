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

/** Whether what is sent to an address, or to each of a list, stays on this machine: "unix:…",
 * "localhost:…", or numbers of 127.0.0.0/8 or [::1]. */
bool rpc_address_is_local(const char *text);

/** Whether @text is of the third form below. */
bool rpc_address_is_list(const char *text);

/**
 * What gRPC connects to for an address of the one or the other form, or for several servers in one
 * place, by numbers: "10.0.0.3:7400,10.0.0.4:7400", "[fd00::3]:7400,[fd00::4]:7400". From malloc();
 * NULL for what is none of these.
 */
char *rpc_address_target(const char *text);

/** Whether somebody answers on the socket of a "unix:" address: gRPC would take its path away
 * without asking. */
bool rpc_address_in_use(const char *text);

#endif
