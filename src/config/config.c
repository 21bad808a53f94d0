#include "src/config/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/version.h"

enum { LINE_MAX_BYTES = 4096, KEY_MAX_BYTES = 64 };

static void *field_of(const struct config_option *option, void *config)
{
    return (char *)config + option->offset;
}

static const struct config_option *find_option(const struct config_program *program,
                                               const char *key, size_t length)
{
    for (size_t i = 0; i < program->option_count; i++) {
        const struct config_option *option = &program->options[i];
        if (strlen(option->key) == length && memcmp(option->key, key, length) == 0)
            return option;
    }
    return NULL;
}

static enum status_code set_string(char **field, const char *value, struct status *st)
{
    char *copy = strdup(value);

    if (copy == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    free(*field);
    *field = copy;
    return STATUS_OK;
}

static enum status_code set_uint(const struct config_option *option, uint64_t *field,
                                 const char *value, struct status *st)
{
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno != 0 || number < option->min ||
        number > option->max)
        return status_set(st, STATUS_INVALID_ARGUMENT, "takes a number from %llu to %llu, not '%s'",
                          (unsigned long long)option->min, (unsigned long long)option->max, value);
    *field = number;
    return STATUS_OK;
}

static enum status_code set_bool(bool *field, const char *value, struct status *st)
{
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "takes true or false, not '%s'", value);
    *field = value[0] == 't';
    return STATUS_OK;
}

/* @source: "--", "SUTRA_", "file 'x' line 3: " … for the message. */
static enum status_code set_value(const struct config_option *option, const char *value,
                                  const char *source, void *config, struct status *st)
{
    void *field = field_of(option, config);

    switch (option->type) {
    case CONFIG_STRING:
        set_string(field, value, st);
        break;
    case CONFIG_UINT:
        set_uint(option, field, value, st);
        break;
    case CONFIG_BOOL:
        set_bool(field, value, st);
        break;
    }
    if (st->code != STATUS_OK)
        status_wrap(st, "%s (%s)", option->key, source);
    return st->code;
}

static enum status_code load_defaults(const struct config_program *program, void *config,
                                      struct status *st)
{
    for (size_t i = 0; i < program->option_count; i++)
        if (program->options[i].type == CONFIG_STRING)
            *(char **)field_of(&program->options[i], config) = NULL;
    for (size_t i = 0; i < program->option_count && st->code == STATUS_OK; i++)
        set_value(&program->options[i], program->options[i].default_value, "default", config, st);
    return st->code;
}

static enum status_code load_environment(const struct config_program *program, void *config,
                                         struct status *st)
{
    for (size_t i = 0; i < program->option_count && st->code == STATUS_OK; i++) {
        char name[KEY_MAX_BYTES];
        const char *value;
        snprintf(name, sizeof name, "SUTRA_%s", program->options[i].key);
        for (char *p = name; *p != '\0'; p++)
            *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
        value = getenv(name);
        if (value != NULL)
            set_value(&program->options[i], value, name, config, st);
    }
    return st->code;
}

static char *trim(char *s)
{
    char *end;

    while (isspace((unsigned char)*s))
        s++;
    end = s + strlen(s);
    while (end > s && isspace((unsigned char)end[-1]))
        *--end = '\0';
    return s;
}

static enum status_code load_line(const struct config_program *program, char *line, void *config,
                                  struct status *st)
{
    const struct config_option *option;
    char *key = trim(line);
    char *equals = strchr(key, '=');

    if (*key == '\0' || *key == '#')
        return STATUS_OK;
    if (equals == NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "'%s' is not like 'key = value'", key);
    *equals = '\0';
    key = trim(key);
    option = find_option(program, key, strlen(key));
    if (option == NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "unknown option '%s'", key);
    return set_value(option, trim(equals + 1), "file", config, st);
}

/* A line of fgets() that is only the start of one would be taken for two. */
static enum status_code check_whole(const char *line, struct status *st)
{
    if (strlen(line) == LINE_MAX_BYTES - 1 && line[LINE_MAX_BYTES - 2] != '\n')
        status_set(st, STATUS_INVALID_ARGUMENT, "longer than %d bytes", LINE_MAX_BYTES - 2);
    return st->code;
}

static enum status_code load_file(const struct config_program *program, const char *path,
                                  void *config, struct status *st)
{
    char line[LINE_MAX_BYTES];
    FILE *file = fopen(path, "re");
    int number = 0;

    if (file == NULL)
        return status_set_errno(st, errno, "open configuration '%s'", path);
    while (st->code == STATUS_OK && fgets(line, sizeof line, file) != NULL) {
        number++;
        if (check_whole(line, st) != STATUS_OK || load_line(program, line, config, st) != STATUS_OK)
            status_wrap(st, "'%s' line %d", path, number);
    }
    if (st->code == STATUS_OK && ferror(file))
        status_set_errno(st, errno, "read configuration '%s'", path);
    fclose(file);
    return st->code;
}

