#include "src/apps/cli/error_line.h"

const char *error_line(const struct status *st, struct arena *arena)
{
    const char *line =
        arena_printf(arena, "%s (%s%s%s%s%s)", st->message[0] != '\0' ? st->message : "failed",
                     status_code_name(st->code), st->reason[0] != '\0' ? ", " : "", st->reason,
                     st->field[0] != '\0' ? ", field " : "", st->field);

    return line != NULL ? line : status_code_name(st->code);
}
