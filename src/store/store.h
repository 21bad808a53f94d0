#ifndef SUTRA_STORE_STORE_H
#define SUTRA_STORE_STORE_H

/**
 * One shard's concepts, vectors, associations and outbox, in one RocksDB folder. It knows nothing
 * of RPC, of codebooks or of segments: refinement rows, codes and the codebook are bytes to it.
 *
 * Whose. The caller writes only concepts, and associations from concepts, of slots that the shard
 * owns; where a write belongs is not the store's to decide.
 *
 * Ownership. Arguments are borrowed for the call. Results live in the caller's arena, or are pinned
 * in the block cache until store_value_release(). store_close() comes after everything else.
 *
 * Durability. Every write is one atomic batch. With @synced it is in the synced log when the call
 * returns; otherwise it is in the operating system's buffers (lost by a power cut, not by a kill).
 * A synced write makes every earlier write durable too. Threads that wait for it at the same time
 * share one fsync, and others write meanwhile, so the way to a high rate is many writing threads or
 * many items per call. A reader may see a write that is not synced yet; what is written on top of
 * it is behind it in the log, so no acknowledged write can outlive one that it was built on.
 *
 * Threads. Every function may be called by any number of threads. Writes that read before they
 * write (versions, reinforcement, stamps) are serialised per concept by locks on the ids
 * of the call: those of the concepts and of both ends of every association. They are taken in
 * sorted order, are the outermost locks of the process and are held over the RocksDB write and over
 * on_vector(), not over the fsync. Reads take no lock.
 *
 * Errors. INVALID_ARGUMENT (an id, a type or a label that does not fit a key), NOT_FOUND, ABORTED
 * (VERSION_MISMATCH), FAILED_PRECONDITION (folder in use, newer format, another shard's folder),
 * RESOURCE_EXHAUSTED (memory, the arena, disk full), DATA_LOSS (a checksum or a record that does
 * not parse), UNAVAILABLE (other input/output errors). A write that failed changed nothing, except
 * where it was the fsync that failed: then it may have been written, and no synced write succeeds
 * any more until the store is opened again, since nobody knows what the disk has.
 *
 * The folder, format 1. Numbers in keys are big-endian, in values little-endian.
 *
 *   concepts  slot u16 | id                    -> sutra.v1.Concept (concept_wire.h)
 *   vectors   slot u16 | id                    -> codebook_version u64 | refinement row (to the
 *                                                 code) | code, 48 bytes, absent for version 0
 *   out       slot u16 | length u8 | source | type u8 | target | 0 | label
 *   in        slot u16 | length u8 | target | type u8 | source | 0 | label
 *             both  -> weight f32 | confidence f32 | created_us i64 | last_used_us i64 | stamp u64
 *             `slot` is that of the concept the record stands with: out the source, in the target;
 *             ids hold no NUL, so the 0 keeps (type, other end, label) in order
 *   outbox    sequence u64                     -> kind u8 | slot u16 | the 32 bytes above |
 *                                                 type u8 | length u8 | source |
 *                                                 length u8 | target | label
 *   changes   number u64                       -> (length u8 | id) of every vector that a batch set
 *                                                 or removed; empty: forgotten up to here
 *   terms, times                               reserved, empty
 *   meta      "format" -> u32, "shard" -> u32, "vector_format" -> u32 (absent: 0),
 *             "codebook" -> bytes, "calibration" -> bytes, "counters" -> 6 u64:
 *             concepts, vectors, content bytes, out records, in records, last sequence
 *             (a merge adds the first five and takes the greater of the sixth)
 *
 * Associations across shards. An association is two records: `out` with its source and `in` with
 * its target. Where this shard owns both ends they are written in one batch. Where it does not, the
 * batch holds the record of its own end and an outbox entry for the other shard, and the caller
 * delivers the entries: store_outbox_peek(), store_apply_edges() over there, store_outbox_remove().
 * Entries of one association are delivered, and removed, in order of sequence; delivering one again
 * is harmless.
 * Every write of an association takes a fresh stamp from the source shard's sequence, which never
 * repeats, so that an older write never undoes a newer one:
 *
 *   PUT_IN      writes the in record unless the one there has a newer stamp
 *   DELETE_IN   removes the in record if its stamp is not newer
 *   DELETE_OUT  carries the stamp of the in record that went with its concept; removes the out
 *               record if its stamp is not newer, and sends a DELETE_IN back, which clears what a
 *               repeated PUT_IN may have brought in between
 *
 * When all outboxes are empty every association has both records, also after crashes in between.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/arena.h"
#include "src/base/status.h"
#include "src/ids/concept_id.h"
#include "src/metrics/metrics.h"
#include "src/store/concept_wire.h"

enum {
    STORE_CODE_BYTES = 48,
    STORE_LABEL_MAX_BYTES = 255,
    STORE_TYPE_MIN = 1, /* association types, as sutra.v1.AssociationType */
    STORE_TYPE_MAX = 5,
};

