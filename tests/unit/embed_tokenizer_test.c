#include "src/embed/tokenizer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/alloc_fault.h"

enum { MAX_IDS = 16, LIMIT = 256 };

/* Ids are line numbers: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, the 5, un 6, ... */
static const char vocabulary[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nun\n##aff\n##able\n"
    "##a\n,\ncafe\n#\n漢\nx\n##x\n\u1112\u1161\u11ab\n[\n\U00016FF0\u302E\n";
enum { THE = 5, UN, AFF, ABLE, A, COMMA, CAFE, HASH, HAN, X, XX, JAMO, BRACKET, MARKS, N_TOKENS };
enum { UNK = 1, CLS = 2, SEP = 3, MASK = 4 };

static const char *write_file(const char *content, size_t size)
{
    static char path[4096];
    const char *dir = getenv("TEST_TMPDIR");

    snprintf(path, sizeof path, "%s/vocab.XXXXXX", dir != NULL ? dir : "/tmp");
    FILE *file = fdopen(mkstemp(path), "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(content, 1, size, file), size);
    fclose(file);
    return path;
}

static struct tokenizer *open_tokenizer(void)
{
    struct tokenizer *tokenizer = NULL;
    struct status st = { 0 };

    tokenizer_open(write_file(vocabulary, strlen(vocabulary)), &tokenizer, &st);
    cr_assert(st.code == STATUS_OK, "%s", st.message);
    return tokenizer;
}

/* @expected ends with SEP. */
static void expect_ids(const char *text, size_t length, const uint32_t *expected)
{
    struct tokenizer *tokenizer = open_tokenizer();
    uint32_t ids[LIMIT];
    size_t n = tokenizer_encode(tokenizer, text, length, ids, LIMIT);
    size_t i = 0;

    cr_expect_eq(ids[0], CLS);
    do {
        cr_expect(i + 1 < n && ids[i + 1] == expected[i], "'%s', token %zu", text, i);
    } while (expected[i++] != SEP);
    cr_expect_eq(n, i + 1, "'%s' has %zu tokens", text, n);
    tokenizer_close(tokenizer);
}

#define EXPECT_IDS(text, ...) expect_ids(text, strlen(text), (const uint32_t[]){ __VA_ARGS__, SEP })

Test(tokenizer, counts_its_tokens)
{
    struct tokenizer *tokenizer = open_tokenizer();

    cr_expect_eq(tokenizer_size(tokenizer), N_TOKENS);
    tokenizer_close(tokenizer);
}

Test(tokenizer, takes_the_longest_pieces_from_the_left)
{
    EXPECT_IDS("unaffable", UN, AFF, ABLE);
    EXPECT_IDS("unaable", UN, A, ABLE);
}

Test(tokenizer, gives_up_a_whole_word_for_one_unknown_piece)
{
    EXPECT_IDS("unaffq the", UNK, THE);
}

Test(tokenizer, splits_at_white_space_and_punctuation)
{
    EXPECT_IDS(" the,the\u3000the\n", THE, COMMA, THE, THE);
    EXPECT_IDS("##a", HASH, HASH, UNK);
}

Test(tokenizer, lowers_case_and_strips_accents)
{
    EXPECT_IDS("CAFÉ cafe\u0301", CAFE, CAFE);
    EXPECT_IDS("한", JAMO);
}

/* U+302E has combining class 224, U+16FF0 class 6; neither is a nonspacing mark. */
Test(tokenizer, sorts_combining_characters_that_are_no_accents)
{
    EXPECT_IDS("\U00016FF0\u302E", MARKS);
    EXPECT_IDS("\u302E\U00016FF0", MARKS);
    EXPECT_IDS("\u302E\u0301\U00016FF0", MARKS);
    /* U+034F is stripped too, but its class 0 keeps the two apart. */
    EXPECT_IDS("\u302E\u034F\U00016FF0", UNK);
}

Test(tokenizer, makes_each_ideograph_a_word)
{
    EXPECT_IDS("the漢漢the", THE, HAN, HAN, THE);
}

Test(tokenizer, drops_what_is_not_text)
{
    static const char text[] = "t\0h\x07"
                               "e\u200b\ufffd";

    expect_ids(text, sizeof text - 1, (const uint32_t[]){ THE, SEP });
}

Test(tokenizer, skips_ill_formed_bytes)
{
    EXPECT_IDS("t\xffh\xc3"
               "e\xe4\xb8",
               THE);
    EXPECT_IDS("the\xed\xa0\x80", THE);
}

Test(tokenizer, recognises_special_tokens_where_they_stand)
{
    EXPECT_IDS("the[MASK]the", THE, MASK, THE);
    EXPECT_IDS("[MASK", BRACKET, UNK);
}

Test(tokenizer, calls_words_of_more_than_a_hundred_characters_unknown)
{
    struct tokenizer *tokenizer = open_tokenizer();
    char text[101];
    uint32_t ids[LIMIT];

    memset(text, 'x', sizeof text);
    cr_expect_eq(tokenizer_encode(tokenizer, text, 100, ids, LIMIT), 102);
    cr_expect_eq(ids[1], X);
    cr_expect_eq(ids[100], XX);
    cr_expect_eq(tokenizer_encode(tokenizer, text, 101, ids, LIMIT), 3);
    cr_expect_eq(ids[1], UNK);
    tokenizer_close(tokenizer);
}

Test(tokenizer, cuts_off_what_does_not_fit_and_keeps_the_end_mark)
{
    struct tokenizer *tokenizer = open_tokenizer();
    uint32_t ids[5] = { 0, 0, 0, 0, 99 };

    cr_expect_eq(tokenizer_encode(tokenizer, "the the the", 11, ids, 4), 4);
    cr_expect_eq(ids[2], THE);
    cr_expect_eq(ids[3], SEP);
    cr_expect_eq(ids[4], 99);
    cr_expect_eq(tokenizer_encode(tokenizer, "unaffable", 9, ids, 3), 3);
    cr_expect_eq(ids[1], UN);
    cr_expect_eq(tokenizer_encode(tokenizer, "the", 3, ids, 2), 2);
    cr_expect_eq(tokenizer_encode(tokenizer, NULL, 0, ids, 4), 2);
    tokenizer_close(tokenizer);
}

static void expect_refused(const char *content, const char *message)
{
    struct tokenizer *tokenizer = NULL;
    struct status st = { 0 };

    tokenizer_open(write_file(content, strlen(content)), &tokenizer, &st);
    cr_expect_eq(st.code, STATUS_INVALID_ARGUMENT, "%s", st.message);
    cr_expect_not_null(strstr(st.message, message), "'%s' does not say '%s'", st.message, message);
    cr_expect_null(tokenizer);
}

Test(tokenizer, refuses_a_damaged_vocabulary)
{
    char long_line[512];

    memset(long_line, 'y', sizeof long_line);
    long_line[sizeof long_line - 1] = '\0';
    expect_refused("[UNK]\n[CLS]\n[SEP]\n[PAD]\n", "no token [MASK]");
    expect_refused("", "no token [UNK]");
    expect_refused("a\n\nb\n", "line 2");
    expect_refused("a\nb\na\n", "line 3: same token as line 1");
    expect_refused(long_line, "1 to 255 bytes");
}

Test(tokenizer, names_the_vocabulary_it_cannot_open)
{
    struct tokenizer *tokenizer = NULL;
    struct status st = { 0 };

    cr_expect_eq(tokenizer_open("/nowhere/vocab.txt", &tokenizer, &st), STATUS_NOT_FOUND);
    cr_expect_not_null(strstr(st.message, "/nowhere/vocab.txt"));
}

Test(tokenizer, survives_every_failed_allocation)
{
    const char *path = write_file(vocabulary, strlen(vocabulary));
    struct tokenizer *tokenizer = NULL;
    int failures = 0;

    for (;; failures++) {
        struct status st = { 0 };
        alloc_fault_at(failures + 1);
        tokenizer_open(path, &tokenizer, &st);
        if (!alloc_fault_clear())
            break;
        cr_expect_eq(st.code, STATUS_RESOURCE_EXHAUSTED, "allocation %d", failures + 1);
        cr_expect_null(tokenizer);
    }
    cr_expect_eq(failures, 4); /* tokenizer, vocabulary, its text, its table */
    tokenizer_close(tokenizer);
}
