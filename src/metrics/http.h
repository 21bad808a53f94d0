#ifndef SUTRA_METRICS_HTTP_H
#define SUTRA_METRICS_HTTP_H

/**
 * Serves the page of a `struct metrics` at http://host:port/metrics, for Prometheus to read.
 *
 * Plain HTTP/1.1 without a password: what is served says how much, never what. GET and HEAD of
 * /metrics, and a line about it at /; 404 and 405 otherwise. One thread; connections are few, their
 * headers small, and a silent one is closed.
 */

#include "src/base/status.h"
#include "src/metrics/metrics.h"

struct metrics_server;

/**
 * Listens on @address ("host:port", port 0: any free one) and starts the thread. @metrics outlives
 * it; see metrics_add(). INVALID_ARGUMENT for what is no address, UNAVAILABLE when it
 * cannot be bound.
 */
enum status_code metrics_server_start(const char *address, const struct metrics *metrics,
                                      struct metrics_server **ret, struct status *st);

/** "127.0.0.1:9464", as it was bound. */
const char *metrics_server_address(const struct metrics_server *server);

/** Returns when no request is under way. Accepts NULL. */
void metrics_server_stop(struct metrics_server *server);

#endif
