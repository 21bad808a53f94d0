#ifndef SUTRA_STORE_STORE_INTERNAL_H
#define SUTRA_STORE_STORE_INTERNAL_H

/**
 * What the files of src/store share; nobody else includes it.
 *
 * Layers, each built on those before: keys and values (store_key.c), locks (id_locks.c), counters
 * (store_counters.c), batches (pending.c, store_batch.c, store_sync.c), ranges (store_range.c),
 * edges inside a batch (store_edge.c), changes of vectors (store_changes.c), concepts and vectors
 * inside a batch (store_concept.c); then one file per verb.
 */

#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>

#include "src/base/buf.h"
#include "src/store/id_locks.h"
#include "src/store/pending.h"
#include "src/store/record_cache.h"
#include "src/store/store.h"

/* ---- Families and the shared handle ------------------------------------------------------ */

enum store_family {
    FAMILY_DEFAULT, /* RocksDB insists on it; empty */
    FAMILY_CONCEPTS,
    FAMILY_VECTORS,
    FAMILY_OUT,
    FAMILY_IN,
    FAMILY_TERMS,
    FAMILY_TIMES,
    FAMILY_OUTBOX,
    FAMILY_CHANGES,
    FAMILY_META,
    FAMILY_COUNT,
};

/* Order and number are those of the "counters" record. */
enum store_counter {
    COUNTER_CONCEPTS,
    COUNTER_VECTORS,
    COUNTER_CONTENT_BYTES,
    COUNTER_OUT,
    COUNTER_IN,
    COUNTER_SEQUENCE, /* the last one given; grows only */
    COUNTER_COUNT,
    COUNTERS_BYTES = COUNTER_COUNT * 8,
};

enum {
    STORE_FORMAT = 1,
    GRAVE_COUNT = 8192,
};

/* An in record that was removed: a put no newer than @stamp came late. */
struct grave {
    uint64_t edge_hash; /* of its key */
    uint64_t stamp;
};

struct store {
    char *path;
    rocksdb_t *db;
    rocksdb_column_family_handle_t *families[FAMILY_COUNT];
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    struct record_cache *cache; /* of `concepts`; NULL: none */

    bool (*owns)(void *context, uint16_t slot);
    void (*on_vector)(void *context, const struct concept_id *id,
                      const struct store_vector *vector);
    void *context;

    struct id_locks *locks;
    pthread_mutex_t outbox_lock; /* of removal, so that an entry is counted off once */

    /* Of store_sync(): RocksDB's sequence numbers up to `synced` are in the synced log. */
    pthread_mutex_t sync_lock;
    pthread_cond_t sync_ended;
    uint64_t synced;
    bool syncing; /* a thread does it for all */
    struct status sync_failure;

    _Atomic uint64_t counters[COUNTER_COUNT]; /* of what is committed, COUNTER_SEQUENCE: given */
    _Atomic uint64_t outbox_pending;

    /* For store_collect(). */
    rocksdb_options_t *options; /* of the database, for its statistics */
    struct metrics_counter cache_hits;
    struct metrics_counter cache_misses;
    struct metrics_counter batches;
    struct metrics_counter batch_bytes;
    struct metrics_histogram sync_us;

    pthread_mutex_t graves_lock;
    struct grave graves[GRAVE_COUNT]; /* by edge_hash; a newer one takes the place (store_edge.c) */
};

/** "concepts", … */
const char *store_family_name(enum store_family family);

/* What the folder takes of the disk. */
struct store_disk {
    uint64_t bytes;      /* blocks of every file */
    uint64_t log_bytes;  /* of them, of write-ahead logs */
    uint64_t free_bytes; /* of the file system, for us */
};

enum status_code store_disk(const struct store *store, struct store_disk *ret, struct status *st);

bool store_owns(const struct store *store, uint16_t slot);

/** Takes @error, RocksDB's text, and classifies it: the one place that reads such text. */
enum status_code store_status(struct status *st, char *error);

