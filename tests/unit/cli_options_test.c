/* Arguments by table, exit codes, error lines, vectors in files. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/apps/cli/error_line.h"
#include "src/apps/cli/exit_code.h"
#include "src/apps/cli/options.h"
#include "src/apps/cli/vector_file.h"

struct values {
    bool flag;
    const char *text;
    struct option_list list;
    uint64_t count;
    double number;
    int choice;
};

#define AT(field) offsetof(struct values, field)

static const struct option OPTIONS[] = {
    { .name = "flag", .letter = 'f', .kind = OPTION_FLAG, .offset = AT(flag), .help = "a flag" },
    { .name = "text",
      .letter = 't',
      .kind = OPTION_TEXT,
      .offset = AT(text),
      .value = "TEXT",
      .help = "a text" },
    { .name = "list", .kind = OPTION_LIST, .offset = AT(list), .value = "X", .help = "a list" },
    { .name = "count",
      .letter = 'k',
      .kind = OPTION_COUNT,
      .offset = AT(count),
      .value = "N",
      .standard = "10",
      .min = 1,
      .max = 100,
      .help = "a count" },
    { .name = "number",
      .kind = OPTION_NUMBER,
      .offset = AT(number),
      .value = "X",
      .max = 5,
      .help = "a number" },
    { .name = "choice",
      .kind = OPTION_CHOICE,
      .offset = AT(choice),
      .value = "auto|always|never",
      .standard = "always",
      .help = "a choice" },
    { 0 },
};

static struct arena arena;

static void begin(void)
{
    arena_init(&arena, 4 << 20);
}

static void end(void)
{
    arena_deinit(&arena);
}

TestSuite(cli_options, .init = begin, .fini = end);
TestSuite(cli_vector, .init = begin, .fini = end);

struct parsed {
    struct values values;
    struct operands operands;
    struct status st;
};

/* Parses @line, split at blanks. */
static struct parsed parse(const char *line, bool stop_at_operand)
{
    struct parsed p = { 0 };
    struct option_group group = { OPTIONS, &p.values };
    char *argv[16];
    int argc = 0;
    char *copy = arena_strndup(&arena, line, strlen(line));

    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    options_set_defaults(&group, sizeof p.values, &arena);
    options_parse(&group, 1, argc, argv, stop_at_operand, &arena, &p.operands, &p.st);
    return p;
}

Test(cli_options, defaults_hold_until_told_otherwise)
{
    struct parsed p = parse("", false);

    cr_assert_eq(p.st.code, STATUS_OK);
    cr_assert_eq(p.values.count, 10);
    cr_assert_eq(p.values.choice, 1);
    cr_assert_not(p.values.flag);
    cr_assert_null(p.values.text);
    cr_assert_eq(p.operands.count, 0);
}

Test(cli_options, every_spelling_is_understood)
{
    struct parsed p = parse("a -f --text=x=y -k5 --number 0.5 b --choice never --list 1 --list 2 "
                            "--list=3 -",
                            false);

    cr_assert_eq(p.st.code, STATUS_OK, "%s", p.st.message);
    cr_assert(p.values.flag);
    cr_assert_str_eq(p.values.text, "x=y");
    cr_assert_eq(p.values.count, 5);
    cr_assert_eq(p.values.number, 0.5);
    cr_assert_eq(p.values.choice, 2);
    cr_assert_eq(p.values.list.count, 3);
    cr_assert_str_eq(p.values.list.values[2], "3");
    cr_assert_eq(p.operands.count, 3);
    cr_assert_str_eq(p.operands.values[1], "b");
    cr_assert_str_eq(p.operands.values[2], "-");
    cr_assert_eq(parse("-k 7", false).values.count, 7);
    cr_assert_str_eq(parse("-tx", false).values.text, "x");
}

Test(cli_options, two_dashes_end_the_options)
{
    struct parsed p = parse("-f -- -k --text", false);

    cr_assert_eq(p.operands.count, 2);
    cr_assert_str_eq(p.operands.values[1], "--text");
    cr_assert_eq(p.values.count, 10);
}

Test(cli_options, the_first_operand_can_end_parsing)
{
    struct parsed p = parse("-f get --unknown -k", true);

    cr_assert_eq(p.st.code, STATUS_OK);
    cr_assert(p.values.flag);
    cr_assert_eq(p.operands.count, 3);
    cr_assert_str_eq(p.operands.values[0], "get");
}

