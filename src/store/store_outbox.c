#include <stdlib.h>
#include <string.h>

#include "src/base/size.h"
#include "src/store/store_internal.h"

/* ---- Receiving --------------------------------------------------------------------------- */

static enum status_code parse_ops(const struct store_edge_op *ops, size_t n, struct edge *edges,
                                  struct id_set *set, struct status *st)
{
    for (size_t i = 0; i < n; i++) {
        if (edge_parse(&ops[i].association, &edges[i], st) != STATUS_OK) {
            status_prefix_field(st, "ops[%zu].association", i);
            return st->code;
        }
        id_set_add(set, &edges[i].source);
        id_set_add(set, &edges[i].target);
    }
    return STATUS_OK;
}

static enum status_code apply_all(struct store_batch *batch, const struct store_edge_op *ops,
                                  const struct edge *edges, size_t n, struct status *st)
{
    for (size_t i = 0; i < n; i++) {
        struct edge_value value = edge_value_of(&ops[i].association);
        if (edge_apply(batch, ops[i].kind, &edges[i], &value, st) != STATUS_OK)
            return st->code;
    }
    return store_batch_commit(batch, st);
}

enum status_code store_apply_edges(struct store *store, const struct store_edge_op *ops, size_t n,
                                   struct status *st)
{
    struct edge *edges = calloc(size_max(n, 1), sizeof *edges);
    struct store_batch batch = { .store = store };

    if (edges == NULL)
        return store_no_memory(st);
    if (parse_ops(ops, n, edges, &batch.ids, st) == STATUS_OK &&
        store_batch_lock(&batch, st) == STATUS_OK)
        apply_all(&batch, ops, edges, n, st);
    free(edges);
    return store_batch_end(&batch, true, st);
}

/* ---- Sending ----------------------------------------------------------------------------- */

/* Reads one entry whose texts live in @arena. */
static enum status_code copy_entry(struct text_view key, struct text_view value,
                                   struct arena *arena, struct store_outbox_entry *ret,
                                   struct status *st)
{
    struct text_view copy = { arena_copy(arena, value.data, value.length), value.length };

    if (copy.data == NULL)
        return store_no_memory(st);
    return store_outbox_read(key, copy, ret, st);
}

enum status_code store_outbox_peek(struct store *store, uint64_t after_sequence, size_t max,
                                   struct arena *arena, struct store_outbox_entry **ret_entries,
                                   size_t *ret_count, struct status *st)
{
    const struct store_key upper = { .data = { 0xff }, .size = 1 };
    struct store_outbox_entry *entries;
    struct text_view key;
    struct text_view value;
    struct store_key lower;
    struct store_range range;
    size_t count = 0;

    max = size_min(max, (size_t)atomic_load(&store->outbox_pending));
    entries = arena_calloc(arena, max, sizeof *entries);
    if (entries == NULL)
        return store_no_memory(st);
    store_key_sequence(after_sequence + 1, &lower);
    store_range_begin(&range, store, FAMILY_OUTBOX, &lower, &upper);
    for (; count < max && store_range_get(&range, &key, &value); store_range_next(&range)) {
        if (copy_entry(key, value, arena, &entries[count], st) != STATUS_OK)
            break;
        count++;
    }
    if (st->code == STATUS_OK && store_range_finish(&range, st) == STATUS_OK) {
        *ret_entries = entries;
        *ret_count = count;
    }
    store_range_deinit(&range);
    return store_settle(store, count > 0, st);
}

static enum status_code remove_entry(struct store_batch *batch, uint64_t sequence,
                                     struct status *st)
{
    struct store_record record;
    struct store_key key;

    store_key_sequence(sequence, &key);
    if (store_batch_get(batch, FAMILY_OUTBOX, &key, &record, st) != STATUS_OK)
        return st->code;
    if (record.bytes.data != NULL) {
        store_batch_delete(batch, FAMILY_OUTBOX, &key);
        batch->outbox_added--;
    }
    store_record_release(&record);
    return STATUS_OK;
}

enum status_code store_outbox_remove(struct store *store, const uint64_t *sequences, size_t n,
                                     struct status *st)
{
    struct store_batch batch = { .store = store };

    pthread_mutex_lock(&store->outbox_lock);
    for (size_t i = 0; i < n && st->code == STATUS_OK; i++)
        remove_entry(&batch, sequences[i], st);
    if (st->code == STATUS_OK)
        store_batch_commit(&batch, st);
    pthread_mutex_unlock(&store->outbox_lock);
    return store_batch_end(&batch, false, st);
}
