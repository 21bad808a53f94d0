#ifndef SUTRA_SERVE_CALL_LOG_H
#define SUTRA_SERVE_CALL_LOG_H

/**
 * One line per call that failed or took long: which call of which trace, method, code, message,
 * who asked, how long it took, and which shard.
 *
 * NOT_FOUND, and what the caller itself gave up, are answers and no events, unless they took long.
 * Refusals, and what admins do, have lines of their own (src/serve/audit.h). Lines are limited
 * (src/log/log_limit.h); what is left out is counted.
 */

#include "src/log/log_limit.h"
#include "src/metrics/metrics.h"
#include "src/rpc/server.h"

struct call_log {
    int64_t shard; /* which one this process is, set before the first call; -1: none */
    struct log_limit limit;
    struct metrics_counter left_out;
};

/** Nothing was written yet; no shard. */
void call_log_init(struct call_log *log);

/** rpc_server_options.on_finished; @ctx is a struct call_log. */
void call_log_finished(const struct rpc_call_summary *summary, void *ctx);

/** @ctx is a struct call_log. */
metrics_collect_fn call_log_collect;

#endif
