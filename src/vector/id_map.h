#ifndef SUTRA_VECTOR_ID_MAP_H
#define SUTRA_VECTOR_ID_MAP_H

/**
 * Hash table from ids to positions that does not hold the ids: it keeps eight bits of each hash,
 * and asks the owner whether the id at a position is the one meant.
 *
 * Extendible hashing (Fagin, Nievergelt, Pippenger, Strong: TODS 4(3), 1979): pages of 4 KiB, found
 * by the high bits of the hash in a directory; a page that fills up is split in two, so growing
 * never takes longer than moving some hundred positions. In a page an id lies in the bucket, a line
 * of the cache, that the low bits name, or in one of those behind it. 6 to 13 bytes per id.
 *
 * One thread at a time; `{0}` is an empty map. Letters: n ids.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ID_MAP_BUCKET_SLOTS = 12, ID_MAP_PAGE_BUCKETS = 64, ID_MAP_PAGE_IDS = 640 };

#define ID_MAP_NONE UINT32_MAX

struct id_map_page;

struct id_map {
    struct id_map_page **directory; /* [2^depth]; several may be the same */
    uint32_t depth;
    size_t pages;
    size_t count;
};

/** Whether the id at @position is the one in @context. */
typedef bool (*id_map_same)(const void *context, uint32_t position);

/** The hashes of the ids at @n positions. */
typedef void (*id_map_hashes)(const void *context, const uint32_t *positions, size_t n,
                              uint64_t *ret_hashes);

uint64_t id_map_hash(const void *id, size_t length);

void id_map_deinit(struct id_map *map);

size_t id_map_bytes(const struct id_map *map);

/** Makes room for one more id of this hash, so that its insertion cannot fail. False without
 * memory, or if far too many hashes begin alike. */
bool id_map_prepare(struct id_map *map, uint64_t hash, id_map_hashes hashes, const void *context);

/** The position of an id; ID_MAP_NONE if absent. */
uint32_t id_map_find(const struct id_map *map, uint64_t hash, id_map_same same,
                     const void *context);

/** Adds an id that is absent; room was prepared. */
void id_map_insert(struct id_map *map, uint64_t hash, uint32_t position);

/** The id that is at @from, which must be there, is at @to. */
void id_map_move(struct id_map *map, uint64_t hash, uint32_t from, uint32_t to);

/** Forgets the id at @position, which must be there. */
void id_map_erase(struct id_map *map, uint64_t hash, uint32_t position);

/** Fetches what id_map_find() will read first. */
void id_map_prefetch(const struct id_map *map, uint64_t hash);

/** Fetches what id_map_prepare() and id_map_insert() will read first, too. */
void id_map_prefetch_insert(const struct id_map *map, uint64_t hash);

/** The first position other than @wrong that id_map_find() would ask about, and most likely return;
 * ID_MAP_NONE: the id is absent, or at @wrong. */
uint32_t id_map_guess(const struct id_map *map, uint64_t hash, uint32_t wrong);

/** The first positions for @n hashes, whose memory is on its way all at once. @ret [n] */
void id_map_guess_all(const struct id_map *map, const uint64_t *hashes, size_t n, uint32_t *ret);

#endif
