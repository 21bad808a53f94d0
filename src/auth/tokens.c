#include "src/auth/tokens.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "src/auth/token.h"
#include "src/base/file.h"

struct entry {
    uint8_t digest[TOKEN_DIGEST_BYTES];
    struct principal caller;
    int line;
};

struct tokens {
    size_t count;
    struct entry entries[];
};

/* A word of a line. */
struct word {
    const char *data;
    size_t length;
};

static const char digest_prefix[] = "sha256:";

/* Moves *at behind the next word, which is empty at the end of the line. */
static struct word next_word(const char **at, const char *end)
{
    struct word word;

    while (*at < end && isspace((unsigned char)**at))
        ++*at;
    word.data = *at;
    while (*at < end && !isspace((unsigned char)**at))
        ++*at;
    word.length = (size_t)(*at - word.data);
    return word;
}

static bool is_word(struct word word, const char *text)
{
    return word.length == strlen(text) && memcmp(word.data, text, word.length) == 0;
}

static bool is_name_character(unsigned char c)
{
    return c < 128 && (isalnum(c) || memchr("._@-", c, 4) != NULL);
}

static enum status_code parse_name(struct word word, char ret[PRINCIPAL_NAME_SIZE],
                                   struct status *st)
{
    bool fits = word.length < PRINCIPAL_NAME_SIZE;

    for (size_t i = 0; fits && i < word.length; i++)
        fits = is_name_character((unsigned char)word.data[i]);
    if (!fits)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "the name is not 1 to %d letters, digits and '._@-'",
                          PRINCIPAL_NAME_SIZE - 1);
    memcpy(ret, word.data, word.length);
    ret[word.length] = '\0';
    return STATUS_OK;
}

static enum status_code parse_role(struct word word, enum role *ret, struct status *st)
{
    for (enum role role = ROLE_ADMIN; role < ROLE_ANYONE; role++)
        if (is_word(word, role_name(role))) {
            *ret = role;
            return STATUS_OK;
        }
    return status_set(st, STATUS_INVALID_ARGUMENT, "the role is none of reader, writer and admin");
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum status_code parse_digest(struct word word, uint8_t ret[TOKEN_DIGEST_BYTES],
                                     struct status *st)
{
    size_t skip = sizeof digest_prefix - 1;
    bool fits =
        word.length == skip + 2 * TOKEN_DIGEST_BYTES && memcmp(word.data, digest_prefix, skip) == 0;

    for (size_t i = 0; fits && i < TOKEN_DIGEST_BYTES; i++) {
        int high = digit_of(word.data[skip + 2 * i]);
        int low = digit_of(word.data[skip + 2 * i + 1]);
        fits = high >= 0 && low >= 0;
        ret[i] = (uint8_t)(high * 16 + low);
    }
    if (!fits)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "the digest is not 'sha256:' and %d hexadecimal digits",
                          2 * TOKEN_DIGEST_BYTES);
    return STATUS_OK;
}

static enum status_code parse_entry(const char *line, const char *end, struct entry *ret,
                                    struct status *st)
{
    struct word name = next_word(&line, end);
    struct word role = next_word(&line, end);
    struct word digest = next_word(&line, end);
    struct word more = next_word(&line, end);

    if (digest.length == 0 || more.length > 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "it is not like 'NAME ROLE sha256:HEX'");
    if (parse_name(name, ret->caller.name, st) != STATUS_OK ||
        parse_role(role, &ret->caller.role, st) != STATUS_OK)
        return st->code;
    return parse_digest(digest, ret->digest, st);
}

/* One token with two roles would have neither. */
static enum status_code check_new(const struct tokens *tokens, const struct entry *entry,
                                  struct status *st)
{
    for (size_t i = 0; i < tokens->count; i++)
        if (memcmp(tokens->entries[i].digest, entry->digest, sizeof entry->digest) == 0)
            return status_set(st, STATUS_INVALID_ARGUMENT, "the token is that of line %d",
                              tokens->entries[i].line);
    return STATUS_OK;
}

static bool says_something(const char *line, const char *end)
{
    struct word first = next_word(&line, end);

    return first.length > 0 && first.data[0] != '#';
}

static enum status_code add_line(struct tokens *tokens, const char *line, const char *end,
                                 int number, struct status *st)
{
    struct entry *entry = &tokens->entries[tokens->count];

    if (!says_something(line, end))
        return STATUS_OK;
    if (tokens->count == TOKENS_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "there are more than %d tokens", TOKENS_MAX);
    *entry = (struct entry){ .line = number };
    if (parse_entry(line, end, entry, st) == STATUS_OK && check_new(tokens, entry, st) == STATUS_OK)
        tokens->count++;
    return st->code;
}

static enum status_code add_lines(struct tokens *tokens, const char *text, size_t size,
                                  struct status *st)
{
    const char *end = text + size;

    for (int number = 1; text < end; number++) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        if (line_end == NULL)
            line_end = end;
        if (add_line(tokens, text, line_end, number, st) != STATUS_OK)
            return status_wrap(st, "line %d", number);
        text = line_end + (line_end < end);
    }
    if (tokens->count == 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "there is no token: nobody could call");
    return STATUS_OK;
}

enum status_code tokens_parse(const char *text, size_t size, struct tokens **ret, struct status *st)
{
    struct tokens *tokens = calloc(1, sizeof *tokens + (TOKENS_MAX + 1) * sizeof(struct entry));

    if (tokens == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (add_lines(tokens, text, size, st) == STATUS_OK)
        *ret = tokens;
    else
        tokens_close(tokens);
    return st->code;
}

enum status_code tokens_open(const char *path, struct tokens **ret, struct status *st)
{
    struct file_text file = { 0 };

    if (file_read(path, TOKENS_FILE_BYTES, &file, NULL, st) == STATUS_OK)
        tokens_parse(file.data, file.size, ret, st);
    file_text_deinit(&file);
    return st->code;
}

void tokens_close(struct tokens *tokens)
{
    free(tokens);
}

size_t tokens_count(const struct tokens *tokens)
{
    return tokens->count;
}

/* All ones if the digests are equal, else zero; without a branch. */
static uintptr_t equal_mask(const uint8_t *a, const uint8_t *b)
{
    unsigned different = 0;

    for (size_t i = 0; i < TOKEN_DIGEST_BYTES; i++)
        different |= (unsigned)(a[i] ^ b[i]);
    return (uintptr_t)0 - (uintptr_t)((different - 1) >> 31 & 1);
}

const struct principal *tokens_find(const struct tokens *tokens, const char *token, size_t length)
{
    uint8_t digest[TOKEN_DIGEST_BYTES];
    uintptr_t found = 0;

    token_digest(token, length, digest);
    for (size_t i = 0; i < tokens->count; i++)
        found |=
            (uintptr_t)&tokens->entries[i].caller & equal_mask(tokens->entries[i].digest, digest);
    return (const struct principal *)found;
}
