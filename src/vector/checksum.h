#ifndef SUTRA_VECTOR_CHECKSUM_H
#define SUTRA_VECTOR_CHECKSUM_H

/** The end of what is kept as one piece: eight bytes, the XXH3 of everything before them. */

#include <stddef.h>

#include "src/base/buf.h"
#include "src/base/status.h"

enum { CHECKSUM_BYTES = 8 };

/** Ends what begins at @start of @out, unless that has `failed`. */
void checksum_append(struct buf *out, size_t start);

/** DATA_LOSS, naming @what, if @bytes do not end so. @size at least CHECKSUM_BYTES. */
enum status_code checksum_check(const char *what, const void *bytes, size_t size,
                                struct status *st);

#endif
