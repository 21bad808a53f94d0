#ifndef SUTRA_SHARD_INDEX_H
#define SUTRA_SHARD_INDEX_H

/**
 * What a shard searches: the segment that follows the store, and the codebook in force.
 *
 * Writes arrive from the store under the lock of their concept (index_on_vector). While a new
 * codebook is being installed there are two segments: the one that is searched, and the one that is
 * filled. Both follow the writes, so neither reads nor writes wait.
 *
 * Any thread. The store is the truth: the segment file is used only if it agrees with the store,
 * and rebuilt otherwise.
 */

#include <stdbool.h>
#include <stdint.h>

#include "src/base/status.h"
#include "src/store/store.h"
#include "src/vector/codebook.h"
#include "src/vector/segment.h"

struct index;

/** Before the store is opened: its writes come here from the first on. @segment_path is copied. */
enum status_code index_new(const char *segment_path, struct index **ret, struct status *st);

/** Takes the codebook from the store, and maps or rebuilds the segment. Once, before any search. */
enum status_code index_open(struct index *index, struct store *store, struct status *st);

/** Saves the segment for the next open; nobody writes any more. */
enum status_code index_save(struct index *index, struct status *st);

void index_free(struct index *index); /* NULL is fine */

/** store_options.on_vector; @context is the index. */
void index_on_vector(void *context, const struct concept_id *id, const struct store_vector *vector);

/** The segment to search, referenced. */
struct segment *index_segment(struct index *index);

/** The codebook that new writes are encoded with, referenced; NULL before there is one. */
struct codebook *index_codebook(struct index *index);

struct index_install {
    const void *bytes; /* a serialized codebook */
    size_t size;
    uint64_t expected_version;
    bool (*cancelled)(void *context); /* polled while re-encoding; NULL: never */
    void *context;
};

/**
 * Installs a codebook, if the version in force is the expected one (ABORTED otherwise, and while
 * another is being installed; fine if it is already the new one), and re-encodes every vector.
 * Returns when searches use it. CANCELLED: the codebook is in force for writes, searches go on with
 * the old one; install it again.
 */
enum status_code index_install(struct index *index, const struct index_install *install,
                               struct status *st);

/** Lets an installation in progress end with CANCELLED. Any thread. */
void index_stop(struct index *index);

struct index_stats {
    struct codebook_info codebook; /* of what is searched; version 0: none */
    uint64_t vectors_encoded;      /* with that version */
    uint64_t memory_bytes;
};

struct index_stats index_stats(struct index *index);

#endif
