#ifndef SUTRA_BENCH_REQUEST_FILE_H
#define SUTRA_BENCH_REQUEST_FILE_H

/** Files of encoded messages, each behind its size (uint32, little-endian). The process ends where
 * one cannot be read or written. */

#include <stdio.h>

#include "src/rpc/bytes.h"

struct requests {
    struct rpc_bytes **bytes; /* [n] */
    size_t n;
};

/** At least one. */
struct requests requests_read(const char *path);
void requests_free(struct requests *requests);

void reply_write(FILE *file, const struct rpc_bytes *reply);

#endif
