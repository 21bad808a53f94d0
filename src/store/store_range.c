#include "src/store/store_internal.h"

static void begin(struct store_range *range, const struct store *store, enum store_family family)
{
    range->iterator =
        rocksdb_create_iterator_cf(store->db, range->options, store->families[family]);
}

void store_range_begin(struct store_range *range, const struct store *store,
                       enum store_family family, const struct store_key *lower,
                       const struct store_key *upper)
{
    range->options = rocksdb_readoptions_create();
    range->upper = *upper;
    rocksdb_readoptions_set_iterate_upper_bound(range->options, (const char *)range->upper.data,
                                                range->upper.size);
    begin(range, store, family);
    store_range_seek(range, lower);
}

void store_range_begin_prefix(struct store_range *range, const struct store *store,
                              enum store_family family, const struct store_key *prefix)
{
    struct store_key upper;

    store_key_successor(prefix, &upper);
    store_range_begin(range, store, family, prefix, &upper);
}

void store_range_begin_all(struct store_range *range, const struct store *store,
                           enum store_family family)
{
    range->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(range->options, 0);
    rocksdb_readoptions_set_readahead_size(range->options, 1 << 20);
    begin(range, store, family);
    rocksdb_iter_seek_to_first(range->iterator);
}

void store_range_deinit(struct store_range *range)
{
    rocksdb_iter_destroy(range->iterator);
    rocksdb_readoptions_destroy(range->options);
}

bool store_range_get(const struct store_range *range, struct text_view *ret_key,
                     struct text_view *ret_value)
{
    if (!rocksdb_iter_valid(range->iterator))
        return false;
    ret_key->data = rocksdb_iter_key(range->iterator, &ret_key->length);
    ret_value->data = rocksdb_iter_value(range->iterator, &ret_value->length);
    return true;
}

void store_range_next(struct store_range *range)
{
    rocksdb_iter_next(range->iterator);
}

void store_range_seek(struct store_range *range, const struct store_key *key)
{
    rocksdb_iter_seek(range->iterator, (const char *)key->data, key->size);
}

enum status_code store_range_finish(const struct store_range *range, struct status *st)
{
    char *error = NULL;

    rocksdb_iter_get_error(range->iterator, &error);
    return error == NULL ? STATUS_OK : store_status(st, error);
}
