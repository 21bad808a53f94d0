#ifndef SUTRA_EMBED_TOKENIZER_H
#define SUTRA_EMBED_TOKENIZER_H

/**
 * BERT's uncased WordPiece tokenizer (Devlin et al.: BERT, NAACL 2019; Wu et al.: Google's Neural
 * Machine Translation System, 2016, §4.1).
 *
 * Text is cleaned of control characters, decomposed (NFD), stripped of accents, lower-cased and
 * split at white space, at punctuation and around CJK ideographs; each word then becomes the
 * longest pieces the vocabulary knows, from the left, or [UNK] as a whole. The special tokens
 * themselves ("[MASK]") are recognised in the text as they stand. The result equals that of
 * Hugging Face's `tokenizers` with the tokenizer.json of all-MiniLM-L6-v2, but for some 570
 * characters, combining marks and punctuation of rare scripts mostly, that Unicode received after
 * version 8: the reference does not know them, utf8proc does.
 *
 * Immutable once open; any number of threads may share a tokenizer.
 */

#include "src/base/status.h"

#include <stddef.h>
#include <stdint.h>

struct tokenizer;

/**
 * Reads vocab.txt: one token per line, its id is the line's number from 0. NOT_FOUND and other
 * file errors as errno says; INVALID_ARGUMENT when a special token is missing, a line is empty,
 * too long or there twice.
 */
enum status_code tokenizer_open(const char *vocab_path, struct tokenizer **ret_tokenizer,
                                struct status *st);

/** Accepts NULL. */
void tokenizer_close(struct tokenizer *tokenizer);

/** Number of tokens; ids are below it. */
size_t tokenizer_size(const struct tokenizer *tokenizer);

/**
 * [CLS] pieces [SEP], at most @max_ids, which is at least 2; pieces that do not fit are dropped.
 * Returns how many ids were written. Ill-formed UTF-8 is skipped byte by byte. No allocation,
 * O(length), and the reading stops where the ids are full.
 */
size_t tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t length,
                        uint32_t *ret_ids, size_t max_ids);

#endif
