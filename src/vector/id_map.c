#include "src/vector/id_map.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { EMPTY = 0, MANY = UINT8_MAX };

struct bucket {
    uint8_t tags[ID_MAP_BUCKET_SLOTS]; /* EMPTY, or eight bits of the hash */
    uint8_t passed;                    /* ids that found it full and lie behind it; MANY stays */
    uint8_t unused[3];
    uint32_t positions[ID_MAP_BUCKET_SLOTS];
};

_Static_assert(sizeof(struct bucket) == 64, "a bucket is a line of the cache");

struct id_map_page {
    struct bucket buckets[ID_MAP_PAGE_BUCKETS];
    uint32_t depth; /* the bits of the hash that its ids have in common */
    uint32_t count;
};

uint64_t id_map_hash(const void *id, size_t length)
{
    return XXH3_64bits(id, length);
}

static size_t directory_index(uint64_t hash, uint32_t depth)
{
    return (size_t)((hash >> 32) >> (32 - depth));
}

static size_t home(uint64_t hash)
{
    return hash % ID_MAP_PAGE_BUCKETS;
}

static size_t behind(size_t bucket)
{
    return (bucket + 1) % ID_MAP_PAGE_BUCKETS;
}

static uint8_t tag_of(uint64_t hash)
{
    uint8_t tag = (uint8_t)(hash >> 8);

    return tag != EMPTY ? tag : 1;
}

static struct id_map_page *page_of(const struct id_map *map, uint64_t hash)
{
    return map->directory[directory_index(hash, map->depth)];
}

/* ---- buckets ---- */

/* The high bit of each byte of @word that is zero. */
static uint64_t zero_bytes(uint64_t word)
{
    const uint64_t low = 0x7F7F7F7F7F7F7F7Fu;

    return ~(((word & low) + low) | word | low);
}

/* Walks over the slots of a bucket with one tag: a bit per slot, at 8 times its number. */
struct matches {
    uint64_t first;  /* slots 0 to 7 */
    uint64_t second; /* slots 8 to 11 */
};

static struct matches bucket_matches(const struct bucket *bucket, uint8_t tag)
{
    const uint64_t everywhere = 0x0101010101010101u;
    uint64_t first;
    uint32_t second;

    memcpy(&first, bucket->tags, sizeof first);
    memcpy(&second, bucket->tags + sizeof first, sizeof second);
    return (struct matches){ zero_bytes(first ^ tag * everywhere),
                             (uint32_t)zero_bytes(second ^ tag * everywhere) };
}

/* The next slot, or ID_MAP_BUCKET_SLOTS. */
static size_t matches_next(struct matches *matches)
{
    uint64_t *word = matches->first != 0 ? &matches->first : &matches->second;
    size_t slot;

    if (*word == 0)
        return ID_MAP_BUCKET_SLOTS;
    slot = (size_t)__builtin_ctzll(*word) / 8;
    *word &= *word - 1;
    return word == &matches->first ? slot : 8 + slot;
}

static size_t slot_at(const struct bucket *bucket, uint8_t tag, uint32_t position)
{
    struct matches matches = bucket_matches(bucket, tag);
    size_t slot;

    while ((slot = matches_next(&matches)) < ID_MAP_BUCKET_SLOTS)
        if (bucket->positions[slot] == position)
            break;
    return slot;
}

/* ---- pages ---- */

static struct id_map_page *page_new(uint32_t depth)
{
    struct id_map_page *page = aligned_alloc(64, (sizeof *page + 63) / 64 * 64);

    if (page == NULL)
        return NULL;
    memset(page, 0, sizeof *page);
    page->depth = depth;
    return page;
}

