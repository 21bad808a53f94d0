#ifndef SUTRA_SERVE_SERVE_H
#define SUTRA_SERVE_SERVE_H

/**
 * What the three servers share: options, certificates and tokens, an rpc server with health,
 * reflection, metrics and a log line per call that failed or took long, a line on standard output
 * when it is ready, and an orderly end on SIGTERM or SIGINT.
 *
 * main() is one call of serve_main(). Its run() calls serve_open(), announces services on
 * serve->server, calls serve_listen(), opens its data and then the services, and ends in
 * serve_run(), which returns after a signal, when every call has ended. Its close() frees what
 * run() opened, also half of it: first serve_stop(), then what the services used, last
 * serve_close().
 *
 * Health knows these names besides the services':
 *
 *   ""          SERVING from the ready line to the signal: the process takes calls
 *   liveness    SERVING from serve_listen() to the end
 *   readiness   SERVING when "" is and serve_set_reach() has not said that all would be in vain
 */

#include <pthread.h>
#include <stdbool.h>

#include "src/base/status.h"
#include "src/config/config.h"
#include "src/metrics/http.h"
#include "src/metrics/metrics.h"
#include "src/rpc/client.h"
#include "src/rpc/health.h"
#include "src/rpc/loop.h"
#include "src/rpc/server.h"
#include "src/serve/call_log.h"
#include "src/serve/options.h"
#include "src/serve/security.h"

struct serve {
    const struct serve_options *options;
    struct serve_security *security;
    struct rpc_channel_options peers; /* how to connect to other servers; until serve_close() */
    struct rpc_loop *loop;
    struct rpc_server *server;
    struct rpc_health *health;
    struct call_log *call_log;
    struct metrics metrics; /* what is served at --metrics-listen; see metrics_add() */
    struct metrics_server *metrics_server;
    const char *out_of_service; /* a service whose health is NOT_SERVING all along, or NULL */
    int port;
    pthread_mutex_t lock; /* of what follows */
    bool ready;           /* the ready line is out */
    bool out_of_reach;    /* what this process depends on */
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

/** Listens and begins to answer: that it is alive, and that it is starting to calls of services
 * which were only announced. */
enum status_code serve_listen(struct serve *serve, struct status *st);

/** Whether what this process depends on can be reached: a part of readiness. Any thread; true until
 * it is told otherwise. */
void serve_set_reach(struct serve *serve, bool within_reach);

/**
 * Prints "<program> ready on <address>" with the real port, tells a service manager (notify.h), and
 * serves until a signal: then health says NOT_SERVING for drain_ms, then new calls are refused and
 * running ones get their grace. A second signal, at whatever time, ends the process at once.
 */
enum status_code serve_run(struct serve *serve, const char *program, struct status *st);

/** Ends the server and all its calls, if that was not done. */
void serve_stop(struct serve *serve);

/** Ends the loop. */
void serve_close(struct serve *serve);

#endif
