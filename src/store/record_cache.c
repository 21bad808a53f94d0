#include "src/store/record_cache.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"

enum {
    WAYS = 6,
    SET_BYTES = 1024, /* a set for so many bytes of records */
    LINE = 64,
    LINES_AHEAD = 6, /* of a record that are asked for: most have no more */
    SPINS = 64,
    MALLOC_BYTES = 16, /* what an allocation takes beyond what was asked for */
};

static const record_cache_ticket NO_TICKET = UINT64_MAX;

struct record {
    uint32_t size;
    uint8_t id_length;
    uint8_t bytes[]; /* the id, and the record */
};

struct set {
    atomic_uchar locked;
    uint8_t referenced; /* a bit per way */
    atomic_uchar tags[WAYS];
    uint32_t writes; /* that have ended; wraps around */
    uint32_t writers;
    _Atomic(struct record *) records[WAYS];
};

_Static_assert(sizeof(struct set) == LINE, "a set is a line of the cache");

struct record_cache {
    struct set *sets;
    size_t count; /* a power of two */
    size_t most_bytes;
    atomic_size_t bytes;
    atomic_size_t hand;
};

/* ---- sets ---- */

/* Slots take the lowest bits of the hash, locks of the store the highest. */
static struct set *set_of(const struct record_cache *cache, const struct concept_id *id)
{
    return &cache->sets[(id->hash >> 12) & (cache->count - 1)];
}

static unsigned char tag_of(const struct concept_id *id)
{
    return (unsigned char)(id->hash >> 44);
}

/* Held for as long as it takes to copy a record: who finds it taken waits where it is. */
static void lock(struct set *set)
{
    for (unsigned spins = 0; atomic_exchange_explicit(&set->locked, 1, memory_order_acquire) != 0;
         spins++)
        if (spins % SPINS == SPINS - 1)
            sched_yield();
}

static void unlock(struct set *set)
{
    atomic_store_explicit(&set->locked, 0, memory_order_release);
}

static struct record *record_at(const struct set *set, size_t way)
{
    return atomic_load_explicit(&set->records[way], memory_order_relaxed);
}

/* The way of the record, WAYS: not there. */
static size_t find(const struct set *set, const struct concept_id *id)
{
    unsigned char tag = tag_of(id);

    for (size_t way = 0; way < WAYS; way++) {
        const struct record *record = record_at(set, way);
        if (atomic_load_explicit(&set->tags[way], memory_order_relaxed) == tag && record != NULL &&
            record->id_length == id->length && memcmp(record->bytes, id->data, id->length) == 0)
            return way;
    }
    return WAYS;
}

/* ---- records ---- */

static size_t record_bytes(size_t id_length, size_t size)
{
    return MALLOC_BYTES + sizeof(struct record) + id_length + size;
}

static void drop(struct record_cache *cache, struct set *set, size_t way)
{
    struct record *record = record_at(set, way);

    if (record == NULL)
        return;
    atomic_store_explicit(&set->records[way], NULL, memory_order_relaxed);
    atomic_fetch_sub(&cache->bytes, record_bytes(record->id_length, record->size));
    free(record);
}

/* The first way that is free, or was not asked for since the last time somebody chose here. */
static size_t choose_way(struct set *set)
{
    size_t way = 0;

    while (way < WAYS && record_at(set, way) != NULL && (set->referenced >> way & 1) != 0)
        way++;
    if (way < WAYS)
        return way;
    set->referenced = 0;
    return 0;
}

static void pass_hand(struct record_cache *cache)
{
    struct set *set = &cache->sets[atomic_fetch_add(&cache->hand, 1) & (cache->count - 1)];

    lock(set);
    for (size_t way = 0; way < WAYS; way++)
        if ((set->referenced >> way & 1) == 0)
            drop(cache, set, way);
    set->referenced = 0;
    unlock(set);
}

/* ---- the cache ---- */

struct record_cache *record_cache_new(size_t bytes)
{
    struct record_cache *cache =
        bytes >= RECORD_CACHE_LEAST_BYTES ? calloc(1, sizeof *cache) : NULL;

    if (cache == NULL)
        return NULL;
    for (cache->count = 1; 2 * cache->count * SET_BYTES <= bytes;)
        cache->count *= 2;
    cache->most_bytes = bytes - cache->count * sizeof *cache->sets;
    cache->sets = aligned_alloc(LINE, cache->count * sizeof *cache->sets);
    if (cache->sets == NULL) {
        free(cache);
        return NULL;
    }
    memset(cache->sets, 0, cache->count * sizeof *cache->sets);
    return cache;
}