static void page_insert(struct id_map_page *page, uint64_t hash, uint32_t position)
{
    size_t i = home(hash);
    struct bucket *bucket = &page->buckets[i];
    struct matches empty;
    size_t slot;

    while (empty = bucket_matches(bucket, EMPTY),
           (slot = matches_next(&empty)) == ID_MAP_BUCKET_SLOTS) {
        bucket->passed = (uint8_t)(bucket->passed + (bucket->passed < MANY));
        i = behind(i);
        bucket = &page->buckets[i];
    }
    bucket->tags[slot] = tag_of(hash);
    bucket->positions[slot] = position;
    page->count++;
}

static size_t page_positions(const struct id_map_page *page, uint32_t *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < ID_MAP_PAGE_BUCKETS; i++)
        for (size_t slot = 0; slot < ID_MAP_BUCKET_SLOTS; slot++)
            if (page->buckets[i].tags[slot] != EMPTY)
                ret[n++] = page->buckets[i].positions[slot];
    return n;
}

/* ---- the directory ---- */

/* Ids may be chosen so that their hashes begin alike: that must not cost memory without end. */
static bool may_double(const struct id_map *map)
{
    return ((size_t)1 << map->depth) <= 64 + map->count / 8;
}

static bool double_directory(struct id_map *map)
{
    size_t size = (size_t)1 << map->depth;
    struct id_map_page **doubled;

    if (!may_double(map))
        return false;
    doubled = malloc(2 * size * sizeof(struct id_map_page *));
    if (doubled == NULL)
        return false;
    for (size_t i = 0; i < 2 * size; i++)
        doubled[i] = map->directory[i / 2];
    free(map->directory);
    map->directory = doubled;
    map->depth++;
    return true;
}

/* Puts the halves where @old was: the directory's entries for it are neighbours. */
static void replace_page(struct id_map *map, uint64_t hash, const struct id_map_page *old,
                         struct id_map_page *const halves[2])
{
    size_t span = (size_t)1 << (map->depth - old->depth);
    size_t first = directory_index(hash, map->depth) / span * span;

    for (size_t i = 0; i < span; i++)
        map->directory[first + i] = halves[i >= span / 2];
    map->pages++;
}

static void distribute(const struct id_map_page *old, struct id_map_page *const halves[2],
                       id_map_hashes hashes_of, const void *context)
{
    uint32_t positions[ID_MAP_PAGE_BUCKETS * ID_MAP_BUCKET_SLOTS];
    uint64_t hashes[ID_MAP_PAGE_BUCKETS * ID_MAP_BUCKET_SLOTS];
    size_t n = page_positions(old, positions);

    hashes_of(context, positions, n, hashes);
    for (size_t i = 0; i < n; i++)
        page_insert(halves[directory_index(hashes[i], old->depth + 1) & 1], hashes[i],
                    positions[i]);
}

static bool split(struct id_map *map, uint64_t hash, id_map_hashes hashes_of, const void *context)
{
    struct id_map_page *old = page_of(map, hash);
    struct id_map_page *halves[2];

    if (old->depth == map->depth && !double_directory(map))
        return false;
    halves[0] = page_new(old->depth + 1);
    halves[1] = page_new(old->depth + 1);
    if (halves[0] == NULL || halves[1] == NULL) {
        free(halves[0]);
        free(halves[1]);
        return false;
    }
    distribute(old, halves, hashes_of, context);
    replace_page(map, hash, old, halves);
    free(old);
    return true;
}

static bool begin(struct id_map *map)
{
    struct id_map_page *page = page_new(0);

    map->directory = malloc(sizeof *map->directory);
    if (page == NULL || map->directory == NULL) {
        free(page);
        free(map->directory);
        map->directory = NULL;
        return false;
    }
    map->directory[0] = page;
    map->pages = 1;
    return true;
}

/* ---- the map ---- */

void id_map_deinit(struct id_map *map)
{
    size_t size = map->directory != NULL ? (size_t)1 << map->depth : 0;
    struct id_map_page *last = NULL;

    for (size_t i = 0; i < size; i++) {
        if (map->directory[i] != last)
            free(last);
        last = map->directory[i];
    }
    free(last);
    free(map->directory);
    *map = (struct id_map){ 0 };
}