/** "out of memory". */
enum status_code store_no_memory(struct status *st);

/* ---- Keys and values (store_key.c) ------------------------------------------------------- */

enum {
    STORE_KEY_MAX = 2 + 1 + 255 + 1 + 255 + 1 + STORE_LABEL_MAX_BYTES,
    EDGE_VALUE_BYTES = 32,
    VECTOR_HEAD_BYTES = 8,
};

struct store_key {
    uint8_t data[STORE_KEY_MAX];
    size_t size;
};

/* An association's key, checked and hashed. Borrows. */
struct edge {
    struct concept_id source;
    struct concept_id target;
    uint8_t type;
    struct text_view label;
};

/* An association's value. */
struct edge_value {
    float weight;
    float confidence;
    int64_t created_us;
    int64_t last_used_us;
    uint64_t stamp;
};

void store_key_concept(const struct concept_id *id, struct store_key *ret);

/** "slot | length | id": what the keys of all records of one side of a concept begin with. */
void store_key_edges(const struct concept_id *near, struct store_key *ret);
void store_key_edge(const struct edge *edge, enum store_direction side, struct store_key *ret);
void store_key_sequence(uint64_t sequence, struct store_key *ret);
void store_key_append(struct store_key *key, const void *data, size_t size);

/** The smallest key behind all that begin with @prefix, which must not be all 0xff. */
void store_key_successor(const struct store_key *prefix, struct store_key *ret);

/** The id in a key of `concepts` or `vectors`; borrows @key. DATA_LOSS. */
enum status_code store_key_read_concept(struct text_view key, struct concept_id *ret,
                                        struct status *st);
/** DATA_LOSS. */
enum status_code store_key_read_sequence(struct text_view key, uint64_t *ret, struct status *st);
/** Borrows @key. DATA_LOSS. */
enum status_code store_key_read_edge(struct text_view key, enum store_direction side,
                                     struct edge *ret, struct status *st);

/** INVALID_ARGUMENT where an id, the type or the label cannot be part of a key. */
enum status_code edge_parse(const struct store_association *association, struct edge *ret,
                            struct status *st);
struct edge_value edge_value_of(const struct store_association *association);
struct store_association edge_association(const struct edge *edge, const struct edge_value *value);

void edge_value_write(const struct edge_value *value, uint8_t to[EDGE_VALUE_BYTES]);
enum status_code edge_value_read(struct text_view bytes, struct edge_value *ret, struct status *st);

/** Appends the value of a `vectors` record. */
void store_vector_write(const struct store_vector *vector, struct buf *to);
/** Borrows @bytes. DATA_LOSS. */
enum status_code store_vector_read(struct text_view bytes, struct store_vector *ret,
                                   struct status *st);

/** Appends an id to the value of a `changes` record. */
void store_change_write(const struct concept_id *id, struct buf *to);
/** The next id of one, which is taken off @value; borrows. DATA_LOSS. */
enum status_code store_change_read(struct text_view *value, struct concept_id *ret,
                                   struct status *st);

/** An outbox record, without its sequence. */
void store_outbox_write(const struct store_outbox_entry *entry, struct buf *to);
/** Borrows @bytes. DATA_LOSS. */
enum status_code store_outbox_read(struct text_view key, struct text_view bytes,
                                   struct store_outbox_entry *ret, struct status *st);

/* ---- Counters (store_counters.c) --------------------------------------------------------- */

/** The merge operator of `meta`. */
rocksdb_mergeoperator_t *store_counters_operator(void);
enum status_code store_counters_load(struct store *store, struct status *st);
void store_counters_write(const uint64_t counters[COUNTER_COUNT], uint8_t to[COUNTERS_BYTES]);
bool store_counters_read(struct text_view bytes, uint64_t ret[COUNTER_COUNT]);

/* ---- Ranges (store_range.c) -------------------------------------------------------------- */

