#ifndef SUTRA_VECTOR_SEGMENT_H
#define SUTRA_VECTOR_SEGMENT_H

/**
 * The vectors of a shard, arranged for scanning: a derived copy of what the store holds, to be
 * rebuilt from it at any time. Per concept its id, its code, and, as far as the budget for them
 * goes, its refinement row. While there is no codebook there are rows alone, all of them, and
 * search is exact over the rows.
 *
 * Concepts lie in groups of at most 256, those of one coarse cell together, codes transposed
 * [48][64 * words], so that one register holds one part of many concepts and memory is read as one
 * stream. A group that is being filled grows by 64 places at a time. Replacing or removing a
 * concept clears its bit, and a group that is less than half alive is dissolved, its members moved
 * to the last group of the cell.
 *
 * Threads: everything may be called from any thread. Writers exclude each other for microseconds. A
 * search takes a consistent snapshot of what it will scan (some microseconds under the same lock),
 * then scans without any lock: it sees all writes that returned before it started, and of writes
 * that overlap it either the state before or after, never an id twice or missing. Callers hold a
 * reference while they use it.
 *
 * Not durable by itself: segment_save() writes a file that segment_load() maps.
 *
 * Letters: d dimensions, nq queries, r candidates, k results.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/arena.h"
#include "src/base/status.h"
#include "src/vector/codebook.h"
#include "src/vector/refine.h"

enum { SEGMENT_MAX_ID_BYTES = 255, SEGMENT_FORMAT = 3 };

struct segment;

struct segment_options {
    size_t dimension;
    enum refine_format refine;
    struct codebook *codebook; /* NULL: rows only; else it takes its own reference */
    size_t row_budget_bytes;   /* of rows kept beside codes; what goes beyond is not kept */
};

/** An empty segment. NULL without memory. */
struct segment *segment_new(const struct segment_options *options);

struct segment *segment_ref(struct segment *segment);

/** The last one frees. NULL is fine. */
void segment_unref(struct segment *segment);

/**
 * Adds or replaces the vector of @id (1 to 255 bytes, copied).
 *
 * @row   the refinement row, valid; with a codebook NULL says that it is not at hand
 * @code  [48], ignored (may be NULL) without a codebook
 * @cell  of the codebook's cells; 0 where there are none
 *
 * Errors, each leaving the segment as it was: INVALID_ARGUMENT (id length, an invalid row without a
 * codebook, a cell that is none), RESOURCE_EXHAUSTED (memory, or 2^32 positions).
 */
enum status_code segment_put(struct segment *segment, const void *id, size_t id_length,
                             const uint8_t *row, const uint8_t *code, uint32_t cell,
                             struct status *st);

/** Gives a concept that lacks its row the row, if the budget allows. The caller sees to it that it
 * is the row its code was made from. False if there is no such concept or no room. */
bool segment_put_row(struct segment *segment, const void *id, size_t id_length, const uint8_t *row);

/** True if it was there. */
bool segment_remove(struct segment *segment, const void *id, size_t id_length);

struct segment_stats {
    size_t count;        /* concepts that a search would see */
    size_t rows;         /* of them, how many have their row at hand */
    size_t memory_bytes; /* allocated and mapped, rows included */
    size_t row_bytes;    /* of them, for rows */
    size_t groups;
};

struct segment_stats segment_stats(struct segment *segment);

/** Concepts per cell, @ret_sizes [cells]. */
void segment_cell_sizes(struct segment *segment, uint64_t *ret_sizes);

/** The codebook of its codes, NULL if it holds rows alone; valid as long as the caller's reference.
 */
struct codebook *segment_codebook(const struct segment *segment);

/* ---- Filters ---------------------------------------------------------------------------- */

/**
 * A set of the segment's concepts, as a bitmap consulted per group: groups without a member are not
 * read. One thread fills it, then any number may search with it. Concepts that are moved or added
 * after segment_filter_new() make it stale, which a search says.
 */
struct segment_filter;

/** Empty. NULL without memory. */
struct segment_filter *segment_filter_new(struct segment *segment);

/** False if the id is not in the segment. */
bool segment_filter_add(struct segment_filter *filter, const void *id, size_t id_length);

/** NULL is fine. */
void segment_filter_free(struct segment_filter *filter);

/* ---- Searching -------------------------------------------------------------------------- */

struct segment_hit {
    float approximate; /* estimated cosine; without a codebook the score of the row */
    float refined;     /* cosine by the row; NAN where the row is not at hand */
    uint32_t id_length;
    const uint8_t *id; /* in the caller's arena */
};

