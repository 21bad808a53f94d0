#ifndef SUTRA_EMBED_VOCABULARY_H
#define SUTRA_EMBED_VOCABULARY_H

/**
 * The tokens of a vocab.txt by their bytes; internal to the tokenizer. A token that starts with
 * "##" continues a word and is found by what follows the mark. Immutable once open.
 */

#include "src/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VOCABULARY_MAX_TOKEN_BYTES = 255 };

#define VOCABULARY_NONE UINT32_MAX

struct vocabulary;

/** Errors as tokenizer_open() has them. */
enum status_code vocabulary_open(const char *path, struct vocabulary **ret_vocabulary,
                                 struct status *st);

/** Accepts NULL. */
void vocabulary_close(struct vocabulary *vocabulary);

size_t vocabulary_size(const struct vocabulary *vocabulary);

/** Bytes of the longest token. */
size_t vocabulary_longest(const struct vocabulary *vocabulary);

/** The id of a token, or VOCABULARY_NONE. @continuing: of the token "##" + @bytes. */
uint32_t vocabulary_find(const struct vocabulary *vocabulary, const char *bytes, size_t length,
                         bool continuing);

#endif
