#ifndef SUTRA_EMBED_EMBED_QUEUE_H
#define SUTRA_EMBED_EMBED_QUEUE_H

/**
 * A few threads that embed for many callers.
 *
 * Jobs come from any thread and end in a callback. The threads take texts from the waiting jobs
 * in turn, a slice at a time: small jobs share one batch, a big job is worked on by all threads,
 * and a query that arrives behind an import of thousands of texts waits for about one batch.
 *
 * Errors of a job arrive in its callback: CANCELLED when its owner or embed_queue_stop() ended
 * it, DATA_LOSS as in embed_texts().
 */

#include "src/base/status.h"
#include "src/embed/embed.h"
#include "src/metrics/metrics.h"

#include <stddef.h>

struct embed_queue;
struct embed_job;

/**
 * The job is over; @st is OK or says why not. Runs once per accepted job, on a thread of the
 * queue, without locks; it must not block and not call embed_queue_stop(). The job and what it
 * points to are the caller's again, and the callback may free them.
 */
typedef void embed_done_fn(struct embed_job *job, const struct status *st);

/** Set the fields of the first group, zero the rest. Belongs to the queue from an accepted submit
 * until the callback, and so do the texts and rows. */
struct embed_job {
    const struct embed_text *texts; /* [n] */
    size_t n;
    float *ret_rows; /* [n][EMBED_DIMENSION] */
    embed_done_fn *done;
    embed_cancelled_fn *cancelled; /* or NULL; asked with the queue locked: must be quick */
    void *context;                 /* for the callbacks */

    struct embed_job *next; /* private from here on */
    size_t claimed;         /* texts handed to threads so far */
    size_t running;         /* of these, not yet embedded */
    struct status st;
};

struct embed_queue_options {
    size_t threads;           /* at least 1; more than cores only costs memory */
    size_t max_pending_texts; /* of accepted jobs that have not ended */
};

/** Starts the threads; borrows the model until embed_queue_stop(). */
enum status_code embed_queue_start(const struct embed_model *model,
                                   const struct embed_queue_options *options,
                                   struct embed_queue **ret_queue, struct status *st);

/**
 * Hands a job over; never blocks. RESOURCE_EXHAUSTED, reason LIMIT_EXCEEDED, when the queue holds
 * too many texts, and CANCELLED when it is stopping: then the job stays the caller's and no
 * callback comes.
 */
enum status_code embed_queue_submit(struct embed_queue *queue, struct embed_job *job,
                                    struct status *st);

/** Texts of accepted jobs that have not ended; for metrics. */
size_t embed_queue_pending(struct embed_queue *queue);

/** What it has done and what waits; @ctx is a queue. */
metrics_collect_fn embed_queue_collect;

/**
 * Lets the running batches finish, ends all other jobs with CANCELLED, returns when every
 * callback has returned and the threads have ended, and frees the queue. No other call may be in
 * progress or follow. Accepts NULL.
 */
void embed_queue_stop(struct embed_queue *queue);

#endif
