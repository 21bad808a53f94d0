#ifndef SUTRA_VECTOR_SEGMENT_IMPL_H
#define SUTRA_VECTOR_SEGMENT_IMPL_H

/**
 * What the files of the segment share; nobody else includes this.
 *
 * A position is 256 * group index + place in the group. Places are handed out once: what is written
 * in one never changes while the group lasts. The directory says which places are alive; it, the
 * id map and the cells are read and written under the lock. A reader copies from the directory the
 * entries it wants, and then reads codes, ids and rows without any lock: places that were alive in
 * its copy. What writers take out of use meanwhile (a group that was dissolved, the narrower codes
 * of one that grew) is retired, and freed when the last reader that could know it has left. So
 * nothing is ever copied because somebody reads.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "src/vector/id_map.h"
#include "src/vector/kernel.h"
#include "src/vector/segment.h"
#include "src/vector/segment_slabs.h"

enum {
    SEGMENT_WORD = 64, /* places that ids and rows are kept by */
    SEGMENT_WORDS = KERNEL_GROUP_WORDS,
    SEGMENT_GROUP = KERNEL_GROUP,
    SEGMENT_MAX_GROUPS = (1 << 24) - 1,
    SEGMENT_OFFSETS_BYTES = SEGMENT_WORD * 2,
};

static const uint32_t SEGMENT_NONE = UINT32_MAX;

struct segment;

/* At the beginning of what is retired. */
struct segment_block {
    struct segment_block *next; /* retired later */
    uint64_t number;            /* so many were retired before it */
    void (*destroy)(struct segment *segment, struct segment_block *block); /* under the lock */
};

/*
 * What readers find in a group for 64 places, in one line of the cache. Null until there is
 * something; then they change only to a copy with more room. Both may lie in the mapping.
 *
 * Ids: uint16 offset[64] from the beginning, then for each its length, 1 byte, and its bytes.
 */
struct segment_word {
    _Atomic(const uint8_t *) ids;
    _Atomic(const uint8_t *) rows; /* [64][row bytes] */
    atomic_uint_fast64_t present;  /* bit set: the row is there */
    uint32_t id_bytes; /* under the lock: of each id, its length included; 0: they differ */
} __attribute__((aligned(32)));

struct segment_group {
    struct segment_block block;
    struct segment_word words[SEGMENT_WORDS];
    const uint8_t *last_codes; /* of a retired one */
    size_t last_words;
    /* writers' */
    uint32_t ids_used; /* bytes, of the last ids that were begun, offsets included */
    uint32_t ids_capacity;
    uint32_t cell;
    uint32_t live;
};

/* Of the directory, and a reader's copy of it. */
struct segment_entry {
    struct segment_group *group; /* NULL: the index is free */
    const uint8_t *codes;        /* [48][64 * words]; NULL where there are rows alone */
    uint64_t valid[SEGMENT_WORDS];
    uint32_t index;
    uint16_t words;
    uint16_t used; /* places handed out */
    uint32_t next; /* older group of the cell, or the next free index; SEGMENT_NONE: none */
    uint32_t previous;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct segment_entry) == 64, "an entry is a line of the cache");

struct segment_cell {
    uint32_t newest; /* the group that is appended to; SEGMENT_NONE: none */
    uint32_t live;
};

/* Somebody who looks at groups without the lock. On the reader's stack. */
struct segment_reader {
    struct segment_reader *next; /* came later */
    struct segment_reader *previous;
    uint64_t number; /* what was retired before it came */
};

struct segment {
    atomic_size_t references;
    size_t dimension;
    enum refine_format refine;
    size_t row_bytes;
    size_t row_budget;
    struct codebook *codebook; /* NULL: rows alone */
    uint32_t cell_count;       /* at least 1 */
    void *mapping;             /* of the file it was loaded from, or NULL */
    size_t mapping_bytes;
    atomic_uint waiting_readers; /* for the lock */
    atomic_uint groups;          /* indices in use or free; changes under the lock */

