#ifndef SUTRA_STORE_ID_LOCKS_H
#define SUTRA_STORE_ID_LOCKS_H

/**
 * Locks on concept ids. A call locks all that it reads before it writes, at once, whether that is
 * one id or ten thousand; calls wait for each other only where they share an id (more precisely:
 * the 64-bit hash of one).
 *
 * Ids are taken in the order of their hashes, so two calls never wait for each other in a circle.
 * They are the outermost locks of the process. Any thread.
 */

#include "src/base/buf.h"
#include "src/base/status.h"
#include "src/ids/concept_id.h"

/* What one call locks. {0} is empty; the owner calls id_set_deinit(). */
struct id_set {
    struct buf hashes; /* uint64_t each; sorted and without repetition once locked */
    unsigned epoch;    /* of the locks when it was taken */
};

void id_set_deinit(struct id_set *set);
void id_set_add(struct id_set *set, const struct concept_id *id);

/** Of a set that was locked and any other: whether everything of @subset is in @set. */
bool id_set_contains(const struct id_set *set, const struct id_set *subset);

struct id_locks;

/** NULL: out of memory. */
struct id_locks *id_locks_new(void);

/** Nothing may be locked. NULL is fine. */
void id_locks_free(struct id_locks *locks);

/** Waits until all of @set is the caller's. RESOURCE_EXHAUSTED: nothing is locked. */
enum status_code id_locks_take(struct id_locks *locks, struct id_set *set, struct status *st);
void id_locks_release(struct id_locks *locks, const struct id_set *set);

/** Waits until all that hold ids now have let them go; those that come later do not matter. */
void id_locks_wait(struct id_locks *locks);

#endif
