#ifndef SUTRA_APPS_CLI_PROGRESS_H
#define SUTRA_APPS_CLI_PROGRESS_H

/**
 * How far a long command is: a bar on a terminal, redrawn at most ten times a second; elsewhere a
 * plain line for every ten percent, but none within two seconds and one within thirty. One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "src/base/buf.h"

struct progress_state {
    uint64_t items;        /* done */
    uint64_t items_total;  /* 0: unknown */
    uint64_t items_before; /* of `items`, done by an earlier run: they do not count for the rate */
    uint64_t bytes;
    uint64_t bytes_total;  /* 0: unknown */
    uint64_t bytes_before; /* of `bytes`, likewise */
    double seconds;        /* since the start */
};

/** 0–1 by items if their total is known, else by bytes; negative when neither total is. */
double progress_fraction(const struct progress_state *state);

/** Appends the bar's line, at most @width columns, without line feed: the bar takes the room that
 * the numbers leave, and goes where there is none. */
void progress_format_bar(const struct progress_state *state, size_t width, struct buf *ret);

/** Appends the plain line, without line feed. */
void progress_format_line(const struct progress_state *state, struct buf *ret);

struct progress {
    FILE *file;
    bool terminal;
    bool drawn;            /* a bar stands in the current line */
    double drawn_at;       /* seconds of the state last shown */
    double drawn_fraction; /* of the state last shown */
};

/** Nothing is shown before the first update. */
void progress_init(struct progress *progress, FILE *file);

/** Shows the state if it is time to. */
void progress_update(struct progress *progress, const struct progress_state *state);

/** Removes the bar so that something else can be written; the next update draws it again. */
void progress_clear(struct progress *progress);

#endif
