/* What people and programs see: text, tables, progress, JSON. */

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/apps/cli/output.h"
#include "src/apps/cli/progress.h"
#include "src/apps/cli/proto_json.h"
#include "src/apps/cli/text.h"
#include "sutra/v1/concept_service.pb-c.h"

static struct arena arena;

static void begin(void)
{
    arena_init(&arena, 4 << 20);
}

static void end(void)
{
    arena_deinit(&arena);
}

TestSuite(cli_text, .init = begin, .fini = end);
TestSuite(cli_table, .init = begin, .fini = end);

Test(cli_text, clean_text_cannot_drive_a_terminal)
{
    cr_assert_str_eq(text_clean(&arena, "a\x1b[2Jb\x07", false), "a\uFFFD[2Jb\uFFFD");
    cr_assert_str_eq(text_clean(&arena,
                                "a\xC2\x9B"
                                "b",
                                false),
                     "a\uFFFDb");
    cr_assert_str_eq(text_clean(&arena, "a\u202Eb\u2028c", false), "a\uFFFDb\uFFFDc");
    cr_assert_str_eq(text_clean(&arena, "a\xFF\xC3", false), "a\uFFFD\uFFFD");
    cr_assert_str_eq(text_clean(&arena, "a \t\r\n b", false), "a b");
    cr_assert_str_eq(text_clean(&arena, "a\n\nb\tc", true), "a\n\nb c");
    cr_assert_str_eq(text_clean(&arena, "", false), "");
}

Test(cli_text, width_is_in_columns)
{
    cr_assert_eq(text_width("naïve"), 5);
    cr_assert_eq(text_width("日本"), 4);
    cr_assert_eq(text_width("e\u0301"), 1);
}

Test(cli_text, a_cut_never_splits_a_character)
{
    cr_assert_str_eq(text_cut(&arena, "abcdef", 6), "abcdef");
    cr_assert_str_eq(text_cut(&arena, "abcdefg", 6), "abcde…");
    cr_assert_str_eq(text_cut(&arena, "日本語", 4), "日…");
    cr_assert_str_eq(text_cut(&arena, "abc", 0), "");
}

Test(cli_text, numbers_are_readable)
{
    char n[TEXT_NUMBER_SIZE];

    cr_assert_str_eq(text_count(0, n), "0");
    cr_assert_str_eq(text_count(999, n), "999");
    cr_assert_str_eq(text_count(1234567, n), "1,234,567");
    cr_assert_str_eq(text_count(UINT64_MAX, n), "18,446,744,073,709,551,615");
    cr_assert_str_eq(text_bytes(1023, n), "1023 B");
    cr_assert_str_eq(text_bytes(1536, n), "1.5 KiB");
    cr_assert_str_eq(text_bytes(1048575, n), "1.0 MiB");
    cr_assert_str_eq(text_bytes(UINT64_MAX, n), "16.0 EiB");
    cr_assert_str_eq(text_duration(7, n), "0:07");
    cr_assert_str_eq(text_duration(754, n), "12:34");
    cr_assert_str_eq(text_duration(3723, n), "1:02:03");
    cr_assert_str_eq(text_duration(-1, n), "0:00");
    cr_assert_str_eq(text_time(0, n), "never");
    cr_assert_str_eq(text_time(1700000000000000, n), "2023-11-14 22:13:20 UTC");
    cr_assert_str_eq(text_time(INT64_MAX, n), "294247-01-10 04:00:54 UTC");
}

/* What a table of one id, one number and one text prints on a terminal of @width columns. */
static char *printed(size_t width, bool color)
{
    static const struct table_column COLUMNS[] = {
        { .title = "id", .style = STYLE_ID },
        { .title = "n", .style = STYLE_NUMBER, .right = true },
        { .title = "content", .flexible = true },
    };
    const char *first[] = { "a", "1", "some longer text\nover two lines" };
    const char *second[] = { "日本", "23", NULL };
    struct table *table = table_new(&arena, COLUMNS, 3);
    char *text = NULL;
    size_t size;
    struct output out = { .file = open_memstream(&text, &size), .width = width, .color = color };

    table_add(table, first);
    table_add(table, second);
    table_print(table, &out);
    fclose(out.file);
    return text;
}

