/**
 * `sutra`: the command line of a Sutra cluster.
 *
 *   main            finds the command, parses its arguments, prints what went wrong
 *   cmd_*.c         one command each: arguments to request, reply to text or JSON
 *   connect         certificates, token and address to a client
 *   import_*        the importer; sources/ reads the files
 *   options, text, output, proto_json, progress   know nothing of servers
 *
 * Threads: this one; the client's loop; while an import runs, one that receives its responses;
 * while a long call runs on a terminal, one that draws the time it has taken.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/apps/cli/cli.h"
#include "src/apps/cli/connect.h"
#include "src/apps/cli/error_line.h"
#include "src/base/version.h"
#include "src/rpc/loop.h"

enum { ARENA_BYTES = 512 * 1024 * 1024 };

#define AT(field) offsetof(struct cli_globals, field)

static const struct option GLOBALS[] = {
    { .name = "address",
      .letter = 'a',
      .kind = OPTION_TEXT,
      .offset = AT(address),
      .value = "ADDRESS",
      .help = "the server: host:port, unix:/path, or several number:port with commas between them "
              "(else $SUTRA_ADDRESS, else " CLIENT_DEFAULT_ADDRESS ")" },
    { .name = "tls-ca",
      .kind = OPTION_TEXT,
      .offset = AT(tls_ca),
      .value = "FILE",
      .help = "use TLS, and believe these authorities (PEM; else $SUTRA_TLS_CA)" },
    { .name = "tls-cert",
      .kind = OPTION_TEXT,
      .offset = AT(tls_cert),
      .value = "FILE",
      .help = "certificate to show to a server that asks (else $SUTRA_TLS_CERT)" },
    { .name = "tls-key",
      .kind = OPTION_TEXT,
      .offset = AT(tls_key),
      .value = "FILE",
      .help = "its key (else $SUTRA_TLS_KEY)" },
    { .name = "tls-server-name",
      .kind = OPTION_TEXT,
      .offset = AT(tls_server_name),
      .value = "NAME",
      .help = "must be in the server's certificate, instead of the host of --address" },
    { .name = "token-file",
      .kind = OPTION_TEXT,
      .offset = AT(token_file),
      .value = "FILE",
      .help = "file with the token that says who calls (else the token is $SUTRA_TOKEN)" },
    { .name = "insecure",
      .kind = OPTION_FLAG,
      .offset = AT(insecure),
      .help = "send the token also in plaintext to another machine" },
    { .name = "json",
      .kind = OPTION_FLAG,
      .offset = AT(json),
      .help = "print JSON: one document, or a line for each item of a list" },
    { .name = "timeout",
      .kind = OPTION_NUMBER,
      .offset = AT(timeout_s),
      .value = "SECONDS",
      .min = 0.001,
      .max = 1e6,
      .help = "for each call (default 30)" },
    { .name = "color",
      .kind = OPTION_CHOICE,
      .offset = AT(color),
      .value = "auto|always|never",
      .standard = "auto",
      .help = "auto: on a terminal, unless $NO_COLOR is set" },
    { .name = "help",
      .letter = 'h',
      .kind = OPTION_FLAG,
      .offset = AT(help),
      .help = "print this" },
    { .name = "version", .kind = OPTION_FLAG, .offset = AT(version), .help = "print the version" },
    { 0 },
};

#define CLI_ROW(name) &command_##name,
static const struct command *const COMMANDS[] = { CLI_COMMANDS(CLI_ROW) };

enum { COMMAND_COUNT = sizeof COMMANDS / sizeof COMMANDS[0] };

static const char EXIT_CODES[] =
    "Exit codes: 0 done; 1 not found, or only a part was done; 2 the command line or a file makes "
    "no\nsense; 3 the server refused; 4 the server did not answer in time; 130 interrupted.\n";

static void print_help(void)
{
    printf("Usage: sutra [OPTIONS] COMMAND …\n\nCommands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-12s %s\n", COMMANDS[i]->name, COMMANDS[i]->summary);
    printf("\nOptions:\n");
    options_print_help(GLOBALS, stdout);
    printf("\n'sutra COMMAND --help' tells more.\n%s", EXIT_CODES);
}

static void print_command_help(const struct command *command)
{
    printf("Usage: sutra %s [OPTIONS]%s%s\n\n%s\n", command->name,
           command->operands[0] != '\0' ? " " : "", command->operands, command->summary);
    if (command->details != NULL)
        printf("\n%s\n", command->details);
    if (command->options != NULL) {
        printf("\nOptions:\n");
        options_print_help(command->options, stdout);
    }
    printf("\nOptions of every command:\n");
    options_print_help(GLOBALS, stdout);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(COMMANDS[i]->name, name) == 0)
            return COMMANDS[i];
    return NULL;
}

static enum exit_code fail(struct cli *cli, const struct status *st)
{
    cli_warn(cli, "%s", error_line(st, &cli->arena));
    return exit_code_of(st->code);
}

static enum exit_code run_with_client(struct cli *cli, const void *values,
                                      const struct operands *operands)
{
    struct status st = { 0 };
    enum exit_code code;

    if (!cli->command->calls_nobody && cli_connect(cli, &st) != STATUS_OK)
        return cli_fail_locally(cli, &st);
    code = cli->command->run(cli, values, operands, &st);
    if (st.code != STATUS_OK)
        code = fail(cli, &st);
    client_close(cli->client);
    return code;
}

/* A full disk is not "done". (A reader that left ends us by SIGPIPE, as it does every filter.) */
static enum exit_code flush(const struct cli *cli, enum exit_code code)
{
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == SUTRA_EXIT_OK) {
        cli_warn(cli, "cannot write to standard output");
        return SUTRA_EXIT_PARTIAL;
    }
    return code;
}

