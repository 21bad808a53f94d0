#ifndef SUTRA_APPS_CLI_OUTPUT_H
#define SUTRA_APPS_CLI_OUTPUT_H

/**
 * What commands print: aligned tables, in colour on a terminal. One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "src/base/arena.h"

enum color_choice { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

struct output {
    FILE *file;
    bool color;
    size_t width; /* columns of the terminal; 0: no terminal, nothing is cut */
};

/** COLOR_AUTO: in colour on a terminal, unless $NO_COLOR is set and not empty (no-color.org) or
 * $TERM is "dumb". */
void output_init(struct output *out, FILE *file, enum color_choice choice);

enum style { STYLE_PLAIN, STYLE_TITLE, STYLE_ID, STYLE_NUMBER, STYLE_WORD, STYLE_DIM, STYLE_BAD };

/** @text in a style; the style is left out without colour. Not for padding: see table_print(). */
void output_styled(const struct output *out, enum style style, const char *text);

struct table_column {
    const char *title; /* NULL in all columns: no header */
    enum style style;
    bool right;    /* numbers */
    bool flexible; /* is cut where the row would not fit; at most one */
};

/** Rows of text in columns. Lives in the arena that table_new() is given. */
struct table;

/** @columns is borrowed for the table's life. NULL when the arena is full. */
struct table *table_new(struct arena *arena, const struct table_column *columns, size_t count);

/** One row of as many cells as columns, made clean (text.h) and copied. NULL is an empty cell. A
 * row that does not fit the arena is dropped. */
void table_add(struct table *table, const char *const *cells);

void table_print(const struct table *table, const struct output *out);

#endif
