#ifndef SUTRA_APPS_CLI_IMPORT_STATE_H
#define SUTRA_APPS_CLI_IMPORT_STATE_H

/**
 * The note that lets an interrupted import go on: how many items of which source are settled.
 *
 * A small JSON file, replaced as a whole (written beside it, then renamed), so a reader sees the
 * old note or the new one. It is not synced: a note lost in a power cut costs repeating items,
 * which are then written a second time with the same content. Stateless functions.
 */

#include <stdint.h>

#include "src/base/arena.h"
#include "src/base/status.h"

struct import_state {
    const char *address;     /* of the server */
    const char *fingerprint; /* of the source, see source_fingerprint() */
    uint64_t settled_items;  /* of the source, from its first on */
};

/**
 * "<cache>/sutra/import-<hash of @address and @key>.json"; @key names the source. <cache> is
 * $XDG_CACHE_HOME, else $HOME/.cache; the folders are made. FAILED_PRECONDITION when neither is
 * set.
 */
enum status_code import_state_default_path(const char *address, const char *key,
                                           struct arena *arena, const char **ret_path,
                                           struct status *st);

/** INVALID_ARGUMENT where something else than a file stands at @path: a device, a folder or a link
 * would be replaced by the note, and removed with it. */
enum status_code import_state_check_path(const char *path, struct status *st);

enum status_code import_state_write(const char *path, const struct import_state *state,
                                    struct status *st);

/** Strings live in @arena. NOT_FOUND: there is none; DATA_LOSS: it is not such a note. */
enum status_code import_state_read(const char *path, struct arena *arena, struct import_state *ret,
                                   struct status *st);

/** FAILED_PRECONDITION, in words, unless @state was written for this server and source. */
enum status_code import_state_check(const struct import_state *state, const char *address,
                                    const char *fingerprint, struct status *st);

/** The import is complete. A note that is not there is fine. */
void import_state_remove(const char *path);

#endif
