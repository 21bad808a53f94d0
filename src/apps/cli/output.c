#include "src/apps/cli/output.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "src/apps/cli/text.h"
#include "src/base/size.h"

enum { GAP = 2, MIN_FLEXIBLE_WIDTH = 16 };

static const char *const STYLES[] = {
    [STYLE_PLAIN] = "",          [STYLE_TITLE] = "\x1b[1m", [STYLE_ID] = "\x1b[36m",
    [STYLE_NUMBER] = "\x1b[33m", [STYLE_WORD] = "\x1b[32m", [STYLE_DIM] = "\x1b[2m",
    [STYLE_BAD] = "\x1b[31m",
};

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);

    return value != NULL && value[0] != '\0';
}

static bool wants_color(bool terminal, enum color_choice choice)
{
    const char *term = getenv("TERM");

    if (choice != COLOR_AUTO)
        return choice == COLOR_ALWAYS;
    return terminal && !is_set("NO_COLOR") && (term == NULL || strcmp(term, "dumb") != 0);
}

void output_init(struct output *out, FILE *file, enum color_choice choice)
{
    struct winsize size = { 0 };
    bool terminal = isatty(fileno(file)) == 1;

    *out = (struct output){ .file = file, .color = wants_color(terminal, choice) };
    if (terminal && ioctl(fileno(file), TIOCGWINSZ, &size) == 0)
        out->width = size.ws_col;
}

void output_styled(const struct output *out, enum style style, const char *text)
{
    if (out->color && style != STYLE_PLAIN)
        fprintf(out->file, "%s%s\x1b[0m", STYLES[style], text);
    else
        fputs(text, out->file);
}

struct row {
    struct row *next;
    char *cells[];
};

struct table {
    struct arena *arena;
    const struct table_column *columns;
    size_t count;
    struct row *first;
    struct row **end;
};

struct table *table_new(struct arena *arena, const struct table_column *columns, size_t count)
{
    struct table *table = arena_alloc(arena, sizeof *table);

    if (table == NULL)
        return NULL;
    *table = (struct table){ .arena = arena, .columns = columns, .count = count };
    table->end = &table->first;
    return table;
}

void table_add(struct table *table, const char *const *cells)
{
    struct row *row = arena_alloc(table->arena, sizeof *row + table->count * sizeof row->cells[0]);

    if (row == NULL)
        return;
    row->next = NULL;
    for (size_t i = 0; i < table->count; i++) {
        row->cells[i] = text_clean(table->arena, cells[i] != NULL ? cells[i] : "", false);
        if (row->cells[i] == NULL)
            return;
    }
    *table->end = row;
    table->end = &row->next;
}

static bool has_titles(const struct table *table)
{
    return table->columns[0].title != NULL;
}

static size_t column_width(const struct table *table, size_t i)
{
    size_t width = has_titles(table) ? text_width(table->columns[i].title) : 0;

    for (const struct row *row = table->first; row != NULL; row = row->next)
        width = size_max(width, text_width(row->cells[i]));
    return width;
}

/* Takes from the flexible column what the rows are wider than the terminal. */
static void fit(const struct table *table, size_t terminal, size_t *widths)
{
    size_t total = GAP * (table->count - 1);

    for (size_t i = 0; i < table->count; i++)
        total += widths[i];
    if (terminal == 0 || total <= terminal)
        return;
    for (size_t i = 0; i < table->count; i++)
        if (table->columns[i].flexible) {
            size_t others = total - widths[i];
            size_t left = terminal > others ? terminal - others : 0;
            widths[i] = size_min(widths[i], size_max(left, MIN_FLEXIBLE_WIDTH));
        }
}

static void print_spaces(const struct output *out, size_t count)
{
    fprintf(out->file, "%*s", (int)count, "");
}

static void print_cell(const struct table *table, size_t i, const char *text, enum style style,
                       size_t width, const struct output *out)
{
    const char *shown = text_width(text) > width ? text_cut(table->arena, text, width) : text;
    bool last = i + 1 == table->count;
    size_t blank;

    shown = shown != NULL ? shown : "";
    blank = width - size_min(width, text_width(shown));
    if (table->columns[i].right)
        print_spaces(out, blank);
    output_styled(out, style, shown);
    if (last)
        fputc('\n', out->file);
    else
        print_spaces(out, GAP + (table->columns[i].right ? 0 : blank));
}

void table_print(const struct table *table, const struct output *out)
{
    size_t *widths = arena_calloc(table->arena, table->count, sizeof *widths);

    if (widths == NULL)
        return;
    for (size_t i = 0; i < table->count; i++)
        widths[i] = column_width(table, i);
    fit(table, out->width, widths);
    for (size_t i = 0; has_titles(table) && i < table->count; i++)
        print_cell(table, i, table->columns[i].title, STYLE_TITLE, widths[i], out);
    for (const struct row *row = table->first; row != NULL; row = row->next)
        for (size_t i = 0; i < table->count; i++)
            print_cell(table, i, row->cells[i], table->columns[i].style, widths[i], out);
}
