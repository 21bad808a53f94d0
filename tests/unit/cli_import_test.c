/* What an import remembers, and the items it is fed. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/apps/cli/import_feed.h"
#include "src/apps/cli/import_state.h"

static struct arena arena;
static char *folder;

static void begin(void)
{
    arena_init(&arena, 4 << 20);
    folder = arena_printf(&arena, "/tmp/sutra-import-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static const char *in_folder(const char *name)
{
    return arena_printf(&arena, "%s/%s", folder, name);
}

static void end(void)
{
    static const char *const NAMES[] = { "state", "state.new", "1.jsonl", "2.csv", "3.jsonl" };

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        unlink(in_folder(NAMES[i]));
    rmdir(folder);
    arena_deinit(&arena);
}

TestSuite(cli_import_state, .init = begin, .fini = end);
TestSuite(cli_import_feed, .init = begin, .fini = end);

static const char *write_file(const char *name, const char *text)
{
    const char *path = in_folder(name);
    FILE *file = fopen(path, "w");

    fputs(text, file);
    fclose(file);
    return path;
}

Test(cli_import_state, what_was_written_is_read)
{
    struct import_state state = { "host:1", "/a \"b\" 12 3.4\n", 12345678901ULL };
    struct import_state read;
    struct status st = { 0 };

    cr_assert_eq(import_state_write(in_folder("state"), &state, &st), STATUS_OK);
    state.settled_items++;
    cr_assert_eq(import_state_write(in_folder("state"), &state, &st), STATUS_OK);
    cr_assert_eq(import_state_read(in_folder("state"), &arena, &read, &st), STATUS_OK);
    cr_assert_str_eq(read.address, state.address);
    cr_assert_str_eq(read.fingerprint, state.fingerprint);
    cr_assert_eq(read.settled_items, 12345678902ULL);
    cr_assert_neq(access(in_folder("state.new"), F_OK), 0);
}

Test(cli_import_state, only_a_file_is_ever_replaced)
{
    struct import_state state = { "host:1", "x", 1 };
    struct status st = { 0 };

    cr_assert_eq(import_state_check_path(in_folder("state"), &st), STATUS_OK, "nothing there");
    cr_assert_eq(import_state_write(in_folder("state"), &state, &st), STATUS_OK);
    cr_assert_eq(import_state_check_path(in_folder("state"), &st), STATUS_OK, "a file");
    unlink(in_folder("state"));
    cr_assert_eq(symlink("elsewhere", in_folder("state")), 0);
    cr_expect_eq(import_state_check_path(in_folder("state"), &st), STATUS_INVALID_ARGUMENT);
    status_clear(&st);
    unlink(in_folder("state"));
    cr_assert_eq(mkfifo(in_folder("state"), 0600), 0);
    cr_expect_eq(import_state_check_path(in_folder("state"), &st), STATUS_INVALID_ARGUMENT);
    status_clear(&st);
    cr_expect_eq(import_state_check_path(folder, &st), STATUS_INVALID_ARGUMENT);
}

Test(cli_import_state, nothing_and_nonsense_are_told_apart)
{
    static const char *const BAD[] = { "",
                                       "{",
                                       "[]",
                                       "{\"address\":\"a\",\"source\":\"b\"}",
                                       "{\"address\":\"a\",\"source\":\"b\",\"settled_items\":-1}",
                                       "{\"address\":1,\"source\":\"b\",\"settled_items\":1}" };
    struct import_state state;
    struct status st = { 0 };

    cr_assert_eq(import_state_read(in_folder("state"), &arena, &state, &st), STATUS_NOT_FOUND);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        status_clear(&st);
        write_file("state", BAD[i]);
        cr_assert_eq(import_state_read(in_folder("state"), &arena, &state, &st), STATUS_DATA_LOSS,
                     "accepted: %s", BAD[i]);
    }
}

Test(cli_import_state, another_server_or_source_is_refused)
{
    struct import_state state = { "host:1", "print", 5 };
    struct status st = { 0 };

    cr_assert_eq(import_state_check(&state, "host:1", "print", &st), STATUS_OK);
    cr_assert_eq(import_state_check(&state, "host:2", "print", &st), STATUS_FAILED_PRECONDITION);
    cr_assert_not_null(strstr(st.message, "host:1"));
    status_clear(&st);
    cr_assert_eq(import_state_check(&state, "host:1", "other", &st), STATUS_FAILED_PRECONDITION);
}

Test(cli_import_state, a_folder_that_cannot_be_written_is_an_error)
{
    struct import_state state = { "host:1", "print", 5 };
    struct status st = { 0 };

    cr_assert_neq(import_state_write(in_folder("no/such/state"), &state, &st), STATUS_OK);
}

Test(cli_import_state, the_default_path_depends_on_server_and_source)
{
    const char *a;
    const char *again;
    const char *b;
    const char *c;
    struct status st = { 0 };

    setenv("XDG_CACHE_HOME", folder, 1);
    import_state_default_path("host:1", "key", &arena, &a, &st);
    import_state_default_path("host:1", "key", &arena, &again, &st);
    import_state_default_path("host:2", "key", &arena, &b, &st);
    import_state_default_path("host:1", "kez", &arena, &c, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_str_eq(a, again);
    cr_assert_str_neq(a, b);
    cr_assert_str_neq(a, c);
    cr_assert_eq(strncmp(a, in_folder("sutra/import-"), strlen(folder) + 14), 0, "%s", a);
    rmdir(in_folder("sutra"));
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    cr_assert_eq(import_state_default_path("host:1", "key", &arena, &a, &st),
                 STATUS_FAILED_PRECONDITION);
}

/* Three files with five items. */
static struct import_feed feed_of_five(uint64_t limit)
{
    static struct import_file files[3];
    struct import_feed feed;

