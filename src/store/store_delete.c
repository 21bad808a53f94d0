#include "src/store/store_internal.h"

static const enum store_direction sides[] = { STORE_OUT, STORE_IN };

static enum store_family family_of(enum store_direction side)
{
    return side == STORE_OUT ? FAMILY_OUT : FAMILY_IN;
}

/* What to do with one stored edge of the concept. */
typedef enum status_code edge_visit(void *context, const struct edge *edge,
                                    enum store_direction side, struct status *st);

static enum status_code visit_side(struct store *store, const struct concept_id *id,
                                   enum store_direction side, edge_visit *visit, void *context,
                                   struct status *st)
{
    struct store_range range;
    struct store_key prefix;
    struct text_view value;
    struct text_view key;
    struct edge edge;

    store_key_edges(id, &prefix);
    store_range_begin_prefix(&range, store, family_of(side), &prefix);
    for (; store_range_get(&range, &key, &value); store_range_next(&range))
        if (store_key_read_edge(key, side, &edge, st) != STATUS_OK ||
            visit(context, &edge, side, st) != STATUS_OK)
            break;
    if (st->code == STATUS_OK)
        store_range_finish(&range, st);
    store_range_deinit(&range);
    return st->code;
}

static enum status_code visit_edges(struct store *store, const struct concept_id *id,
                                    edge_visit *visit, void *context, struct status *st)
{
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++)
        if (visit_side(store, id, sides[i], visit, context, st) != STATUS_OK)
            return st->code;
    return STATUS_OK;
}

static enum status_code add_stripes(void *context, const struct edge *edge,
                                    enum store_direction side, struct status *st)
{
    struct stripes *set = context;

    (void)side;
    (void)st;
    stripes_add(set, &edge->source);
    stripes_add(set, &edge->target);
    return STATUS_OK;
}

static enum status_code delete_edge(void *context, const struct edge *edge,
                                    enum store_direction side, struct status *st)
{
    bool existed; /* no longer, if the other side's record of a loop went before */

    return edge_delete(context, edge, side, &existed, st);
}

/**
 * Locks the concept and the other ends of all its edges. Which these are is known for sure only
 * under the concept's own lock, so the set grows until nothing is missing: with every stripe in
 * it nothing can be. The lock is held on success only.
 */
static enum status_code lock_with_edges(struct store *store, const struct concept_id *id,
                                        struct stripes *ret_held, struct status *st)
{
    struct stripes needed = { 0 };
    struct stripes held;

    stripes_add(&needed, id);
    do {
        held = needed;
        store_lock(store, &held);
        if (visit_edges(store, id, add_stripes, &needed, st) != STATUS_OK) {
            store_unlock(store, &held);
            return st->code;
        }
        if (!stripes_contain(&held, &needed))
            store_unlock(store, &held);
    } while (!stripes_contain(&held, &needed));
    *ret_held = held;
    return STATUS_OK;
}

/* Under the locks. */
static enum status_code delete_all(struct store_batch *batch, const struct concept_id *id,
                                   struct store_condition condition, bool *ret_existed,
                                   bool *ret_had_vector, struct status *st)
{
    struct stored_concept old;

    if (stored_concept_get(batch, id, &old, st) == STATUS_OK &&
        stored_concept_check(&old, condition, st) == STATUS_OK &&
        stored_vector_delete(batch, id, ret_had_vector, st) == STATUS_OK) {
        *ret_existed = old.found;
        stored_concept_delete(batch, id, &old);
        visit_edges(batch->store, id, delete_edge, batch, st);
    }
    stored_concept_release(&old);
    return st->code;
}

enum status_code store_delete(struct store *store, const struct concept_id *id,
                              struct store_condition condition, bool synced, bool *ret_existed,
                              struct status *st)
{
    struct store_batch batch = { .store = store };
    struct stripes held;
    bool had_vector = false;
    bool existed = false;

    if (lock_with_edges(store, id, &held, st) != STATUS_OK)
        return st->code;
    if (delete_all(&batch, id, condition, &existed, &had_vector, st) == STATUS_OK &&
        store_batch_commit(&batch, st) == STATUS_OK) {
        *ret_existed = existed;
        if (had_vector)
            store_tell_vector(store, id, NULL);
    }
    store_unlock(store, &held);
    store_batch_deinit(&batch);
    return store_settle(store, synced, st);
}
