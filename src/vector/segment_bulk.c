#include "src/vector/segment_bulk.h"

#include <string.h>

#include "src/base/size.h"

enum { LINE = 64 };

/* ---- from ids to positions ---- */

void bulk_hash(struct bulk_block *block, const struct segment_id *ids, size_t n)
{
    block->ids = ids;
    block->n = n;
    for (size_t i = 0; i < n; i++)
        block->hashes[i] = id_map_hash(ids[i].data, ids[i].length);
}

static void prefetch_entries(const struct bulk_block *block)
{
    for (size_t i = 0; i < block->n; i++)
        if (block->positions[i] != ID_MAP_NONE)
            __builtin_prefetch(segment_entry_at(block->segment, block->positions[i]));
}

static void prefetch_groups(struct bulk_block *block)
{
    for (size_t i = 0; i < block->n; i++) {
        uint32_t position = block->positions[i];
        if (position == ID_MAP_NONE)
            continue;
        block->groups[i] = segment_entry_at(block->segment, position)->group;
        __builtin_prefetch(&block->groups[i]->ids);
    }
}

static void prefetch_offsets(struct bulk_block *block)
{
    for (size_t i = 0; i < block->n; i++) {
        size_t place = block->positions[i] % SEGMENT_GROUP;
        if (block->positions[i] == ID_MAP_NONE)
            continue;
        block->stored[i] = atomic_load_explicit(&block->groups[i]->ids[place / SEGMENT_WORD],
                                                memory_order_relaxed);
        __builtin_prefetch(block->stored[i] + 2 * (place % SEGMENT_WORD));
    }
}

static void prefetch_ids(struct bulk_block *block)
{
    for (size_t i = 0; i < block->n; i++) {
        uint16_t offset;
        if (block->positions[i] == ID_MAP_NONE)
            continue;
        memcpy(&offset, block->stored[i] + 2 * (block->positions[i] % SEGMENT_WORD), sizeof offset);
        block->stored[i] += offset;
        __builtin_prefetch(block->stored[i]);
    }
}

static bool is_right(const struct bulk_block *block, size_t i)
{
    struct segment_id id;

    if (block->positions[i] == ID_MAP_NONE)
        return false;
    id = (struct segment_id){ block->stored[i] + 1, *block->stored[i] };
    return segment_same_id(id, block->ids[i]);
}

/* Under the lock. Nearly all positions are right at the first guess. How many are there. */
size_t bulk_find(struct bulk_block *block)
{
    size_t found = 0;

    id_map_guess_all(&block->segment->map, block->hashes, block->n, block->positions);
    prefetch_entries(block);
    prefetch_groups(block);
    prefetch_offsets(block);
    prefetch_ids(block);
    for (size_t i = 0; i < block->n; i++) {
        if (!is_right(block, i))
            block->positions[i] = segment_position(block->segment, block->hashes[i], block->ids[i]);
        found += block->positions[i] != ID_MAP_NONE;
    }
    return found;
}

size_t segment_find(struct segment *segment, const struct segment_id *ids, size_t n,
                    bool *ret_found)
{
    struct bulk_block block = { .segment = segment };
    size_t found = 0;

    for (size_t i = 0; i < n; i += BULK_BLOCK) {
        bulk_hash(&block, ids + i, size_min(n - i, BULK_BLOCK));
        segment_lock_as_reader(segment);
        found += bulk_find(&block);
        segment_unlock(segment);
        for (size_t j = 0; j < block.n; j++)
            ret_found[i + j] = block.positions[j] != ID_MAP_NONE;
    }
    return found;
}

/* ---- from positions to vectors ---- */

/* Under the lock, both. */
static void locate_rows(const struct bulk_block *block, struct bulk_located *ret)
{
    for (size_t i = 0; i < block->n; i++) {
        uint32_t position = block->positions[i];
        ret->at[i] = position != ID_MAP_NONE
                         ? segment_group_row(block->segment,
                                             segment_entry_at(block->segment, position)->group,
                                             position % SEGMENT_GROUP)
                         : NULL;
    }
}

static void locate_codes(const struct bulk_block *block, struct bulk_located *ret)
{
    for (size_t i = 0; i < block->n; i++) {
        uint32_t position = block->positions[i];
        const struct segment_entry *entry;
        ret->at[i] = NULL;
        if (position == ID_MAP_NONE)
            continue;
        entry = segment_entry_at(block->segment, position);
        ret->at[i] = entry->codes + position % SEGMENT_GROUP;
        ret->stride[i] = (uint32_t)SEGMENT_WORD * entry->words;
    }
}

void bulk_locate(struct bulk_block *block, enum segment_measure measure, struct bulk_located *ret)
{
    bulk_find(block);
    if (measure == SEGMENT_BY_ROW)
        locate_rows(block, ret);
    else
        locate_codes(block, ret);
}

/*
 * So many rows ahead that they would crowd the first cache: the second one is near enough. A row
 * that begins late in a line may end in one that is not asked for; to ask twice for the last line
 * of all others costs more.
 */
static void prefetch_row(const struct segment *segment, const struct bulk_located *located,
                         size_t i)
{
    const uint8_t *row = located->at[i];
    size_t bytes = segment->row_bytes;

    for (size_t offset = 0; row != NULL && offset < bytes; offset += LINE)
        __builtin_prefetch(row + offset, 0, 2);
}

static void prefetch_code(const struct bulk_located *located, size_t i)
{
    const uint8_t *at = located->at[i];
    size_t stride = located->stride[i];

    for (size_t part = 0; at != NULL && part < CODEBOOK_PARTS; part++)
        __builtin_prefetch(at + part * stride);
}

void bulk_prefetch(const struct segment *segment, const struct bulk_located *located, size_t i,
                   enum segment_measure measure)
{
    if (measure == SEGMENT_BY_ROW)
        prefetch_row(segment, located, i);
    else
        prefetch_code(located, i);
}
