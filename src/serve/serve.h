#ifndef SUTRA_SERVE_SERVE_H
#define SUTRA_SERVE_SERVE_H

/**
 * What the three servers share: options, certificates and tokens, an rpc server with health,
 * reflection and a log line per failed call, a line on standard output when it is ready, and an
 * orderly end on SIGTERM or SIGINT.
 *
 * main() is one call of serve_main(). Its run() calls serve_open(), registers services on
 * serve->server, and ends in serve_run(), which returns after a signal, when every call has ended.
 * Its close() frees what run() opened, also half of it: first serve_stop(), then what the services
 * used, last serve_close().
 */

#include "src/base/status.h"
#include "src/config/config.h"
#include "src/rpc/health.h"
#include "src/rpc/loop.h"
#include "src/rpc/server.h"
#include "src/serve/options.h"
#include "src/serve/security.h"

struct serve {
    const struct serve_options *options;
    struct serve_security *security;
    struct rpc_channel_options peers; /* how to connect to other servers; until serve_close() */
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct rpc_health *health;
    const char *out_of_service; /* a service whose health is NOT_SERVING all along, or NULL */
};

struct serve_program {
    struct config_program options;
    enum status_code (*run)(void *process, struct status *st);
    void (*close)(void *process);
};

/** @config is a part of @process. Returns the exit status; a failure is one line on standard error.
 */
int serve_main(const struct serve_program *program, int argc, char **argv, void *process,
               void *config);

/** Starts the loop and makes the server. @options outlives it. On failure nothing is left behind.
 */
enum status_code serve_open(const struct serve_options *options, struct serve *ret,
                            struct status *st);

/**
 * Listens, prints "<program> ready on <address>" with the real port, and serves until a signal:
 * then health says NOT_SERVING, new calls are refused, running ones get their grace. A second
 * signal ends the process at once.
 */
enum status_code serve_run(struct serve *serve, const char *program, struct status *st);

/** Ends the server and all its calls, if that was not done. */
void serve_stop(struct serve *serve);

/** Ends the loop. */
void serve_close(struct serve *serve);

#endif