size_t id_map_bytes(const struct id_map *map)
{
    if (map->directory == NULL)
        return 0;
    return map->pages * sizeof(struct id_map_page) +
           ((size_t)1 << map->depth) * sizeof map->directory[0];
}

bool id_map_prepare(struct id_map *map, uint64_t hash, id_map_hashes hashes, const void *context)
{
    if (map->directory == NULL && !begin(map))
        return false;
    while (page_of(map, hash)->count >= ID_MAP_PAGE_IDS)
        if (!split(map, hash, hashes, context))
            return false;
    return true;
}

void id_map_insert(struct id_map *map, uint64_t hash, uint32_t position)
{
    page_insert(page_of(map, hash), hash, position);
    map->count++;
}

/* Inlined, since who asks is known everywhere. */
__attribute__((always_inline)) static inline uint32_t
first_wanted(const struct id_map *map, uint64_t hash, id_map_same is_wanted, const void *context)
{
    const struct bucket *bucket;
    size_t i = home(hash);

    if (map->directory == NULL)
        return ID_MAP_NONE;
    do {
        bucket = &page_of(map, hash)->buckets[i];
        struct matches matches = bucket_matches(bucket, tag_of(hash));
        size_t slot;
        while ((slot = matches_next(&matches)) < ID_MAP_BUCKET_SLOTS)
            if (is_wanted(context, bucket->positions[slot]))
                return bucket->positions[slot];
        i = behind(i);
    } while (bucket->passed > 0 && i != home(hash));
    return ID_MAP_NONE;
}

uint32_t id_map_find(const struct id_map *map, uint64_t hash, id_map_same same, const void *context)
{
    return first_wanted(map, hash, same, context);
}

void id_map_move(struct id_map *map, uint64_t hash, uint32_t from, uint32_t to)
{
    struct id_map_page *page = page_of(map, hash);
    size_t i = home(hash);
    size_t slot;

    while ((slot = slot_at(&page->buckets[i], tag_of(hash), from)) == ID_MAP_BUCKET_SLOTS)
        i = behind(i);
    page->buckets[i].positions[slot] = to;
}

void id_map_erase(struct id_map *map, uint64_t hash, uint32_t position)
{
    struct id_map_page *page = page_of(map, hash);
    size_t i = home(hash);
    size_t slot;

    while ((slot = slot_at(&page->buckets[i], tag_of(hash), position)) == ID_MAP_BUCKET_SLOTS) {
        page->buckets[i].passed =
            (uint8_t)(page->buckets[i].passed - (page->buckets[i].passed < MANY));
        i = behind(i);
    }
    page->buckets[i].tags[slot] = EMPTY;
    page->count--;
    map->count--;
}

void id_map_prefetch(const struct id_map *map, uint64_t hash)
{
    if (map->directory != NULL)
        __builtin_prefetch(&page_of(map, hash)->buckets[home(hash)], 0, 2);
}

void id_map_prefetch_insert(const struct id_map *map, uint64_t hash)
{
    if (map->directory == NULL)
        return;
    __builtin_prefetch(&page_of(map, hash)->count, 1);
    __builtin_prefetch(&page_of(map, hash)->buckets[home(hash)], 1);
}

static bool is_other(const void *context, uint32_t position)
{
    const uint32_t *wrong = context;

    return position != *wrong;
}

uint32_t id_map_guess(const struct id_map *map, uint64_t hash, uint32_t wrong)
{
    return first_wanted(map, hash, is_other, &wrong);
}

void id_map_guess_all(const struct id_map *map, const uint64_t *hashes, size_t n, uint32_t *ret)
{
    for (size_t i = 0; i < n; i++)
        id_map_prefetch(map, hashes[i]);
    for (size_t i = 0; i < n; i++)
        ret[i] = id_map_guess(map, hashes[i], ID_MAP_NONE);
}
