#ifndef SUTRA_SHARD_INDEX_INTERNAL_H
#define SUTRA_SHARD_INDEX_INTERNAL_H

/** What index.c (following the store, searching), index_file.c (opening, saving) and
 * index_install.c (another codebook) share. */

#include <pthread.h>

#include "shard/index.h"

struct index {
    char *segment_path;
    struct row_policy rows;
    size_t row_budget_bytes;
    struct store *store;

    pthread_mutex_t lock;     /* of all down to `unsaved` */
    struct segment *current;  /* searched */
    struct segment *previous; /* searched by those who ask for its version, or NULL */
    struct segment *next;     /* being filled or ready, or NULL */
    bool next_ready;          /* next holds everything */
    bool encoding;            /* `encoder` is rewriting codes */
    pthread_t encoder;
    struct codebook *codebook; /* of new writes: that of next, or else of current; NULL: none */
    struct calibration calibration;      /* of current */
    struct calibration next_calibration; /* of next */
    uint64_t recent;  /* vectors written since the codebook came into force … */
    double errors;    /* … and the sum of their squared errors */
    uint64_t unsaved; /* changes of vectors that the file lacks */

    pthread_mutex_t installing;
    bool stopping;           /* atomic; what takes long gives up */
    bool incomplete;         /* atomic; a segment could not take a vector: not to be saved */
    bool stale_codes;        /* atomic; the store holds codes of an older codebook */
    bool rows_missing;       /* atomic; the segment came from a file */
    bool compaction_due;     /* atomic; many codes were replaced */
    uint64_t reencoded;      /* atomic */
    uint64_t reencode_total; /* atomic */
};

/* What index_encode() tells index_put() by the hint of a store_vector. */
struct index_hint {
    uint64_t version; /* of the codebook whose cell it is */
    uint32_t cell;
};

static inline uint64_t codebook_version(const struct codebook *codebook)
{
    return codebook == NULL ? 0 : codebook_info(codebook)->version;
}

/** A segment of this index's options. NULL without memory. */
struct segment *index_new_segment(const struct index *index, struct codebook *codebook);

/** Saves the segment when its file lacks so much that an open after a crash would take long. */
void index_save_if_due(struct index *index, bool at_rest, struct status *st);

/** Ids of a scan outlive it only as copies; in @arena. */
enum status_code index_copy_id(const struct concept_id *id, struct arena *arena,
                               struct concept_id *ret, struct status *st);

/** Puts a stored vector into @segment, encoded with its codebook. */
enum status_code index_put(struct index *index, struct segment *segment,
                           const struct concept_id *id, const struct store_vector *vector,
                           struct status *st);

#endif
