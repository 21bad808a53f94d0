#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/vector/segment_impl.h"

enum { FIRST_CAPACITY = 16 };

/* Codes that a group no longer has, since it has wider ones. */
struct old_codes {
    struct segment_block block;
    const uint8_t *codes;
    size_t words;
};

struct ids_block {
    struct segment_block block;
    size_t bytes;
    uint8_t ids[];
};

static size_t code_bytes(size_t words)
{
    return CODEBOOK_PARTS * SEGMENT_WORD * words;
}

static size_t rows_bytes(const struct segment *segment)
{
    return SEGMENT_WORD * segment->row_bytes;
}

/* ---- codes that are the segment's own ---- */

static uint8_t *take_codes(struct segment *segment, size_t words)
{
    if (words == SEGMENT_WORDS)
        return segment_slabs_take(&segment->full_codes, 1);
    return segment_slabs_take(&segment->other_codes, words);
}

static void give_codes(struct segment *segment, const uint8_t *codes, size_t words)
{
    if (words == SEGMENT_WORDS)
        segment_slabs_give(&segment->full_codes, codes, 1);
    else
        segment_slabs_give(&segment->other_codes, codes, words);
}

/* ---- the end of parts ---- */

static void free_codes(struct segment *segment, const uint8_t *codes, size_t words)
{
    if (!segment_is_mapped(segment, codes))
        give_codes(segment, codes, words);
}

static void destroy_codes(struct segment *segment, struct segment_block *block)
{
    struct old_codes *old = (struct old_codes *)block;

    free_codes(segment, old->codes, old->words);
    free(old);
}

static void destroy_ids(struct segment *segment, struct segment_block *block)
{
    segment->block_bytes -= ((struct ids_block *)block)->bytes;
    free(block);
}

/* NULL if they lie in the mapping, or there are none. */
static struct segment_block *block_of_ids(const struct segment *segment, const uint8_t *ids)
{
    if (ids == NULL || segment_is_mapped(segment, ids))
        return NULL;
    return (void *)(uintptr_t)(ids - offsetof(struct ids_block, ids));
}

static void destroy_group(struct segment *segment, struct segment_block *block)
{
    struct segment_group *group = (struct segment_group *)block;

    for (size_t word = 0; word < SEGMENT_WORDS; word++) {
        struct segment_word *w = &group->words[word];
        struct segment_block *ids = block_of_ids(segment, atomic_load(&w->ids));
        const uint8_t *rows = atomic_load(&w->rows);
        if (ids != NULL)
            destroy_ids(segment, ids);
        if (!segment_is_mapped(segment, rows))
            segment_slabs_give(&segment->row_blocks, rows, 1);
    }
    free_codes(segment, group->last_codes, group->last_words);
    segment->block_bytes -= sizeof *group;
    free(group);
}

/* ---- the directory ---- */

static bool grow_directory(struct segment *segment)
{
    uint32_t capacity = segment->capacity > 0 ? 2 * segment->capacity : FIRST_CAPACITY;
    struct segment_entry *grown = aligned_alloc(64, capacity * sizeof *grown);

    if (grown == NULL)
        return false;
    if (segment->capacity > 0)
        memcpy(grown, segment->directory, segment->capacity * sizeof *grown);
    free(segment->directory);
    segment->directory = grown;
    segment->capacity = capacity;
    return true;
}

static uint32_t take_index(struct segment *segment)
{
    uint32_t index = segment->free_index;

    if (index != SEGMENT_NONE) {
        segment->free_index = segment->directory[index].next;
        segment->free_groups--;
        return index;
    }
    index = atomic_load(&segment->groups);
    if (index == SEGMENT_MAX_GROUPS || (index == segment->capacity && !grow_directory(segment)))
        return SEGMENT_NONE;
    atomic_store(&segment->groups, index + 1);
    return index;
}

