#ifndef SUTRA_APPS_CLI_IMPORT_FEED_H
#define SUTRA_APPS_CLI_IMPORT_FEED_H

/**
 * The items of an import: all its files, one behind the other, from where it goes on to its limit.
 * One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "src/apps/cli/sources/source.h"
#include "src/base/arena.h"
#include "src/base/status.h"

struct import_file {
    const char *path;
    enum source_format format;
};

struct import_feed {
    const struct import_file *files;
    size_t file_count;
    size_t next_file;
    struct source *source; /* of the file before next_file */
    uint64_t limit;        /* items in all; 0: no limit */
    uint64_t position;     /* items given so far */
    uint64_t bytes_before; /* of the files that are done */
};

/** Borrows @files. Opens nothing yet. */
void import_feed_init(struct import_feed *feed, const struct import_file *files, size_t count,
                      uint64_t limit);

void import_feed_deinit(struct import_feed *feed);

/** The next item, all of it in @arena; NULL at the end or the limit. */
enum status_code import_feed_next(struct import_feed *feed, struct arena *arena,
                                  Sutra__V1__ConceptInput **ret_item, struct status *st);

/** Passes over the first @count items, which were read before. FAILED_PRECONDITION when there are
 * fewer. */
enum status_code import_feed_skip(struct import_feed *feed, uint64_t count, struct status *st);

/** Bytes read of all files. */
uint64_t import_feed_bytes(const struct import_feed *feed);

/** Sums over the files; a total is 0 when one of them does not tell. The limit is taken into
 * account. */
enum status_code import_feed_measure(const struct import_feed *feed, struct source_size *ret,
                                     struct status *st);

/** The files' fingerprints, in @arena. INVALID_ARGUMENT when one cannot be read again. */
enum status_code import_feed_fingerprint(const struct import_feed *feed, struct arena *arena,
                                         const char **ret, struct status *st);

/** What names the files whatever they contain: formats and absolute paths, in @arena. */
enum status_code import_feed_key(const struct import_feed *feed, struct arena *arena,
                                 const char **ret, struct status *st);

#endif