Test(cli_table, columns_are_aligned)
{
    char *text = printed(0, false);

    cr_assert_str_eq(text, "id     n  content\n"
                           "a      1  some longer text over two lines\n"
                           "日本  23  \n");
    free(text);
}

Test(cli_table, the_flexible_column_gives_way)
{
    char *text = printed(30, false);

    cr_assert_not_null(strstr(text, "a      1  some longer text ov…\n"), "%s", text);
    free(text);
}

Test(cli_table, colour_does_not_change_the_layout)
{
    char *text = printed(0, true);

    cr_assert_not_null(strstr(text, "\x1b[36m日本\x1b[0m  \x1b[33m23\x1b[0m  "), "%s", text);
    free(text);
}

static const char *bar(const struct progress_state *state, size_t width)
{
    struct buf buf = { 0 };
    const char *text;

    progress_format_bar(state, width, &buf);
    text = arena_strndup(&arena, (const char *)buf.data, buf.size);
    buf_deinit(&buf);
    return text;
}

static const char *line(const struct progress_state *state)
{
    struct buf buf = { 0 };
    const char *text;

    progress_format_line(state, &buf);
    text = arena_strndup(&arena, (const char *)buf.data, buf.size);
    buf_deinit(&buf);
    return text;
}

TestSuite(cli_progress, .init = begin, .fini = end);

Test(cli_progress, a_bar_shows_count_rate_bytes_and_time_left)
{
    struct progress_state s = { .items = 25000,
                                .items_total = 100000,
                                .bytes = 2 << 20,
                                .bytes_total = 8 << 20,
                                .seconds = 10 };

    cr_assert_str_eq(bar(&s, 100), "[==========>                             ]  25%  "
                                   "25,000/100,000 items  2,500/s  2.0 MiB  ETA 0:30");
}

Test(cli_progress, a_bar_fits_its_terminal)
{
    struct progress_state s = { .items = 123456789, .items_total = 987654321, .seconds = 1000 };

    for (size_t width = 1; width <= 200; width++)
        cr_assert_leq(text_width(bar(&s, width)), width, "%zu columns: %s", width, bar(&s, width));
    cr_assert_eq(strchr(bar(&s, 60), '['), NULL, "no room for a bar of any use");
}

Test(cli_progress, without_a_total_there_is_neither_bar_nor_time_left)
{
    struct progress_state s = { .items = 1000, .bytes = 100, .seconds = 4 };

    cr_assert_str_eq(bar(&s, 100), "1,000 items  250/s  100 B  0:04");
}

Test(cli_progress, bytes_stand_in_for_an_unknown_number_of_items)
{
    struct progress_state s = { .items = 10, .bytes = 50, .bytes_total = 200, .seconds = 1 };

    cr_assert_str_eq(line(&s), "25%  10 items  10/s  50 B  ETA 0:03");
}

Test(cli_progress, an_earlier_run_counts_neither_for_rate_nor_for_time_left)
{
    struct progress_state s = {
        .items = 60, .items_total = 100, .items_before = 50, .seconds = 10
    };

    cr_assert_str_eq(line(&s), "60%  60/100 items  1/s  0 B  ETA 0:40");
}

Test(cli_progress, an_earlier_run_does_not_count_where_bytes_stand_in_either)
{
    struct progress_state s = { .items = 60,
                                .items_before = 50,
                                .bytes = 60,
                                .bytes_total = 100,
                                .bytes_before = 50,
                                .seconds = 10 };

    cr_assert_str_eq(line(&s), "60%  60 items  1/s  60 B  ETA 0:40");
}

Test(cli_progress, the_first_moment_divides_by_nothing)
{
    struct progress_state s = { .items_total = 100 };

    cr_assert_str_eq(line(&s), "0%  0/100 items  0/s  0 B  0:00");
}

/* For each state in turn whether it is shown: "-x" means that only the second is. */
static char *shown(const struct progress_state *states, size_t count)
{
    struct progress p = { 0 };
    char *text = NULL;
    char *marks = arena_calloc(&arena, count + 1, 1);
    size_t size = 0;
    size_t before = 0;

    p.file = open_memstream(&text, &size);
    for (size_t i = 0; i < count; i++) {
        progress_update(&p, &states[i]);
        fflush(p.file);
        marks[i] = size > before ? 'x' : '-';
        before = size;
    }
    fclose(p.file);
    free(text);
    return marks;
}

