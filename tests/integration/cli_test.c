/**
 * What scripts rely on: exit codes, JSON, and that an import writes what is in the files.
 */

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "src/base/version.h"
#include "tests/support/fixture.h"

enum { OK, PARTIAL, USAGE, REFUSED, UNAVAILABLE };

static const char SUTRA[] = "src/apps/cli/sutra";
static const char WORDNET[] = "/usr/share/wordnet";

static struct test_fixture f;
static struct test_output output;

static void start(void)
{
    test_fixture_start(&f, &(struct test_cluster_options){ .shards = 2, .router = true });
    test_fixture_write(&f, 0, 10, 0);
}

static void start_empty(void)
{
    test_fixture_start(&f, &(struct test_cluster_options){ .shards = 2, .router = true });
}

static void stop(void)
{
    test_fixture_stop(&f);
}

/* sutra --address <the router> @line, split at spaces; returns the exit status. */
static int sutra(const char *line)
{
    static char words[1024];
    const char *argv[24] = { SUTRA, "--address", test_cluster_address(&f.cluster) };
    int argc = 3;

    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    test_run(argv, &output);
    return output.status;
}

Test(cli, exit_codes_tell_what_happened, .init = start, .fini = stop, .timeout = 120)
{
    static const struct {
        const char *line;
        int status;
    } cases[] = {
        { "get c1", OK },
        { "get c1 nothing", PARTIAL },
        { "delete c1", OK },
        { "stats", OK },
        { "topology", OK },
        { "health", OK },
        { "distance c2 c3", OK },
        { "search --id c2", OK },
        { "", USAGE },
        { "no-such-command", USAGE },
        { "get", USAGE },
        { "stats --colour", USAGE },
        { "search --id c2 -k 0", REFUSED },
        { "train", REFUSED },
        { "import /nowhere/items.jsonl", USAGE },
        { "--address unix:/nowhere/socket stats", UNAVAILABLE },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(sutra(cases[i].line), cases[i].status, "sutra %s ends with %d: %s",
                     cases[i].line, output.status, output.text);
}

Test(cli, help_names_every_command, .init = start_empty, .fini = stop, .timeout = 120)
{
    static const char *const commands[] = {
        "import",    "learn",    "get",   "search", "neighbors",
        "associate", "distance", "stats", "train",  "topology"
    };

    cr_expect_eq(sutra("--help"), OK);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        cr_expect_not_null(strstr(output.text, commands[i]), "%s", commands[i]);
}

Test(cli, version_needs_no_server, .init = start_empty, .fini = stop, .timeout = 120)
{
    static const char *const lines[] = { "--version", "search --address unix:/nowhere --version" };

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        cr_expect_eq(sutra(lines[i]), OK, "sutra %s", lines[i]);
        cr_expect_str_eq(output.text, "sutra " SUTRA_VERSION " (" SUTRA_RELEASE_DATE ")\n");
    }
}

static json_t *json_of(const char *line)
{
    json_error_t error;
    json_t *json;

    cr_assert_eq(sutra(line), OK, "sutra %s: %s", line, output.text);
    json = json_loads(output.text, JSON_DISABLE_EOF_CHECK, &error);
    cr_assert_not_null(json, "sutra %s: %s in %s", line, error.text, output.text);
    return json;
}

Test(cli, json_is_json, .init = start, .fini = stop, .timeout = 120)
{
    static const char *const lines[] = { "stats --json",         "topology --json",
                                         "limits --json",        "get c1 --json",
                                         "list --json",          "health --json",
                                         "neighbors c1 --json",  "search --id c1 --json",
                                         "distance c1 c2 --json" };

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        json_decref(json_of(lines[i]));
}

static json_int_t total(const json_t *stats, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(stats, "total"), name));
}

/* wndb(5WN): offset, file, type, number of words in hex, the words with an id each, number of
 * pointers. */
static unsigned pointers_of(const char *line)
{
    unsigned words;
    unsigned pointers = 0;
    int at;

    cr_assert_eq(sscanf(line, "%*s %*s %*s %x%n", &words, &at), 1, "%s", line);
    for (unsigned i = 0; i < 2 * words; i++) {
        line += at + 1;
        at = (int)strcspn(line, " ");
    }
    cr_assert_eq(sscanf(line + at, "%u", &pointers), 1);
    return pointers;
}

static json_int_t count_pointers(int synsets)
{
    static char line[64 * 1024];
    char path[64];
    json_int_t count = 0;
    FILE *file;

    snprintf(path, sizeof path, "%s/data.noun", WORDNET);
    file = fopen(path, "r");
    cr_assert_not_null(file, "%s: wordnet-base is not installed", path);
    while (synsets > 0 && fgets(line, sizeof line, file) != NULL) {
        if (line[0] == ' ') /* the licence */
            continue;
        count += pointers_of(line);
        synsets--;
    }
    fclose(file);
    return count;
}

Test(cli, imports_every_synset_and_every_pointer_of_wordnet, .init = start_empty, .fini = stop,
     .timeout = 300)
{
    json_t *stats;
    json_int_t pointers = count_pointers(3000);
    char line[256];

    snprintf(line, sizeof line,
             "import wordnet /usr/share/wordnet --limit 3000 --skip-embedding --state %s/state",
             f.cluster.folder);
    cr_assert_eq(sutra(line), OK, "%s", output.text);
    test_fixture_settle(&f);
    stats = json_of("stats --json");
    cr_expect_eq(total(stats, "concepts"), 3000);
    cr_expect_eq(total(stats, "associations_out"), pointers, "%lld, the files have %lld",
                 (long long)total(stats, "associations_out"), (long long)pointers);
    cr_expect_eq(total(stats, "associations_in"), pointers);
    json_decref(stats);
}

Test(cli, what_list_prints_can_be_imported_again, .init = start, .fini = stop, .timeout = 120)
{
    char path[96];
    char line[256];
    FILE *file;

    cr_assert_eq(sutra("list --json"), OK);
    snprintf(path, sizeof path, "%s/list.jsonl", f.cluster.folder);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(output.text, file);
    fclose(file);
    snprintf(line, sizeof line, "import %s --skip-embedding --state %s/state", path,
             f.cluster.folder);
    cr_expect_eq(sutra(line), OK, "%s", output.text);
    cr_expect_eq(test_fixture_stats(&f)->total->concepts, 10);
}
