#ifndef SUTRA_VECTOR_SEGMENT_SLABS_H
#define SUTRA_VECTOR_SEGMENT_SLABS_H

/**
 * Memory for what a segment has many of, in runs of a few units of one size: cut from large pieces
 * on large pages, so that a scan meets one group after the other, and a random access costs one
 * translation of its address. The first pieces are small, as the segment is. A piece that is empty
 * is given back.
 *
 * One thread at a time. `{ .unit_bytes = …, .most_bytes = … }`, the unit a multiple of 64, is an
 * empty one.
 */

#include <stddef.h>
#include <stdint.h>

enum {
    SEGMENT_SLABS_RUN = 4, /* most units at once */
    SEGMENT_SLABS_LARGE_PAGE = 2 << 20
};

struct segment_slab;

struct segment_slabs {
    size_t unit_bytes;
    size_t most_bytes;           /* of a piece, about; from a large page on it is on large pages */
    struct segment_slab **slabs; /* by address */
    size_t count;
    size_t capacity;
    size_t bytes; /* allocated */
};

/** All that was taken is gone. */
void segment_slabs_deinit(struct segment_slabs *slabs);

/** @units units in one piece, 64-byte aligned, uninitialised; NULL without memory. */
void *segment_slabs_take(struct segment_slabs *slabs, size_t units);

/** As taken. NULL is fine. */
void segment_slabs_give(struct segment_slabs *slabs, const void *memory, size_t units);

#endif