static void release_index(struct segment *segment, uint32_t index)
{
    segment->directory[index] = (struct segment_entry){
        .index = index,
        .next = segment->free_index,
    };
    segment->free_index = index;
    segment->free_groups++;
}

static void link_entry(struct segment *segment, struct segment_entry *entry, uint32_t cell)
{
    entry->next = segment->cells[cell].newest;
    entry->previous = SEGMENT_NONE;
    if (entry->next != SEGMENT_NONE)
        segment->directory[entry->next].previous = entry->index;
    segment->cells[cell].newest = entry->index;
}

static void unlink_entry(struct segment *segment, const struct segment_entry *entry)
{
    if (entry->previous != SEGMENT_NONE)
        segment->directory[entry->previous].next = entry->next;
    else
        segment->cells[entry->group->cell].newest = entry->next;
    if (entry->next != SEGMENT_NONE)
        segment->directory[entry->next].previous = entry->previous;
}

/* ---- groups ---- */

static const uint8_t *begin_codes(struct segment *segment, size_t words)
{
    uint8_t *codes = take_codes(segment, words);

    if (codes != NULL)
        memset(codes, 0, code_bytes(words));
    return codes;
}

static struct segment_group *new_group(struct segment *segment, uint32_t cell)
{
    struct segment_group *group = aligned_alloc(_Alignof(struct segment_group), sizeof *group);

    if (group == NULL)
        return NULL;
    segment->block_bytes += sizeof *group;
    group->block.destroy = destroy_group;
    group->last_codes = NULL;
    group->last_words = 0;
    for (size_t word = 0; word < SEGMENT_WORDS; word++) {
        atomic_init(&group->words[word].ids, NULL);
        atomic_init(&group->words[word].rows, NULL);
        atomic_init(&group->words[word].present, 0);
        group->words[word].id_bytes = 0;
    }
    group->ids_used = group->ids_capacity = 0;
    group->cell = cell;
    group->live = 0;
    return group;
}

uint32_t segment_add_group(struct segment *segment, uint32_t cell, size_t words,
                           const uint8_t *mapped_codes)
{
    bool own = segment->codebook != NULL && mapped_codes == NULL;
    const uint8_t *codes = own ? begin_codes(segment, words) : mapped_codes;
    struct segment_group *group = new_group(segment, cell);
    uint32_t index = take_index(segment);

    if ((own && codes == NULL) || group == NULL || index == SEGMENT_NONE) {
        free_codes(segment, codes, words);
        if (group != NULL)
            destroy_group(segment, &group->block);
        if (index != SEGMENT_NONE)
            release_index(segment, index);
        return SEGMENT_NONE;
    }
    segment->directory[index] = (struct segment_entry){
        .group = group,
        .codes = codes,
        .index = index,
        .words = (uint16_t)words,
    };
    link_entry(segment, &segment->directory[index], cell);
    return index;
}

void segment_drop_group(struct segment *segment, uint32_t index)
{
    struct segment_entry *entry = &segment->directory[index];
    struct segment_group *group = entry->group;

    assert(group->live == 0);
    unlink_entry(segment, entry);
    group->last_codes = entry->codes;
    group->last_words = entry->words;
    segment->row_blocks_bytes -= segment_group_row_bytes(segment, group);
    segment_retire(segment, &group->block);
    release_index(segment, index);
}

/* ---- codes ---- */

static void widen(const uint8_t *codes, size_t words, uint8_t *ret_codes, size_t new_words)
{
    size_t bytes = SEGMENT_WORD * words;
    size_t new_bytes = SEGMENT_WORD * new_words;

    for (size_t part = 0; part < CODEBOOK_PARTS; part++) {
        memcpy(ret_codes + part * new_bytes, codes + part * bytes, bytes);
        memset(ret_codes + part * new_bytes + bytes, 0, new_bytes - bytes);
    }
}

