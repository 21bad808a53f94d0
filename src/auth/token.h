#ifndef SUTRA_AUTH_TOKEN_H
#define SUTRA_AUTH_TOKEN_H

/**
 * One bearer token: what a caller shows to say who it is. Whoever holds it is that caller.
 */

#include <stddef.h>
#include <stdint.h>

#include "src/base/status.h"

enum {
    TOKEN_MAX_BYTES = 1024,
    TOKEN_SIZE = 72, /* of one that token_make() made */
    TOKEN_DIGEST_BYTES = 32,
    TOKEN_DIGEST_SIZE = 2 * TOKEN_DIGEST_BYTES + 1, /* as text */
};

/** Reads a file that holds a token, white space around it aside, into @ret. */
enum status_code token_read(const char *path, char ret[TOKEN_MAX_BYTES + 1], struct status *st);

/** INVALID_ARGUMENT unless @token is 1 to TOKEN_MAX_BYTES printable ASCII characters other than a
 * space. */
enum status_code token_check(const char *token, struct status *st);

/** A new one of 256 random bits: "sutra_" and hexadecimal digits. */
enum status_code token_make(char ret[TOKEN_SIZE], struct status *st);

/** SHA-256. A token is random, so its digest need not be slow to compute. */
void token_digest(const char *token, size_t length, uint8_t ret[TOKEN_DIGEST_BYTES]);

/** The same in hexadecimal digits, as the file of tokens has it. */
void token_digest_text(const char *token, char ret[TOKEN_DIGEST_SIZE]);

#endif