struct store;

/** What is kept of a vector. */
struct store_vector {
    const void *refinement; /* the row; opaque; NULL says "no vector" in results */
    size_t refinement_size;
    const uint8_t *code;       /* [STORE_CODE_BYTES], NULL when codebook_version is 0 */
    uint64_t codebook_version; /* 0: not encoded */
    const void *hint; /* not stored: passed from a write on to on_vector(); NULL in results */
};

struct store_association {
    struct text_view source; /* concept ids, 1–255 bytes */
    struct text_view target;
    uint8_t type;           /* STORE_TYPE_MIN–STORE_TYPE_MAX */
    struct text_view label; /* at most STORE_LABEL_MAX_BYTES */
    float weight;
    float confidence;
    int64_t created_us;
    int64_t last_used_us; /* 0: never reinforced */
    uint64_t stamp;       /* set by the store, ignored in writes except store_apply_edges() */
};

/* ---- Opening --------------------------------------------------------------------------- */

struct store_options {
    const char *path;          /* created if missing, its parent must exist */
    bool has_shard;            /* false: whatever the folder says */
    uint32_t shard;            /* another than the folder was made for: FAILED_PRECONDITION */
    uint32_t vector_format;    /* what rows are, to the caller; likewise */
    size_t block_cache_bytes;  /* 0: 64 MiB */
    size_t record_cache_bytes; /* for hot concepts; less than 64 KiB: none */

    /* Whether the concepts of @slot are kept here. NULL: all are. Called from writing threads. */
    bool (*owns)(void *context, uint16_t slot);

    /* Called for every vector that a committed write set or removed (@vector NULL), before the
     * write returns and in the order of the store: calls for one id never overlap. The arguments
     * are borrowed. Runs under the id's lock: it must not write to this store. NULL: not called. */
    void (*on_vector)(void *context, const struct concept_id *id,
                      const struct store_vector *vector);
    void *context;
};

/** Opens or creates. FAILED_PRECONDITION when another process has the folder open ("… is in use"),
 * when a newer release wrote it, or when it belongs to another shard. */
enum status_code store_open(const struct store_options *options, struct store **ret,
                            struct status *st);

/** No call may be in progress, no value pinned. NULL is fine. Nothing that was written is lost. */
void store_close(struct store *store);

/* ---- Writing concepts ------------------------------------------------------------------- */

enum store_write_mode {
    STORE_LEARN, /* what is not given keeps its stored value */
    STORE_PUT,   /* everything as in the item */
};

enum store_given {
    STORE_GIVEN_STRENGTH = 1,
    STORE_GIVEN_CONFIDENCE = 2,
    STORE_GIVEN_ACCESS_COUNT = 4,
    STORE_GIVEN_LAST_ACCESSED = 8,
    STORE_GIVEN_CREATED = 16,
};

/** The write happens only if the stored version is @version; 0: only if there is no concept. */
struct store_condition {
    bool given;
    uint64_t version;
};

struct store_write {
    struct concept_id id;
    /* All fields count for a new concept; id and version are ignored. Of an existing concept,
     * created_us is kept unless given, and LEARN also keeps what else of enum store_given is
     * not given. */
    struct concept concept;
    unsigned given; /* of enum store_given */
    enum store_write_mode mode;
    struct store_condition condition;
    /* NULL: PUT removes a stored vector; LEARN keeps it if the content is unchanged and removes
     * it otherwise. */
    const struct store_vector *vector;
    /* Written in the same batch, as by store_associate(); `source` is ignored. Those already
     * stored are kept. */
    const struct store_association *associations;
    size_t association_count;
};

