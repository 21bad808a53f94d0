#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/apps/cli/cli.h"
#include "src/apps/cli/json_output.h"
#include "src/auth/token.h"
#include "src/auth/tokens.h"

struct token_options {
    const char *secret; /* file for the token; NULL: standard output */
    const char *append; /* file of tokens to add the line to; NULL: standard output */
};

enum { LINE_SIZE = 256 };

/* A token, and what a server is told of it. */
struct made {
    char token[TOKEN_SIZE];
    char line[LINE_SIZE];
};

static enum status_code make(const char *name, const char *role, struct made *ret,
                             struct status *st)
{
    char digest[TOKEN_DIGEST_SIZE];
    struct tokens *parsed = NULL;
    int length;

    if (token_make(ret->token, st) != STATUS_OK)
        return st->code;
    token_digest_text(ret->token, digest);
    length = snprintf(ret->line, sizeof ret->line, "%s %s sha256:%s", name, role, digest);
    /* What a server would refuse is refused here. */
    if (length < 0 || (size_t)length >= sizeof ret->line)
        return status_set(st, STATUS_INVALID_ARGUMENT, "the name is too long");
    tokens_parse(ret->line, (size_t)length, &parsed, st);
    tokens_close(parsed);
    return st->code;
}

/* Whether the last line of a file lacks its end: ours would become a part of it. */
static bool ends_within_line(int fd)
{
    char last;
    off_t size = lseek(fd, 0, SEEK_END);

    return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

/* Writes @text and a newline to a file that @flags open. */
static enum status_code write_line(const char *path, int flags, const char *text, struct status *st)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
    const char *before;
    int written;

    if (fd < 0)
        return status_set_errno(st, errno, "open '%s'", path);
    before = ends_within_line(fd) ? "\n" : "";
    written = dprintf(fd, "%s%s\n", before, text);
    if (written < 0 || (size_t)written != strlen(before) + strlen(text) + 1)
        status_set_errno(st, errno, "write '%s'", path);
    if (close(fd) != 0 && st->code == STATUS_OK)
        status_set_errno(st, errno, "write '%s'", path);
    return st->code;
}

static void print_text(const struct cli *cli, const struct token_options *options, const char *name,
                       const struct made *made)
{
    if (options->secret == NULL)
        fprintf(cli->out.file, "# The token of %s. It is kept nowhere else:\n%s\n", name,
                made->token);
    if (options->append == NULL)
        fprintf(cli->out.file, "# Its line for the file of --tokens:\n%s\n", made->line);
}

static void print_json(const struct cli *cli, const struct token_options *options,
                       const struct made *made)
{
    json_t *object = json_object();

    if (options->secret == NULL)
        json_object_set_new(object, "token", json_string(made->token));
    json_object_set_new(object, "line", json_string(made->line));
    json_output(&cli->out, object);
}

static enum exit_code run(struct cli *cli, const void *values, const struct operands *operands,
                          struct status *st)
{
    const struct token_options *options = values;
    struct made made;

    if (make(operands->values[0], operands->values[1], &made, st) != STATUS_OK)
        return cli_fail_locally(cli, st);
    if ((options->secret != NULL &&
         write_line(options->secret, O_EXCL, made.token, st) != STATUS_OK) ||
        (options->append != NULL &&
         write_line(options->append, O_APPEND, made.line, st) != STATUS_OK))
        return cli_fail_locally(cli, st);
    if (cli->globals.json)
        print_json(cli, options, &made);
    else
        print_text(cli, options, operands->values[0], &made);
    explicit_bzero(&made, sizeof made);
    return SUTRA_EXIT_OK;
}

#define AT(field) offsetof(struct token_options, field)

static const struct option OPTIONS[] = {
    { .name = "secret",
      .kind = OPTION_TEXT,
      .offset = AT(secret),
      .value = "FILE",
      .help = "write the token to this new file, which only you can read, and not print it" },
    { .name = "append",
      .kind = OPTION_TEXT,
      .offset = AT(append),
      .value = "FILE",
      .help = "add the line to this file of tokens, and not print it" },
    { 0 },
};

const struct command command_token = {
    .name = "token",
    .operands = "NAME ROLE",
    .min_operands = 2,
    .max_operands = 2,
    .summary = "Make a token for a caller, and the line by which servers know it",
    .details = "ROLE is reader (whatever only reads), writer (also whatever changes concepts and\n"
               "associations) or admin (everything, and what servers need to call each other). No\n"
               "server is asked: servers started with --tokens FILE take the tokens whose lines\n"
               "are in it, callers show theirs by --token-file or $SUTRA_TOKEN.",
    .options = OPTIONS,
    .values_size = sizeof(struct token_options),
    .calls_nobody = true,
    .run = run,
};
