#ifndef SUTRA_VECTOR_ID_MAP_H
#define SUTRA_VECTOR_ID_MAP_H

/**
 * Hash table from ids to positions that does not hold the ids: it keeps 32 bits of each hash, and
 * asks the owner whether the id at a position is the one meant. Open addressing, 12 bytes per id at
 * the usual load. One thread at a time; `{0}` is an empty map.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id_map_slot {
    uint32_t hash;
    uint32_t position; /* UINT32_MAX: empty */
};

struct id_map {
    struct id_map_slot *slots;
    size_t capacity; /* 0 or a power of two */
    size_t count;
};

/** Whether the id at @position is the one in @context. */
typedef bool (*id_map_same)(const void *context, uint32_t position);

uint32_t id_map_hash(const void *id, size_t length);

void id_map_deinit(struct id_map *map);

/** Makes room for @count ids in all; false without memory. Then insertions cannot fail. */
bool id_map_reserve(struct id_map *map, size_t count);

/** The slot of an id, whose position the caller may change; NULL if absent. */
struct id_map_slot *id_map_find(const struct id_map *map, uint32_t hash, id_map_same same,
                                const void *context);

/** The slot that holds @position, which must be there. */
struct id_map_slot *id_map_at(const struct id_map *map, uint32_t hash, uint32_t position);

/** Adds an id that is absent; room was reserved. */
void id_map_insert(struct id_map *map, uint32_t hash, uint32_t position);

/** @slot as found. */
void id_map_erase(struct id_map *map, struct id_map_slot *slot);

#endif
