#include "src/store/store_internal.h"

/* The number is given while the locks are held, and so in the order of commits of one id. */
void store_batch_put_changes(struct store_batch *batch)
{
    struct store_key key;

    if (batch->changes.size == 0)
        return;
    store_key_sequence(store_batch_sequence(batch), &key);
    store_batch_put(batch, FAMILY_CHANGES, &key, batch->changes.data, batch->changes.size);
}

static uint64_t next_number(struct store *store)
{
    return atomic_load(&store->counters[COUNTER_SEQUENCE]) + 1;
}

/* Numbers are given, and on_vector() is told, while locks are held. */
uint64_t store_change_mark(struct store *store)
{
    uint64_t mark = next_number(store);

    id_locks_wait(store->locks);
    return mark;
}

static enum status_code unknown(uint64_t mark, const char *why, struct status *st)
{
    return status_set(st, STATUS_FAILED_PRECONDITION, "changes since %llu: %s",
                      (unsigned long long)mark, why);
}

static enum status_code visit_changes(struct text_view key, struct text_view value, uint64_t mark,
                                      bool (*visit)(void *context, const struct concept_id *id),
                                      void *context, bool *ret_more, struct status *st)
{
    struct concept_id id;
    uint64_t number;

    if (store_key_read_sequence(key, &number, st) != STATUS_OK)
        return st->code;
    if (value.length == 0 && number >= mark)
        return unknown(mark, "some are forgotten", st);
    if (number < mark)
        return STATUS_OK;
    while (value.length > 0 && *ret_more && store_change_read(&value, &id, st) == STATUS_OK)
        *ret_more = visit(context, &id);
    return st->code;
}

enum status_code store_scan_changes(struct store *store, uint64_t mark,
                                    bool (*visit)(void *context, const struct concept_id *id),
                                    void *context, struct status *st)
{
    struct store_range range;
    struct text_view value;
    struct text_view key;
    bool more = true;

    if (mark > next_number(store))
        return unknown(mark, "the store was never there", st);
    store_range_begin_all(&range, store, FAMILY_CHANGES);
    for (; more && store_range_get(&range, &key, &value); store_range_next(&range))
        if (visit_changes(key, value, mark, visit, context, &more, st) != STATUS_OK)
            break;
    if (st->code == STATUS_OK)
        store_range_finish(&range, st);
    store_range_deinit(&range);
    return st->code;
}

/* The last of them stays behind without ids: no other will have its number. */
enum status_code store_forget_changes(struct store *store, uint64_t mark, struct status *st)
{
    rocksdb_column_family_handle_t *family = store->families[FAMILY_CHANGES];
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    struct store_key first;
    struct store_key last;
    struct store_key end;
    char *error = NULL;

    store_key_sequence(0, &first);
    store_key_sequence(mark - 1, &last);
    store_key_sequence(mark, &end);
    rocksdb_writebatch_delete_range_cf(batch, family, (const char *)first.data, first.size,
                                       (const char *)end.data, end.size);
    rocksdb_writebatch_put_cf(batch, family, (const char *)last.data, last.size, "", 0);
    rocksdb_write(store->db, store->write, batch, &error);
    rocksdb_writebatch_destroy(batch);
    return error == NULL ? STATUS_OK : store_status(st, error);
}