/* An iterator over [lower, upper) of one family. */
struct store_range {
    rocksdb_iterator_t *iterator;
    rocksdb_readoptions_t *options;
    struct store_key upper; /* RocksDB borrows it */
};

/** Stands before the first record at or behind @lower. Deinit always, once begun. */
void store_range_begin(struct store_range *range, const struct store *store,
                       enum store_family family, const struct store_key *lower,
                       const struct store_key *upper);
/** All that begin with @prefix. */
void store_range_begin_prefix(struct store_range *range, const struct store *store,
                              enum store_family family, const struct store_key *prefix);
/** The whole family. */
void store_range_begin_all(struct store_range *range, const struct store *store,
                           enum store_family family);
void store_range_deinit(struct store_range *range);

/** The record under the iterator, valid until it moves; false at the end, or on an error that
 * store_range_finish() tells. */
bool store_range_get(const struct store_range *range, struct text_view *ret_key,
                     struct text_view *ret_value);
void store_range_next(struct store_range *range);
void store_range_seek(struct store_range *range, const struct store_key *key);
enum status_code store_range_finish(const struct store_range *range, struct status *st);

/* ---- Batches (store_batch.c) ------------------------------------------------------------- */

/*
 * One call's writes, readable before they are committed. {0} but for `store` is an empty batch;
 * then: ids, store_batch_lock(), gets and puts, store_batch_commit(), and always store_batch_end().
 */
struct store_batch {
    struct store *store;
    struct id_set ids; /* of all that is read or written */
    bool locked;
    struct pending pending;
    uint64_t added[COUNTER_COUNT]; /* modulo 2^64; COUNTER_SEQUENCE: the last one taken */
    uint64_t outbox_added;
    struct buf changes;  /* value of its `changes` record */
    struct buf concepts; /* struct concept_id of each that is written; borrowed */
    struct buf scratch;
};

/* A record as the batch sees it. */
struct store_record {
    struct text_view bytes;          /* data NULL: there is none */
    rocksdb_pinnableslice_t *pinned; /* NULL: the bytes are the batch's */
};

/** Waits for other writers of the batch's ids. RESOURCE_EXHAUSTED. */
enum status_code store_batch_lock(struct store_batch *batch, struct status *st);
void store_batch_unlock(struct store_batch *batch);

/** What is written by the batch or else stored. The caller releases @ret, before the batch. */
enum status_code store_batch_get(struct store_batch *batch, enum store_family family,
                                 const struct store_key *key, struct store_record *ret,
                                 struct status *st);
void store_record_release(struct store_record *record);

void store_batch_put(struct store_batch *batch, enum store_family family,
                     const struct store_key *key, const void *data, size_t size);
void store_batch_delete(struct store_batch *batch, enum store_family family,
                        const struct store_key *key);

/** That a concept which was there is among what is written, for the record cache: of one that was
 * not, it has nothing, and a reader that found nothing puts nothing there. @id is borrowed until
 * the commit. */
void store_batch_note_concept(struct store_batch *batch, const struct concept_id *id);

/** A fresh stamp. */
uint64_t store_batch_sequence(struct store_batch *batch);

/** Writes all or nothing and then counts it. Readers see it at once, but it is not synced yet. */
enum status_code store_batch_commit(struct store_batch *batch, struct status *st);

/** Unlocks, frees, and then waits for the disk if the call succeeded and is to be @synced. */
enum status_code store_batch_end(struct store_batch *batch, bool synced, struct status *st);

/* ---- Syncing (store_sync.c) -------------------------------------------------------------- */

/** store_sync() if the write succeeded and is to be @synced. */
enum status_code store_settle(struct store *store, bool synced, struct status *st);

/* ---- Edges inside a batch (store_edge.c) ------------------------------------------------- */

/** One side's record of @edge, as the batch sees it. */
enum status_code edge_get(struct store_batch *batch, const struct edge *edge,
                          enum store_direction side, bool *ret_found, struct edge_value *ret,
                          struct status *st);

