/* The record "counters" of `meta`: every batch merges what it adds, so that counts are exact after
 * a crash without a read before each write. RocksDB's own uint64add would take six records, and it
 * cannot keep a maximum: concurrent batches commit in any order, and the sequence must not fall
 * back. */

#include <stdlib.h>
#include <string.h>

#include "src/store/store_internal.h"

void store_counters_write(const uint64_t counters[COUNTER_COUNT], uint8_t to[COUNTERS_BYTES])
{
    for (unsigned i = 0; i < COUNTERS_BYTES; i++)
        to[i] = (uint8_t)(counters[i / 8] >> (8 * (i % 8)));
}

bool store_counters_read(struct text_view bytes, uint64_t ret[COUNTER_COUNT])
{
    if (bytes.length != COUNTERS_BYTES)
        return false;
    memset(ret, 0, COUNTERS_BYTES);
    for (unsigned i = 0; i < COUNTERS_BYTES; i++)
        ret[i / 8] |= (uint64_t)(uint8_t)bytes.data[i] << (8 * (i % 8));
    return true;
}

static bool add_operand(uint64_t sum[COUNTER_COUNT], const char *data, size_t size)
{
    uint64_t operand[COUNTER_COUNT];

    if (!store_counters_read((struct text_view){ data, size }, operand))
        return false;
    for (unsigned i = 0; i < COUNTER_SEQUENCE; i++)
        sum[i] += operand[i];
    if (operand[COUNTER_SEQUENCE] > sum[COUNTER_SEQUENCE])
        sum[COUNTER_SEQUENCE] = operand[COUNTER_SEQUENCE];
    return true;
}

static char *merge_partially(void *state, const char *key, size_t key_size,
                             const char *const *operands, const size_t *sizes, int count,
                             unsigned char *success, size_t *ret_size)
{
    uint64_t sum[COUNTER_COUNT] = { 0 };
    uint8_t *bytes;

    (void)state;
    (void)key;
    (void)key_size;
    *success = 0;
    *ret_size = 0;
    for (int i = 0; i < count; i++)
        if (!add_operand(sum, operands[i], sizes[i]))
            return NULL;
    bytes = malloc(COUNTERS_BYTES);
    if (bytes == NULL)
        return NULL;
    store_counters_write(sum, bytes);
    *success = 1;
    *ret_size = COUNTERS_BYTES;
    return (char *)bytes;
}

static char *merge_fully(void *state, const char *key, size_t key_size, const char *existing,
                         size_t existing_size, const char *const *operands, const size_t *sizes,
                         int count, unsigned char *success, size_t *ret_size)
{
    char *merged = merge_partially(state, key, key_size, operands, sizes, count, success, ret_size);
    uint64_t sum[COUNTER_COUNT];

    if (merged == NULL || existing == NULL)
        return merged;
    store_counters_read((struct text_view){ merged, COUNTERS_BYTES }, sum);
    if (!add_operand(sum, existing, existing_size))
        *success = 0;
    store_counters_write(sum, (uint8_t *)merged);
    return merged;
}

static void free_value(void *state, const char *value, size_t size)
{
    (void)state;
    (void)size;
    free((void *)(uintptr_t)value);
}

static void free_nothing(void *state)
{
    (void)state;
}

static const char *operator_name(void *state)
{
    (void)state;
    return "sutra.counters.1";
}

rocksdb_mergeoperator_t *store_counters_operator(void)
{
    return rocksdb_mergeoperator_create(NULL, free_nothing, merge_fully, merge_partially,
                                        free_value, operator_name);
}

enum status_code store_counters_load(struct store *store, struct status *st)
{
    static const char name[] = "counters";
    uint64_t counters[COUNTER_COUNT] = { 0 };
    struct text_view bytes;
    char *error = NULL;
    char *data = rocksdb_get_cf(store->db, store->read, store->families[FAMILY_META], name,
                                sizeof name - 1, &bytes.length, &error);

    if (error != NULL)
        return store_status(st, error);
    bytes.data = data;
    if (data != NULL && !store_counters_read(bytes, counters))
        status_set(st, STATUS_DATA_LOSS, "the counters have %zu bytes", bytes.length);
    rocksdb_free(data);
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        atomic_store(&store->counters[i], counters[i]);
    return st->code;
}