struct segment_hits {
    struct segment_hit *hits;
    size_t count;
    size_t scanned_codes; /* what was looked at to find them; dead and filtered ones too */
    size_t scanned_cells; /* 0: all, or there are none */
};

/** Polled from the searching thread every few groups; true ends the search. */
typedef bool (*segment_cancelled)(void *context);

struct segment_search {
    size_t r;        /* how many of the best by code are refined */
    size_t k;        /* 0: all r are returned, by (approximate descending, id ascending). Else the k
                        best of them by (refined descending, id ascending; without row: by
                        approximate, behind those with one) */
    float reach;     /* > 0: scan the cells of codebook_query_cells_within() */
    size_t nprobe;   /* else so many; 0, or at least as many as there are: all */
    bool codes_only; /* leave `refined` NAN, do not touch rows */
    const struct segment_filter *filter; /* NULL: all concepts */
    segment_cancelled cancelled;         /* NULL: never */
    void *context;
};

/**
 * The best concepts for each of @queries [nq][d], unit vectors, finite. Hits and their ids live in
 * @arena. Several queries in one call share the reading of memory: groups are scanned for all
 * queries that probe their cell while they are in the cache.
 *
 * Errors: CANCELLED, RESOURCE_EXHAUSTED (memory or the arena's limit), ABORTED (the filter is
 * stale); @ret_hits [nq] untouched then.
 */
enum status_code segment_search(struct segment *segment, const float *queries, size_t nq,
                                const struct segment_search *options, struct arena *arena,
                                struct segment_hits *ret_hits, struct status *st);

/* ---- Distances -------------------------------------------------------------------------- */

struct segment_id {
    const void *data;
    size_t length;
};

enum segment_measure {
    SEGMENT_BY_ROW,  /* cosine of the refinement rows */
    SEGMENT_BY_CODE, /* as codebook_similarity() has it; needs a codebook */
};

/**
 * Cosine similarities of @n pairs, in one pass that hides the latency of memory.
 * @ret_similarities  [n]; NAN where a concept is unknown or its row not at hand
 * RESOURCE_EXHAUSTED without memory.
 */
enum status_code segment_pairs(struct segment *segment, const struct segment_id *a,
                               const struct segment_id *b, size_t n, enum segment_measure measure,
                               float *ret_similarities, struct status *st);

/** The same between @query, a unit vector, and @n concepts; by code: as a search estimates it, and
 * far faster for many concepts than for few: from two for each group on, groups are scanned. */
enum status_code segment_score(struct segment *segment, const float *query,
                               const struct segment_id *ids, size_t n, enum segment_measure measure,
                               float *ret_similarities, struct status *st);

/**
 * Copies what is compared above: rows, or codes of CODEBOOK_CODE_BYTES.
 * @ret  [n][row or code]; @ret_found [n]: false where a concept is unknown or its row not at hand
 */
enum status_code segment_fetch(struct segment *segment, const struct segment_id *ids, size_t n,
                               enum segment_measure measure, uint8_t *ret, bool *ret_found,
                               struct status *st);

/** Which of @n ids are there: @ret_found [n]. Returns how many. */
size_t segment_find(struct segment *segment, const struct segment_id *ids, size_t n,
                    bool *ret_found);

/* ---- The file --------------------------------------------------------------------------- */

/**
 * Writes codes, cells and ids of the living concepts of one moment (without a codebook: the rows)
 * to @path: a temporary file beside it, fsync, rename, fsync of the folder. @mark goes with it: for
 * the caller, who knows by it what of the store the segment reflects. Writes go on; one that
 * overlaps is in the file or not. One save per path at a time. Errors: as errno has them; the old
 * file stays whole. Format 3 is drawn in segment_file.h.
 */
enum status_code segment_save(struct segment *segment, const char *path, uint64_t mark,
                              struct status *st);

/** The same in two steps, for a caller with something to do in between: the temporary file … */
enum status_code segment_write(struct segment *segment, const char *path, uint64_t mark,
                               struct status *st);

/** … and its way to @path. */
enum status_code segment_publish(const char *path, struct status *st);

/**
 * Maps a file that segment_save() wrote; everything in it is checked first. The segment can be
 * written to as any other; the file does not change and may be replaced meanwhile. Rows are not in
 * a file of codes: segment_put_row() brings them back.
 *
 * Errors, each meaning "rebuild from the store": NOT_FOUND (no file), FAILED_PRECONDITION (another
 * d, refinement, codebook version or format), DATA_LOSS (damaged). RESOURCE_EXHAUSTED without
 * memory. The caller owns one reference of *@ret.
 */
enum status_code segment_load(const char *path, const struct segment_options *options,
                              struct segment **ret, uint64_t *ret_mark, struct status *st);

#endif
