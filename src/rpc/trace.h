#ifndef SUTRA_RPC_TRACE_H
#define SUTRA_RPC_TRACE_H

/**
 * Which trace a call belongs to: the W3C's Trace Context, level 1
 * (https://www.w3.org/TR/trace-context/). One request keeps its trace id through router, shards and
 * embedder; each of them gives its part an id of its own, which the next one down is told as its
 * parent.
 */

#include <stdbool.h>
#include <stddef.h>

enum { TRACE_ID_SIZE = 33, TRACE_CALL_ID_SIZE = 17, TRACE_HEADER_SIZE = 56 };

/* All in lower-case hex digits, NUL-terminated. */
struct rpc_trace {
    char trace_id[TRACE_ID_SIZE];
    char call_id[TRACE_CALL_ID_SIZE]; /* of this process' part */
    char parent[TRACE_CALL_ID_SIZE];  /* of who called; "": nobody said */
    char flags[3];
};

/** Takes up the trace that a `traceparent` header names, with a fresh call id. False for a header
 * that is none, which is to be treated as if it were not there. */
bool rpc_trace_continue(const char *header, size_t length, struct rpc_trace *ret);

/** A trace that begins here. */
void rpc_trace_begin(struct rpc_trace *ret);

/** The `traceparent` of calls that are made on behalf of this one. */
void rpc_trace_header(const struct rpc_trace *trace, char ret[TRACE_HEADER_SIZE]);

#endif
