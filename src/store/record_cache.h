#ifndef SUTRA_STORE_RECORD_CACHE_H
#define SUTRA_STORE_RECORD_CACHE_H

/**
 * Hot concepts in front of RocksDB: their encoded records by id, in a bounded amount of memory.
 *
 * Never stale. Who writes a concept announces it before the commit, which forgets its record, and
 * says when that is over. Who misses a record gets a ticket, reads RocksDB, and puts what it read
 * in with that ticket: refused if a write was under way in between. So from the announcement to the
 * end of a write readers see what RocksDB has, and nothing older is cached behind it.
 *
 * Set-associative: the hash names a set, one line of the processor's cache, of six records under a
 * lock of its own. Records that were not asked for since the hand last passed go first (CLOCK,
 * Corbató 1968). Records of more than RECORD_CACHE_MOST_BYTES are not kept. Any thread; a cache
 * that is NULL has nothing and takes nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/ids/concept_id.h"

enum {
    RECORD_CACHE_LEAST_BYTES = 64 << 10, /* of memory */
    RECORD_CACHE_MOST_BYTES = 16 << 10,  /* of a record */
};

struct record_cache;

/** What a miss is remembered by. */
typedef uint64_t record_cache_ticket;

/** For @bytes of memory, all of it together; NULL for less than the least, or without memory. */
struct record_cache *record_cache_new(size_t bytes);

void record_cache_free(struct record_cache *cache);

/** What its records take. */
size_t record_cache_bytes(const struct record_cache *cache);

/** Asks for the memory of @n records, so that record_cache_visit() need not wait for each. */
void record_cache_prefetch(const struct record_cache *cache, const struct concept_id *ids,
                           size_t n);

/** Gets a record to read, under a lock: it must be quick, and not call the cache. */
typedef void record_cache_visitor(void *context, const void *data, size_t size);

/** Calls @visit with the record and returns true; or false, and the ticket for it. */
bool record_cache_visit(struct record_cache *cache, const struct concept_id *id,
                        record_cache_visitor *visit, void *context,
                        record_cache_ticket *ret_ticket);

/** Keeps a copy of a record that was missed and then read, if it may. */
void record_cache_put(struct record_cache *cache, const struct concept_id *id, const void *data,
                      size_t size, record_cache_ticket ticket);

/** A write of the concept begins, and, whether or not it was committed, ends. */
void record_cache_begin_write(struct record_cache *cache, const struct concept_id *id);
void record_cache_end_write(struct record_cache *cache, const struct concept_id *id);

#endif