enum store_vector_change {
    STORE_VECTOR_SAME,
    STORE_VECTOR_SET,
    STORE_VECTOR_REMOVED,
};

struct store_write_result {
    struct status status; /* ABORTED, VERSION_MISMATCH; INVALID_ARGUMENT; the rest is OK's */
    uint64_t version;     /* one more than before; 1 for a new concept */
    bool created;
    enum store_vector_change vector;
};

/**
 * Writes @n concepts in one batch. An item that is refused has a status in ret_results[i] and
 * changes nothing; the others are written all the same. Of two items with one id the later sees
 * the earlier. Fails as a whole only where nothing could be written.
 *
 * @ret_results  [n], undefined when the call fails
 */
enum status_code store_write(struct store *store, const struct store_write *items, size_t n,
                             bool synced, struct store_write_result *ret_results,
                             struct status *st);

/** Removes a concept, its vector and every association from and to it. Succeeds where there is
 * none; ABORTED (VERSION_MISMATCH) where @condition does not hold. */
enum status_code store_delete(struct store *store, const struct concept_id *id,
                              struct store_condition condition, bool synced, bool *ret_existed,
                              struct status *st);

/** strength × 1.02 (at most 10), access counted, last_accessed_us = @now_us, version + 1.
 * @ret_value  the concept as it is now, in wire form, in @arena. NOT_FOUND. */
enum status_code store_reinforce_concept(struct store *store, const struct concept_id *id,
                                         int64_t now_us, bool synced, struct arena *arena,
                                         struct text_view *ret_value, struct status *st);

/** A vector to replace the code of, as it was read. */
struct store_code {
    struct concept_id id;
    const void *refinement;
    size_t refinement_size;
    const uint8_t *code;  /* [STORE_CODE_BYTES] */
    bool drop_refinement; /* the code is all that stays: the row becomes empty */
};

/** Gives @n vectors the codes of @codebook_version (not 0), each only if its refinement row is
 * still the one given. Not synced: whoever finds an old code encodes again. Calls on_vector() for
 * those applied.
 * @ret_applied  [n], undefined when the call fails */
enum status_code store_set_codes(struct store *store, const struct store_code *items, size_t n,
                                 uint64_t codebook_version, bool *ret_applied, struct status *st);

/* ---- Associations ----------------------------------------------------------------------- */

/** Writes one association; one with the same (source, type, target, label) is replaced but keeps
 * its created_us and last_used_us. NOT_FOUND when the source is not stored.
 * @ret  as stored; its texts borrow from @association */
enum status_code store_associate(struct store *store, const struct store_association *association,
                                 bool synced, struct store_association *ret, bool *ret_created,
                                 struct status *st);

/** Removes one; only source, type, target and label are read. Succeeds where there is none. */
enum status_code store_dissociate(struct store *store, const struct store_association *key,
                                  bool synced, bool *ret_existed, struct status *st);

/** weight × 1.1 (at most 5), confidence + 0.02 (at most 1), last_used_us = @now_us. NOT_FOUND.
 * @ret  as stored; its texts borrow from @key */
enum status_code store_reinforce_association(struct store *store,
                                             const struct store_association *key, int64_t now_us,
                                             bool synced, struct store_association *ret,
                                             struct status *st);

/* ---- Outbox ----------------------------------------------------------------------------- */

enum store_edge_kind {
    STORE_PUT_IN = 1, /* sutra.internal.v1.EdgeOp.Kind */
    STORE_DELETE_IN = 2,
    STORE_DELETE_OUT = 3,
};

struct store_edge_op {
    enum store_edge_kind kind;
    /* With its stamp. A DELETE needs no more than key and stamp. */
    struct store_association association;
};

struct store_outbox_entry {
    uint64_t sequence;
    uint16_t slot; /* of the concept at the receiving end: target, or source for DELETE_OUT */
    struct store_edge_op op;
};

/** Applies what other shards delivered, in the order given, in one synced batch. Applying an op
 * again is harmless. */
