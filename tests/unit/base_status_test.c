#include "src/base/status.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "src/base/utf8.h"

Test(status, carries_code_and_message)
{
    struct status st = { 0 };

    cr_expect_eq(status_set(&st, STATUS_NOT_FOUND, "no %s %d", "shard", 3), STATUS_NOT_FOUND);
    cr_expect_eq(st.code, STATUS_NOT_FOUND);
    cr_expect_str_eq(st.message, "no shard 3");
    cr_expect_str_empty(st.field);
    cr_expect_str_empty(st.reason);
}

Test(status, wrap_puts_what_we_did_in_front_and_keeps_the_code)
{
    struct status st = { 0 };

    status_set(&st, STATUS_DATA_LOSS, "checksum");
    cr_expect_eq(status_wrap(&st, "block %d", 7), STATUS_DATA_LOSS);
    cr_expect_eq(status_wrap(&st, "open '%s'", "/d"), STATUS_DATA_LOSS);
    cr_expect_str_eq(st.message, "open '/d': block 7: checksum");
}

Test(status, names_the_field_and_where_its_item_stood)
{
    struct status st = { 0 };

    cr_expect_eq(status_set_field(&st, "id", "id is empty"), STATUS_INVALID_ARGUMENT);
    status_prefix_field(&st, "items[%d]", 3);
    status_prefix_field(&st, "request");
    cr_expect_str_eq(st.field, "request.items[3].id");
    cr_expect_str_eq(st.message, "id is empty");
}

Test(status, a_prefix_does_not_invent_a_field)
{
    struct status st = { 0 };

    status_set(&st, STATUS_INTERNAL, "x");
    status_prefix_field(&st, "items[3]");
    cr_expect_str_empty(st.field);
}

Test(status, keeps_the_reason_for_programs)
{
    struct status st = { 0 };

    cr_expect_eq(
        status_set_reason(&st, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", "%d > %d", 2, 1),
        STATUS_RESOURCE_EXHAUSTED);
    cr_expect_str_eq(st.reason, "LIMIT_EXCEEDED");
    cr_expect_str_eq(st.message, "2 > 1");
}

static size_t filled_length(size_t ascii, const char *character)
{
    struct status st = { 0 };
    char text[2 * STATUS_MESSAGE_SIZE];
    size_t n = ascii;

    memset(text, 'a', ascii);
    while (n + strlen(character) < sizeof text) {
        memcpy(text + n, character, strlen(character));
        n += strlen(character);
    }
    text[n] = '\0';
    status_set(&st, STATUS_INTERNAL, "%s", text);
    cr_expect(utf8_valid(st.message, strlen(st.message)), "%zu letters, then %s", ascii, character);
    cr_expect_eq(strncmp(st.message, text, strlen(st.message)), 0);
    return strlen(st.message);
}

Test(status, cuts_a_long_message_between_characters)
{
    static const char *const characters[] = { "b", "\xC3\xA9", "\xE6\x97\xA5", "\xF0\x9F\x94\xAD" };

    for (size_t c = 0; c < sizeof characters / sizeof characters[0]; c++) {
        for (size_t ascii = 0; ascii < 8; ascii++) {
            size_t length = filled_length(ascii, characters[c]);
            cr_expect_geq(length, STATUS_MESSAGE_SIZE - strlen(characters[c]), "keeps what fits");
        }
    }
}

Test(status, wrapping_a_full_message_cuts_its_end)
{
    struct status st = { 0 };
    char text[2 * STATUS_MESSAGE_SIZE] = "";

    for (size_t i = 0; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "\xE6\x97\xA5", 4);
    status_set(&st, STATUS_INTERNAL, "%s", text);
    for (int i = 0; i < 5; i++) {
        status_wrap(&st, "%d", i);
        cr_expect(utf8_valid(st.message, strlen(st.message)), "wrap %d", i);
        cr_expect_lt(strlen(st.message), (size_t)STATUS_MESSAGE_SIZE);
    }
    cr_expect_eq(strncmp(st.message, "4: 3: 2: 1: 0: \xE6", 16), 0, "%s", st.message);
    status_wrap(&st, "%s", text);
    cr_expect(utf8_valid(st.message, strlen(st.message)), "a prefix that fills everything");
}

Test(status, a_long_field_path_is_cut_not_overrun)
{
    struct status st = { 0 };

    status_set_field(&st, "embedding", "x");
    for (int i = 0; i < 20; i++)
        status_prefix_field(&st, "items[%d]", i);
    cr_expect_lt(strlen(st.field), (size_t)STATUS_FIELD_SIZE);
    cr_expect_eq(strncmp(st.field, "items[19].items[18].", 20), 0, "%s", st.field);
}

Test(status, errno_chooses_a_code_and_is_spelled_out)
{
    static const struct {
        int errnum;
        enum status_code code;
    } cases[] = {
        { ENOENT, STATUS_NOT_FOUND },          { EACCES, STATUS_PERMISSION_DENIED },
        { ENOSPC, STATUS_RESOURCE_EXHAUSTED }, { EMFILE, STATUS_RESOURCE_EXHAUSTED },
        { EINVAL, STATUS_INVALID_ARGUMENT },   { EIO, STATUS_UNAVAILABLE },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct status st = { 0 };
        cr_expect_eq(status_set_errno(&st, cases[i].errnum, "open '%s'", "/d"), cases[i].code);
        cr_expect_eq(strncmp(st.message, "open '/d': ", 11), 0, "%s", st.message);
        cr_expect_not_null(strstr(st.message, strerror(cases[i].errnum)));
    }
}

Test(status, is_ok_again_after_clear)
{
    struct status st = { 0 };

    status_set_field(&st, "id", "bad");
    status_clear(&st);
    cr_expect_eq(st.code, STATUS_OK);
    cr_expect_eq(status_set(&st, STATUS_ABORTED, "again"), STATUS_ABORTED);
    cr_expect_str_empty(st.field, "the field of the failure before is gone");
}

Test(status, names_every_code)
{
    cr_expect_str_eq(status_code_name(STATUS_OK), "OK");
    cr_expect_str_eq(status_code_name(STATUS_INVALID_ARGUMENT), "INVALID_ARGUMENT");
    cr_expect_str_eq(status_code_name(STATUS_FAILED_PRECONDITION), "FAILED_PRECONDITION");
    cr_expect_str_eq(status_code_name(STATUS_UNAUTHENTICATED), "UNAUTHENTICATED");
    cr_expect_str_eq(status_code_name((enum status_code)17), "CODE_OUT_OF_RANGE");
    cr_expect_str_eq(status_code_name((enum status_code) - 1), "CODE_OUT_OF_RANGE");
}

Test(status, setting_twice_is_a_bug, .signal = SIGABRT)
{
    struct status st = { 0 };

    status_set(&st, STATUS_INTERNAL, "first");
    status_set(&st, STATUS_INTERNAL, "second");
}

Test(status, wrapping_success_is_a_bug, .signal = SIGABRT)
{
    struct status st = { 0 };

    status_wrap(&st, "nothing went wrong");
}
