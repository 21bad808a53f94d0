#include "src/store/store_internal.h"

enum { MAX_STRENGTH = 10 };

static struct concept reinforced(const struct concept *old, int64_t now_us)
{
    struct concept concept = *old;

    concept.strength *= 1.02f;
    if (concept.strength > MAX_STRENGTH)
        concept.strength = MAX_STRENGTH;
    concept.access_count++;
    concept.last_accessed_us = now_us;
    concept.version++;
    return concept;
}

/* The value is copied before the commit: a full arena must not fail a write that was done. */
static enum status_code reinforce(struct store_batch *batch, const struct concept_id *id,
                                  int64_t now_us, struct arena *arena, struct text_view *ret,
                                  struct status *st)
{
    struct stored_concept old;
    struct concept concept;

    if (stored_concept_get(batch, id, &old, st) != STATUS_OK)
        goto out;
    if (!old.found) {
        status_set(st, STATUS_NOT_FOUND, "there is no concept '%.*s'", (int)id->length, id->data);
        goto out;
    }
    concept = reinforced(&old.concept, now_us);
    if (stored_concept_put(batch, id, &old, &concept, st) != STATUS_OK)
        goto out;
    ret->length = batch->scratch.size;
    ret->data = arena_copy(arena, batch->scratch.data, batch->scratch.size);
    if (ret->data == NULL)
        store_no_memory(st);
out:
    stored_concept_release(&old);
    return st->code;
}

enum status_code store_reinforce_concept(struct store *store, const struct concept_id *id,
                                         int64_t now_us, bool synced, struct arena *arena,
                                         struct text_view *ret_value, struct status *st)
{
    struct store_batch batch = { .store = store };
    struct text_view value;

    id_set_add(&batch.ids, id);
    if (store_batch_lock(&batch, st) == STATUS_OK &&
        reinforce(&batch, id, now_us, arena, &value, st) == STATUS_OK &&
        store_batch_commit(&batch, st) == STATUS_OK)
        *ret_value = value;
    return store_batch_end(&batch, synced, st);
}
