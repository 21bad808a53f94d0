#include "src/apps/cli/cli.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "src/apps/cli/text.h"
#include "src/base/buf.h"

enum { LINE_BYTES = 4096, LINE_ARENA_BYTES = 64 * 1024 };

/* @prefix, then the formatted line without anything that a terminal would obey. */
static void print_clean(FILE *file, const char *prefix, const char *fmt, va_list args)
{
    char line[LINE_BYTES];
    struct arena arena;
    const char *clean;

    vsnprintf(line, sizeof line, fmt, args);
    arena_init(&arena, LINE_ARENA_BYTES);
    clean = text_clean(&arena, line, false);
    fprintf(file, "%s%s\n", prefix, clean != NULL ? clean : "out of memory");
    arena_deinit(&arena);
}

static void warn_va(const struct cli *cli, const char *fmt, va_list args)
{
    char prefix[64] = "sutra: ";

    if (cli->command != NULL)
        snprintf(prefix, sizeof prefix, "sutra %s: ", cli->command->name);
    print_clean(stderr, prefix, fmt, args);
}

void cli_say(const struct cli *cli, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print_clean(cli->out.file, "", fmt, args);
    va_end(args);
}

void cli_warn(const struct cli *cli, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    warn_va(cli, fmt, args);
    va_end(args);
}

enum exit_code cli_usage(const struct cli *cli, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    warn_va(cli, fmt, args);
    va_end(args);
    fprintf(stderr, "Try 'sutra%s%s --help'.\n", cli->command != NULL ? " " : "",
            cli->command != NULL ? cli->command->name : "");
    return SUTRA_EXIT_USAGE;
}

enum exit_code cli_fail_locally(const struct cli *cli, struct status *st)
{
    cli_warn(cli, "%s", st->message);
    status_clear(st);
    return SUTRA_EXIT_USAGE;
}

enum exit_code cli_check_shards(const struct cli *cli, const uint32_t *missing, size_t count)
{
    struct buf list = { 0 };

    if (count == 0)
        return SUTRA_EXIT_OK;
    for (size_t i = 0; i < count; i++)
        buf_printf(&list, "%s%" PRIu32, i > 0 ? ", " : "", missing[i]);
    cli_warn(cli, "the answer lacks what is on shard %.*s", (int)list.size,
             (const char *)list.data);
    buf_deinit(&list);
    return SUTRA_EXIT_PARTIAL;
}

enum status_code cli_out_of_memory(struct status *st)
{
    return status_set(st, STATUS_RESOURCE_EXHAUSTED, "the answer is too big");
}
