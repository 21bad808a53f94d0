#include "src/vector/segment_slabs.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "src/base/size.h"

enum { LARGE_PAGE = SEGMENT_SLABS_LARGE_PAGE, FIRST_UNITS = 4, FIRST_CAPACITY = 4, WORD = 64 };

struct segment_slab {
    uint8_t *memory;
    uint32_t units;
    uint32_t used;
    uint32_t too_many; /* no run of so many units was found; until some are given back */
    uint64_t taken[];  /* bit set: the unit is; those behind the last are, too */
};

static size_t words_of(size_t units)
{
    return (units + WORD - 1) / WORD;
}

static size_t slab_bytes(const struct segment_slabs *slabs, size_t units)
{
    return units * slabs->unit_bytes + sizeof(struct segment_slab) +
           words_of(units) * sizeof(uint64_t);
}

/* ---- pieces ---- */

/* As much as there is already, up to the most. */
static size_t next_units(const struct segment_slabs *slabs)
{
    size_t most = size_max(slabs->most_bytes / slabs->unit_bytes, FIRST_UNITS);

    return size_min(size_max(slabs->bytes / slabs->unit_bytes, FIRST_UNITS), most);
}

/* Advice on a part of a large page would leave it in small ones: it is given on whole ones. */
static uint8_t *new_memory(size_t bytes)
{
    bool large = bytes > LARGE_PAGE / 2;
    size_t unit = large ? LARGE_PAGE : 64;
    size_t rounded = (bytes + unit - 1) / unit * unit;
    uint8_t *memory = aligned_alloc(unit, rounded);

    if (memory != NULL && large) /* if it cannot, it is only slower */
        madvise(memory, rounded, MADV_HUGEPAGE);
    return memory;
}

static struct segment_slab *new_slab(const struct segment_slabs *slabs)
{
    size_t units = next_units(slabs);
    struct segment_slab *slab = malloc(sizeof *slab + words_of(units) * sizeof slab->taken[0]);

    if (slab == NULL)
        return NULL;
    slab->memory = new_memory(units * slabs->unit_bytes);
    if (slab->memory == NULL) {
        free(slab);
        return NULL;
    }
    slab->units = (uint32_t)units;
    slab->used = 0;
    slab->too_many = SEGMENT_SLABS_RUN + 1;
    memset(slab->taken, 0, words_of(units) * sizeof slab->taken[0]);
    if (units % WORD > 0)
        slab->taken[units / WORD] = UINT64_MAX << (units % WORD);
    return slab;
}

static void free_slab(struct segment_slab *slab)
{
    free(slab->memory);
    free(slab);
}

/* ---- the pieces by address ---- */

static bool reserve_slab(struct segment_slabs *slabs)
{
    size_t capacity = slabs->capacity > 0 ? 2 * slabs->capacity : FIRST_CAPACITY;
    struct segment_slab **grown;

    if (slabs->count < slabs->capacity)
        return true;
    grown = realloc(slabs->slabs, capacity * sizeof(struct segment_slab *));
    if (grown == NULL)
        return false;
    slabs->slabs = grown;
    slabs->capacity = capacity;
    return true;
}

/* The first one that lies behind @memory. */
static size_t index_behind(const struct segment_slabs *slabs, const uint8_t *memory)
{
    size_t low = 0;
    size_t high = slabs->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((uintptr_t)slabs->slabs[middle]->memory > (uintptr_t)memory)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static struct segment_slab *add_slab(struct segment_slabs *slabs)
{
    struct segment_slab *slab = reserve_slab(slabs) ? new_slab(slabs) : NULL;
    size_t i;

    if (slab == NULL)
        return NULL;
    i = index_behind(slabs, slab->memory);
    memmove(slabs->slabs + i + 1, slabs->slabs + i,
            (slabs->count - i) * sizeof(struct segment_slab *));
    slabs->slabs[i] = slab;
    slabs->count++;
    slabs->bytes += slab_bytes(slabs, slab->units);
    return slab;
}

static void remove_slab(struct segment_slabs *slabs, size_t i)
{
    slabs->bytes -= slab_bytes(slabs, slabs->slabs[i]->units);
    free_slab(slabs->slabs[i]);
    slabs->count--;
    memmove(slabs->slabs + i, slabs->slabs + i + 1,
            (slabs->count - i) * sizeof(struct segment_slab *));
}

void segment_slabs_deinit(struct segment_slabs *slabs)
{
    for (size_t i = 0; i < slabs->count; i++)
        free_slab(slabs->slabs[i]);
    free(slabs->slabs);
    *slabs = (struct segment_slabs){
        .unit_bytes = slabs->unit_bytes,
        .most_bytes = slabs->most_bytes,
    };
}

/* ---- units ---- */

static uint64_t run_mask(size_t units, size_t first)
{
    return (((uint64_t)1 << units) - 1) << first;
}

/* The bits where a run of @units free ones begins. */
static uint64_t run_starts(uint64_t taken, size_t units)
{
    uint64_t starts = ~taken;

    for (size_t i = 1; i < units; i++)
        starts &= ~taken >> i;
    return starts;
}

/* Runs do not cross the words of the bitmap. */
static void *take_run(const struct segment_slabs *slabs, struct segment_slab *slab, size_t units)
{
    for (size_t word = 0; word < words_of(slab->units); word++) {
        uint64_t starts = run_starts(slab->taken[word], units);
        size_t first;
        if (starts == 0)
            continue;
        first = (size_t)__builtin_ctzll(starts);
        slab->taken[word] |= run_mask(units, first);
        slab->used += (uint32_t)units;
        return slab->memory + (word * WORD + first) * slabs->unit_bytes;
    }
    slab->too_many = (uint32_t)units;
    return NULL;
}

void *segment_slabs_take(struct segment_slabs *slabs, size_t units)
{
    struct segment_slab *added;

    for (size_t i = 0; i < slabs->count; i++) {
        struct segment_slab *slab = slabs->slabs[i];
        void *run = units < slab->too_many ? take_run(slabs, slab, units) : NULL;
        if (run != NULL)
            return run;
    }
    added = add_slab(slabs);
    return added != NULL ? take_run(slabs, added, units) : NULL;
}

void segment_slabs_give(struct segment_slabs *slabs, const void *memory, size_t units)
{
    struct segment_slab *slab;
    size_t unit;
    size_t i;

    if (memory == NULL)
        return;
    i = index_behind(slabs, memory) - 1;
    slab = slabs->slabs[i];
    unit = (size_t)((const uint8_t *)memory - slab->memory) / slabs->unit_bytes;
    slab->taken[unit / WORD] &= ~run_mask(units, unit % WORD);
    slab->used -= (uint32_t)units;
    slab->too_many = SEGMENT_SLABS_RUN + 1;
    if (slab->used == 0)
        remove_slab(slabs, i);
}
