#include <string.h>

#include "src/store/store_internal.h"

static char *get(struct store *store, const char *name, size_t *ret_size, struct status *st)
{
    char *error = NULL;
    char *data = rocksdb_get_cf(store->db, store->read, store->families[FAMILY_META], name,
                                strlen(name), ret_size, &error);

    if (error != NULL)
        store_status(st, error);
    return data;
}

static enum status_code put(struct store *store, const char *name, const void *data, size_t size,
                            bool synced, struct status *st)
{
    char *error = NULL;

    rocksdb_put_cf(store->db, store->write, store->families[FAMILY_META], name, strlen(name), data,
                   size, &error);
    return error == NULL ? store_settle(store, synced, st) : store_status(st, error);
}

static enum status_code get_u32(struct store *store, const char *name, bool *ret_found,
                                uint32_t *ret, struct status *st)
{
    size_t size = 0;
    char *data = get(store, name, &size, st);

    *ret_found = data != NULL;
    if (data != NULL && size != 4)
        status_set(st, STATUS_DATA_LOSS, "'%s' has %zu bytes, not 4", name, size);
    if (data != NULL && size == 4) {
        *ret = 0;
        for (unsigned i = 0; i < 4; i++)
            *ret |= (uint32_t)(uint8_t)data[i] << (8 * i);
    }
    rocksdb_free(data);
    return st->code;
}

static enum status_code put_u32(struct store *store, const char *name, uint32_t value,
                                struct status *st)
{
    uint8_t bytes[4];

    for (unsigned i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    return put(store, name, bytes, sizeof bytes, true, st);
}

static enum status_code claim_format(struct store *store, struct status *st)
{
    uint32_t format;
    bool found;

    if (get_u32(store, "format", &found, &format, st) != STATUS_OK)
        return st->code;
    if (!found)
        return put_u32(store, "format", STORE_FORMAT, st);
    if (format != STORE_FORMAT)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "a newer release wrote it in format %u, this one reads %d", format,
                          STORE_FORMAT);
    return STATUS_OK;
}

static enum status_code claim_shard(struct store *store, uint32_t shard, struct status *st)
{
    uint32_t stored;
    bool found;

    if (get_u32(store, "shard", &found, &stored, st) != STATUS_OK)
        return st->code;
    if (!found)
        return put_u32(store, "shard", shard, st);
    if (stored != shard)
        return status_set(st, STATUS_FAILED_PRECONDITION, "it belongs to shard %u, not to shard %u",
                          stored, shard);
    return STATUS_OK;
}

enum status_code store_meta_claim(struct store *store, const struct store_options *options,
                                  struct status *st)
{
    if (claim_format(store, st) != STATUS_OK || !options->has_shard)
        return st->code;
    return claim_shard(store, options->shard, st);
}

enum status_code store_meta_claim_vectors(struct store *store, uint32_t format, struct status *st)
{
    uint32_t stored = 0;
    bool found;

    if (get_u32(store, "vector_format", &found, &stored, st) != STATUS_OK)
        return st->code;
    if (!found && store->counters[COUNTER_VECTORS] == 0)
        return put_u32(store, "vector_format", format, st);
    if (stored != format)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "its vectors are of format %u, not of format %u", stored, format);
    return STATUS_OK;
}

static const char *const blob_names[] = {
    [STORE_CODEBOOK] = "codebook",
    [STORE_CALIBRATION] = "calibration",
};

enum status_code store_put_blob(struct store *store, enum store_blob blob, const void *data,
                                size_t size, bool synced, struct status *st)
{
    return put(store, blob_names[blob], data, size, synced, st);
}

enum status_code store_get_blob(struct store *store, enum store_blob blob, struct arena *arena,
                                struct text_view *ret, struct status *st)
{
    struct text_view copy = { 0 };
    char *data = get(store, blob_names[blob], &copy.length, st);

    if (data != NULL) {
        copy.data = arena_copy(arena, data, copy.length);
        if (copy.data == NULL)
            store_no_memory(st);
    }
    rocksdb_free(data);
    if (st->code == STATUS_OK)
        *ret = copy.data == NULL ? (struct text_view){ 0 } : copy;
    return st->code;
}
