#include "src/auth/token.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "src/base/file.h"

enum { RANDOM_BYTES = 32 };

static const char prefix[] = "sutra_";

static void to_hex(const uint8_t *bytes, size_t count, char *ret)
{
    for (size_t i = 0; i < count; i++)
        snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

enum status_code token_check(const char *token, struct status *st)
{
    size_t length = strlen(token);

    if (length == 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "there is no token");
    if (length > TOKEN_MAX_BYTES)
        return status_set(st, STATUS_INVALID_ARGUMENT, "a token has at most %d characters",
                          TOKEN_MAX_BYTES);
    for (size_t i = 0; i < length; i++)
        if (token[i] <= ' ' || token[i] > '~')
            return status_set(st, STATUS_INVALID_ARGUMENT,
                              "a token is one word of printable ASCII characters");
    return STATUS_OK;
}

/* Without the white space around it; @text ends with a NUL. */
static char *trim(char *text)
{
    size_t length;

    while (isspace((unsigned char)*text))
        text++;
    length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
    return text;
}

enum status_code token_read(const char *path, char ret[TOKEN_MAX_BYTES + 1], struct status *st)
{
    struct file_text file = { 0 };
    const char *token;

    if (file_read(path, (size_t)4 * TOKEN_MAX_BYTES, &file, NULL, st) != STATUS_OK)
        return st->code;
    token = trim(file.data);
    if (token_check(token, st) == STATUS_OK)
        memcpy(ret, token, strlen(token) + 1);
    file_text_deinit(&file);
    return st->code;
}

enum status_code token_make(char ret[TOKEN_SIZE], struct status *st)
{
    uint8_t random[RANDOM_BYTES];

    _Static_assert(sizeof prefix + 2 * RANDOM_BYTES <= TOKEN_SIZE, "a token fits");
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return status_set_errno(st, errno, "random numbers");
    memcpy(ret, prefix, sizeof prefix);
    to_hex(random, sizeof random, ret + sizeof prefix - 1);
    explicit_bzero(random, sizeof random);
    return STATUS_OK;
}

void token_digest(const char *token, size_t length, uint8_t ret[TOKEN_DIGEST_BYTES])
{
    int ok = EVP_Digest(token, length, ret, NULL, EVP_sha256(), NULL);

    assert(ok == 1); /* it needs nothing but memory */
    (void)ok;
}

void token_digest_text(const char *token, char ret[TOKEN_DIGEST_SIZE])
{
    uint8_t digest[TOKEN_DIGEST_BYTES];

    token_digest(token, strlen(token), digest);
    to_hex(digest, sizeof digest, ret);
}
