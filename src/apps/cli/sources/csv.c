/**
 * Comma- and tab-separated values with a header row (RFC 4180, read by libcsv).
 *
 * Columns that item_fields.h knows fill those fields: texts as they are, the others as JSON
 * ("0.5", "[0.1, 0.2]"); every other column is an attribute. An empty cell is not given. Blank
 * lines are skipped, spaces around unquoted cells do not count.
 */

#include <csv.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "src/apps/cli/sources/item_fields.h"
#include "src/apps/cli/sources/line_reader.h"
#include "src/apps/cli/sources/source_type.h"
#include "src/base/buf.h"
#include "src/base/utf8.h"

/* By how much the parser's buffer for one cell grows. Its own 128 bytes make a long cell quadratic.
 */
enum { CELL_GROWTH_BYTES = 256 * 1024 };

/* One row: its cells one behind the other, each ended by NUL. */
struct row {
    struct buf cells;
    size_t count;
    uint64_t line; /* where it begins */
    size_t fed;    /* bytes given to the parser since the row before */
    bool complete;
    bool has_nul; /* a cell contains NUL, which no text may */
};

struct csv {
    struct line_reader reader;
    struct csv_parser parser;
    struct row row;
    const char *rest; /* of the line, not yet given to the parser; NULL: read another */
    size_t rest_length;
    bool finished;  /* the file has ended and the parser knows it */
    char **columns; /* [column_count], in one allocation with what they point to */
    size_t column_count;
};

static void on_cell(void *data, size_t length, void *context)
{
    struct row *row = context;

    row->has_nul = row->has_nul || (length > 0 && memchr(data, '\0', length) != NULL);
    buf_append(&row->cells, data, length);
    buf_append_u8(&row->cells, 0);
    row->count++;
}

static void on_row(int terminator, void *context)
{
    struct row *row = context;

    (void)terminator;
    row->complete = row->count > 0;
}

static void row_reset(struct row *row)
{
    buf_reset(&row->cells);
    row->count = 0;
    row->line = 0;
    row->fed = 0;
    row->complete = false;
    row->has_nul = false;
}

static enum status_code feed(struct csv *csv, const char *bytes, size_t length, struct status *st)
{
    if (csv->row.line == 0)
        csv->row.line = csv->reader.line;
    csv->row.fed += length;
    if (csv->row.fed > LINE_MAX_BYTES)
        return status_set(st, STATUS_INVALID_ARGUMENT, "the row is longer than %d bytes",
                          LINE_MAX_BYTES);
    if (csv_parse(&csv->parser, bytes, length, on_cell, on_row, &csv->row) != length)
        return status_set(st, STATUS_INVALID_ARGUMENT, "not CSV: %s",
                          csv_strerror(csv_error(&csv->parser)));
    return STATUS_OK;
}

/* Gives the parser the rest of the line up to the next CR, which may end a row as LF does; so no
 * call can complete two rows. */
static enum status_code feed_rest(struct csv *csv, struct status *st)
{
    const char *cr = memchr(csv->rest, '\r', csv->rest_length);
    size_t length = cr != NULL ? (size_t)(cr + 1 - csv->rest) : csv->rest_length;
    bool whole = length == csv->rest_length;

    if (feed(csv, csv->rest, length, st) != STATUS_OK)
        return st->code;
    csv->rest = whole ? NULL : csv->rest + length;
    csv->rest_length -= length;
    if (whole && !csv->row.complete)
        return feed(csv, "\n", 1, st);
    return STATUS_OK;
}

static enum status_code read_more(struct csv *csv, struct status *st)
{
    if (csv->rest != NULL)
        return feed_rest(csv, st);
    if (line_reader_next(&csv->reader, &csv->rest, &csv->rest_length, st) != STATUS_OK ||
        csv->rest != NULL)
        return st->code;
    csv->finished = true;
    if (csv_fini(&csv->parser, on_cell, on_row, &csv->row) != 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, "not CSV: a quote is never closed");
    return STATUS_OK;
}

static enum status_code check_row(const struct row *row, struct status *st)
{
    if (row->cells.failed)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (row->has_nul || !utf8_valid((const char *)row->cells.data, row->cells.size))
        return status_set(st, STATUS_INVALID_ARGUMENT, "not UTF-8 text");
    return STATUS_OK;
}

/* Fills csv->row; it is incomplete behind the last row. Errors name the line. */
static enum status_code next_row(struct csv *csv, struct status *st)
{
    row_reset(&csv->row);
    while (!csv->row.complete && !csv->finished && read_more(csv, st) == STATUS_OK)
        continue;
    if (st->code == STATUS_OK && csv->row.complete)
        check_row(&csv->row, st);
    if (st->code != STATUS_OK && csv->row.line != 0)
        return line_reader_wrap(&csv->reader, csv->row.line, st);
    return st->code;
}

/* Takes the row's text and makes it the header. */
static enum status_code take_header(struct csv *csv, struct status *st)
{
    char *cell;

