#ifndef SUTRA_SHARD_INDEX_H
#define SUTRA_SHARD_INDEX_H

/**
 * What a shard searches: the segment that follows the store, and the codebook in force.
 *
 * Writes arrive from the store under the lock of their concept (index_on_vector). A new codebook
 * comes in three steps, so that the shards of a cluster change over together: index_install()
 * encodes everything with it into a second segment, index_switch() lets searches use that one, and
 * index_retire() forgets the old one, which until then can be asked for by its version. All
 * segments follow the writes, so neither reads nor writes wait.
 *
 * Any thread. The store is the truth. The segment is saved now and then; an open maps the file and
 * reads again what the store says has changed since, or, where the file does not fit the store,
 * everything. Codes in the store that an interrupted installation left behind are made
 * anew by index_maintain(); searches do not see them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "shard/row.h"
#include "src/base/status.h"
#include "src/store/store.h"
#include "src/vector/calibration.h"
#include "src/vector/codebook.h"
#include "src/vector/segment.h"

struct index;

struct index_options {
    const char *segment_path; /* copied */
    struct row_policy rows;
    size_t row_budget_bytes; /* of refinement rows that are kept in memory */
};

/** Before the store is opened: its writes come here from the first on. */
enum status_code index_new(const struct index_options *options, struct index **ret,
                           struct status *st);

/** Takes codebook and calibration from the store, and maps or rebuilds the segment. Once, before
 * any search. */
enum status_code index_open(struct index *index, struct store *store, struct status *st);

/** Saves the segment for the next open, unless it lacks a vector, which that open then finds among
 * the changes since the last save. Writes go on; not two at a time. */
enum status_code index_save(struct index *index, struct status *st);

void index_free(struct index *index); /* NULL is fine */

struct row_policy index_rows(const struct index *index);

/* ---- Writing ---------------------------------------------------------------------------- */

/** store_options.on_vector; @context is the index. */
void index_on_vector(void *context, const struct concept_id *id, const struct store_vector *vector);

/**
 * Makes @n vectors to be stored from refinement rows: codes of the codebook in force, if there is
 * one. Borrows @rows; the rest lives in @arena.
 * @rows  [n], each of row_bytes()
 */
enum status_code index_encode(struct index *index, const uint8_t *rows, size_t n,
                              struct arena *arena, struct store_vector *ret_vectors,
                              struct status *st);

/* ---- Reading ---------------------------------------------------------------------------- */

/** row_complete() with the codebook in force. */
enum status_code index_complete(struct index *index, const struct concept_id *id,
                                struct store_vector *vector, uint8_t scratch[ROW_MAX_BYTES],
                                struct status *st);

/** store_get_vectors(), each completed. */
enum status_code index_get_vectors(struct index *index, const struct concept_id *ids, size_t n,
                                   struct arena *arena, struct store_vector *ret_vectors,
                                   struct status *st);

/* ---- Searching -------------------------------------------------------------------------- */

/** The segment of @version if there is one to search, else (and for 0) the current one; referenced.
 */
struct segment *index_segment(struct index *index, uint64_t version);

/** The codebook that new writes are encoded with, referenced; NULL before there is one. */
struct codebook *index_codebook(struct index *index);

/** The calibration of codebook @version; one of no queries if there is none. */
struct calibration index_calibration(struct index *index, uint64_t version);

/** Keeps the calibration of the codebook that is searched with, or ready to be; FAILED_PRECONDITION
 * for another. */
enum status_code index_calibrate(struct index *index, const void *bytes, size_t size,
                                 struct status *st);

/* ---- A new codebook --------------------------------------------------------------------- */

struct index_install {
    const void *bytes; /* a serialized codebook */
    size_t size;
    bool compare; /* only if expected_version is in force; else only if nothing newer is */
    uint64_t expected_version;
};

/** The reason of ABORTED while another codebook, or the same one, is being installed. */
#define INDEX_INSTALLING "INSTALLING"

/**
 * Installs a codebook, if the version in force is the expected one (ABORTED otherwise, and while
 * another is being installed; fine if it is already the new one), and encodes every vector with it,
 * in the background: at most half the time of one core. Returns when index_switch() is possible.
 * CANCELLED after index_stop(): the codebook is in force for writes; the next open takes up what
 * was done.
 */
enum status_code index_install(struct index *index, const struct index_install *install,
                               struct status *st);

/** Searches use @version from now on. FAILED_PRECONDITION if it is not installed. */
enum status_code index_switch(struct index *index, uint64_t version, struct status *st);

/** Forgets the segment that was searched before @version; nothing happens unless @version is
 * searched. */
void index_retire(struct index *index, uint64_t version);

/** What can wait: a segment whose file has fallen behind, codes that an interrupted installation
 * left, rows that a segment from a file lacks, room on the disk that replaced codes take. Blocks
 * for as long as it takes; any thread but the loop.
 * @at_rest  nobody has written for a while */
void index_maintain(struct index *index, bool at_rest);

/** Lets installation and maintenance end soon, the first with CANCELLED. Any thread. */
void index_stop(struct index *index);

/** Whether that was called. */
bool index_stopped(const struct index *index);

/* ---- Asking ----------------------------------------------------------------------------- */

struct index_stats {
    struct codebook_info codebook; /* of what is searched; version 0: none */
    struct segment_stats segment;  /* likewise */
    uint64_t reencoded;            /* of … */
    uint64_t reencode_total;       /* … vectors; 0: no installation is running */
    uint64_t recent;               /* vectors written since the codebook came into force */
    float drift; /* their mean squared error by that of the training; 0 below 1000 */
};

struct index_stats index_stats(struct index *index);

#endif