enum status_code store_apply_edges(struct store *store, const struct store_edge_op *ops, size_t n,
                                   struct status *st);

/** The oldest entries behind @after_sequence (0: from the start), at most @max, in order. An entry
 * smaller than one already seen may appear later (its batch was overtaken), never one of the same
 * association: start from 0 again once the end is reached. What is returned is synced: the other
 * shard must not have what a power cut takes away here. Texts live in @arena. */
enum status_code store_outbox_peek(struct store *store, uint64_t after_sequence, size_t max,
                                   struct arena *arena, struct store_outbox_entry **ret_entries,
                                   size_t *ret_count, struct status *st);

/** Forgets delivered entries; those no longer pending are passed over. Not synced: after a power
 * cut they are delivered again. */
enum status_code store_outbox_remove(struct store *store, const uint64_t *sequences, size_t n,
                                     struct status *st);

/* ---- Reading ---------------------------------------------------------------------------- */

/** A stored concept in wire form. */
struct store_value {
    const void *data; /* NULL: no such concept */
    size_t size;
    void *handle; /* what is pinned; NULL: @data is a copy */
};

/** Frees what @value holds and empties it; {0} is fine. Any thread. */
void store_value_release(struct store_value *value);

/** NOT_FOUND when there is none. The caller releases @ret. */
enum status_code store_get(struct store *store, const struct concept_id *id,
                           struct store_value *ret, struct status *st);

/** Gets one of several concepts in wire form; NULL: there is none. May run under a lock: quick, and
 * no calls of the store. */
typedef void store_visitor(void *context, size_t i, const void *data, size_t size);

/** Calls @visit for each of @n concepts, in their order; not for all if reading fails. */
enum status_code store_get_many(struct store *store, const struct concept_id *ids, size_t n,
                                store_visitor *visit, void *context, struct status *st);

/** Vectors of @n concepts in @arena, refinement NULL for those that have none.
 * @ret_vectors  [n] */
enum status_code store_get_vectors(struct store *store, const struct concept_id *ids, size_t n,
                                   struct arena *arena, struct store_vector *ret_vectors,
                                   struct status *st);

/** Concepts of the slots @first_slot…@last_slot, behind (@first_slot, @after_id), ordered by
 * (slot, id), at most @limit and at most what @arena holds, in wire form in @arena. An empty
 * @after_id starts at the slot's first. As of one moment. RESOURCE_EXHAUSTED where not even one
 * fits.
 * @ret_done  nothing follows in the range */
enum status_code store_list(struct store *store, uint16_t first_slot, uint16_t last_slot,
                            struct text_view after_id, size_t limit, struct arena *arena,
                            struct text_view **ret_values, size_t *ret_count, bool *ret_done,
                            struct status *st);

enum store_direction {
    STORE_OUT,
    STORE_IN,
};

struct store_neighbors_query {
    struct concept_id id;
    enum store_direction direction;
    unsigned type_mask;      /* bit t: type t; 0: all */
    size_t limit;            /* at least 1 */
    struct text_view cursor; /* of an earlier answer to the same question; empty: from the start */
};

struct store_neighbors {
    struct store_association *items;
    size_t count;
    struct text_view cursor; /* continues behind the last item; empty: no more */
};

/** The associations of one concept on one side, ordered by (type, other end, label). None where the
 * concept does not exist. All in @arena. */
enum status_code store_neighbors(struct store *store, const struct store_neighbors_query *query,
                                 struct arena *arena, struct store_neighbors *ret,
                                 struct status *st);

/** Calls @visit for the vectors of @n concepts as they are now, one after the other, NULL where
 * there is none, under the ids' locks: like on_vector(), after which it is ordered, @visit must not
 * write to this store. Ends early when it returns false. */
enum status_code store_visit_vectors(struct store *store, const struct concept_id *ids, size_t n,
                                     bool (*visit)(void *context, const struct concept_id *id,
                                                   const struct store_vector *vector),
                                     void *context, struct status *st);

/** Calls @visit for every vector, in (slot, id) order, as of one moment; stops early when it
 * returns false. The arguments of @visit are valid during the call. */