Test(cli_progress, plain_lines_are_few)
{
    const struct progress_state states[] = {
        { .items = 50, .items_total = 100, .seconds = 1 },  /* too early */
        { .items = 55, .items_total = 100, .seconds = 2 },  /* shown */
        { .items = 60, .items_total = 100, .seconds = 5 },  /* too little */
        { .items = 66, .items_total = 100, .seconds = 6 },  /* shown */
        { .items = 67, .items_total = 100, .seconds = 35 }, /* too little, too early */
        { .items = 67, .items_total = 100, .seconds = 36 }, /* shown after 30 s */
    };

    cr_assert_str_eq(shown(states, 6), "-x-x-x");
}

static char *json_of(const ProtobufCMessage *message)
{
    json_t *json = proto_json(message);
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9));

    json_decref(json);
    return text;
}

Test(cli_json, a_concept_has_all_its_fields)
{
    Sutra__V1__Concept concept = SUTRA__V1__CONCEPT__INIT;
    Sutra__V1__Concept__AttributesEntry entry = SUTRA__V1__CONCEPT__ATTRIBUTES_ENTRY__INIT;
    Sutra__V1__Concept__AttributesEntry *entries[] = { &entry };
    Sutra__V1__Embedding embedding = SUTRA__V1__EMBEDDING__INIT;
    uint8_t one_and_a_half[] = { 0, 0, 0xC0, 0x3F };
    float values[] = { 0.1F, -2 };
    char *text;

    concept.id = "a";
    concept.content = "x\"y";
    concept.strength = 0.1F;
    entry.key = "k";
    entry.value = "v";
    concept.n_attributes = 1;
    concept.attributes = entries;
    embedding.n_values = 2;
    embedding.values = values;
    embedding.f32le = (ProtobufCBinaryData){ .len = 4, .data = one_and_a_half };
    concept.embedding = &embedding;
    text = json_of(&concept.base);
    cr_assert_str_eq(text,
                     "{\"id\":\"a\",\"content\":\"x\\\"y\",\"strength\":0.1,\"confidence\":0.0,"
                     "\"access_count\":0,\"created_us\":0,\"last_accessed_us\":0,\"source\":\"\","
                     "\"category\":\"\",\"attributes\":{\"k\":\"v\"},\"version\":0,"
                     "\"embedding\":[0.1,-2.0,1.5]}");
    free(text);
}

Test(cli_json, oneofs_enums_and_bytes)
{
    Sutra__V1__NeighborsResponse reply = SUTRA__V1__NEIGHBORS_RESPONSE__INIT;
    Sutra__V1__Association association = SUTRA__V1__ASSOCIATION__INIT;
    Sutra__V1__Association *associations[] = { &association };
    uint8_t cursor[] = { 'M', 'a', 'n', '!' };
    char *text;

    association.source = "a";
    association.target = "b";
    association.type = SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_CAUSAL;
    association.optional_weight_case = SUTRA__V1__ASSOCIATION__OPTIONAL_WEIGHT_WEIGHT;
    association.weight = 2;
    reply.n_associations = 1;
    reply.associations = associations;
    reply.cursor = (ProtobufCBinaryData){ .len = sizeof cursor, .data = cursor };
    text = json_of(&reply.base);
    cr_assert_str_eq(text, "{\"associations\":[{\"source\":\"a\",\"target\":\"b\",\"type\":"
                           "\"causal\",\"label\":\"\",\"weight\":2.0,\"created_us\":0,"
                           "\"last_used_us\":0}],\"cursor\":\"TWFuIQ==\"}");
    free(text);
}

Test(cli_json, numbers_and_messages_repeat)
{
    Sutra__V1__DistanceResponse reply = SUTRA__V1__DISTANCE_RESPONSE__INIT;
    float distances[] = { 0.25F, 0.30000001F, 1.00000012F };
    uint32_t missing[] = { 7 };
    char *text;

    reply.n_distances = 3;
    reply.distances = distances;
    reply.n_missing = 1;
    reply.missing = missing;
    text = json_of(&reply.base);
    cr_assert_str_eq(text, "{\"distances\":[0.25,0.3,1.0000001],\"missing\":[7]}");
    free(text);
}
