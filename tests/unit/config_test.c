#include "src/config/config.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/version.h"
#include "tests/support/alloc_fault.h"

struct options {
    char *listen;
    char *model;
    uint64_t threads;
    bool partial;
};

static const struct config_option table[] = {
    { "listen", CONFIG_STRING, "127.0.0.1:7400", 0, 0, "where to listen",
      offsetof(struct options, listen) },
    { "model-folder", CONFIG_STRING, "", 0, 0, "the model", offsetof(struct options, model) },
    { "threads", CONFIG_UINT, "8", 1, 64, "workers", offsetof(struct options, threads) },
    { "partial", CONFIG_BOOL, "false", 0, 0, "partial answers", offsetof(struct options, partial) },
};
static const struct config_program program = { "sutra-test", "a program", table, 4 };

enum { MAX_ARGS = 8 };

/* Runs config_load() with @line split at spaces. */
static enum status_code load(const char *line, struct options *options,
                             enum config_outcome *outcome, struct status *st)
{
    static char words[512];
    char *argv[MAX_ARGS] = { "sutra-test" };
    int argc = 1;

    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    return config_load(&program, argc, argv, options, outcome, st);
}

static struct options loaded(const char *line)
{
    struct options options = { 0 };
    enum config_outcome outcome;
    struct status st = { 0 };

    cr_assert_eq(load(line, &options, &outcome, &st), STATUS_OK, "%s", st.message);
    cr_assert_eq(outcome, CONFIG_RUN);
    return options;
}

static void expect_refused(const char *line, const char *message)
{
    struct options options = { 0 };
    enum config_outcome outcome;
    struct status st = { 0 };

    cr_expect_eq(load(line, &options, &outcome, &st), STATUS_INVALID_ARGUMENT, "%s", line);
    cr_expect_str_eq(st.message, message, "%s", st.message);
    cr_expect_null(options.listen, "nothing is left to release");
}