static bool too_many_or_few(const struct command *command, const struct operands *operands)
{
    return operands->count < command->min_operands || operands->count > command->max_operands;
}

/* Whether --help or --version was asked, which need neither a server nor operands. */
static bool answer(const struct cli *cli)
{
    if (cli->globals.help && cli->command != NULL)
        print_command_help(cli->command);
    else if (cli->globals.help)
        print_help();
    else if (cli->globals.version)
        printf("sutra %s (%s)\n", SUTRA_VERSION, SUTRA_RELEASE_DATE);
    return cli->globals.help || cli->globals.version;
}

/* @arguments: the command's name and what follows it. */
static enum exit_code run_command(struct cli *cli, const struct operands *arguments)
{
    const struct command *command = cli->command;
    void *values = arena_calloc(&cli->arena, 1, command->values_size);
    struct option_group groups[] = { { GLOBALS, &cli->globals }, { command->options, values } };
    struct operands operands = { 0 };
    struct status st = { 0 };

    if (values == NULL)
        return cli_usage(cli, "out of memory");
    options_set_defaults(&groups[1], command->values_size, &cli->arena);
    if (options_parse(groups, 2, (int)arguments->count - 1, arguments->values + 1, false,
                      &cli->arena, &operands, &st) != STATUS_OK)
        return cli_usage(cli, "%s", st.message);
    if (answer(cli))
        return SUTRA_EXIT_OK;
    if (too_many_or_few(command, &operands))
        return cli_usage(cli, "expected %s", command->operands);
    output_init(&cli->out, stdout, (enum color_choice)cli->globals.color);
    return run_with_client(cli, values, &operands);
}

static enum exit_code run(struct cli *cli, int argc, char **argv)
{
    struct option_group globals = { GLOBALS, &cli->globals };
    struct operands arguments = { 0 };
    struct status st = { 0 };

    options_set_defaults(&globals, sizeof cli->globals, &cli->arena);
    if (options_parse(&globals, 1, argc - 1, argv + 1, true, &cli->arena, &arguments, &st) !=
        STATUS_OK)
        return cli_usage(cli, "%s", st.message);
    if (arguments.count == 0 && answer(cli))
        return SUTRA_EXIT_OK;
    if (arguments.count == 0)
        return cli_usage(cli, "no command");
    cli->command = find_command(arguments.values[0]);
    if (cli->command == NULL)
        return cli_usage(cli, "unknown command '%s'", arguments.values[0]);
    return run_command(cli, &arguments);
}

/* What gRPC would say of a connection that failed is in the status of the call. */
static void say_nothing(const char *message)
{
    (void)message;
}

int main(int argc, char **argv)
{
    struct cli cli = { 0 };
    enum exit_code code;

    rpc_init();
    if (getenv("GRPC_VERBOSITY") == NULL)
        rpc_set_log(say_nothing);
    arena_init(&cli.arena, ARENA_BYTES);
    code = flush(&cli, run(&cli, argc, argv));
    arena_deinit(&cli.arena);
    return (int)code;
}
