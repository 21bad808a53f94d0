#ifndef SUTRA_APPS_CLI_VECTOR_FILE_H
#define SUTRA_APPS_CLI_VECTOR_FILE_H

/** A vector as people have it in files: numbers between blanks, commas or brackets. Stateless. */

#include <stddef.h>

#include "src/base/arena.h"
#include "src/base/status.h"

/** Reads @path ("-": standard input), at most 1 MiB. The numbers live in @arena. INVALID_ARGUMENT
 * for anything that is not a finite number, and for none at all. */
enum status_code vector_file_read(const char *path, struct arena *arena, float **ret_values,
                                  size_t *ret_count, struct status *st);

/** The same from @text. */
enum status_code vector_parse(const char *text, struct arena *arena, float **ret_values,
                              size_t *ret_count, struct status *st);

/** All of a small text file ("-": standard input) in @arena, NUL-terminated, of at most @max_bytes;
 * INVALID_ARGUMENT when it is longer or contains NUL. */
enum status_code text_file_read(const char *path, size_t max_bytes, struct arena *arena,
                                char **ret_text, struct status *st);

#endif
