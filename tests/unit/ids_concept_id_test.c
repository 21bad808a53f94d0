#include "src/ids/concept_id.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static size_t decode_hex(const char *hex, size_t length, char *ret)
{
    for (size_t i = 0; i < length / 2; i++) {
        unsigned byte;
        cr_assert_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        ret[i] = (char)byte;
    }
    return length / 2;
}

static void check_golden_line(const char *line)
{
    char bytes[CONCEPT_ID_MAX_BYTES + 1];
    size_t length = decode_hex(line, strcspn(line, "\t"), bytes);
    uint64_t hash;
    unsigned slot;
    struct concept_id id;
    struct status st = { 0 };

    cr_assert_eq(sscanf(line + strcspn(line, "\t"), "%" SCNx64 " %u", &hash, &slot), 2);
    cr_assert_eq(concept_id_parse(bytes, length, &id, &st), STATUS_OK, "%s", st.message);
    cr_expect_eq(id.hash, hash, "%.*s", (int)length, bytes);
    cr_expect_eq(id.slot, slot, "%.*s", (int)length, bytes);
    cr_expect_eq(concept_id_trusted(bytes, length).hash, hash);
}

Test(concept_id, lives_in_the_slot_that_an_independent_implementation_computes)
{
    char line[1024];
    int count = 0;
    FILE *file = fopen("tests/golden/placement.tsv", "r");

    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#')
            continue;
        check_golden_line(line);
        count++;
    }
    fclose(file);
    cr_expect_geq(count, 255, "every length and more");
}

static void expect_refused(const char *data, size_t length, const char *message)
{
    struct concept_id id = { .slot = 99 };
    struct status st = { 0 };

    cr_expect_eq(concept_id_parse(data, length, &id, &st), STATUS_INVALID_ARGUMENT);
    cr_expect_str_eq(st.field, "id");
    cr_expect_str_eq(st.message, message);
    cr_expect_eq(id.slot, 99, "untouched on failure");
}

Test(concept_id, refuses_what_is_no_id_and_names_field_and_limit)
{
    char letters[256];

    memset(letters, 'x', sizeof letters);
    expect_refused("", 0, "id is empty; it takes 1 to 255 bytes");
    expect_refused(letters, 256, "id has 256 bytes, the limit is 255");
    expect_refused("a\xFF", 2, "id is not UTF-8 text");
    expect_refused("\xED\xA0\x80", 3, "id is not UTF-8 text");
    expect_refused("a\0b", 3, "id is not UTF-8 text");
}

Test(concept_id, accepts_one_byte_and_255)
{
    char letters[255];
    struct concept_id id;
    struct status st = { 0 };

    memset(letters, 'x', sizeof letters);
    cr_expect_eq(concept_id_parse("a", 1, &id, &st), STATUS_OK);
    cr_expect_eq(concept_id_parse(letters, 255, &id, &st), STATUS_OK);
    cr_expect_eq(id.length, 255);
    cr_expect_eq(id.data, letters, "borrowed, not copied");
}

Test(concept_id, of_content_is_the_first_half_of_sha256)
{
    /* printf '%s' TEXT | sha256sum | cut -c1-32; the second is FIPS 180-2, appendix B.1 */
    static const struct {
        const char *content;
        const char *hex;
    } cases[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb924" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223" },
        { "The quick brown fox jumps over the lazy dog", "d7a8fbb307d7809469ca9abcb0082e4f" },
        { "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E", "77710aedc74ecfa33685e33a6c7df5cc" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char hex[CONCEPT_ID_CONTENT_HEX + 1];
        concept_id_of_content(cases[i].content, strlen(cases[i].content), hex);
        cr_expect_str_eq(hex, cases[i].hex, "'%s' gives %s", cases[i].content, hex);
    }
}

Test(concept_id, orders_by_bytes_and_a_prefix_first)
{
    static const char *const ordered[] = { "", "A", "a", "a\x01", "aa", "ab", "b", "\x7F", "\xC3" };

    for (size_t i = 0; i < sizeof ordered / sizeof ordered[0]; i++) {
        for (size_t j = 0; j < sizeof ordered / sizeof ordered[0]; j++) {
            int order =
                concept_id_compare(ordered[i], strlen(ordered[i]), ordered[j], strlen(ordered[j]));
            cr_expect_eq((order > 0) - (order < 0), (i > j) - (i < j), "%zu, %zu", i, j);
        }
    }
}
