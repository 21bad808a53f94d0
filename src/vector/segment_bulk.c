#include "src/vector/segment_bulk.h"

#include <string.h>

#include "src/base/size.h"

void bulk_hash(struct bulk_block *block, const struct segment_id *ids, size_t n)
{
    block->ids = ids;
    block->n = n;
    for (size_t i = 0; i < n; i++)
        block->hashes[i] = id_map_hash(ids[i].data, ids[i].length);
}

/* ---- whether positions are right: the steps to the ids there, each for all of the block ---- */

static void prefetch_entries(const struct bulk_block *block)
{
    for (size_t k = 0; k < block->unchecked; k++)
        bulk_ask_for(segment_entry_at(block->segment, block->positions[block->indices[k]]));
}

static void prefetch_words(struct bulk_block *block)
{
    for (size_t k = 0; k < block->unchecked; k++) {
        size_t i = block->indices[k];
        block->words[i] = segment_word_at(block->segment, block->positions[i]);
        bulk_ask_for(block->words[i]);
    }
}

/* Where ids are of one length, no offset is needed. */
static size_t id_offset(const struct segment_word *word, const uint8_t *ids, size_t place)
{
    uint16_t offset;

    if (word->id_bytes > 0)
        return SEGMENT_OFFSETS_BYTES + word->id_bytes * place;
    memcpy(&offset, ids + 2 * place, sizeof offset);
    return offset;
}

static void prefetch_ids_or_offsets(struct bulk_block *block)
{
    for (size_t k = 0; k < block->unchecked; k++) {
        size_t i = block->indices[k];
        size_t place = block->positions[i] % SEGMENT_WORD;
        const struct segment_word *word = block->words[i];
        block->ids_there[i] = atomic_load_explicit(&word->ids, memory_order_relaxed);
        bulk_ask_for(block->ids_there[i] +
                     (word->id_bytes > 0 ? id_offset(word, NULL, place) : 2 * place));
    }
}

static void prefetch_ids_by_offsets(struct bulk_block *block)
{
    for (size_t k = 0; k < block->unchecked; k++) {
        size_t i = block->indices[k];
        const uint8_t *ids = block->ids_there[i];
        if (block->words[i]->id_bytes == 0)
            bulk_ask_for(ids + id_offset(block->words[i], ids, block->positions[i] % SEGMENT_WORD));
    }
}

static bool is_right(const struct bulk_block *block, size_t i)
{
    const uint8_t *ids = block->ids_there[i];
    const uint8_t *id = ids + id_offset(block->words[i], ids, block->positions[i] % SEGMENT_WORD);

    return segment_same_id((struct segment_id){ id + 1, *id }, block->ids[i]);
}

/* Those that are wrong remain unchecked. */
static void check(struct bulk_block *block)
{
    size_t wrong = 0;

    prefetch_entries(block);
    prefetch_words(block);
    prefetch_ids_or_offsets(block);
    prefetch_ids_by_offsets(block);
    for (size_t k = 0; k < block->unchecked; k++)
        if (!is_right(block, block->indices[k]))
            block->indices[wrong++] = block->indices[k];
    block->unchecked = wrong;
}

/* ---- positions ---- */

static void guess(struct bulk_block *block)
{
    id_map_guess_all(&block->segment->map, block->hashes, block->n, block->positions);
    block->unchecked = 0;
    for (size_t i = 0; i < block->n; i++)
        if (block->positions[i] != ID_MAP_NONE)
            block->indices[block->unchecked++] = (uint16_t)i;
}

static void guess_again(struct bulk_block *block)
{
    size_t wrong = block->unchecked;

    block->unchecked = 0;
    for (size_t k = 0; k < wrong; k++) {
        size_t i = block->indices[k];
        block->positions[i] =
            id_map_guess(&block->segment->map, block->hashes[i], block->positions[i]);
        if (block->positions[i] != ID_MAP_NONE)
            block->indices[block->unchecked++] = (uint16_t)i;
    }
}

/* Under the lock. */
void bulk_find(struct bulk_block *block)
{
    guess(block);
    check(block); /* nearly all are right */
    guess_again(block);
    check(block);
    for (size_t k = 0; k < block->unchecked; k++) {
        size_t i = block->indices[k];
        block->positions[i] = segment_position(block->segment, block->hashes[i], block->ids[i]);
    }
}

size_t segment_find(struct segment *segment, const struct segment_id *ids, size_t n,
                    bool *ret_found)
{
    struct bulk_block block = { .segment = segment };
    size_t found = 0;

    for (size_t i = 0; i < n; i += BULK_BLOCK) {
        bulk_hash(&block, ids + i, size_min(n - i, BULK_BLOCK));
        segment_lock_as_reader(segment);
        bulk_find(&block);
        segment_unlock(segment);
        for (size_t j = 0; j < block.n; j++) {
            ret_found[i + j] = block.positions[j] != ID_MAP_NONE;
            found += ret_found[i + j];
        }
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

void bulk_enter(struct segment *segment, struct bulk_block *block, const struct segment_id *ids,
                size_t n, enum segment_measure measure, struct bulk_located *ret,
                struct segment_reader *reader)
{
    block->segment = segment;
    bulk_hash(block, ids, n);
    segment_lock_as_reader(segment);
    bulk_locate(block, measure, ret);
    segment_enter(segment, reader);
    segment_unlock(segment);
}