void record_cache_free(struct record_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < cache->count; i++)
        for (size_t way = 0; way < WAYS; way++)
            free(record_at(&cache->sets[i], way));
    free(cache->sets);
    free(cache);
}

size_t record_cache_bytes(const struct record_cache *cache)
{
    return cache == NULL ? 0 : atomic_load(&cache->bytes);
}

/* Without locks: what is asked for may be gone, which harms nobody. */
static void prefetch_record(const struct set *set, const struct concept_id *id)
{
    for (size_t way = 0; way < WAYS; way++) {
        const char *record = (const char *)record_at(set, way);
        if (record == NULL ||
            atomic_load_explicit(&set->tags[way], memory_order_relaxed) != tag_of(id))
            continue;
        for (size_t line = 0; line < LINES_AHEAD; line++)
            __builtin_prefetch(record + line * LINE);
    }
}

void record_cache_prefetch(const struct record_cache *cache, const struct concept_id *ids, size_t n)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < n; i++)
        __builtin_prefetch(set_of(cache, &ids[i]), 1);
    for (size_t i = 0; i < n; i++)
        prefetch_record(set_of(cache, &ids[i]), &ids[i]);
}

bool record_cache_visit(struct record_cache *cache, const struct concept_id *id,
                        record_cache_visitor *visit, void *context, record_cache_ticket *ret_ticket)
{
    struct set *set;
    size_t way;

    *ret_ticket = NO_TICKET;
    if (cache == NULL)
        return false;
    set = set_of(cache, id);
    lock(set);
    way = find(set, id);
    if (way < WAYS) {
        const struct record *record = record_at(set, way);
        set->referenced |= (uint8_t)(1u << way);
        visit(context, record->bytes + record->id_length, record->size);
    } else if (set->writers == 0) {
        *ret_ticket = set->writes;
    }
    unlock(set);
    return way < WAYS;
}

static struct record *new_record(const struct concept_id *id, const void *data, size_t size)
{
    struct record *record = malloc(sizeof *record + id->length + size);

    if (record == NULL)
        return NULL;
    record->size = (uint32_t)size;
    record->id_length = (uint8_t)id->length;
    memcpy(record->bytes, id->data, id->length);
    memcpy(record->bytes + id->length, data, size);
    return record;
}

/* The set is locked. False: somebody wrote here, or somebody else has put it in. */
static bool may_put(const struct set *set, const struct concept_id *id, record_cache_ticket ticket)
{
    return set->writers == 0 && set->writes == ticket && find(set, id) == WAYS;
}

static void put(struct record_cache *cache, struct set *set, const struct concept_id *id,
                struct record *record)
{
    size_t way = choose_way(set);

    drop(cache, set, way);
    atomic_store_explicit(&set->tags[way], tag_of(id), memory_order_relaxed);
    atomic_store_explicit(&set->records[way], record, memory_order_relaxed);
    set->referenced |= (uint8_t)(1u << way);
    atomic_fetch_add(&cache->bytes, record_bytes(id->length, record->size));
}

void record_cache_put(struct record_cache *cache, const struct concept_id *id, const void *data,
                      size_t size, record_cache_ticket ticket)
{
    struct record *record;
    struct set *set;
    bool taken;

    if (cache == NULL || ticket == NO_TICKET || size > RECORD_CACHE_MOST_BYTES)
        return;
    record = new_record(id, data, size);
    if (record == NULL)
        return;
    set = set_of(cache, id);
    lock(set);
    taken = may_put(set, id, ticket);
    if (taken)
        put(cache, set, id, record);
    unlock(set);
    if (!taken)
        free(record);
    while (atomic_load(&cache->bytes) > cache->most_bytes)
        pass_hand(cache);
}

void record_cache_begin_write(struct record_cache *cache, const struct concept_id *id)
{
    struct set *set;
    size_t way;

    if (cache == NULL)
        return;
    set = set_of(cache, id);
    lock(set);
    set->writers++;
    way = find(set, id);
    if (way < WAYS)
        drop(cache, set, way);
    unlock(set);
}

void record_cache_end_write(struct record_cache *cache, const struct concept_id *id)
{
    struct set *set;

    if (cache == NULL)
        return;
    set = set_of(cache, id);
    lock(set);
    set->writers--;
    set->writes++;
    unlock(set);
}