    csv->columns = calloc(csv->row.count, sizeof *csv->columns);
    cell = malloc(csv->row.cells.size);
    if (csv->columns == NULL || cell == NULL) {
        free(cell);
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    memcpy(cell, csv->row.cells.data, csv->row.cells.size);
    csv->column_count = csv->row.count;
    for (size_t i = 0; i < csv->column_count; i++) {
        csv->columns[i] = cell;
        cell += strlen(cell) + 1;
    }
    return STATUS_OK;
}

static enum status_code check_header(const struct csv *csv, struct status *st)
{
    for (size_t i = 0; i < csv->column_count; i++) {
        if (csv->columns[i][0] == '\0')
            return status_set(st, STATUS_INVALID_ARGUMENT, "column %zu has no name", i + 1);
        for (size_t j = 0; j < i; j++)
            if (strcmp(csv->columns[i], csv->columns[j]) == 0)
                return status_set(st, STATUS_INVALID_ARGUMENT, "two columns are named '%.80s'",
                                  csv->columns[i]);
    }
    return STATUS_OK;
}

static enum status_code read_header(struct csv *csv, struct status *st)
{
    if (next_row(csv, st) != STATUS_OK)
        return st->code;
    if (!csv->row.complete)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: no header row", csv->reader.path);
    if (take_header(csv, st) != STATUS_OK || check_header(csv, st) != STATUS_OK)
        return line_reader_wrap(&csv->reader, csv->row.line, st);
    return STATUS_OK;
}

static enum status_code set_json(Sutra__V1__ConceptInput *item, const char *key, const char *cell,
                                 struct arena *arena, struct status *st)
{
    json_error_t error;
    json_t *value = json_loads(cell, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);

    if (value == NULL)
        return status_set(st, STATUS_INVALID_ARGUMENT, "'%s' is not JSON: %s", key, error.text);
    item_set(item, key, value, arena, st);
    json_decref(value);
    return st->code;
}

static enum status_code set_cell(Sutra__V1__ConceptInput *item, const char *key, const char *cell,
                                 struct arena *arena, struct status *st)
{
    if (cell[0] == '\0')
        return STATUS_OK;
    if (!item_has_field(key))
        return item_add_attribute(item, key, cell, arena, st);
    if (item_field_is_text(key))
        return item_set_text(item, key, cell, arena, st);
    return set_json(item, key, cell, arena, st);
}

static enum status_code fill_item(const struct csv *csv, Sutra__V1__ConceptInput *item,
                                  struct arena *arena, struct status *st)
{
    const char *cell = (const char *)csv->row.cells.data;

    if (csv->row.count != csv->column_count)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%zu cells, but the header has %zu",
                          csv->row.count, csv->column_count);
    for (size_t i = 0; i < csv->column_count; i++) {
        if (set_cell(item, csv->columns[i], cell, arena, st) != STATUS_OK)
            return st->code;
        cell += strlen(cell) + 1;
    }
    return STATUS_OK;
}

static enum status_code csv_next(void *state, struct arena *arena,
                                 Sutra__V1__ConceptInput **ret_item, struct status *st)
{
    struct csv *csv = state;
    Sutra__V1__ConceptInput *item;

    if (next_row(csv, st) != STATUS_OK)
        return st->code;
    if (!csv->row.complete) {
        *ret_item = NULL;
        return STATUS_OK;
    }
    item = item_new(arena);
    if (item == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "the item is too big");
    if (fill_item(csv, item, arena, st) != STATUS_OK)
        return line_reader_wrap(&csv->reader, csv->row.line, st);
    *ret_item = item;
    return STATUS_OK;
}

static enum status_code csv_skip(void *state, bool *ret_there, struct status *st)
{
    struct csv *csv = state;

    if (next_row(csv, st) == STATUS_OK)
        *ret_there = csv->row.complete;
    return st->code;
}

static void csv_close(void *state)
{
    struct csv *csv = state;

    if (csv->columns != NULL)
        free(csv->columns[0]);
    free(csv->columns);
    buf_deinit(&csv->row.cells);
    csv_free(&csv->parser);
    line_reader_deinit(&csv->reader);
    free(csv);
}

static enum status_code open_with(unsigned char delimiter, const char *path, void **ret_state,
                                  struct status *st)
{
    struct csv *csv = calloc(1, sizeof *csv);

    if (csv == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    csv_init(&csv->parser, CSV_STRICT | CSV_STRICT_FINI);
    csv_set_delim(&csv->parser, delimiter);
    csv_set_blk_size(&csv->parser, CELL_GROWTH_BYTES);
    if (line_reader_open(&csv->reader, path, st) == STATUS_OK && read_header(csv, st) == STATUS_OK)
        *ret_state = csv;
    else
        csv_close(csv);
    return st->code;
}

static enum status_code open_csv(const char *path, void **ret_state, struct status *st)
{
    return open_with(',', path, ret_state, st);
}

static enum status_code open_tsv(const char *path, void **ret_state, struct status *st)
{
    return open_with('\t', path, ret_state, st);
}

static uint64_t csv_bytes_read(const void *state)
{
    return ((const struct csv *)state)->reader.bytes_read;
}

/* A quoted cell may span lines, so counting lines would not count items. */
const struct source_type csv_source = {
    .name = "csv",
    .open = open_csv,
    .close = csv_close,
    .next = csv_next,
    .skip = csv_skip,
    .bytes_read = csv_bytes_read,
};

const struct source_type tsv_source = {
    .name = "tsv",
    .open = open_tsv,
    .close = csv_close,
    .next = csv_next,
    .skip = csv_skip,
    .bytes_read = csv_bytes_read,
};