    pthread_mutex_t lock;            /* over everything below */
    struct segment_entry *directory; /* [groups] */
    uint32_t capacity;
    uint32_t free_index; /* first of the free ones */
    uint32_t free_groups;
    struct segment_cell *cells;
    struct id_map map;
    uint64_t generation; /* grows when a position is handed out */
    uint64_t ids_ever;   /* and their bytes: how long an id is on average */
    uint64_t id_bytes_ever;
    size_t rows;                      /* at hand, of concepts that are alive */
    struct segment_slabs full_codes;  /* a unit: a group's */
    struct segment_slabs other_codes; /* a unit: 64 of them; apart, or what growing groups leave
                                         behind would be holes too small for full ones */
    struct segment_slabs row_blocks;  /* 64 rows each */
    size_t row_blocks_bytes;          /* of groups in the directory */
    size_t row_allowance; /* beyond the budget, for what will be freed before the lock is left */
    size_t block_bytes;   /* of groups and ids, retired ones too */
    uint64_t retired_ever;
    struct segment_block *oldest_retired;
    struct segment_block *newest_retired;
    struct segment_reader *oldest_reader;
    struct segment_reader *newest_reader;
};

/* ---- segment_read.c: the lock, readers, snapshots ---- */

/** For writers, who let waiting readers go first: those hold the lock rarely, writers all the time.
 */
void segment_lock(struct segment *segment);

void segment_lock_as_reader(struct segment *segment);

/** Frees what nobody can know any more, too. */
void segment_unlock(struct segment *segment);

/** Under the lock: from here to segment_leave() nothing is freed that is in the directory now. */
void segment_enter(struct segment *segment, struct segment_reader *reader);

/** Takes the lock. */
void segment_leave(struct segment *segment, struct segment_reader *reader);

/** Under the lock: @block is destroyed once no reader knows it. */
void segment_retire(struct segment *segment, struct segment_block *block);

/** A run of a snapshot's entries: all of one cell, or of all cells. */
struct segment_run {
    size_t first;
    size_t count;
};

/* Stays where it is from taking to release: others know the reader in it. */
struct segment_snapshot {
    struct segment_reader reader;
    struct segment_entry *entries; /* those without a living place may be left out */
    size_t capacity;
    size_t count;
    size_t places; /* not less than are alive */
};

/**
 * Copies the entries of @cells [n], one run each; NULL: all in one run. With @filter only what it
 * has. ABORTED if it is stale, RESOURCE_EXHAUSTED without memory; else to be released.
 */
enum status_code segment_snapshot_take(struct segment *segment, const uint32_t *cells, size_t n,
                                       const struct segment_filter *filter,
                                       struct segment_snapshot *snapshot,
                                       struct segment_run *ret_runs, struct status *st);

void segment_snapshot_release(struct segment *segment, struct segment_snapshot *snapshot);

/* ---- segment_filter.c ---- */

/** Under the lock. */
bool segment_filter_is_fresh(const struct segment_filter *filter, const struct segment *segment);

/** The members of a group, [SEGMENT_WORDS]; the filter is fresh. */
const uint64_t *segment_filter_words(const struct segment_filter *filter, uint32_t group);

/* ---- segment_group.c: parts of groups; all under the lock ---- */

/** A group of @cell at the front of its list; codes of @words in the mapping, or NULL for memory of
 * its own. SEGMENT_NONE without memory or indices. */
uint32_t segment_add_group(struct segment *segment, uint32_t cell, size_t words,
                           const uint8_t *mapped_codes);

/** Takes it out of its list and retires it; nothing in it may be alive. */
void segment_drop_group(struct segment *segment, uint32_t index);

/** Room for the next place, its code, its id of @id_length bytes, and, if @row, its row, which
 * beside codes may come to nothing. The group is not full. False without memory. */
bool segment_reserve_place(struct segment *segment, struct segment_entry *entry, size_t id_length,
                           bool row);

/** Room for the row of a place; false without memory, or beyond the budget. */
bool segment_reserve_row(struct segment *segment, struct segment_group *group, size_t place);

/** Of the budget for rows. */
size_t segment_group_row_bytes(const struct segment *segment, const struct segment_group *group);

/** Fills the next place, for which room was reserved; @code and @row may be NULL. Its number. */
uint32_t segment_fill_place(struct segment *segment, struct segment_entry *entry, const void *id,
                            size_t id_length, const uint8_t *code, const uint8_t *row);

/** Has a word note the length of its next id, the one of @place. */
void segment_note_id(struct segment_word *word, size_t place, size_t id_length);

/** Asks for what segment_fill_place() will write, unless the group must grow first. */
void segment_prefetch_code(const struct segment_entry *entry);

/** The row was reserved, and is not there. */
void segment_fill_row(struct segment *segment, struct segment_group *group, size_t place,
                      const uint8_t *row);

static inline bool segment_is_mapped(const struct segment *segment, const void *bytes)
{
    return (uintptr_t)bytes - (uintptr_t)segment->mapping < segment->mapping_bytes;
}

/* ---- reading a group: by readers for places alive in their copy, or under the lock ---- */

