#include <assert.h>

#include "src/store/store_internal.h"

enum { CURSOR_MAX_BYTES = 1 + 255 + 1 + STORE_LABEL_MAX_BYTES };

/* One question on its way through the records of its concept. */
struct walk {
    const struct store_neighbors_query *query;
    struct store_key prefix;
    struct store_range range;
    struct text_view last_key; /* of the item added last, in the arena */
};

static enum status_code walk_begin(struct walk *walk, const struct store *store,
                                   const struct store_neighbors_query *query, struct status *st)
{
    enum store_family family = query->direction == STORE_OUT ? FAMILY_OUT : FAMILY_IN;

    if (query->cursor.length > CURSOR_MAX_BYTES)
        return status_set_field(st, "cursor", "cursor is not one of this concept's");
    walk->query = query;
    store_key_edges(&query->id, &walk->prefix);
    store_range_begin_prefix(&walk->range, store, family, &walk->prefix);
    if (query->cursor.length != 0) {
        struct store_key behind = walk->prefix;
        store_key_append(&behind, query->cursor.data, query->cursor.length);
        store_key_append(&behind, "", 1);
        store_range_seek(&walk->range, &behind);
    }
    return STATUS_OK;
}

static void skip_type(struct walk *walk, uint8_t type)
{
    struct store_key next = walk->prefix;
    uint8_t next_type = (uint8_t)(type + 1);

    store_key_append(&next, &next_type, 1);
    store_range_seek(&walk->range, &next);
}

/* The record under the iterator or the next one of a type that is asked for. */
static bool walk_get(struct walk *walk, struct text_view *ret_key, struct text_view *ret_value)
{
    unsigned mask = walk->query->type_mask;

    while (store_range_get(&walk->range, ret_key, ret_value)) {
        uint8_t type = ret_key->length > walk->prefix.size
                           ? (uint8_t)ret_key->data[walk->prefix.size]
                           : STORE_TYPE_MAX + 1;
        if (mask == 0 || type > STORE_TYPE_MAX || (mask >> type & 1) != 0)
            return true; /* a type that does not exist is for the reader of the key to refuse */
        skip_type(walk, type);
    }
    return false;
}

static enum status_code walk_add(struct walk *walk, struct text_view key, struct text_view value,
                                 struct arena *arena, struct store_association *ret,
                                 struct status *st)
{
    struct edge_value read;
    struct edge edge;

    walk->last_key = (struct text_view){ arena_copy(arena, key.data, key.length), key.length };
    if (walk->last_key.data == NULL)
        return store_no_memory(st);
    if (store_key_read_edge(walk->last_key, walk->query->direction, &edge, st) != STATUS_OK ||
        edge_value_read(value, &read, st) != STATUS_OK)
        return st->code;
    *ret = edge_association(&edge, &read);
    return STATUS_OK;
}

static enum status_code walk_all(struct walk *walk, struct arena *arena,
                                 struct store_neighbors *answer, struct status *st)
{
    size_t prefix = walk->prefix.size;
    struct text_view value;
    struct text_view key;

    for (; walk_get(walk, &key, &value); store_range_next(&walk->range)) {
        if (answer->count == walk->query->limit) {
            answer->cursor =
                (struct text_view){ walk->last_key.data + prefix, walk->last_key.length - prefix };
            break;
        }
        if (walk_add(walk, key, value, arena, &answer->items[answer->count], st) != STATUS_OK)
            return st->code;
        answer->count++;
    }
    return store_range_finish(&walk->range, st);
}

enum status_code store_neighbors(struct store *store, const struct store_neighbors_query *query,
                                 struct arena *arena, struct store_neighbors *ret,
                                 struct status *st)
{
    struct store_neighbors answer = { 0 };
    struct walk walk;

    assert(query->limit > 0);
    answer.items = arena_calloc(arena, query->limit, sizeof *answer.items);
    if (answer.items == NULL)
        return store_no_memory(st);
    if (walk_begin(&walk, store, query, st) != STATUS_OK)
        return st->code;
    if (walk_all(&walk, arena, &answer, st) == STATUS_OK)
        *ret = answer;
    store_range_deinit(&walk.range);
    return st->code;
}
