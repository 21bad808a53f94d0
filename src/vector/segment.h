#ifndef SUTRA_VECTOR_SEGMENT_H
#define SUTRA_VECTOR_SEGMENT_H

/**
 * The vectors of a shard, arranged for scanning: a derived copy of what the store holds, to be
 * rebuilt from it at any time. Per concept its id and either the code of a codebook (segment_new()
 * with one) or, while there is none, its refinement row; then search is exact over the rows.
 *
 * Concepts lie in groups of 256, codes transposed [48][256], so that one register holds one part of
 * many concepts and memory is read as one stream. Groups are only appended to: replacing or
 * removing a concept clears its bit, and a group that is less than half alive is dissolved, its
 * members moved to the last group. So the segment is never more than about twice as big as needed.
 *
 * Threads: everything may be called from any thread. Writers exclude each other for microseconds. A
 * search takes a consistent snapshot (some microseconds under the same lock), then scans without
 * any lock: it sees all writes that returned before it started, and of writes that overlap it
 * either the state before or after, never an id twice or missing. Callers hold a reference while
 * they use it.
 *
 * Not durable by itself: segment_save() writes a file that segment_load() maps.
 *
 * Letters: d dimensions, nq queries, r results.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/arena.h"
#include "src/base/status.h"
#include "src/vector/codebook.h"

enum { SEGMENT_GROUP = 256, SEGMENT_MAX_ID_BYTES = 255, SEGMENT_FORMAT = 1 };

struct segment;

/**
 * An empty segment. @codebook NULL: refinement rows; else codes, and it takes its own reference
 * (@d must be the codebook's). NULL without memory.
 */
struct segment *segment_new(size_t d, struct codebook *codebook);

struct segment *segment_ref(struct segment *segment);

/** The last one frees. NULL is fine. */
void segment_unref(struct segment *segment);

/**
 * Adds or replaces the vector of @id (1 to 255 bytes, copied). With a codebook @code [48] is taken
 * and @refine_row ignored; without one it is the other way round. The ignored one may be NULL.
 *
 * Errors, each leaving the segment as it was: INVALID_ARGUMENT (id length; a row whose scale is
 * negative or not finite), RESOURCE_EXHAUSTED (memory, or 2^32 positions).
 */
enum status_code segment_put(struct segment *segment, const void *id, size_t id_length,
                             const uint8_t *refine_row, const uint8_t *code, struct status *st);

/** True if it was there. */
bool segment_remove(struct segment *segment, const void *id, size_t id_length);

bool segment_contains(struct segment *segment, const void *id, size_t id_length);

/** Concepts that a search would see. */
size_t segment_count(struct segment *segment);

/** Bytes allocated and mapped, for statistics. */
size_t segment_memory_bytes(struct segment *segment);

/** The codebook of its codes, NULL if it holds rows; valid as long as the caller's reference. */
struct codebook *segment_codebook(const struct segment *segment);

struct segment_hit {
    float approximate; /* estimated cosine; without a codebook the score of the row */
    uint32_t id_length;
    const uint8_t *id; /* in the caller's arena */
};

struct segment_hits {
    struct segment_hit *hits; /* approximate descending, then id ascending (see topk.h) */
    size_t count;
};

/** Polled from the searching thread every few groups; true ends the search. */
typedef bool (*segment_cancelled)(void *context);

/**
 * The best @r concepts for each of @queries [nq][d], unit vectors, finite. Hits and their ids live
 * in @arena. Several queries in one call share the reading of memory. @cancelled may be NULL.
 *
 * O(nq * count); scratch memory of 16 queries' tables and r entries each.
 * Errors: CANCELLED, RESOURCE_EXHAUSTED (memory or the arena's limit); @ret_hits [nq] untouched
 * then.
 */
enum status_code segment_search(struct segment *segment, const float *queries, size_t nq, size_t r,
                                segment_cancelled cancelled, void *context, struct arena *arena,
                                struct segment_hits *ret_hits, struct status *st);

/**
 * Writes the living concepts of one moment to @path: a temporary file beside it, fsync, rename,
 * fsync of the folder. @store_sequence names the state of the store that the segment reflects; the
 * caller sees to it that no write overlaps. One save per path at a time. Errors: as errno has them;
 * the old file stays whole.
 *
 * The file, little-endian; every section starts at a multiple of 4096, gaps are zero. n concepts in
 * g = ceil(n / 256) groups; unused places of the last group are zero.
 *
 *      0  char    magic[8]          "SUTRASEG"
 *      8  uint32  format            1
 *     12  uint32  kind              0: refinement rows, 1: codes
 *     16  uint32  d
 *     20  uint32  bytes per vector  4 + d, or 48
 *     24  uint64  codebook version  0 for rows
 *     32  uint64  store sequence
 *     40  uint64  n
 *     48  section vectors           codes: [g][48][256] bytes; rows: [g][256][4 + d] bytes
 *     72  section id lengths        [n] bytes, each >= 1
 *     96  section ids               concatenated bytes
 *    120  uint64  XXH3_64 of bytes 0 .. 119
 *
 *   section, 24 bytes: uint64 offset, uint64 size, uint64 XXH3_64 of its bytes
 */
enum status_code segment_save(struct segment *segment, const char *path, uint64_t store_sequence,
                              struct status *st);

/**
 * Maps a file that segment_save() wrote; everything in it is checked first. The segment can be
 * written to as any other; the file does not change and may be replaced meanwhile.
 *
 * Errors, each meaning "rebuild from the store": NOT_FOUND (no file), FAILED_PRECONDITION (another
 * d, codebook, store sequence or format), DATA_LOSS (damaged). RESOURCE_EXHAUSTED without memory.
 * The caller owns one reference of *@ret.
 */
enum status_code segment_load(const char *path, size_t d, struct codebook *codebook,
                              uint64_t expected_store_sequence, struct segment **ret,
                              struct status *st);

#endif
