#ifndef SUTRA_VECTOR_SEGMENT_IMPL_H
#define SUTRA_VECTOR_SEGMENT_IMPL_H

/**
 * What the files of the segment share; nobody else includes this.
 *
 * A position is 256 * group index + place in the group. Places are handed out once: what is written
 * in one never changes. Only the tail, the group being filled, is written to; readers look at
 * places whose valid bit they hold, and at a copy of the tail's codes, since there a register's
 * width holds many places.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "src/vector/id_map.h"
#include "src/vector/segment.h"

enum { SEGMENT_GROUP_WORDS = SEGMENT_GROUP / 64 };

struct segment_id_block;

struct segment_group {
    size_t references;                  /* views that hold it; under the segment's lock */
    size_t bytes;                       /* allocated for it */
    uint32_t used;                      /* places handed out */
    uint32_t live;                      /* places whose valid bit is set */
    uint8_t *vectors;                   /* codes [48][256] or rows [256][4 + d], 64-byte aligned */
    bool owns_vectors;                  /* else they lie in the segment's mapping */
    struct segment_id_block *id_blocks; /* newest first; ids may also lie in the mapping */
    const uint8_t *ids[SEGMENT_GROUP];
    uint8_t id_lengths[SEGMENT_GROUP];
};

/* The groups of one moment. Shared by searches; a writer changes it only while nobody else holds
 * it, else it makes a copy. */
struct segment_view {
    size_t references; /* under the segment's lock */
    size_t count;
    size_t capacity;
    struct segment_group *groups[]; /* NULL: dissolved, the index is free */
};

struct segment {
    atomic_size_t references;
    size_t dimension;
    struct codebook *codebook; /* NULL: rows */
    size_t vector_bytes;       /* of one code or row */
    void *mapping;             /* of the file it was loaded from, or NULL */
    size_t mapping_bytes;

    pthread_mutex_t lock; /* over everything below */
    struct segment_view *view;
    size_t tail;       /* index of the group that is appended to; meaningless while there is none */
    size_t first_free; /* no index below it is free */
    uint64_t (*valid)[SEGMENT_GROUP_WORDS]; /* [view->capacity] */
    struct id_map map;
};

/* All that a reader needs; consistent, and unchanged until released. */
struct segment_snapshot {
    struct segment_view *view;
    uint64_t (*valid)[SEGMENT_GROUP_WORDS];
    size_t live;
    size_t tail;
    uint8_t *tail_codes; /* NULL: look into the group */
};

/** False without memory. */
bool segment_snapshot_take(struct segment *segment, struct segment_snapshot *ret);

void segment_snapshot_release(struct segment *segment, struct segment_snapshot *snapshot);

const uint8_t *segment_snapshot_vectors(const struct segment_snapshot *snapshot, size_t group);

size_t segment_group_bytes(const struct segment *segment);

/** For loading: a new group at the end, which becomes the tail. @vectors in the mapping, or NULL
 * for memory of its own (uninitialised). NULL without memory. */
struct segment_group *segment_add_group(struct segment *segment, uint8_t *vectors);

/** For loading: the next place of the tail gets an id in the mapping. False if it is there already;
 * room in the map was reserved. */
bool segment_adopt_id(struct segment *segment, const uint8_t *id, uint8_t id_length);

#endif
