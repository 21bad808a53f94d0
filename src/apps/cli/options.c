#include "src/apps/cli/options.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 30 };

static enum status_code out_of_memory(struct status *st)
{
    return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

static enum status_code refuse_value(const struct option *option, const char *text,
                                     const char *wanted, struct status *st)
{
    return status_set(st, STATUS_INVALID_ARGUMENT, "--%s takes %s, not '%.80s'", option->name,
                      wanted, text);
}

static bool in_range(const struct option *option, double number)
{
    return option->max <= option->min || (number >= option->min && number <= option->max);
}

static enum status_code out_of_range(const struct option *option, const char *text,
                                     struct status *st)
{
    return status_set(st, STATUS_INVALID_ARGUMENT, "--%s takes %g to %g, not '%.80s'", option->name,
                      option->min, option->max, text);
}

static enum status_code set_count(const struct option *option, const char *text, uint64_t *ret,
                                  struct status *st)
{
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        return refuse_value(option, text, "a whole number", st);
    if (!in_range(option, (double)number))
        return out_of_range(option, text, st);
    *ret = number;
    return STATUS_OK;
}

static enum status_code set_number(const struct option *option, const char *text, double *ret,
                                   struct status *st)
{
    char *end;
    double number = strtod(text, &end);

    if (end == text || *end != '\0' || !isfinite(number))
        return refuse_value(option, text, "a number", st);
    if (!in_range(option, number))
        return out_of_range(option, text, st);
    *ret = number;
    return STATUS_OK;
}

static enum status_code set_choice(const struct option *option, const char *text, int *ret,
                                   struct status *st)
{
    const char *word = option->value;

    for (int i = 0; *word != '\0'; i++) {
        size_t length = strcspn(word, "|");
        if (strlen(text) == length && memcmp(word, text, length) == 0) {
            *ret = i;
            return STATUS_OK;
        }
        word += length + (word[length] == '|');
    }
    return refuse_value(option, text, option->value, st);
}

/* Doubles whenever the length is a power of two. */
static enum status_code append(struct option_list *list, const char *text, struct arena *arena,
                               struct status *st)
{
    if ((list->count & (list->count - 1)) == 0) {
        const char **values =
            arena_calloc(arena, list->count == 0 ? 1 : 2 * list->count, sizeof *values);
        if (values == NULL)
            return out_of_memory(st);
        for (size_t i = 0; i < list->count; i++)
            values[i] = list->values[i];
        list->values = values;
    }
    list->values[list->count++] = text;
    return STATUS_OK;
}

static enum status_code set_value(const struct option *option, void *values, const char *text,
                                  struct arena *arena, struct status *st)
{
    void *field = (char *)values + option->offset;

    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return STATUS_OK;
    case OPTION_TEXT:
        *(const char **)field = text;
        return STATUS_OK;
    case OPTION_LIST:
        return append(field, text, arena, st);
    case OPTION_COUNT:
        return set_count(option, text, field, st);
    case OPTION_NUMBER:
        return set_number(option, text, field, st);
    case OPTION_CHOICE:
        return set_choice(option, text, field, st);
    }
    return STATUS_OK;
}

void options_set_defaults(const struct option_group *group, size_t values_size, struct arena *arena)
{
    struct status st = { 0 };

    if (values_size > 0)
        memset(group->values, 0, values_size);
    for (const struct option *o = group->options; o != NULL && o->name != NULL; o++)
        if (o->standard != NULL)
            set_value(o, group->values, o->standard, arena, &st);
    assert(st.code == STATUS_OK);
}

struct parser {
    const struct option_group *groups;
    size_t group_count;
    int argc;
    char **argv;
    int next; /* argument */
    struct arena *arena;
    struct status *st;
};

