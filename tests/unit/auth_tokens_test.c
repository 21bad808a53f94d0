#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/auth/token.h"
#include "src/auth/tokens.h"
#include "src/base/buf.h"

/* SHA-256 of "alpha" and "beta", as sha256sum prints it. */
#define ALPHA "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"
#define BETA "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753"

static const struct principal *find(const struct tokens *tokens, const char *token)
{
    return tokens_find(tokens, token, strlen(token));
}

static struct tokens *parse(const char *text)
{
    struct tokens *tokens = NULL;
    struct status st = { 0 };

    tokens_parse(text, strlen(text), &tokens, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return tokens;
}

Test(auth_tokens, every_token_has_its_name_and_role)
{
    struct tokens *tokens = parse("# callers\n"
                                  "alice  reader\tsha256:" ALPHA "\r\n"
                                  "\n"
                                  "  # indented\n"
                                  " b.o-b_@x admin sha256:" BETA);
    const struct principal *alice = find(tokens, "alpha");
    const struct principal *bob = find(tokens, "beta");

    cr_assert_eq(tokens_count(tokens), 2);
    cr_assert_not_null(alice);
    cr_expect_str_eq(alice->name, "alice");
    cr_expect_eq(alice->role, ROLE_READER);
    cr_assert_not_null(bob);
    cr_expect_str_eq(bob->name, "b.o-b_@x");
    cr_expect_eq(bob->role, ROLE_ADMIN);
    tokens_close(tokens);
}

Test(auth_tokens, what_is_no_token_is_nobodys)
{
    struct tokens *tokens = parse("alice reader sha256:" ALPHA "\n");
    static const char *const wrong[] = { "", "alph", "alphaa", "Alpha", "alpha ", ALPHA };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_null(find(tokens, wrong[i]), "'%s'", wrong[i]);
    tokens_close(tokens);
}

Test(auth_tokens, two_tokens_may_have_one_name)
{
    struct tokens *tokens = parse("a reader sha256:" ALPHA "\na writer sha256:" BETA "\n");

    cr_expect_eq(find(tokens, "alpha")->role, ROLE_READER);
    cr_expect_eq(find(tokens, "beta")->role, ROLE_WRITER);
    tokens_close(tokens);
}

Test(auth_tokens, upper_case_digits_are_digits)
{
    struct tokens *tokens =
        parse("a reader sha256:8ED3F6AD685B959EAD7022518E1AF76CD816F8E8EC7CCDDA1ED4018E8F2223F8");

    cr_expect_not_null(find(tokens, "alpha"));
    tokens_close(tokens);
}

struct bad {
    const char *text;
    const char *says;
};

Test(auth_tokens, a_bad_line_is_named_and_not_shown)
{
    static const struct bad all[] = {
        { "", "no token" },
        { "# nothing\n\n", "no token" },
        { "alice reader\n", "line 1: it is not like" },
        { "\nsecretname\n", "line 2: it is not like" },
        { "alice reader sha256:" ALPHA " secret\n", "line 1: it is not like" },
        { "alice secret sha256:" ALPHA "\n", "line 1: the role is none of" },
        { "alice anyone sha256:" ALPHA "\n", "line 1: the role is none of" },
        { "alice Reader sha256:" ALPHA "\n", "line 1: the role is none of" },
        { "sec/ret reader sha256:" ALPHA "\n", "line 1: the name" },
        { "secr\xc3\xa9t reader sha256:" ALPHA "\n", "line 1: the name" },
        { "secret7890123456789012345678901234567890123456789012345678901234567890 reader "
          "sha256:" ALPHA "\n",
          "line 1: the name" },
        { "alice reader secret\n", "line 1: the digest" },
        { "alice reader " ALPHA "\n", "line 1: the digest" },
        { "alice reader sha256:secret\n", "line 1: the digest" },
        { "alice reader sha256:secret" ALPHA "\n", "line 1: the digest" },
        { "alice reader sha256:g"
          "ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8\n",
          "line 1: the digest" },
        { "#\na reader sha256:" ALPHA "\n\nb admin sha256:" ALPHA "\n",
          "line 4: the token is that of line 2" },
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct tokens *tokens = NULL;
        struct status st = { 0 };
        tokens_parse(all[i].text, strlen(all[i].text), &tokens, &st);
        cr_expect_eq(st.code, STATUS_INVALID_ARGUMENT, "%zu", i);
        cr_expect_not_null(strstr(st.message, all[i].says), "%zu: %s", i, st.message);
        cr_expect_null(strstr(st.message, "secr"), "%zu: %s", i, st.message);
        cr_expect_null(strstr(st.message, "8ed3"), "%zu: %s", i, st.message);
        cr_expect_null(tokens);
    }
}

/* @count entries, all different. */
static struct buf many(int count)
{
    struct buf text = { 0 };