/* One flag at argv[*index]; moves *index behind what it used. */
static enum status_code load_flag(const struct config_program *program, int argc, char **argv,
                                  int *index, void *config, struct status *st)
{
    const char *flag = argv[*index];
    const char *name = flag + 2;
    size_t length = strcspn(name, "=");
    const struct config_option *option = NULL;
    const char *value = NULL;

    if (strncmp(flag, "--", 2) == 0)
        option = find_option(program, name, length);
    if (option == NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "unknown option '%s'; see %s --help", flag,
                          program->name);
    *index += 1;
    if (name[length] == '=')
        value = name + length + 1;
    else if (option->type == CONFIG_BOOL)
        value = "true";
    else if (*index < argc)
        value = argv[(*index)++];
    if (value == NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s takes a value", flag);
    return set_value(option, value, flag, config, st);
}

/* The value of --name among the flags, NULL without one. */
static const char *flag_value(int argc, char **argv, const char *name)
{
    size_t length = strlen(name);

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, length) != 0)
            continue;
        if (argv[i][length] == '=')
            return argv[i] + length + 1;
        if (argv[i][length] == '\0')
            return i + 1 < argc ? argv[i + 1] : "";
    }
    return NULL;
}

static enum status_code load_flags(const struct config_program *program, int argc, char **argv,
                                   void *config, bool *ret_print, struct status *st)
{
    int i = 1;

    while (i < argc && st->code == STATUS_OK) {
        if (strcmp(argv[i], "--print-config") == 0) {
            *ret_print = true;
            i++;
        } else if (strcmp(argv[i], "--config") == 0) {
            i += 2;
        } else if (strncmp(argv[i], "--config=", strlen("--config=")) == 0) {
            i++;
        } else {
            load_flag(program, argc, argv, &i, config, st);
        }
    }
    return st->code;
}

static void print_help(const struct config_program *program)
{
    printf("%s: %s\n\nOptions (also as SUTRA_… in the environment, or in a file by --config):\n",
           program->name, program->summary);
    for (size_t i = 0; i < program->option_count; i++) {
        const struct config_option *option = &program->options[i];
        printf("  --%-18s %s", option->key, option->help);
        if (option->default_value[0] != '\0')
            printf(" [%s]", option->default_value);
        printf("\n");
    }
    printf("  --%-18s %s\n", "config FILE", "lines 'key = value'");
    printf("  --%-18s %s\n", "print-config", "print what is in force, and exit");
    printf("  --%-18s %s\n", "version", "print the version, and exit");
}

static void print_config(const struct config_program *program, void *config)
{
    for (size_t i = 0; i < program->option_count; i++) {
        const struct config_option *option = &program->options[i];
        void *field = field_of(option, config);
        if (option->type == CONFIG_STRING)
            printf("%s = %s\n", option->key, *(char **)field);
        else if (option->type == CONFIG_UINT)
            printf("%s = %llu\n", option->key, (unsigned long long)*(uint64_t *)field);
        else
            printf("%s = %s\n", option->key, *(bool *)field ? "true" : "false");
    }
}

static bool has_argument(int argc, char **argv, const char *wanted)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], wanted) == 0)
            return true;
    return false;
}

/* Answers --help and --version, whatever else is asked. */
static bool answer(const struct config_program *program, int argc, char **argv)
{
    bool help = has_argument(argc, argv, "--help") || has_argument(argc, argv, "-h");
    bool version = !help && has_argument(argc, argv, "--version");

    if (help)
        print_help(program);
    if (version)
        printf("%s %s (%s)\n", program->name, SUTRA_VERSION, SUTRA_RELEASE_DATE);
    return help || version;
}

enum status_code config_load(const struct config_program *program, int argc, char **argv,
                             void *ret_config, enum config_outcome *ret_outcome, struct status *st)
{
    const char *file = flag_value(argc, argv, "--config");
    bool print = false;

    *ret_outcome = CONFIG_EXIT;
    if (answer(program, argc, argv)) {
        load_defaults(program, ret_config, st);
        return st->code;
    }
    if (load_defaults(program, ret_config, st) != STATUS_OK ||
        (file != NULL && load_file(program, file, ret_config, st) != STATUS_OK) ||
        load_environment(program, ret_config, st) != STATUS_OK ||
        load_flags(program, argc, argv, ret_config, &print, st) != STATUS_OK) {
        config_deinit(program, ret_config);
        return st->code;
    }
    if (print)
        print_config(program, ret_config);
    else
        *ret_outcome = CONFIG_RUN;
    return STATUS_OK;
}

void config_deinit(const struct config_program *program, void *config)
{
    for (size_t i = 0; i < program->option_count; i++) {
        if (program->options[i].type != CONFIG_STRING)
            continue;
        char **field = field_of(&program->options[i], config);
        free(*field);
        *field = NULL;
    }
}