/** Writes both records under a fresh stamp, which is set in @value, keeping created_us and
 * last_used_us where there is one. A source that the batch creates has none stored: there are no
 * out records without their concept. */
enum status_code edge_put(struct store_batch *batch, const struct edge *edge, bool source_is_new,
                          struct edge_value *value, bool *ret_created, struct status *st);

/** Writes both records, @value as it is but for a fresh stamp; the edge must exist. */
enum status_code edge_replace(struct store_batch *batch, const struct edge *edge,
                              struct edge_value *value, struct status *st);

/** Removes both records, seen from the record of @side, which may be missing. */
enum status_code edge_delete(struct store_batch *batch, const struct edge *edge,
                             enum store_direction side, bool *ret_existed, struct status *st);

/** What one end's shard does about an op. */
enum status_code edge_apply(struct store_batch *batch, enum store_edge_kind kind,
                            const struct edge *edge, const struct edge_value *value,
                            struct status *st);

/* ---- Changes of vectors (store_changes.c) ------------------------------------------------ */

/** Puts the record of those vectors that the batch sets or removes into it. */
void store_batch_put_changes(struct store_batch *batch);

/* ---- Concepts and vectors inside a batch (store_concept.c) ------------------------------- */

/* A concept as it was; its texts borrow from the record. Release always. */
struct stored_concept {
    bool found; /* false: `concept` is zero */
    struct concept concept;
    struct store_record record;
    struct arena arena;
};

enum status_code stored_concept_get(struct store_batch *batch, const struct concept_id *id,
                                    struct stored_concept *ret, struct status *st);
void stored_concept_release(struct stored_concept *stored);

/** ABORTED (VERSION_MISMATCH) unless @condition holds for @stored. */
enum status_code stored_concept_check(const struct stored_concept *stored,
                                      struct store_condition condition, struct status *st);

/** Writes @concept over @old; its wire form stays in batch->scratch until the next write. */
enum status_code stored_concept_put(struct store_batch *batch, const struct concept_id *id,
                                    const struct stored_concept *old, const struct concept *concept,
                                    struct status *st);
void stored_concept_delete(struct store_batch *batch, const struct concept_id *id,
                           const struct stored_concept *old);

enum status_code stored_vector_exists(struct store_batch *batch, const struct concept_id *id,
                                      bool *ret, struct status *st);
enum status_code stored_vector_put(struct store_batch *batch, const struct concept_id *id,
                                   const struct store_vector *vector, bool existed,
                                   struct status *st);
/** Another code for the vector that is there, which is no change of it. */
enum status_code stored_vector_recode(struct store_batch *batch, const struct concept_id *id,
                                      const struct store_vector *vector, struct status *st);
enum status_code stored_vector_delete(struct store_batch *batch, const struct concept_id *id,
                                      bool *ret_existed, struct status *st);

/** Tells the caller's hook; after the commit, still under the locks. */
void store_tell_vector(struct store *store, const struct concept_id *id,
                       const struct store_vector *vector);

/* ---- Reading (store_read.c) -------------------------------------------------------------- */

/** One record, pinned; data NULL where there is none. */
enum status_code store_pin(struct store *store, enum store_family family,
                           const struct store_key *key, struct store_value *ret, struct status *st);

/** Those of @n concepts in one look-up. The caller releases every one. */
enum status_code store_pin_many(struct store *store, enum store_family family,
                                const struct concept_id *ids, size_t n,
                                struct store_value *ret_values, struct status *st);

/* ---- Meta (store_meta.c) ----------------------------------------------------------------- */

/** Checks format and shard of an opened folder, or writes them into a new one. */
enum status_code store_meta_claim(struct store *store, const struct store_options *options,
                                  struct status *st);

/** The same with the format of the vectors; after store_counters_load(), since folders that do not
 * say have the first one. */
enum status_code store_meta_claim_vectors(struct store *store, uint32_t format, struct status *st);

#endif
