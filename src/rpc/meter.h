#ifndef SUTRA_RPC_METER_H
#define SUTRA_RPC_METER_H

/** What a server counts of its calls, per method; written onto a page by rpc_server_collect(). */

#include "src/base/status.h"
#include "src/metrics/metrics.h"

struct method_meter {
    struct metrics_counter started;
    struct metrics_counter handled[METRICS_STATUSES];
    struct metrics_counter abandoned; /* handled, but nobody waited any more */
    struct metrics_counter received_bytes;
    struct metrics_counter sent_bytes;
    struct metrics_counter received_messages;
    struct metrics_counter sent_messages;
    struct metrics_histogram duration_us;
    atomic_size_t in_progress; /* of a method with a limit of its own */
};

/* Why a call was answered without its handler. */
enum meter_refusal {
    REFUSED_CALLER, /* no token, or one with too small a role */
    REFUSED_UNKNOWN_METHOD,
    REFUSED_STARTING,
    REFUSED_STOPPING,
    REFUSED_TOO_MANY_CALLS,
    REFUSED_QUEUE_FULL,
    REFUSED_UNDECODABLE,
    METER_REFUSALS,
};

static inline void meter_received(struct method_meter *meter, size_t bytes)
{
    metrics_count(&meter->received_messages, 1);
    metrics_count(&meter->received_bytes, bytes);
}

static inline void meter_sent(struct method_meter *meter, size_t bytes)
{
    metrics_count(&meter->sent_messages, 1);
    metrics_count(&meter->sent_bytes, bytes);
}

static inline void meter_handled(struct method_meter *meter, enum status_code code,
                                 int64_t duration_us)
{
    metrics_count(&meter->handled[code], 1);
    metrics_observe(&meter->duration_us, (uint64_t)duration_us);
}

#endif