Test(cli_options, what_is_wrong_is_named)
{
    static const struct {
        const char *line;
        const char *says;
    } BAD[] = {
        { "--unknown", "unknown option --unknown" },
        { "--unknown=1", "unknown option --unknown" },
        { "--tex", "unknown option --tex" },
        { "-x", "unknown option -x" },
        { "--text", "--text needs a value" },
        { "-k", "--count needs a value" },
        { "--flag=1", "--flag takes no value" },
        { "-k x", "--count takes a whole number, not 'x'" },
        { "-k 1x", "--count takes a whole number, not '1x'" },
        { "-k -1", "--count takes a whole number, not '-1'" },
        { "-k +1", "--count takes a whole number" },
        { "-k 99999999999999999999", "--count takes a whole number" },
        { "-k 0", "--count takes 1 to 100, not '0'" },
        { "-k 101", "--count takes 1 to 100, not '101'" },
        { "--number nan", "--number takes a number" },
        { "--number 1e999", "--number takes a number" },
        { "--number -0.1", "--number takes 0 to 5" },
        { "--choice al", "--choice takes auto|always|never, not 'al'" },
        { "--choice alwaysx", "--choice takes auto|always|never" },
    };

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct parsed p = parse(BAD[i].line, false);
        cr_assert_eq(p.st.code, STATUS_INVALID_ARGUMENT, "accepted: %s", BAD[i].line);
        cr_assert_not_null(strstr(p.st.message, BAD[i].says), "%s: %s", BAD[i].line, p.st.message);
    }
}

Test(cli_options, help_comes_from_the_table)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    options_print_help(OPTIONS, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "  -f, --flag                  a flag\n"), "%s", text);
    cr_assert_not_null(strstr(text, "  -k, --count N               a count (default 10)\n"));
    cr_assert_not_null(strstr(text, "      --choice auto|always|never\n"));
    free(text);
}

Test(cli_exit, codes_tell_scripts_what_to_do)
{
    cr_assert_eq(exit_code_of(STATUS_OK), 0);
    cr_assert_eq(exit_code_of(STATUS_NOT_FOUND), 1);
    cr_assert_eq(exit_code_of(STATUS_INVALID_ARGUMENT), 3);
    cr_assert_eq(exit_code_of(STATUS_FAILED_PRECONDITION), 3);
    cr_assert_eq(exit_code_of(STATUS_RESOURCE_EXHAUSTED), 3);
    cr_assert_eq(exit_code_of(STATUS_INTERNAL), 3);
    cr_assert_eq(exit_code_of(STATUS_UNAVAILABLE), 4);
    cr_assert_eq(exit_code_of(STATUS_DEADLINE_EXCEEDED), 4);
}

Test(cli_options, an_error_line_says_all_that_is_known)
{
    struct status field = { 0 };
    struct status reason = { 0 };
    struct status silent = { .code = STATUS_UNKNOWN };

    status_set_field(&field, "items[3].id", "id is empty");
    status_set_reason(&reason, STATUS_RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", "too many");
    cr_assert_str_eq(error_line(&field, &arena),
                     "id is empty (INVALID_ARGUMENT, field items[3].id)");
    cr_assert_str_eq(error_line(&reason, &arena), "too many (RESOURCE_EXHAUSTED, LIMIT_EXCEEDED)");
    cr_assert_str_eq(error_line(&silent, &arena), "failed (UNKNOWN)");
}

Test(cli_vector, reads_numbers_however_they_are_separated)
{
    float *values;
    size_t count;
    struct status st = { 0 };

    cr_assert_eq(vector_parse(" [1, -2.5e-1\n3;4]\t5 ", &arena, &values, &count, &st), STATUS_OK);
    cr_assert_eq(count, 5);
    cr_assert_eq(values[1], -0.25F);
    cr_assert_eq(values[4], 5.0F);
}

Test(cli_vector, refuses_what_is_not_a_vector)
{
    static const char *const BAD[] = { "", " , ", "1 two 3", "1 nan", "1e60", "1 2x", "0x" };

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        float *values;
        size_t count;
        struct status st = { 0 };
        cr_assert_eq(vector_parse(BAD[i], &arena, &values, &count, &st), STATUS_INVALID_ARGUMENT,
                     "accepted: %s", BAD[i]);
    }
}