enum status_code store_scan_vectors(struct store *store,
                                    bool (*visit)(void *context, const struct concept_id *id,
                                                  const struct store_vector *vector),
                                    void *context, struct status *st);

/* ---- Changes of vectors ----------------------------------------------------------------- */

/**
 * For a copy of the vectors that follows on_vector() and is saved now and then: which of them to
 * read again after a crash. Every batch that sets or removes vectors keeps a number and their ids.
 * (store_set_codes() changes codes, not vectors.)
 *
 *   mark = store_change_mark(); save the copy; store_sync(); publish it with its mark;
 *   store_forget_changes(mark)           …crash…           store_scan_changes(mark of the copy)
 */

/** on_vector() was told of every change with a lower number. Waits for the writes that are under
 * way. */
uint64_t store_change_mark(struct store *store);

/** Calls @visit for the id of every change from number @mark on, in the order of their numbers, an
 * id once for each of its changes; stops early when it returns false. FAILED_PRECONDITION when some
 * of these are forgotten, or the store was never at @mark. */
enum status_code store_scan_changes(struct store *store, uint64_t mark,
                                    bool (*visit)(void *context, const struct concept_id *id),
                                    void *context, struct status *st);

/** Forgets the changes before @mark. */
enum status_code store_forget_changes(struct store *store, uint64_t mark, struct status *st);

/**
 * Returns when every write that was visible before the call is in the synced log; those who wait at
 * the same time share one fsync. After one that failed nobody knows what is on the disk: this fails
 * until the store is opened again.
 */
enum status_code store_sync(struct store *store, struct status *st);

/* ---- The shard -------------------------------------------------------------------------- */

/** What is kept once per shard; opaque. */
enum store_blob {
    STORE_CODEBOOK,
    STORE_CALIBRATION,
};

/** Replaces the blob. */
enum status_code store_put_blob(struct store *store, enum store_blob blob, const void *data,
                                size_t size, bool synced, struct status *st);

/** The blob in @arena; empty when there is none. */
enum status_code store_get_blob(struct store *store, enum store_blob blob, struct arena *arena,
                                struct text_view *ret, struct status *st);

struct store_stats {
    uint64_t concepts;
    uint64_t vectors;
    uint64_t content_bytes;
    uint64_t associations_out; /* records, not ends */
    uint64_t associations_in;
    uint64_t outbox_pending;
    uint64_t disk_bytes; /* blocks of every file of the folder */
};

/** Exact counts of what is committed. Reads the folder's directory, no records. */
enum status_code store_stats(struct store *store, struct store_stats *ret, struct status *st);

/** What it holds, does and takes, and what RocksDB says of itself; @ctx is a store. Reads the
 * folder's directory, no records. */
metrics_collect_fn store_collect;

/** Of RocksDB: grows with every record written. */
uint64_t store_sequence(struct store *store);

/** Moves what is still in the log only into sorted, compressed files, and drops the log: less disk,
 * and a faster open. Reads and writes go on. */
enum status_code store_flush(struct store *store, struct status *st);

/** Rewrites the vectors, most of which were replaced: less disk. Long; reads and writes go on.
 * CANCELLED after store_stop_compacting(). */
enum status_code store_compact_vectors(struct store *store, struct status *st);

/** Ends running compactions that were asked for, and lets no other begin. */
void store_stop_compacting(struct store *store);

/** Rewrites the folder into its smallest form; long. Reads and writes go on. */
enum status_code store_compact(struct store *store, struct status *st);

struct store_verify_report {
    uint64_t concepts;
    uint64_t vectors;
    uint64_t associations_out;
    uint64_t associations_in;
    uint64_t outbox_pending;
    uint64_t problems;
};

/**
 * Reads everything and checks it: every record parses and stands under its own key, a vector and
 * an out record have their concept, both records of an association with both ends here are equal,
 * the counters count. @problem gets a sentence for each fault. OK with problems > 0 is a folder
 * that can be read but is wrong; DATA_LOSS one that cannot. Exact only while nobody writes.
 */
enum status_code store_verify(struct store *store,
                              void (*problem)(void *context, const char *sentence), void *context,
                              struct store_verify_report *ret, struct status *st);

#endif
