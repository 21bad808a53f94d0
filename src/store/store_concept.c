#include <string.h>

#include "src/store/store_internal.h"

enum status_code stored_concept_get(struct store_batch *batch, const struct concept_id *id,
                                    struct stored_concept *ret, struct status *st)
{
    struct store_key key;

    *ret = (struct stored_concept){ 0 };
    arena_init(&ret->arena, SIZE_MAX);
    store_key_concept(id, &key);
    if (store_batch_get(batch, FAMILY_CONCEPTS, &key, &ret->record, st) != STATUS_OK ||
        ret->record.bytes.data == NULL)
        return st->code;
    ret->found = true;
    return concept_wire_decode(ret->record.bytes.data, ret->record.bytes.length, &ret->arena,
                               &ret->concept, st);
}

void stored_concept_release(struct stored_concept *stored)
{
    store_record_release(&stored->record);
    arena_deinit(&stored->arena);
}

enum status_code stored_concept_check(const struct stored_concept *stored,
                                      struct store_condition condition, struct status *st)
{
    if (!condition.given || condition.version == stored->concept.version)
        return STATUS_OK;
    return status_set_reason(
        st, STATUS_ABORTED, "VERSION_MISMATCH", "the stored version is %llu, not %llu",
        (unsigned long long)stored->concept.version, (unsigned long long)condition.version);
}

enum status_code stored_concept_put(struct store_batch *batch, const struct concept_id *id,
                                    const struct stored_concept *old, const struct concept *concept,
                                    struct status *st)
{
    struct store_key key;

    buf_reset(&batch->scratch);
    concept_wire_encode(concept, &batch->scratch);
    if (batch->scratch.failed)
        return store_no_memory(st);
    store_key_concept(id, &key);
    store_batch_put(batch, FAMILY_CONCEPTS, &key, batch->scratch.data, batch->scratch.size);
    if (old->found)
        store_batch_note_concept(batch, id);
    else
        batch->added[COUNTER_CONCEPTS]++;
    batch->added[COUNTER_CONTENT_BYTES] += concept->content.length - old->concept.content.length;
    return STATUS_OK;
}

void stored_concept_delete(struct store_batch *batch, const struct concept_id *id,
                           const struct stored_concept *old)
{
    struct store_key key;

    if (!old->found)
        return;
    store_key_concept(id, &key);
    store_batch_delete(batch, FAMILY_CONCEPTS, &key);
    store_batch_note_concept(batch, id);
    batch->added[COUNTER_CONCEPTS]--;
    batch->added[COUNTER_CONTENT_BYTES] -= old->concept.content.length;
}

enum status_code stored_vector_exists(struct store_batch *batch, const struct concept_id *id,
                                      bool *ret, struct status *st)
{
    struct store_record record;
    struct store_key key;

    store_key_concept(id, &key);
    if (store_batch_get(batch, FAMILY_VECTORS, &key, &record, st) != STATUS_OK)
        return st->code;
    *ret = record.bytes.data != NULL;
    store_record_release(&record);
    return STATUS_OK;
}

enum status_code stored_vector_recode(struct store_batch *batch, const struct concept_id *id,
                                      const struct store_vector *vector, struct status *st)
{
    struct store_key key;

    buf_reset(&batch->scratch);
    store_vector_write(vector, &batch->scratch);
    if (batch->scratch.failed)
        return store_no_memory(st);
    store_key_concept(id, &key);
    store_batch_put(batch, FAMILY_VECTORS, &key, batch->scratch.data, batch->scratch.size);
    return STATUS_OK;
}

enum status_code stored_vector_put(struct store_batch *batch, const struct concept_id *id,
                                   const struct store_vector *vector, bool existed,
                                   struct status *st)
{
    if (stored_vector_recode(batch, id, vector, st) != STATUS_OK)
        return st->code;
    store_change_write(id, &batch->changes);
    if (!existed)
        batch->added[COUNTER_VECTORS]++;
    return STATUS_OK;
}

enum status_code stored_vector_delete(struct store_batch *batch, const struct concept_id *id,
                                      bool *ret_existed, struct status *st)
{
    struct store_key key;

    if (stored_vector_exists(batch, id, ret_existed, st) != STATUS_OK || !*ret_existed)
        return st->code;
    store_key_concept(id, &key);
    store_batch_delete(batch, FAMILY_VECTORS, &key);
    store_change_write(id, &batch->changes);
    batch->added[COUNTER_VECTORS]--;
    return STATUS_OK;
}

void store_tell_vector(struct store *store, const struct concept_id *id,
                       const struct store_vector *vector)
{
    if (store->on_vector != NULL)
        store->on_vector(store->context, id, vector);
}
