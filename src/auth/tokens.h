#ifndef SUTRA_AUTH_TOKENS_H
#define SUTRA_AUTH_TOKENS_H

/**
 * Who may call a server, from a file with one line per token:
 *
 *   # who     role     digest of the token
 *   web       reader   sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
 *
 * Names need not differ: two tokens of one name are how a token is replaced. The file holds no
 * secret, but who can write it decides who may call. Immutable once open; any thread may ask.
 */

#include <stddef.h>

#include "src/auth/role.h"
#include "src/base/status.h"

enum {
    TOKENS_FILE_BYTES = 1 << 20,
    TOKENS_MAX = 1000, /* entries: each call is compared with all of them */
    PRINCIPAL_NAME_SIZE = 65,
};

/** Whom a token belongs to. */
struct principal {
    char name[PRINCIPAL_NAME_SIZE]; /* letters, digits and "._@-" */
    enum role role;
};

struct tokens;

/** INVALID_ARGUMENT names the line and what is wrong with it, never what stands there. A file
 * without a token is refused: nobody could call. */
enum status_code tokens_open(const char *path, struct tokens **ret, struct status *st);

/** The same from text of @size bytes. */
enum status_code tokens_parse(const char *text, size_t size, struct tokens **ret,
                              struct status *st);

/** Accepts NULL. */
void tokens_close(struct tokens *tokens);

size_t tokens_count(const struct tokens *tokens);

/** Whose @token of @length bytes is; NULL for nobody's. Lives as long as @tokens. The time it takes
 * says nothing about how much of a token was right, nor which it was. */
const struct principal *tokens_find(const struct tokens *tokens, const char *token, size_t length);

#endif
