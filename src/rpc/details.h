#ifndef SUTRA_RPC_DETAILS_H
#define SUTRA_RPC_DETAILS_H

/**
 * `struct status` as google.rpc.Status and back: what stands in grpc-status-details-bin and in the
 * per-item results of batches.
 *
 * BadRequest carries the field, ErrorInfo (domain "sutra.v1") the reason and its pairs; other
 * details are skipped when reading. Text that is not UTF-8 is made so with '?', since a foreign
 * client could not read the message otherwise.
 */

#include <stddef.h>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "src/base/arena.h"
#include "src/base/status.h"
#include "src/rpc/client.h"

/** The message for @st, in @arena; NULL beyond its limit. @pairs go into the ErrorInfo. */
Google__Rpc__Status *rpc_status_to_message(const struct status *st,
                                           const struct rpc_metadata_pair *pairs, size_t count,
                                           struct arena *arena);

/** What @message says. Leaves *ret untouched and OK if the message says OK. A code that gRPC does
 * not know is UNKNOWN. */
void rpc_status_from_message(const Google__Rpc__Status *message, struct status *ret);

/** The value that the ErrorInfo of @result's details has for @key, in @arena; NULL if none. */
const char *rpc_result_error_metadata(const struct rpc_result *result, const char *key,
                                      struct arena *arena);

/** @text with every byte beyond ASCII replaced by '?', in place, unless it is UTF-8. */
void rpc_make_utf8(char *text);

#endif
