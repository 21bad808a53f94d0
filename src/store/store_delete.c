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

static enum status_code add_ends(void *context, const struct edge *edge, enum store_direction side,
                                 struct status *st)
{
    struct id_set *set = context;

    (void)side;
    id_set_add(set, &edge->source);
    id_set_add(set, &edge->target);
    return set->hashes.failed ? store_no_memory(st) : STATUS_OK;
}

static enum status_code delete_edge(void *context, const struct edge *edge,
                                    enum store_direction side, struct status *st)
{
    bool existed; /* no longer, if the other side's record of a loop went before */

    return edge_delete(context, edge, side, &existed, st);
}

/* Locks the concept and the other ends of all its edges. Which these are is known for sure only
 * under the concept's own lock: another round is lost only to an edge that is new. */
static enum status_code lock_with_edges(struct store_batch *batch, const struct concept_id *id,
                                        struct status *st)
{
    struct id_set ends = { 0 }; /* the concept's own id among them, if there are any */

    id_set_add(&batch->ids, id);
    while (store_batch_lock(batch, st) == STATUS_OK &&
           visit_edges(batch->store, id, add_ends, &ends, st) == STATUS_OK &&
           !id_set_contains(&batch->ids, &ends)) {
        store_batch_unlock(batch);
        id_set_deinit(&batch->ids);
        batch->ids = ends;
        ends = (struct id_set){ 0 };
    }
    id_set_deinit(&ends);
    return st->code;
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
    bool had_vector = false;
    bool existed = false;

    if (lock_with_edges(&batch, id, st) == STATUS_OK &&
        delete_all(&batch, id, condition, &existed, &had_vector, st) == STATUS_OK &&
        store_batch_commit(&batch, st) == STATUS_OK) {
        *ret_existed = existed;
        if (had_vector)
            store_tell_vector(store, id, NULL);
    }
    return store_batch_end(&batch, synced, st);
}
