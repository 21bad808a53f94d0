#ifndef SUTRA_APPS_CLI_SOURCES_SOURCE_H
#define SUTRA_APPS_CLI_SOURCES_SOURCE_H

/**
 * Concepts read from files, one at a time, in constant memory.
 *
 * A source gives the same items in the same order each time it is opened on unchanged files; that
 * is what resuming an import relies on. What it gives is well-formed (UTF-8, right types), not
 * checked against the server's limits. Errors in a file are INVALID_ARGUMENT and begin with
 * "path:line". One thread at a time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "src/base/arena.h"
#include "src/base/status.h"
#include "sutra/v1/types.pb-c.h"

enum source_format { SOURCE_WORDNET, SOURCE_JSONL, SOURCE_CSV, SOURCE_TSV, SOURCE_FORMATS };

/** "wordnet", "jsonl", "csv", "tsv". */
const char *source_format_name(enum source_format format);

/** SOURCE_FORMATS when @name is none of them. */
enum source_format source_format_parse(const char *name);

/** What @path looks like: a folder is WordNet, a file goes by its extension. INVALID_ARGUMENT when
 * neither says. */
enum status_code source_format_guess(const char *path, enum source_format *ret, struct status *st);

struct source;

/** @path may be "-" (standard input) except for WordNet, which is a folder. */
enum status_code source_open(enum source_format format, const char *path,
                             struct source **ret_source, struct status *st);

/** NULL does nothing. */
void source_close(struct source *source);

/** The next item, all of it in @arena; NULL behind the last. After an error only source_close(). */
enum status_code source_next(struct source *source, struct arena *arena,
                             Sutra__V1__ConceptInput **ret_item, struct status *st);

/** Passes over the next item, which is not looked at more closely than it takes to find the one
 * behind it. @ret_there is false behind the last. */
enum status_code source_skip(struct source *source, bool *ret_there, struct status *st);

/** Bytes of the files that the items so far took. */
uint64_t source_bytes_read(const struct source *source);

/** What is known of a source before it is read. */
struct source_size {
    uint64_t bytes; /* 0: unknown */
    uint64_t items; /* 0: unknown, as for CSV, where only a parser can tell */
};

/** Reads the files once, quickly, where that tells the number of items. */
enum status_code source_measure(enum source_format format, const char *path,
                                struct source_size *ret, struct status *st);

/** "path size mtime" for each file of the source, so that a resumed import notices a changed one;
 * the text lives in @arena. INVALID_ARGUMENT for standard input, which cannot be read again. */
enum status_code source_fingerprint(enum source_format format, const char *path,
                                    struct arena *arena, const char **ret, struct status *st);

#endif
