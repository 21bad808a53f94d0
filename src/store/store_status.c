#include <string.h>

#include "src/store/store_internal.h"

/* The first whose text occurs in RocksDB's counts. */
static const struct class
{
    const char *text;
    enum status_code code;
    const char *meaning; /* put in front */
} classes[] = {
    { "No space left", STATUS_RESOURCE_EXHAUSTED, "" },
    { "Disk quota", STATUS_RESOURCE_EXHAUSTED, "" },
    { "Memory limit", STATUS_RESOURCE_EXHAUSTED, "" },
    { "lock hold by current process", STATUS_FAILED_PRECONDITION, "it is in use: " },
    { "While lock file", STATUS_FAILED_PRECONDITION, "it is in use: " },
    { "Corruption", STATUS_DATA_LOSS, "" },
    { "Permission denied", STATUS_FAILED_PRECONDITION, "" },
    { "Invalid argument", STATUS_FAILED_PRECONDITION, "" },
    { "Not implemented", STATUS_FAILED_PRECONDITION, "" },
    { "IO error", STATUS_UNAVAILABLE, "" },
    { "Resource busy", STATUS_UNAVAILABLE, "" },
    { "Operation timed out", STATUS_UNAVAILABLE, "" },
    { "Shutdown in progress", STATUS_UNAVAILABLE, "" },
};

static const struct class *classify(const char *error)
{
    static const struct class other = { "", STATUS_INTERNAL, "" };

    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strstr(error, classes[i].text) != NULL)
            return &classes[i];
    return &other;
}

enum status_code store_status(struct status *st, char *error)
{
    const struct class *class = classify(error);

    status_set(st, class->code, "%s%s", class->meaning, error);
    rocksdb_free(error);
    return st->code;
}

enum status_code store_no_memory(struct status *st)
{
    return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
}
