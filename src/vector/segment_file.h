#ifndef SUTRA_VECTOR_SEGMENT_FILE_H
#define SUTRA_VECTOR_SEGMENT_FILE_H

/**
 * The file of a segment, format 3, as segment_save.c writes and segment_load.c reads it; nobody
 * else includes this. Little-endian; everything between header and sections is zero.
 *
 *      0   8  magic "SUTRASEG"
 *      8   4  format
 *     12   4  kind: 0 rows, 1 codes
 *     16   4  dimension
 *     20   4  format of the refinement rows
 *     24   4  cells, at least 1
 *     28   4  groups
 *     32   8  version of the codebook; 0 without
 *     40   8  the caller's mark; in format 2 a sequence of the store
 *     48   8  concepts
 *     56  72  offset, size and XXH3 of each section, 8 bytes each
 *    128   8  XXH3 of the 128 bytes before
 *
 * The sections follow each other, each from the next page (4096) on, the last one to the end:
 *
 *   groups   per group its cell (4) and how many places it has (4), 1 to 256. Cells ascend; all
 *            groups of a cell but the last have 256.
 *   vectors  per group, with words = places / 64 rounded up: its codes [48][64 * words], or its
 * rows [64 * words][row bytes]. What is behind the places is zero. ids      per 64 places of a
 * group: their offsets (2 each, 64 of them, zero behind the places) from here, then each id's
 * length (1) and bytes, then a zero if the size is odd.
 */

#include <stdint.h>

#include "src/vector/segment_impl.h"

enum { SEGMENT_PAGE = 4096, SEGMENT_HEADER_CHECKED_BYTES = 128 };

enum { SECTION_GROUPS, SECTION_VECTORS, SECTION_IDS, SECTIONS };

enum { KIND_ROWS = 0, KIND_CODES = 1 };

struct segment_section {
    uint64_t offset;
    uint64_t size;
    uint64_t checksum;
};

struct segment_header {
    char magic[8];
    uint32_t format;
    uint32_t kind;
    uint32_t dimension;
    uint32_t refine;
    uint32_t cells;
    uint32_t groups;
    uint64_t codebook_version;
    uint64_t mark;
    uint64_t count;
    struct segment_section sections[SECTIONS];
    uint64_t checksum;
};

_Static_assert(sizeof(struct segment_header) == SEGMENT_HEADER_CHECKED_BYTES + 8,
               "the header has no gaps");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the file is written as it lies in memory");

struct segment_group_record {
    uint32_t cell;
    uint32_t places;
};

/** Groups, count, sections and checksum are left 0. */
struct segment_header segment_header_of(const struct segment *segment, uint64_t mark);

uint64_t segment_header_checksum(const struct segment_header *header);

/** Of 64 places in the vectors section. */
size_t segment_word_bytes(const struct segment *segment);

static inline uint64_t segment_next_page(uint64_t offset)
{
    return (offset + SEGMENT_PAGE - 1) / SEGMENT_PAGE * SEGMENT_PAGE;
}

static inline size_t segment_words_of(size_t places)
{
    return (places + SEGMENT_WORD - 1) / SEGMENT_WORD;
}

#endif
