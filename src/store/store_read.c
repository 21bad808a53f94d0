#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/store/store_internal.h"

/* ---- One ---------------------------------------------------------------------------------- */

static struct store_value value_of(rocksdb_pinnableslice_t *slice)
{
    struct store_value value = { .handle = slice };

    if (slice != NULL)
        value.data = rocksdb_pinnableslice_value(slice, &value.size);
    return value;
}

enum status_code store_pin(struct store *store, enum store_family family,
                           const struct store_key *key, struct store_value *ret, struct status *st)
{
    char *error = NULL;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned_cf(store->db, store->read, store->families[family],
                              (const char *)key->data, key->size, &error);

    if (error != NULL)
        return store_status(st, error);
    *ret = value_of(slice);
    return STATUS_OK;
}

void store_value_release(struct store_value *value)
{
    if (value->handle != NULL)
        rocksdb_pinnableslice_destroy(value->handle);
    else
        free((void *)(uintptr_t)value->data);
    *value = (struct store_value){ 0 };
}

static void copy_value(void *context, const void *data, size_t size)
{
    struct store_value *value = context;
    void *copy = malloc(size);

    if (copy == NULL)
        return;
    memcpy(copy, data, size);
    *value = (struct store_value){ .data = copy, .size = size };
}

static enum status_code pin_and_cache(struct store *store, const struct concept_id *id,
                                      record_cache_ticket ticket, struct store_value *ret,
                                      struct status *st)
{
    struct store_key key;

    store_key_concept(id, &key);
    if (store_pin(store, FAMILY_CONCEPTS, &key, ret, st) != STATUS_OK)
        return status_wrap(st, "get concept '%.*s'", (int)id->length, id->data);
    if (ret->data == NULL)
        return status_set(st, STATUS_NOT_FOUND, "there is no concept '%.*s'", (int)id->length,
                          id->data);
    record_cache_put(store->cache, id, ret->data, ret->size, ticket);
    return STATUS_OK;
}

enum status_code store_get(struct store *store, const struct concept_id *id,
                           struct store_value *ret, struct status *st)
{
    struct store_value value = { 0 };
    record_cache_ticket ticket;

    if (record_cache_visit(store->cache, id, copy_value, &value, &ticket)) {
        metrics_count(&store->cache_hits, 1);
    } else {
        metrics_count(&store->cache_misses, 1);
        if (pin_and_cache(store, id, ticket, &value, st) != STATUS_OK)
            return st->code;
    }
    if (value.data == NULL)
        return store_no_memory(st);
    *ret = value;
    return STATUS_OK;
}

/* ---- Many --------------------------------------------------------------------------------- */

/* The columns that RocksDB's multi-get wants. */
struct lookup {
    struct arena arena;
    const char **keys;
    size_t *sizes;
    rocksdb_pinnableslice_t **slices;
    char **errors;
};

static bool lookup_add_key(struct lookup *lookup, size_t i, const struct concept_id *id)
{
    struct store_key key;

    store_key_concept(id, &key);
    lookup->keys[i] = arena_copy(&lookup->arena, key.data, key.size);
    lookup->sizes[i] = key.size;
    return lookup->keys[i] != NULL;
}

static bool lookup_prepare(struct lookup *lookup, const struct concept_id *ids, size_t n)
{
    arena_init(&lookup->arena, SIZE_MAX);
    lookup->keys = arena_calloc(&lookup->arena, n, sizeof *lookup->keys);
    lookup->sizes = arena_calloc(&lookup->arena, n, sizeof *lookup->sizes);
    lookup->slices = arena_calloc(&lookup->arena, n, sizeof *lookup->slices);
    lookup->errors = arena_calloc(&lookup->arena, n, sizeof *lookup->errors);
    if (lookup->keys == NULL || lookup->sizes == NULL || lookup->slices == NULL ||
        lookup->errors == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!lookup_add_key(lookup, i, &ids[i]))
            return false;
    return true;
}

/* The first error counts, the others are freed. */
static enum status_code lookup_status(const struct lookup *lookup, size_t n, struct status *st)
{
    for (size_t i = 0; i < n; i++) {
        if (lookup->errors[i] == NULL)
            continue;
        if (st->code == STATUS_OK)
            store_status(st, lookup->errors[i]);
        else
            rocksdb_free(lookup->errors[i]);
    }
    return st->code;
}

enum status_code store_pin_many(struct store *store, enum store_family family,
                                const struct concept_id *ids, size_t n,
                                struct store_value *ret_values, struct status *st)
{
    struct lookup lookup = { 0 };

    if (n == 0)
        return STATUS_OK;
    if (!lookup_prepare(&lookup, ids, n)) {
        store_no_memory(st);
        goto out;
    }
    rocksdb_batched_multi_get_cf(store->db, store->read, store->families[family], n, lookup.keys,
                                 lookup.sizes, lookup.slices, lookup.errors, false);
    for (size_t i = 0; i < n; i++)
        ret_values[i] = value_of(lookup.slices[i]);
    if (lookup_status(&lookup, n, st) != STATUS_OK)
        for (size_t i = 0; i < n; i++)
            store_value_release(&ret_values[i]);
out:
    arena_deinit(&lookup.arena);
    return st->code;
}

static enum status_code copy_vector(const struct store_value *value, struct arena *arena,
                                    struct store_vector *ret, struct status *st)
{
    struct text_view copy;