static const char *write_file(const char *text)
{
    static char path[64];
    FILE *file;

    snprintf(path, sizeof path, "/tmp/sutra-config-%d", (int)getpid());
    file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static const char *with_file(const char *text, const char *flags)
{
    static char line[256];

    snprintf(line, sizeof line, "--config %s %s", write_file(text), flags);
    return line;
}

Test(config, starts_from_the_defaults)
{
    struct options options = loaded("");

    cr_expect_str_eq(options.listen, "127.0.0.1:7400");
    cr_expect_str_eq(options.model, "");
    cr_expect_eq(options.threads, 8);
    cr_expect_not(options.partial);
    config_deinit(&program, &options);
}

Test(config, takes_flags_in_both_forms)
{
    struct options options = loaded("--listen=unix:/a=b --threads 2 --partial");

    cr_expect_str_eq(options.listen, "unix:/a=b");
    cr_expect_eq(options.threads, 2);
    cr_expect(options.partial);
    config_deinit(&program, &options);
}

Test(config, a_later_flag_wins)
{
    struct options options = loaded("--listen a --listen b --partial --partial=false");

    cr_expect_str_eq(options.listen, "b");
    cr_expect_not(options.partial);
    config_deinit(&program, &options);
}

Test(config, flag_wins_over_environment_wins_over_file)
{
    static const char file[] = "# comment\n\n  listen = from-file  \nthreads=3\npartial = true\n"
                               "model-folder = in-file\n";
    struct options options;

    setenv("SUTRA_LISTEN", "from-environment", 1);
    setenv("SUTRA_MODEL_FOLDER", "in-environment", 1);
    options = loaded(with_file(file, "--listen from-flag"));
    cr_expect_str_eq(options.listen, "from-flag");
    cr_expect_str_eq(options.model, "in-environment");
    cr_expect_eq(options.threads, 3);
    cr_expect(options.partial);
    config_deinit(&program, &options);
    unlink(write_file(""));
}

Test(config, names_the_flag_and_what_it_takes)
{
    expect_refused("--threads 0", "threads (--threads): takes a number from 1 to 64, not '0'");
    expect_refused("--threads=65", "threads (--threads=65): takes a number from 1 to 64, not '65'");
    expect_refused("--threads -1", "threads (--threads): takes a number from 1 to 64, not '-1'");
    expect_refused("--threads 3x", "threads (--threads): takes a number from 1 to 64, not '3x'");
    expect_refused("--threads 99999999999999999999",
                   "threads (--threads): takes a number from 1 to 64, not '99999999999999999999'");
    expect_refused("--partial=yes", "partial (--partial=yes): takes true or false, not 'yes'");
    expect_refused("--listen", "--listen takes a value");
    expect_refused("--colour red", "unknown option '--colour'; see sutra-test --help");
    expect_refused("stray", "unknown option 'stray'; see sutra-test --help");
    expect_refused("-x", "unknown option '-x'; see sutra-test --help");
}

Test(config, names_the_variable)
{
    setenv("SUTRA_THREADS", "many", 1);
    expect_refused("", "threads (SUTRA_THREADS): takes a number from 1 to 64, not 'many'");
    setenv("SUTRA_THREADS", "", 1);
    expect_refused("", "threads (SUTRA_THREADS): takes a number from 1 to 64, not ''");
}

static void expect_file_refused(const char *text, const char *message)
{
    char full[256];

    with_file(text, "");
    snprintf(full, sizeof full, "'%s' %s", write_file(text), message);
    expect_refused(with_file(text, ""), full);
    unlink(write_file(""));
}

Test(config, names_the_file_and_its_line)
{
    expect_file_refused("\nthreads = 0\n",
                        "line 2: threads (file): takes a number from 1 to 64, not '0'");
    expect_file_refused("listen\n", "line 1: 'listen' is not like 'key = value'");
    expect_file_refused("# one\n# two\nlistne = x\n", "line 3: unknown option 'listne'");
}

/* Cut into two, its rest would be a comment. */
Test(config, a_line_that_is_too_long_is_refused)
{
    static char text[6000];

    strcpy(text, "listen = ");
    memset(text + strlen(text), 'x', 4095 - strlen(text));
    strcpy(text + 4095, "# and more\n");
    expect_file_refused(text, "line 1: longer than 4094 bytes");
    text[4094] = '\n';
    text[4095] = '\0';
    struct options options = loaded(with_file(text, ""));
    cr_expect_eq(strlen(options.listen), 4094 - strlen("listen = "));
    config_deinit(&program, &options);
    unlink(write_file(""));
}

Test(config, a_folder_is_no_file)
{
    struct options options = { 0 };
    enum config_outcome outcome;
    struct status st = { 0 };

    cr_expect_neq(load("--config /tmp", &options, &outcome, &st), STATUS_OK);
    cr_expect_str_eq(st.message, "read configuration '/tmp': Is a directory", "%s", st.message);
}

Test(config, a_missing_file_is_named)
{
    struct options options = { 0 };
    enum config_outcome outcome;
    struct status st = { 0 };

    cr_expect_eq(load("--config=/nowhere/x", &options, &outcome, &st), STATUS_NOT_FOUND);
    cr_expect_not_null(strstr(st.message, "/nowhere/x"), "%s", st.message);
}

static void expect_answered(const char *flags, const char *const *lines)
{
    struct options options = { 0 };
    enum config_outcome outcome;
    struct status st = { 0 };
    char text[4096];
    size_t length;

    cr_redirect_stdout();
    cr_assert_eq(load(flags, &options, &outcome, &st), STATUS_OK, "%s", st.message);
    cr_expect_eq(outcome, CONFIG_EXIT);
    fflush(stdout);
    FILE *printed = cr_get_redirected_stdout();
    fclose(stdout);
    length = fread(text, 1, sizeof text - 1, printed);
    text[length] = '\0';
    for (; *lines != NULL; lines++)
        cr_expect_not_null(strstr(text, *lines), "'%s' is not in:\n%s", *lines, text);
    config_deinit(&program, &options);
}

Test(config, print_config_shows_what_is_in_force)
{
    setenv("SUTRA_THREADS", "5", 1);
    expect_answered("--partial --print-config --listen x",
                    (const char *const[]){ "listen = x\n", "model-folder = \n", "threads = 5\n",
                                           "partial = true\n", NULL });
}

Test(config, print_config_refuses_what_a_start_would_refuse)
{
    expect_refused("--print-config --threads 0",
                   "threads (--threads): takes a number from 1 to 64, not '0'");
}

Test(config, help_names_every_option_and_its_default)
{
    expect_answered("--help",
                    (const char *const[]){ "sutra-test: a program", "--listen",
                                           "where to listen [127.0.0.1:7400]", "--model-folder",
                                           "--threads", "--partial", "--config FILE",
                                           "--print-config", "--version", NULL });
}

Test(config, version_is_answered_whatever_else_is_asked)
{
    expect_answered(
        "--threads 0 --version",
        (const char *const[]){ "sutra-test " SUTRA_VERSION " (" SUTRA_RELEASE_DATE ")\n", NULL });
}

Test(config, running_out_of_memory_is_a_status_and_leaks_nothing)
{
    int failures = 0;

    for (int n = 1;; n++) {
        struct options options = { 0 };
        enum config_outcome outcome;
        struct status st = { 0 };
        alloc_fault_at(n);
        load("--listen a --model-folder b", &options, &outcome, &st);
        if (!alloc_fault_clear()) {
            config_deinit(&program, &options);
            break;
        }
        failures++;
        cr_expect_eq(st.code, STATUS_RESOURCE_EXHAUSTED, "allocation %d", n);
    }
    cr_expect_eq(failures, 4, "two defaults, two flags");
}
