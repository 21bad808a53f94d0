#include "src/vector/id_map.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { LEAST_CAPACITY = 64 };

static const uint32_t EMPTY = UINT32_MAX;

uint32_t id_map_hash(const void *id, size_t length)
{
    return (uint32_t)(XXH3_64bits(id, length) >> 32);
}

void id_map_deinit(struct id_map *map)
{
    free(map->slots);
    *map = (struct id_map){ 0 };
}

static size_t home(const struct id_map *map, uint32_t hash)
{
    return hash & (map->capacity - 1);
}

static size_t next(const struct id_map *map, size_t i)
{
    return (i + 1) & (map->capacity - 1);
}

static void place(struct id_map *map, struct id_map_slot slot)
{
    size_t i = home(map, slot.hash);

    while (map->slots[i].position != EMPTY)
        i = next(map, i);
    map->slots[i] = slot;
}

static bool grow(struct id_map *map, size_t capacity)
{
    struct id_map grown = { .capacity = capacity, .count = map->count };

    grown.slots = malloc(capacity * sizeof *grown.slots);
    if (grown.slots == NULL)
        return false;
    memset(grown.slots, 0xFF, capacity * sizeof *grown.slots);
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].position != EMPTY)
            place(&grown, map->slots[i]);
    id_map_deinit(map);
    *map = grown;
    return true;
}

/* At most two thirds full. */
bool id_map_reserve(struct id_map *map, size_t count)
{
    size_t capacity = map->capacity > 0 ? map->capacity : LEAST_CAPACITY;

    while (capacity / 3 * 2 < count)
        capacity *= 2;
    return capacity == map->capacity || grow(map, capacity);
}

struct id_map_slot *id_map_find(const struct id_map *map, uint32_t hash, id_map_same same,
                                const void *context)
{
    if (map->capacity == 0)
        return NULL;
    for (size_t i = home(map, hash); map->slots[i].position != EMPTY; i = next(map, i))
        if (map->slots[i].hash == hash && same(context, map->slots[i].position))
            return &map->slots[i];
    return NULL;
}

struct id_map_slot *id_map_at(const struct id_map *map, uint32_t hash, uint32_t position)
{
    size_t i = home(map, hash);

    while (map->slots[i].position != position)
        i = next(map, i);
    return &map->slots[i];
}

void id_map_insert(struct id_map *map, uint32_t hash, uint32_t position)
{
    place(map, (struct id_map_slot){ hash, position });
    map->count++;
}

/* Moves what probed past the gap back into it (Knuth, TAOCP 3, algorithm 6.4R). */
void id_map_erase(struct id_map *map, struct id_map_slot *slot)
{
    size_t gap = (size_t)(slot - map->slots);
    size_t mask = map->capacity - 1;

    for (size_t i = next(map, gap); map->slots[i].position != EMPTY; i = next(map, i)) {
        size_t from_home = (i - home(map, map->slots[i].hash)) & mask;
        if (from_home >= ((i - gap) & mask)) {
            map->slots[gap] = map->slots[i];
            gap = i;
        }
    }
    map->slots[gap].position = EMPTY;
    map->count--;
}