/* A copy of @words words, which may be as many as there are. */
static bool copy_codes(struct segment *segment, struct segment_entry *entry, size_t words)
{
    struct old_codes *old = malloc(sizeof *old);
    uint8_t *codes = take_codes(segment, words);

    if (codes == NULL || old == NULL) {
        give_codes(segment, codes, words);
        free(old);
        return false;
    }
    widen(entry->codes, entry->words, codes, words);
    old->block.destroy = destroy_codes;
    old->codes = entry->codes;
    old->words = entry->words;
    segment_retire(segment, &old->block);
    entry->codes = codes;
    return true;
}

static bool reserve_code(struct segment *segment, struct segment_entry *entry)
{
    size_t words = entry->used / SEGMENT_WORD + 1U;

    if (segment->codebook != NULL &&
        (words > entry->words || segment_is_mapped(segment, entry->codes)) &&
        !copy_codes(segment, entry, words))
        return false;
    entry->words = (uint16_t)words;
    return true;
}

/*
 * Searches may be reading the lines that this writes to, at other places: their kernels load whole
 * lines, and mask out the lanes of places that were not alive when they began. On every machine we
 * run on bytes are written one by one, so what they see of this one does not matter. The thread
 * sanitizer cannot know that.
 */
__attribute__((no_sanitize_thread)) static void write_code(uint8_t *codes, size_t words,
                                                           size_t place, const uint8_t *code)
{
    for (size_t part = 0; part < CODEBOOK_PARTS; part++)
        codes[part * SEGMENT_WORD * words + place] = code[part];
}

void segment_prefetch_code(const struct segment_entry *entry)
{
    for (size_t part = 0; entry->used < SEGMENT_WORD * entry->words && part < CODEBOOK_PARTS;
         part++)
        __builtin_prefetch(entry->codes + part * SEGMENT_WORD * entry->words + entry->used, 1);
}

/* ---- ids ---- */

/* For @places ids as long as ids have been on average, or @id_length if there were none. */
static size_t usual_ids_bytes(const struct segment *segment, size_t places, size_t id_length)
{
    if (segment->ids_ever > 0)
        return places + (size_t)(places * segment->id_bytes_ever / segment->ids_ever);
    return places * (1 + id_length);
}

/* The ids of the word being filled, with room for @capacity bytes. */
static bool copy_ids(struct segment *segment, struct segment_group *group, size_t word,
                     size_t capacity)
{
    const uint8_t *old = atomic_load(&group->words[word].ids);
    struct segment_block *old_block = block_of_ids(segment, old);
    struct ids_block *block = malloc(sizeof *block + capacity);

    if (block == NULL)
        return false;
    block->block.destroy = destroy_ids;
    block->bytes = sizeof *block + capacity;
    segment->block_bytes += block->bytes;
    if (old != NULL)
        memcpy(block->ids, old, group->ids_used);
    else
        group->ids_used = SEGMENT_OFFSETS_BYTES;
    if (old_block != NULL)
        segment_retire(segment, old_block);
    group->ids_capacity = (uint32_t)capacity;
    atomic_store_explicit(&group->words[word].ids, block->ids, memory_order_release);
    return true;
}

static bool reserve_id(struct segment *segment, struct segment_group *group, size_t place,
                       size_t id_length)
{
    size_t word = place / SEGMENT_WORD;
    bool first = atomic_load(&group->words[word].ids) == NULL;
    size_t needed = (first ? SEGMENT_OFFSETS_BYTES : group->ids_used) + 1 + id_length;

    if (!first && needed <= group->ids_capacity)
        return true;
    return copy_ids(
        segment, group, word,
        needed + usual_ids_bytes(segment, SEGMENT_WORD - 1 - place % SEGMENT_WORD, id_length));
}

void segment_note_id(struct segment_word *word, size_t place, size_t id_length)
{
    if (place % SEGMENT_WORD == 0)
        word->id_bytes = (uint32_t)(1 + id_length);
    else if (word->id_bytes != 1 + id_length)
        word->id_bytes = 0;
}

