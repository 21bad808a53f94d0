#ifndef SUTRA_APPS_CLI_OPTIONS_H
#define SUTRA_APPS_CLI_OPTIONS_H

/**
 * Command-line options from a table: the same rows parse the arguments and print the help.
 *
 * A table ends with a row without a name. Values go into the caller's struct at the row's offset:
 *
 *   OPTION_FLAG    bool                 --name, -n
 *   OPTION_TEXT    const char *         --name VALUE, --name=VALUE, -n VALUE, -nVALUE
 *   OPTION_LIST    struct option_list   the same, repeatable
 *   OPTION_COUNT   uint64_t             a whole number from min to max
 *   OPTION_NUMBER  double               a finite number from min to max
 *   OPTION_CHOICE  int                  which of the words in `value`, "auto|always|never"
 *
 * "--" ends the options; "-" is an operand. Nothing is copied: values point into argv and the
 * table.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "src/base/arena.h"
#include "src/base/status.h"

enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_LIST,
    OPTION_COUNT,
    OPTION_NUMBER,
    OPTION_CHOICE,
};

struct option_list {
    const char **values;
    size_t count;
};

struct option {
    const char *name; /* without "--" */
    char letter;      /* 0: none */
    enum option_kind kind;
    size_t offset;
    const char *value;    /* what help calls the value; the words of a choice */
    const char *standard; /* the default, as one would type it; NULL: zero */
    double min;
    double max; /* 0: no bound on either side */
    const char *help;
};

/* A table and the struct that its offsets are in. */
struct option_group {
    const struct option *options; /* NULL: an empty table */
    void *values;
};

struct operands {
    char **values;
    size_t count;
};

/** Zero and the defaults of the table. Asserts that they are valid. */
void options_set_defaults(const struct option_group *group, size_t values_size,
                          struct arena *arena);

/**
 * Parses @argc arguments against @count groups. @stop_at_operand: the first operand ends parsing,
 * it and all behind it are operands (a command and its arguments). Operands and lists live in
 * @arena. INVALID_ARGUMENT names the option.
 */
enum status_code options_parse(const struct option_group *groups, size_t count, int argc,
                               char **argv, bool stop_at_operand, struct arena *arena,
                               struct operands *ret_operands, struct status *st);

/** One or more lines for each option, aligned. */
void options_print_help(const struct option *options, FILE *out);

#endif