    files[0] = (struct import_file){ write_file("1.jsonl", "{\"id\":\"a\"}\n{\"id\":\"b\"}\n"),
                                     SOURCE_JSONL };
    files[1] = (struct import_file){ write_file("2.csv", "id\nc\n"), SOURCE_CSV };
    files[2] = (struct import_file){ write_file("3.jsonl", "{\"id\":\"d\"}\n{\"id\":\"e\"}\n"),
                                     SOURCE_JSONL };
    import_feed_init(&feed, files, 3, limit);
    return feed;
}

/* The ids that are still to come, and "!" for an error. */
static const char *rest_of(struct import_feed *feed)
{
    const char *ids = "";
    Sutra__V1__ConceptInput *item = NULL;
    struct status st = { 0 };

    while (import_feed_next(feed, &arena, &item, &st) == STATUS_OK && item != NULL)
        ids = arena_printf(&arena, "%s%s", ids, item->id);
    return st.code == STATUS_OK ? ids : arena_printf(&arena, "%s!", ids);
}

Test(cli_import_feed, files_follow_one_another)
{
    struct import_feed feed = feed_of_five(0);
    struct source_size size;
    struct status st = { 0 };

    cr_assert_str_eq(rest_of(&feed), "abcde");
    cr_assert_eq(feed.position, 5);
    cr_assert_eq(import_feed_measure(&feed, &size, &st), STATUS_OK);
    cr_assert_eq(size.items, 0, "a CSV file does not tell");
    cr_assert_eq(size.bytes, import_feed_bytes(&feed));
    import_feed_deinit(&feed);
}

Test(cli_import_feed, the_limit_counts_what_was_skipped)
{
    struct import_feed feed = feed_of_five(4);
    struct source_size size;
    struct status st = { 0 };

    cr_assert_eq(import_feed_skip(&feed, 1, &st), STATUS_OK);
    cr_assert_str_eq(rest_of(&feed), "bcd");
    cr_assert_eq(import_feed_measure(&feed, &size, &st), STATUS_OK);
    cr_assert_eq(size.items, 4);
    import_feed_deinit(&feed);
}

Test(cli_import_feed, goes_on_behind_what_was_skipped_in_any_file)
{
    for (uint64_t skipped = 0; skipped <= 5; skipped++) {
        struct import_feed feed = feed_of_five(0);
        struct status st = { 0 };
        cr_assert_eq(import_feed_skip(&feed, skipped, &st), STATUS_OK);
        cr_expect_str_eq(rest_of(&feed), &"abcde"[skipped]);
        cr_expect_eq(feed.position, 5);
        import_feed_deinit(&feed);
    }
}

Test(cli_import_feed, does_not_take_apart_what_is_skipped)
{
    struct import_feed feed = feed_of_five(0);
    struct status st = { 0 };

    write_file("1.jsonl", "{\"id\":\"a\"\n\n{\"id\":\"b\"}\n");
    cr_assert_eq(import_feed_skip(&feed, 1, &st), STATUS_OK);
    cr_expect_str_eq(rest_of(&feed), "bcde");
    import_feed_deinit(&feed);
}

Test(cli_import_feed, skipping_beyond_the_end_is_an_error)
{
    struct import_feed feed = feed_of_five(0);
    struct status st = { 0 };

    cr_assert_eq(import_feed_skip(&feed, 6, &st), STATUS_FAILED_PRECONDITION);
    import_feed_deinit(&feed);
}

Test(cli_import_feed, a_malformed_file_gives_what_was_before_it)
{
    struct import_feed feed = feed_of_five(0);

    write_file("3.jsonl", "{\"id\":\"d\"}\noops\n");
    cr_assert_str_eq(rest_of(&feed), "abcd!");
    import_feed_deinit(&feed);
}

Test(cli_import_feed, key_and_fingerprint_tell_place_from_content)
{
    struct import_feed feed = feed_of_five(0);
    const char *key[2];
    const char *print[2];
    struct status st = { 0 };

    import_feed_key(&feed, &arena, &key[0], &st);
    import_feed_fingerprint(&feed, &arena, &print[0], &st);
    write_file("2.csv", "id\nc\nx\n");
    import_feed_key(&feed, &arena, &key[1], &st);
    import_feed_fingerprint(&feed, &arena, &print[1], &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_str_eq(key[0], key[1]);
    cr_assert_str_neq(print[0], print[1]);
    import_feed_deinit(&feed);
}
