#ifndef SUTRA_STORE_PENDING_H
#define SUTRA_STORE_PENDING_H

/**
 * What a batch has written and not yet committed: the last op of every key.
 *
 * A hash table over ops whose keys and values lie in an arena, so that a value stays readable while
 * more is written. Belongs to one thread. `{0}` is empty; the owner calls pending_deinit().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/arena.h"

struct pending_op {
    uint8_t family; /* of the database's column families */
    uint32_t hash;  /* of family and key */
    uint32_t key_size;
    uint32_t value_size;
    const uint8_t *key;
    const uint8_t *value; /* NULL: the record is deleted */
};

struct pending {
    struct arena arena;
    struct pending_op *ops; /* [count] */
    uint32_t *table;        /* [2 * capacity] places in ops counted from 1; 0: free */
    size_t count;
    size_t capacity; /* a power of two */
    bool failed;     /* memory ran out: ops are missing */
};

void pending_deinit(struct pending *pending);

/** The op of this key, until the next pending_set(); its value, until pending_deinit(). NULL:
 * there is none. */
const struct pending_op *pending_find(const struct pending *pending, uint8_t family,
                                      const void *key, size_t key_size);

/** Copies key and value; @value NULL deletes. */
void pending_set(struct pending *pending, uint8_t family, const void *key, size_t key_size,
                 const void *value, size_t value_size);

/** Brings `ops` into the order of families and keys; after it neither of the two above. */
void pending_sort(struct pending *pending);

#endif
