#ifndef SUTRA_APPS_CLI_TEXT_H
#define SUTRA_APPS_CLI_TEXT_H

/**
 * Text for people: what it takes on a terminal, and numbers in words. Stateless.
 *
 * What comes from a store may contain anything, also sequences that would move a terminal's cursor
 * or rename its window; text_clean() leaves none of them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/arena.h"

/** Terminal columns of clean UTF-8. */
size_t text_width(const char *text);

/** A copy in which control characters and malformed bytes are U+FFFD and blanks a single space;
 * with @keep_lines line feeds stay. NULL when the arena is full. */
char *text_clean(struct arena *arena, const char *text, bool keep_lines);

/** A copy of clean @text of at most @width columns, its end replaced by "…" where it is cut. */
char *text_cut(struct arena *arena, const char *text, size_t width);

enum { TEXT_NUMBER_SIZE = 32 };

/** "1,234,567". Returns @ret. */
const char *text_count(uint64_t number, char ret[TEXT_NUMBER_SIZE]);

/** "512 B", "1.5 MiB". Returns @ret. */
const char *text_bytes(uint64_t bytes, char ret[TEXT_NUMBER_SIZE]);

/** "0:07", "12:34", "1:02:03". Returns @ret. */
const char *text_duration(double seconds, char ret[TEXT_NUMBER_SIZE]);

/** "2026-01-31 12:34:56 UTC" for microseconds since the epoch, "never" for 0. Returns @ret. */
const char *text_time(int64_t us, char ret[TEXT_NUMBER_SIZE]);

#endif
