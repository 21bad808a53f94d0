#include "src/apps/cli/progress.h"

#include <math.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "src/apps/cli/text.h"

enum { MIN_BAR = 8, MAX_BAR = 40, DEFAULT_WIDTH = 80 };

static const double REDRAW_SECONDS = 0.1;
static const double LINE_SECONDS = 2;
static const double LINE_FRACTION = 0.1;
static const double LINE_SECONDS_AT_MOST = 30;

double progress_fraction(const struct progress_state *state)
{
    double fraction = -1;

    if (state->items_total != 0)
        fraction = (double)state->items / (double)state->items_total;
    else if (state->bytes_total != 0)
        fraction = (double)state->bytes / (double)state->bytes_total;
    return fraction > 1 ? 1 : fraction;
}

static double items_per_second(const struct progress_state *state)
{
    return state->seconds > 0 ? (double)(state->items - state->items_before) / state->seconds : 0;
}

/* Seconds to go at the pace so far; negative when nobody knows. */
static double seconds_left(const struct progress_state *state, double fraction)
{
    struct progress_state first = *state;
    double before;

    first.items = state->items_before;
    first.bytes = state->bytes_before;
    before = progress_fraction(&first);
    if (fraction <= before)
        return -1;
    return state->seconds * (1 - fraction) / (fraction - before);
}

/* "12,345/117,659 items  8,230/s  4.1 MiB  ETA 0:12" */
static void format_numbers(const struct progress_state *state, struct buf *ret)
{
    char number[TEXT_NUMBER_SIZE];
    double fraction = progress_fraction(state);
    double left = seconds_left(state, fraction);

    buf_printf(ret, "%s", text_count(state->items, number));
    if (state->items_total != 0)
        buf_printf(ret, "/%s", text_count(state->items_total, number));
    buf_printf(ret, " items  %s/s", text_count((uint64_t)items_per_second(state), number));
    buf_printf(ret, "  %s", text_bytes(state->bytes, number));
    if (fraction >= 0 && left >= 0)
        buf_printf(ret, "  ETA %s", text_duration(left, number));
    else
        buf_printf(ret, "  %s", text_duration(state->seconds, number));
}

static void append_bar(double fraction, size_t width, struct buf *ret)
{
    size_t full = (size_t)(fraction * (double)width);

    buf_append_u8(ret, '[');
    for (size_t i = 0; i < width; i++)
        buf_append_u8(ret, i < full ? '=' : i == full ? '>' : ' ');
    buf_printf(ret, "] %3.0f%%  ", floor(fraction * 100));
}

void progress_format_bar(const struct progress_state *state, size_t width, struct buf *ret)
{
    enum { AROUND = 9 }; /* brackets, percentage, blanks */
    double fraction = progress_fraction(state);
    struct buf numbers = { 0 };
    size_t room;

    format_numbers(state, &numbers);
    room = width > numbers.size + AROUND ? width - numbers.size - AROUND : 0;
    if (fraction >= 0 && room >= MIN_BAR)
        append_bar(fraction, room < MAX_BAR ? room : MAX_BAR, ret);
    buf_append(ret, numbers.data, numbers.size < width ? numbers.size : width);
    buf_deinit(&numbers);
}

void progress_format_line(const struct progress_state *state, struct buf *ret)
{
    double fraction = progress_fraction(state);

    if (fraction >= 0)
        buf_printf(ret, "%.0f%%  ", floor(fraction * 100));
    format_numbers(state, ret);
}

void progress_init(struct progress *progress, FILE *file)
{
    *progress = (struct progress){ .file = file, .terminal = isatty(fileno(file)) == 1 };
}

static size_t terminal_width(FILE *file)
{
    struct winsize size = { 0 };

    if (ioctl(fileno(file), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return DEFAULT_WIDTH;
    return size.ws_col;
}

static bool is_time(const struct progress *progress, const struct progress_state *state)
{
    double since = state->seconds - progress->drawn_at;
    double fraction = progress_fraction(state);

    if (progress->terminal)
        return !progress->drawn || since >= REDRAW_SECONDS;
    if (since < LINE_SECONDS)
        return false;
    return fraction < 0 || since >= LINE_SECONDS_AT_MOST ||
           fraction - progress->drawn_fraction >= LINE_FRACTION;
}

/* A terminal's last column may wrap the line, so the bar leaves it free. */
static void draw(const struct progress *progress, const struct progress_state *state)
{
    struct buf line = { 0 };

    if (progress->terminal) {
        buf_printf(&line, "\r\x1b[K");
        progress_format_bar(state, terminal_width(progress->file) - 1, &line);
    } else {
        progress_format_line(state, &line);
        buf_append_u8(&line, '\n');
    }
    if (!line.failed)
        fwrite(line.data, 1, line.size, progress->file);
    fflush(progress->file);
    buf_deinit(&line);
}

void progress_update(struct progress *progress, const struct progress_state *state)
{
    if (!is_time(progress, state))
        return;
    draw(progress, state);
    progress->drawn = true;
    progress->drawn_at = state->seconds;
    progress->drawn_fraction = progress_fraction(state);
}

void progress_clear(struct progress *progress)
{
    if (!progress->terminal || !progress->drawn)
        return;
    fputs("\r\x1b[K", progress->file);
    fflush(progress->file);
    progress->drawn = false;
}
