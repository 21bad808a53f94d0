#ifndef SUTRA_BENCH_PARALLEL_H
#define SUTRA_BENCH_PARALLEL_H

/** Long work on several threads, with a progress bar on standard error. */

#include <stdatomic.h>
#include <stddef.h>

enum { PARALLEL_MAX_THREADS = 64 };

/**
 * Runs @work(@context) in @threads threads and returns when all have ended, which is when together
 * they have raised @done to @total. Aborts if a thread cannot be started.
 */
void parallel_run(void *(*work)(void *context), void *context, size_t threads,
                  const atomic_size_t *done, size_t total);

#endif