static void write_id(struct segment *segment, struct segment_group *group, size_t place,
                     const void *id, size_t id_length)
{
    /* The block is the segment's own now, so it may write where readers do not look. */
    struct segment_word *word = &group->words[place / SEGMENT_WORD];
    uint8_t *ids = (uint8_t *)(uintptr_t)atomic_load(&word->ids);
    uint16_t offset = (uint16_t)group->ids_used;

    memcpy(ids + 2 * (place % SEGMENT_WORD), &offset, sizeof offset);
    ids[offset] = (uint8_t)id_length;
    memcpy(ids + offset + 1, id, id_length);
    segment_note_id(word, place, id_length);
    group->ids_used += (uint32_t)(1 + id_length);
    segment->ids_ever++;
    segment->id_bytes_ever += id_length;
}

/* ---- rows ---- */

static bool rows_fit(const struct segment *segment, size_t bytes)
{
    return segment->codebook == NULL ||
           segment->row_blocks_bytes + bytes <= segment->row_budget + segment->row_allowance;
}

bool segment_reserve_row(struct segment *segment, struct segment_group *group, size_t place)
{
    size_t word = place / SEGMENT_WORD;
    const uint8_t *old = atomic_load(&group->words[word].rows);
    uint8_t *rows;

    if (old != NULL && !segment_is_mapped(segment, old))
        return true;
    rows =
        rows_fit(segment, rows_bytes(segment)) ? segment_slabs_take(&segment->row_blocks, 1) : NULL;
    if (rows == NULL)
        return false;
    if (old != NULL) /* in the mapping all rows up to this place are there */
        memcpy(rows, old, place % SEGMENT_WORD * segment->row_bytes);
    segment->row_blocks_bytes += rows_bytes(segment);
    atomic_store_explicit(&group->words[word].rows, rows, memory_order_release);
    return true;
}

void segment_fill_row(struct segment *segment, struct segment_group *group, size_t place,
                      const uint8_t *row)
{
    size_t word = place / SEGMENT_WORD;
    uint8_t *rows = (uint8_t *)(uintptr_t)atomic_load(&group->words[word].rows);

    memcpy(rows + place % SEGMENT_WORD * segment->row_bytes, row, segment->row_bytes);
    atomic_fetch_or_explicit(&group->words[word].present, (uint64_t)1 << (place % SEGMENT_WORD),
                             memory_order_release);
    segment->rows++;
}

size_t segment_group_row_bytes(const struct segment *segment, const struct segment_group *group)
{
    size_t blocks = 0;

    for (size_t word = 0; word < SEGMENT_WORDS; word++) {
        const uint8_t *rows = atomic_load(&group->words[word].rows);
        blocks += rows != NULL && !segment_is_mapped(segment, rows);
    }
    return blocks * rows_bytes(segment);
}

/* ---- places ---- */

bool segment_reserve_place(struct segment *segment, struct segment_entry *entry, size_t id_length,
                           bool row)
{
    struct segment_group *group = entry->group;

    if (!reserve_code(segment, entry) || !reserve_id(segment, group, entry->used, id_length))
        return false;
    if (row)
        row = segment_reserve_row(segment, group, entry->used);
    return row || segment->codebook != NULL;
}

uint32_t segment_fill_place(struct segment *segment, struct segment_entry *entry, const void *id,
                            size_t id_length, const uint8_t *code, const uint8_t *row)
{
    struct segment_group *group = entry->group;
    uint32_t place = entry->used;

    write_id(segment, group, place, id, id_length);
    if (segment->codebook != NULL)
        write_code((uint8_t *)(uintptr_t)entry->codes, entry->words, place, code);
    if (row != NULL && atomic_load(&group->words[place / SEGMENT_WORD].rows) != NULL)
        segment_fill_row(segment, group, place, row);
    entry->used++;
    return place;
}
