#include "src/store/pending.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/base/size.h"

enum { FIRST_CAPACITY = 64 };

void pending_deinit(struct pending *pending)
{
    free(pending->ops);
    free(pending->table);
    arena_deinit(&pending->arena);
}

/* ---- Table -------------------------------------------------------------------------------- */

static bool is_key(const struct pending_op *op, uint32_t hash, uint8_t family, const void *key,
                   size_t key_size)
{
    return op->hash == hash && op->family == family && op->key_size == key_size &&
           memcmp(op->key, key, key_size) == 0;
}

/* The place of the key, or the free one that it would take: half of them are always free. */
static uint32_t *place_of(const struct pending *pending, uint32_t hash, uint8_t family,
                          const void *key, size_t key_size)
{
    const size_t mask = 2 * pending->capacity - 1;

    for (size_t at = hash & mask;; at = (at + 1) & mask) {
        uint32_t *place = &pending->table[at];
        if (*place == 0 || is_key(&pending->ops[*place - 1], hash, family, key, key_size))
            return place;
    }
}

static void enter_all(struct pending *pending)
{
    for (size_t i = 0; i < pending->count; i++) {
        const struct pending_op *op = &pending->ops[i];
        *place_of(pending, op->hash, op->family, op->key, op->key_size) = (uint32_t)i + 1;
    }
}

static bool grow(struct pending *pending)
{
    size_t capacity = pending->capacity == 0 ? FIRST_CAPACITY : 2 * pending->capacity;
    struct pending_op *ops = realloc(pending->ops, capacity * sizeof *ops);
    uint32_t *table = calloc(2 * capacity, sizeof *table);

    if (ops != NULL)
        pending->ops = ops;
    if (ops == NULL || table == NULL) {
        free(table);
        return false;
    }
    if (pending->capacity == 0)
        arena_init(&pending->arena, SIZE_MAX);
    free(pending->table);
    pending->table = table;
    pending->capacity = capacity;
    enter_all(pending);
    return true;
}

/* ---- Ops ---------------------------------------------------------------------------------- */

static uint32_t hash_of(uint8_t family, const void *key, size_t key_size)
{
    return (uint32_t)XXH3_64bits_withSeed(key, key_size, family);
}

const struct pending_op *pending_find(const struct pending *pending, uint8_t family,
                                      const void *key, size_t key_size)
{
    uint32_t place;

    if (pending->count == 0)
        return NULL;
    place = *place_of(pending, hash_of(family, key, key_size), family, key, key_size);
    return place == 0 ? NULL : &pending->ops[place - 1];
}

/* The op of the key, made where there is none. */
static struct pending_op *op_of(struct pending *pending, uint8_t family, const void *key,
                                size_t key_size)
{
    const uint32_t hash = hash_of(family, key, key_size);
    const uint8_t *copy;
    uint32_t *place;

    if (pending->count == pending->capacity && !grow(pending))
        return NULL;
    place = place_of(pending, hash, family, key, key_size);
    if (*place == 0) {
        copy = arena_copy(&pending->arena, key, key_size);
        if (copy == NULL)
            return NULL;
        pending->ops[pending->count] = (struct pending_op){
            .family = family, .hash = hash, .key_size = (uint32_t)key_size, .key = copy
        };
        *place = (uint32_t)++pending->count;
    }
    return &pending->ops[*place - 1];
}

void pending_set(struct pending *pending, uint8_t family, const void *key, size_t key_size,
                 const void *value, size_t value_size)
{
    struct pending_op *op = op_of(pending, family, key, key_size);

    if (op != NULL) {
        op->value = value == NULL ? NULL : arena_copy(&pending->arena, value, value_size);
        op->value_size = (uint32_t)value_size;
    }
    pending->failed |= op == NULL || (op->value == NULL) != (value == NULL);
}

/* ---- Order -------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const struct pending_op *x = a;
    const struct pending_op *y = b;
    int order;

    if (x->family != y->family)
        return x->family < y->family ? -1 : 1;
    order = memcmp(x->key, y->key, size_min(x->key_size, y->key_size));
    return order != 0 ? order : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

void pending_sort(struct pending *pending)
{
    qsort(pending->ops, pending->count, sizeof *pending->ops, compare);
}
