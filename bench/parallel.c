#include "bench/parallel.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "src/apps/cli/progress.h"
#include "src/base/clock.h"

static void watch(const atomic_size_t *done, size_t total)
{
    int64_t started_us = clock_monotonic_us();
    struct progress progress;
    size_t items = 0;

    progress_init(&progress, stderr);
    while (items < total) {
        nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
        items = atomic_load(done);
        progress_update(&progress, &(struct progress_state){
                                       .items = items,
                                       .items_total = total,
                                       .seconds = (double)(clock_monotonic_us() - started_us) / 1e6,
                                   });
    }
    progress_clear(&progress);
}

void parallel_run(void *(*work)(void *context), void *context, size_t threads,
                  const atomic_size_t *done, size_t total)
{
    pthread_t ids[PARALLEL_MAX_THREADS];

    for (size_t i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, work, context) != 0)
            abort();
    watch(done, total);
    for (size_t i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
}
