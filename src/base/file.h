#ifndef SUTRA_BASE_FILE_H
#define SUTRA_BASE_FILE_H

/**
 * Small files, read whole: certificates, keys, tokens.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "src/base/status.h"

/** Contents and size; the bytes are followed by a NUL that is not counted. `{0}` holds nothing. */
struct file_text {
    char *data;
    size_t size;
};

/** Reads a regular file (or a pipe) of at most @limit_bytes. The message says what went wrong and
 * not which file it was, nor anything of what is in it: callers put its name in front. *ret_stat
 * (may be NULL) is as of the opening. */
enum status_code file_read(const char *path, size_t limit_bytes, struct file_text *ret,
                           struct stat *ret_stat, struct status *st);

/** Overwrites and releases; `{0}` is fine. */
void file_text_deinit(struct file_text *text);

#endif