    *ret = (struct store_vector){ 0 };
    if (value->data == NULL)
        return STATUS_OK;
    copy = (struct text_view){ arena_copy(arena, value->data, value->size), value->size };
    if (copy.data == NULL)
        return store_no_memory(st);
    return store_vector_read(copy, ret, st);
}

enum status_code store_get_vectors(struct store *store, const struct concept_id *ids, size_t n,
                                   struct arena *arena, struct store_vector *ret_vectors,
                                   struct status *st)
{
    struct store_value *values = arena_calloc(arena, n, sizeof *values);

    if (values == NULL)
        return store_no_memory(st);
    if (store_pin_many(store, FAMILY_VECTORS, ids, n, values, st) != STATUS_OK)
        return status_wrap(st, "get %zu vectors", n);
    for (size_t i = 0; i < n && st->code == STATUS_OK; i++)
        copy_vector(&values[i], arena, &ret_vectors[i], st);
    for (size_t i = 0; i < n; i++)
        store_value_release(&values[i]);
    return st->code;
}

/* ---- All ---------------------------------------------------------------------------------- */

static void slot_key(unsigned slot, struct store_key *ret)
{
    const uint8_t bytes[2] = { (uint8_t)(slot >> 8), (uint8_t)slot };

    ret->size = 0;
    store_key_append(ret, bytes, sizeof bytes);
}

/* Nothing sorts between an id and the same id with a NUL behind it. */
static enum status_code list_begin(struct store_range *range, const struct store *store,
                                   uint16_t first_slot, uint16_t last_slot,
                                   struct text_view after_id, struct status *st)
{
    struct store_key lower;
    struct store_key upper;

    if (after_id.length > CONCEPT_ID_MAX_BYTES)
        return status_set_field(st, "after_id", "after_id is no concept id");
    slot_key(first_slot, &lower);
    slot_key(last_slot + 1u, &upper);
    if (after_id.length != 0) {
        store_key_append(&lower, after_id.data, after_id.length);
        store_key_append(&lower, "", 1);
    }
    store_range_begin(range, store, FAMILY_CONCEPTS, &lower, &upper);
    return STATUS_OK;
}

enum status_code store_list(struct store *store, uint16_t first_slot, uint16_t last_slot,
                            struct text_view after_id, size_t limit, struct arena *arena,
                            struct text_view **ret_values, size_t *ret_count, bool *ret_done,
                            struct status *st)
{
    struct text_view *values = arena_calloc(arena, limit, sizeof *values);
    struct text_view key;
    struct text_view value;
    struct store_range range;
    size_t count = 0;

    if (values == NULL)
        return store_no_memory(st);
    if (list_begin(&range, store, first_slot, last_slot, after_id, st) != STATUS_OK)
        return st->code;
    for (; count < limit && store_range_get(&range, &key, &value); store_range_next(&range)) {
        values[count].length = value.length;
        values[count].data = arena_copy(arena, value.data, value.length);
        if (values[count].data == NULL)
            break;
        count++;
    }
    if (store_range_finish(&range, st) == STATUS_OK) {
        *ret_done = !store_range_get(&range, &key, &value);
        *ret_values = values;
        *ret_count = count;
        if (count == 0 && limit != 0 && !*ret_done)
            status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for one concept");
    }
    store_range_deinit(&range);
    return st->code;
}

static enum status_code visit_now(struct store *store, const struct concept_id *id,
                                  bool (*visit)(void *context, const struct concept_id *id,
                                                const struct store_vector *vector),
                                  void *context, bool *ret_more, struct status *st)
{
    struct store_vector vector;
    struct store_value value;
    struct store_key key;

    store_key_concept(id, &key);
    if (store_pin(store, FAMILY_VECTORS, &key, &value, st) != STATUS_OK)
        return st->code;
    if (value.data == NULL)
        *ret_more = visit(context, id, NULL);
    else if (store_vector_read((struct text_view){ value.data, value.size }, &vector, st) ==
             STATUS_OK)
        *ret_more = visit(context, id, &vector);
    store_value_release(&value);
    return st->code;
}

enum status_code store_visit_vectors(struct store *store, const struct concept_id *ids, size_t n,
                                     bool (*visit)(void *context, const struct concept_id *id,
                                                   const struct store_vector *vector),
                                     void *context, struct status *st)
{
    struct id_set set = { 0 };
    bool more = true;

    for (size_t i = 0; i < n; i++)
        id_set_add(&set, &ids[i]);
    if (id_locks_take(store->locks, &set, st) == STATUS_OK) {
        for (size_t i = 0; i < n && more && st->code == STATUS_OK; i++)
            visit_now(store, &ids[i], visit, context, &more, st);
        id_locks_release(store->locks, &set);
    }
    id_set_deinit(&set);
    return st->code;
}

/* An iterator sees its family as of the moment it was made. */
enum status_code store_scan_vectors(struct store *store,
                                    bool (*visit)(void *context, const struct concept_id *id,
                                                  const struct store_vector *vector),
                                    void *context, struct status *st)
{
    struct store_vector vector;
    struct store_range range;
    struct text_view value;
    struct text_view key;
    struct concept_id id;

    store_range_begin_all(&range, store, FAMILY_VECTORS);
    for (; store_range_get(&range, &key, &value); store_range_next(&range))
        if (store_key_read_concept(key, &id, st) != STATUS_OK ||
            store_vector_read(value, &vector, st) != STATUS_OK || !visit(context, &id, &vector))
            break;
    if (st->code == STATUS_OK)
        store_range_finish(&range, st);
    store_range_deinit(&range);
    return st->code;
}
