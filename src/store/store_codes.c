#include <assert.h>
#include <string.h>

#include "src/store/store_internal.h"

static struct store_vector encoded(const struct store_code *item, uint64_t codebook_version)
{
    return (struct store_vector){
        .refinement = item->refinement,
        .refinement_size = item->drop_refinement ? 0 : item->refinement_size,
        .code = item->code,
        .codebook_version = codebook_version,
    };
}

static enum status_code is_unchanged(struct store_batch *batch, const struct store_code *item,
                                     bool *ret, struct status *st)
{
    struct store_record record;
    struct store_vector vector;
    struct store_key key;

    *ret = false;
    store_key_concept(&item->id, &key);
    if (store_batch_get(batch, FAMILY_VECTORS, &key, &record, st) != STATUS_OK)
        return st->code;
    if (record.bytes.data != NULL && store_vector_read(record.bytes, &vector, st) == STATUS_OK)
        *ret = vector.refinement_size == item->refinement_size &&
               memcmp(vector.refinement, item->refinement, item->refinement_size) == 0;
    store_record_release(&record);
    return st->code;
}

static enum status_code set_code(struct store_batch *batch, const struct store_code *item,
                                 uint64_t codebook_version, bool *ret_applied, struct status *st)
{
    struct store_vector vector = encoded(item, codebook_version);

    if (is_unchanged(batch, item, ret_applied, st) != STATUS_OK || !*ret_applied)
        return st->code;
    return stored_vector_recode(batch, &item->id, &vector, st);
}

static void tell_codes(struct store *store, const struct store_code *items, size_t n,
                       uint64_t codebook_version, const bool *applied)
{
    for (size_t i = 0; i < n; i++) {
        struct store_vector vector = encoded(&items[i], codebook_version);
        if (applied[i])
            store_tell_vector(store, &items[i].id, &vector);
    }
}

enum status_code store_set_codes(struct store *store, const struct store_code *items, size_t n,
                                 uint64_t codebook_version, bool *ret_applied, struct status *st)
{
    struct store_batch batch = { .store = store };

    assert(codebook_version != 0);
    for (size_t i = 0; i < n; i++)
        id_set_add(&batch.ids, &items[i].id);
    store_batch_lock(&batch, st);
    for (size_t i = 0; i < n && st->code == STATUS_OK; i++)
        set_code(&batch, &items[i], codebook_version, &ret_applied[i], st);
    if (st->code == STATUS_OK && store_batch_commit(&batch, st) == STATUS_OK)
        tell_codes(store, items, n, codebook_version, ret_applied);
    return store_batch_end(&batch, false, st);
}