    for (int i = 0; i < count; i++)
        buf_printf(&text, "n%d reader sha256:%064x\n", i, i);
    return text;
}

Test(auth_tokens, there_is_a_most)
{
    struct buf most = many(TOKENS_MAX);
    struct buf more = many(TOKENS_MAX + 1);
    struct tokens *tokens = NULL;
    struct tokens *none = NULL;
    struct status st = { 0 };

    cr_assert_eq(tokens_parse((char *)most.data, most.size, &tokens, &st), STATUS_OK);
    cr_expect_eq(tokens_count(tokens), TOKENS_MAX);
    cr_expect_eq(tokens_parse((char *)more.data, more.size, &none, &st), STATUS_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(st.message, "line 1001"), "%s", st.message);
    tokens_close(tokens);
    buf_deinit(&most);
    buf_deinit(&more);
}

Test(auth_tokens, a_file_that_is_not_there_is_an_error)
{
    struct tokens *tokens = NULL;
    struct status st = { 0 };

    cr_expect_eq(tokens_open("/nonexistent/tokens", &tokens, &st), STATUS_NOT_FOUND);
    cr_expect_null(tokens);
}

Test(auth_token, a_new_one_is_found_by_its_line)
{
    char token[TOKEN_SIZE];
    char other[TOKEN_SIZE];
    char digest[TOKEN_DIGEST_SIZE];
    char line[256];
    struct tokens *tokens;
    struct status st = { 0 };

    cr_assert_eq(token_make(token, &st), STATUS_OK);
    cr_assert_eq(token_make(other, &st), STATUS_OK);
    cr_expect_str_neq(token, other);
    cr_expect_eq(token_check(token, &st), STATUS_OK);
    token_digest_text(token, digest);
    snprintf(line, sizeof line, "me writer sha256:%s", digest);
    tokens = parse(line);
    cr_expect_not_null(find(tokens, token));
    cr_expect_null(find(tokens, other));
    tokens_close(tokens);
}

/* token_read() of a file with @text. */
static enum status_code read_back(const char *text, char *ret, struct status *st)
{
    char path[] = "/tmp/sutra-token-XXXXXX";
    int fd = mkstemp(path);
    ssize_t length = (ssize_t)strlen(text);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, (size_t)length), length);
    close(fd);
    *st = (struct status){ 0 };
    token_read(path, ret, st);
    unlink(path);
    return st->code;
}

Test(auth_token, a_file_of_one_holds_one_word)
{
    static const char *const wrong[] = { "", "\n", "two words\n", "caf\xc3\xa9", "a\tb", "a\nb\n" };
    char token[TOKEN_MAX_BYTES + 1];
    char large[TOKEN_MAX_BYTES + 2];
    struct status st;

    cr_assert_eq(read_back(" secret-1\r\n", token, &st), STATUS_OK);
    cr_expect_str_eq(token, "secret-1");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_expect_eq(read_back(wrong[i], token, &st), STATUS_INVALID_ARGUMENT, "%zu", i);
        cr_expect_null(strstr(st.message, "caf"), "%s", st.message);
    }
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    cr_expect_eq(read_back(large, token, &st), STATUS_INVALID_ARGUMENT);
    large[sizeof large - 2] = '\0';
    cr_expect_eq(read_back(large, token, &st), STATUS_OK);
}
