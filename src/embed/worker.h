#ifndef SUTRA_EMBED_WORKER_H
#define SUTRA_EMBED_WORKER_H

/** Filling one batch by hand, for the queue; embed_texts() does it for everybody else. */

#include "src/embed/embed.h"
#include "src/embed/embed_meter.h"

#include <stdbool.h>
#include <stddef.h>

/** Adds a text to the batch; false when the batch is full, never for the first text.
 * @ret_row stays borrowed until embed_worker_run(). */
bool embed_worker_add(struct embed_worker *worker, struct embed_text text, float *ret_row);

/** Counts every batch there from now on; borrowed. */
void embed_worker_set_meter(struct embed_worker *worker, struct embed_meter *meter);

/** Embeds what was added and empties the batch. DATA_LOSS when damaged weights gave something
 * that is not a vector. */
enum status_code embed_worker_run(struct embed_worker *worker, struct status *st);

#endif
