#ifndef SUTRA_APPS_CLI_SOURCES_SOURCE_TYPE_H
#define SUTRA_APPS_CLI_SOURCES_SOURCE_TYPE_H

/** What a format implements; internal to src/apps/cli/sources. The meanings are source.h's. */

#include <stdbool.h>
#include <stddef.h>

#include "src/apps/cli/sources/source.h"

struct source_type {
    const char *name;
    enum status_code (*open)(const char *path, void **ret_state, struct status *st);
    void (*close)(void *state);
    enum status_code (*next)(void *state, struct arena *arena, Sutra__V1__ConceptInput **ret_item,
                             struct status *st);
    /* Passes over an item without making it; NULL: make it and forget it. */
    enum status_code (*skip)(void *state, bool *ret_there, struct status *st);
    uint64_t (*bytes_read)(const void *state);
    /* Whether a line holds an item; NULL when lines and items are not the same. */
    bool (*line_is_item)(const char *line, size_t length);
    /* Files in the folder that the path names; NULL when the path is the file. */
    const char *const *files;
};

extern const struct source_type wordnet_source;
extern const struct source_type jsonl_source;
extern const struct source_type csv_source;
extern const struct source_type tsv_source;

#endif