/* By name, or by letter when @name is NULL; *ret_values is the struct it belongs to. */
static const struct option *find(const struct parser *p, const char *name, size_t length,
                                 char letter, void **ret_values)
{
    for (size_t i = 0; i < p->group_count; i++) {
        *ret_values = p->groups[i].values;
        for (const struct option *o = p->groups[i].options; o != NULL && o->name != NULL; o++)
            if (name != NULL ? strlen(o->name) == length && memcmp(o->name, name, length) == 0
                             : letter != '\0' && o->letter == letter)
                return o;
    }
    return NULL;
}

/* @attached: the value that stood in the same argument, or NULL. */
static enum status_code parse_value(struct parser *p, const struct option *option, void *values,
                                    const char *attached)
{
    if (option->kind == OPTION_FLAG && attached != NULL)
        return status_set(p->st, STATUS_INVALID_ARGUMENT, "--%s takes no value", option->name);
    if (option->kind != OPTION_FLAG && attached == NULL) {
        if (p->next >= p->argc)
            return status_set(p->st, STATUS_INVALID_ARGUMENT, "--%s needs a value", option->name);
        attached = p->argv[p->next++];
    }
    return set_value(option, values, attached, p->arena, p->st);
}

static enum status_code parse_long(struct parser *p, const char *name)
{
    size_t length = strcspn(name, "=");
    void *values;
    const struct option *option = find(p, name, length, '\0', &values);

    if (option == NULL)
        return status_set(p->st, STATUS_INVALID_ARGUMENT, "unknown option --%.*s", (int)length,
                          name);
    return parse_value(p, option, values, name[length] == '=' ? name + length + 1 : NULL);
}

static enum status_code parse_short(struct parser *p, const char *letters)
{
    void *values;
    const struct option *option = find(p, NULL, 0, letters[0], &values);

    if (option == NULL)
        return status_set(p->st, STATUS_INVALID_ARGUMENT, "unknown option -%c", letters[0]);
    return parse_value(p, option, values, letters[1] != '\0' ? letters + 1 : NULL);
}

enum status_code options_parse(const struct option_group *groups, size_t count, int argc,
                               char **argv, bool stop_at_operand, struct arena *arena,
                               struct operands *ret_operands, struct status *st)
{
    struct parser p = {
        .groups = groups, .group_count = count, .argc = argc, .argv = argv, .arena = arena, .st = st
    };
    struct operands operands = { .values = arena_calloc(arena, (size_t)argc + 1, sizeof *argv) };
    bool only_operands = false;

    if (operands.values == NULL)
        return out_of_memory(st);
    while (p.next < argc && st->code == STATUS_OK) {
        char *argument = argv[p.next++];
        if (only_operands || argument[0] != '-' || argument[1] == '\0') {
            operands.values[operands.count++] = argument;
            only_operands = only_operands || stop_at_operand;
        } else if (strcmp(argument, "--") == 0) {
            only_operands = true;
        } else if (argument[1] == '-') {
            parse_long(&p, argument + 2);
        } else {
            parse_short(&p, argument + 1);
        }
    }
    if (st->code == STATUS_OK)
        *ret_operands = operands;
    return st->code;
}

/* "  -k, --count N  " and how wide that is. */
static int print_left(const struct option *option, FILE *out)
{
    int width =
        option->letter != '\0' ? fprintf(out, "  -%c, ", option->letter) : fprintf(out, "      ");

    width += fprintf(out, "--%s", option->name);
    if (option->kind != OPTION_FLAG)
        width += fprintf(out, " %s", option->value);
    return width;
}

void options_print_help(const struct option *options, FILE *out)
{
    for (const struct option *o = options; o != NULL && o->name != NULL; o++) {
        int width = print_left(o, out);
        if (width > HELP_COLUMN - 2) {
            fputc('\n', out);
            width = 0;
        }
        fprintf(out, "%*s%s", HELP_COLUMN - width, "", o->help);
        if (o->standard != NULL && o->standard[0] != '\0')
            fprintf(out, " (default %s)", o->standard);
        fputc('\n', out);
    }
}
