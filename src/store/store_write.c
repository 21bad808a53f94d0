#include <assert.h>
#include <string.h>

#include "src/store/store_internal.h"

/* An item's association starts at the item. */
static enum status_code parse_association(const struct store_write *item, size_t i,
                                          struct edge *ret, struct status *st)
{
    struct store_association association = item->associations[i];

    association.source = (struct text_view){ item->id.data, item->id.length };
    if (edge_parse(&association, ret, st) != STATUS_OK)
        status_prefix_field(st, "associations[%zu]", i);
    return st->code;
}

static enum status_code add_item_ids(const struct store_write *item, struct id_set *set,
                                     struct status *st)
{
    struct edge edge;

    id_set_add(set, &item->id);
    for (size_t i = 0; i < item->association_count; i++) {
        if (parse_association(item, i, &edge, st) != STATUS_OK)
            return st->code;
        id_set_add(set, &edge.target);
    }
    return STATUS_OK;
}

/* What the item asks for, over what is stored. */
static struct concept merge(const struct store_write *item, const struct stored_concept *old)
{
    struct concept concept = item->concept;
    unsigned kept = old->found ? ~item->given : 0;

    concept.id = (struct text_view){ item->id.data, item->id.length };
    concept.version = old->concept.version + 1;
    if ((kept & STORE_GIVEN_CREATED) != 0)
        concept.created_us = old->concept.created_us;
    if (item->mode == STORE_PUT)
        return concept;
    if ((kept & STORE_GIVEN_STRENGTH) != 0)
        concept.strength = old->concept.strength;
    if ((kept & STORE_GIVEN_CONFIDENCE) != 0)
        concept.confidence = old->concept.confidence;
    if ((kept & STORE_GIVEN_ACCESS_COUNT) != 0)
        concept.access_count = old->concept.access_count;
    if ((kept & STORE_GIVEN_LAST_ACCESSED) != 0)
        concept.last_accessed_us = old->concept.last_accessed_us;
    return concept;
}

static bool keeps_vector(const struct store_write *item, const struct concept *old)
{
    const struct text_view *content = &item->concept.content;

    return item->mode == STORE_LEARN && content->length == old->content.length &&
           (content->length == 0 || memcmp(content->data, old->content.data, content->length) == 0);
}

static enum status_code write_vector(struct store_batch *batch, const struct store_write *item,
                                     const struct stored_concept *old,
                                     enum store_vector_change *ret, struct status *st)
{
    bool existed = false;

    *ret = STORE_VECTOR_SAME;
    if (item->vector != NULL) {
        assert((item->vector->codebook_version == 0) == (item->vector->code == NULL));
        *ret = STORE_VECTOR_SET;
        if (old->found && stored_vector_exists(batch, &item->id, &existed, st) != STATUS_OK)
            return st->code;
        return stored_vector_put(batch, &item->id, item->vector, existed, st);
    }
    if (!old->found || keeps_vector(item, &old->concept))
        return STATUS_OK;
    if (stored_vector_delete(batch, &item->id, &existed, st) == STATUS_OK && existed)
        *ret = STORE_VECTOR_REMOVED;
    return st->code;
}

static enum status_code write_associations(struct store_batch *batch,
                                           const struct store_write *item, bool source_is_new,
                                           struct status *st)
{
    struct edge_value value;
    struct edge edge;
    bool created;

    for (size_t i = 0; i < item->association_count; i++) {
        value = edge_value_of(&item->associations[i]);
        if (parse_association(item, i, &edge, st) != STATUS_OK ||
            edge_put(batch, &edge, source_is_new, &value, &created, st) != STATUS_OK)
            return st->code;
    }
    return STATUS_OK;
}

static enum status_code write_over(struct store_batch *batch, const struct store_write *item,
                                   const struct stored_concept *old, struct store_write_result *ret,
                                   struct status *st)
{
    struct concept concept = merge(item, old);

    ret->created = !old->found;
    ret->version = concept.version;
    if (stored_concept_put(batch, &item->id, old, &concept, st) != STATUS_OK ||
        write_vector(batch, item, old, &ret->vector, st) != STATUS_OK)
        return st->code;
    return write_associations(batch, item, !old->found, st);
}

/* What is wrong with the item goes to @ret, what is wrong with the store to @st. */
static enum status_code write_item(struct store_batch *batch, const struct store_write *item,
                                   struct store_write_result *ret, struct status *st)
{
    struct stored_concept old;

    if (ret->status.code != STATUS_OK)
        return STATUS_OK;
    if (stored_concept_get(batch, &item->id, &old, st) == STATUS_OK &&
        stored_concept_check(&old, item->condition, &ret->status) == STATUS_OK)
        write_over(batch, item, &old, ret, st);
    stored_concept_release(&old);
    if (st->code != STATUS_OK)
        status_wrap(st, "write concept '%.*s'", (int)item->id.length, item->id.data);
    return st->code;
}

static void tell_vectors(struct store *store, const struct store_write *items, size_t n,
                         const struct store_write_result *results)
{
    for (size_t i = 0; i < n; i++)
        if (results[i].vector != STORE_VECTOR_SAME)
            store_tell_vector(store, &items[i].id, items[i].vector);
}

enum status_code store_write(struct store *store, const struct store_write *items, size_t n,
                             bool synced, struct store_write_result *ret_results, struct status *st)
{
    struct store_batch batch = { .store = store };

    memset(ret_results, 0, n * sizeof *ret_results);
    for (size_t i = 0; i < n; i++)
        add_item_ids(&items[i], &batch.ids, &ret_results[i].status);
    store_batch_lock(&batch, st);
    for (size_t i = 0; i < n && st->code == STATUS_OK; i++)
        write_item(&batch, &items[i], &ret_results[i], st);
    if (st->code == STATUS_OK && store_batch_commit(&batch, st) == STATUS_OK)
        tell_vectors(store, items, n, ret_results);
    return store_batch_end(&batch, synced, st);
}