static inline struct segment_id segment_group_id(const struct segment_group *group, size_t place)
{
    const struct segment_word *word = &group->words[place / SEGMENT_WORD];
    const uint8_t *ids = atomic_load_explicit(&word->ids, memory_order_acquire);
    uint16_t offset;

    memcpy(&offset, ids + 2 * (place % SEGMENT_WORD), sizeof offset);
    return (struct segment_id){ ids + offset + 1, ids[offset] };
}

/** NULL: not at hand. */
static inline const uint8_t *segment_group_row(const struct segment *segment,
                                               const struct segment_group *group, size_t place)
{
    const struct segment_word *word = &group->words[place / SEGMENT_WORD];
    uint64_t present = atomic_load_explicit(&word->present, memory_order_acquire);

    if ((present >> (place % SEGMENT_WORD) & 1) == 0)
        return NULL;
    return atomic_load_explicit(&word->rows, memory_order_acquire) +
           place % SEGMENT_WORD * segment->row_bytes;
}

static inline void segment_prefetch(const uint8_t *bytes, size_t size)
{
    enum { LINE = 64 };
    const uint8_t *last = bytes + size - 1;

    for (; bytes < last; bytes += LINE)
        __builtin_prefetch(bytes);
    __builtin_prefetch(last);
}

/** The code whose first part is @at, the others @stride bytes apart. */
static inline void segment_gather_code(const uint8_t *at, size_t stride,
                                       uint8_t ret_code[CODEBOOK_CODE_BYTES])
{
    for (size_t part = 0; part < CODEBOOK_PARTS; part++)
        ret_code[part] = at[part * stride];
}

static inline void segment_entry_code(const struct segment_entry *entry, size_t place,
                                      uint8_t ret_code[CODEBOOK_CODE_BYTES])
{
    segment_gather_code(entry->codes + place, (size_t)SEGMENT_WORD * entry->words, ret_code);
}

/** Asks for the beginning of a group's codes, the rest of which the processor sees coming. Groups
 * lie anywhere: without it scanning each would begin with waiting. */
static inline void segment_prefetch_codes(const uint8_t *codes)
{
    enum { LINES = 48, LINE = 64 };

    for (size_t line = 0; line < LINES; line++)
        __builtin_prefetch(codes + LINE * line, 0, 2);
}

/* ---- segment.c: positions; under the lock ---- */

static inline bool segment_same_word(const void *a, const void *b)
{
    uint64_t words[2];

    memcpy(&words[0], a, sizeof words[0]);
    memcpy(&words[1], b, sizeof words[1]);
    return words[0] == words[1];
}

static inline bool segment_same_half(const void *a, const void *b)
{
    uint32_t halves[2];

    memcpy(&halves[0], a, sizeof halves[0]);
    memcpy(&halves[1], b, sizeof halves[1]);
    return halves[0] == halves[1];
}

/** Ids of 4 to 16 bytes, compared by two words that may overlap, need no call. */
static inline bool segment_same_id(struct segment_id a, struct segment_id b)
{
    const char *x = a.data;
    const char *y = b.data;
    size_t n = a.length;

    if (n != b.length)
        return false;
    if (n < 4 || n > 16)
        return memcmp(x, y, n) == 0;
    if (n < 8)
        return segment_same_half(x, y) && segment_same_half(x + n - 4, y + n - 4);
    return segment_same_word(x, y) && segment_same_word(x + n - 8, y + n - 8);
}

/** ID_MAP_NONE if absent. */
uint32_t segment_position(const struct segment *segment, uint64_t hash, struct segment_id id);

/** Hashes of the ids at positions, for the map. */
void segment_hashes(const void *segment, const uint32_t *positions, size_t n, uint64_t *ret_hashes);

/** A place that was filled, or loaded, is alive. */
void segment_count_place(struct segment *segment, struct segment_entry *entry, uint32_t place);

static inline struct segment_entry *segment_entry_at(const struct segment *segment,
                                                     uint32_t position)
{
    return &segment->directory[position / SEGMENT_GROUP];
}

static inline const struct segment_word *segment_word_at(const struct segment *segment,
                                                         uint32_t position)
{
    const struct segment_group *group = segment_entry_at(segment, position)->group;

    return &group->words[position % SEGMENT_GROUP / SEGMENT_WORD];
}

static inline bool segment_place_lives(const struct segment_entry *entry, size_t place)
{
    return entry->valid[place / SEGMENT_WORD] >> (place % SEGMENT_WORD) & 1;
}

#endif
