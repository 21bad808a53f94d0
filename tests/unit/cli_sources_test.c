/* What the importer reads: WordNet, JSON Lines, CSV and TSV, well-formed and hostile. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/apps/cli/sources/jsonl.h"
#include "src/apps/cli/sources/line_reader.h"
#include "src/apps/cli/sources/source.h"
#include "src/apps/cli/sources/wordnet.h"

#define WORDNET_FOLDER "/usr/share/wordnet"

static struct arena arena;

static void begin(void)
{
    arena_init(&arena, 64 << 20);
}

static void end(void)
{
    arena_deinit(&arena);
}

TestSuite(cli_wordnet, .init = begin, .fini = end);
TestSuite(cli_jsonl, .init = begin, .fini = end);
TestSuite(cli_csv, .init = begin, .fini = end);
TestSuite(cli_source, .init = begin, .fini = end);

static Sutra__V1__ConceptInput *synset(const char *line)
{
    struct status st = { 0 };
    Sutra__V1__ConceptInput *item = NULL;

    wordnet_parse_synset(line, strlen(line), &arena, &item, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return item;
}

#define WITHOUT " 02 r 01 a_cappella 0 000 | without musical accompaniment; \"they performed\"  "

Test(cli_wordnet, a_synset_is_a_concept)
{
    Sutra__V1__ConceptInput *item = synset("00001740" WITHOUT);

    cr_assert_str_eq(item->id, "wn30:r00001740");
    cr_assert_str_eq(item->content, "a cappella — without musical accompaniment");
    cr_assert_eq(item->n_attributes, 1);
    cr_assert_str_eq(item->attributes[0]->key, "examples");
    cr_assert_str_eq(item->attributes[0]->value, "\"they performed\"");
    cr_assert_str_eq(item->category, "adv.all");
    cr_assert_str_eq(item->source, "wordnet-3.0");
    cr_assert_eq(item->n_associations, 0);
    cr_assert_eq(item->optional_strength_case,
                 SUTRA__V1__CONCEPT_INPUT__OPTIONAL_STRENGTH__NOT_SET);
}

Test(cli_wordnet, words_are_counted_in_hexadecimal_and_lose_their_markers)
{
    Sutra__V1__ConceptInput *item = synset(
        "00000001 00 s 0b a 0 b(p) 0 c_d(ip) 0 (e) 0 f 0 g 0 h 0 i 0 j 0 k 0 l(a) 0 000 | x");

    cr_assert_str_eq(item->id, "wn30:a00000001");
    cr_assert_str_eq(item->content, "a, b, c d, (e), f, g, h, i, j, k, l — x");
}

Test(cli_wordnet, pointers_become_typed_associations)
{
    Sutra__V1__ConceptInput *item =
        synset("00000001 29 v 01 a 0 004 @ 00000002 v 0000 > 00000003 v 0000 %m 00000004 n 0000 "
               "! 00000005 v 0102 02 + 02 00 + 08 01 | x");

    cr_assert_eq(item->n_associations, 4);
    cr_assert_str_eq(item->associations[0]->target, "wn30:v00000002");
    cr_assert_str_eq(item->associations[0]->label, "hypernym");
    cr_assert_eq(item->associations[0]->type,
                 SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_HIERARCHICAL);
    cr_assert_str_eq(item->associations[1]->label, "cause");
    cr_assert_eq(item->associations[1]->type, SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_CAUSAL);
    cr_assert_str_eq(item->associations[2]->target, "wn30:n00000004");
    cr_assert_eq(item->associations[2]->type,
                 SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_COMPOSITIONAL);
    cr_assert_str_eq(item->associations[3]->label, "antonym 01>02");
    cr_assert_eq(item->associations[3]->type,
                 SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_SEMANTIC);
    cr_assert_str_eq(item->content, "a — x");
    cr_assert_eq(item->n_attributes, 0);
}

Test(cli_wordnet, a_repeated_pointer_stays_distinct)
{
    Sutra__V1__ConceptInput *item =
        synset("00000001 03 n 01 a 0 004 + 00000002 v 0101 + 00000002 v 0101 ~ 00000002 n 0000 "
               "~ 00000002 n 0000 | x");

    cr_assert_str_eq(item->associations[0]->label, "derivation 01>01");
    cr_assert_str_eq(item->associations[1]->label, "derivation 01>01 #2");
    cr_assert_str_eq(item->associations[2]->label, "hyponym");
    cr_assert_str_eq(item->associations[3]->label, "hyponym #2");
}

Test(cli_wordnet, a_backslash_depends_on_the_part_of_speech)
{
    cr_assert_str_eq(
        synset("00000001 01 a 01 a 0 001 \\ 00000002 n 0101 | x")->associations[0]->label,
        "pertainym 01>01");
    cr_assert_str_eq(
        synset("00000001 02 r 01 a 0 001 \\ 00000002 a 0101 | x")->associations[0]->label,
        "derived_from 01>01");
}

/* Every prefix of a good line, and lines with one thing wrong. */
Test(cli_wordnet, refuses_what_is_not_a_synset)
{
    static const char *const BAD[] = {
        "0000001x 03 n 01 a 0 000 | x",
        "00000001 45 n 01 a 0 000 | x",
        "00000001 -1 n 01 a 0 000 | x",
        "00000001 03 q 01 a 0 000 | x",
        "00000001 03 n 00 000 | x",
        "00000001 03 n 02 a 0 000 | x",
        "00000001 03 n 01 a 0 001 | x",
        "00000001 03 n 01 a 0 001 ? 00000002 n 0000 | x",
        "00000001 03 n 01 a 0 001 @ 0000002 n 0000 | x",
        "00000001 03 n 01 a 0 001 @ 00000002 x 0000 | x",
        "00000001 03 n 01 a 0 001 @ 00000002 n 000 | x",
        "00000001 03 n 01 a 0 999 @ 00000002 n 0000 | x",
        "00000001 29 v 01 a 0 000 | x",
        "00000001 29 v 01 a 0 000 02 + 01 00 | x",
        "00000001 03 n 01 a\xff 0 000 | x",
        "",
    };

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct status st = { 0 };
        Sutra__V1__ConceptInput *item = NULL;
        wordnet_parse_synset(BAD[i], strlen(BAD[i]), &arena, &item, &st);
        cr_assert_eq(st.code, STATUS_INVALID_ARGUMENT, "accepted: %s", BAD[i]);
        cr_assert_null(item);
    }
}

Test(cli_wordnet, refuses_every_truncation)
{
    static const char LINE[] = "00000001 29 v 02 a 0 b 1 002 @ 00000002 v 0000 + 00000003 n 0101 "
                               "01 + 02 00 |";

    for (size_t length = 0; length < sizeof LINE - 1; length++) {
        struct status st = { 0 };
        Sutra__V1__ConceptInput *item = NULL;
        char *copy = arena_copy(&arena, LINE, length);
        wordnet_parse_synset(copy, length, &arena, &item, &st);
        cr_assert_eq(st.code, STATUS_INVALID_ARGUMENT, "accepted %zu bytes", length);
    }
    cr_assert_str_eq(synset(LINE)->content, "a, b");
}

/* Files of a test, in a folder of its own. */
static char *folder(void)
{
    char *path = arena_printf(&arena, "/tmp/sutra-sources-XXXXXX");

    cr_assert_not_null(mkdtemp(path));
    return path;
}

static const char *file_with(const char *name, const char *text, size_t length)
{
    const char *path = arena_printf(&arena, "%s/%s", folder(), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, length), (ssize_t)length);
    close(fd);
    return path;
}

/* All items of a file; stops at an error, which is left in @st. */
static size_t read_all(enum source_format format, const char *path,
                       Sutra__V1__ConceptInput *ret_items[], size_t room, struct status *st)
{
    struct source *source = NULL;
    size_t count = 0;

    if (source_open(format, path, &source, st) != STATUS_OK)
        return 0;
    while (count < room && source_next(source, &arena, &ret_items[count], st) == STATUS_OK &&
           ret_items[count] != NULL)
        count++;
    source_close(source);
    return count;
}

static void remove_file(const char *path)
{
    char *slash;
    char *parent = strdup(path);

    unlink(path);
    slash = strrchr(parent, '/');
    *slash = '\0';
    rmdir(parent);
    free(parent);
}

static Sutra__V1__ConceptInput *json_item(const char *line, struct status *st)
{
    Sutra__V1__ConceptInput *item = NULL;

    jsonl_parse_item(line, strlen(line), &arena, &item, st);
    return item;
}

Test(cli_jsonl, reads_every_field)
{
    struct status st = { 0 };
    Sutra__V1__ConceptInput *item = json_item(
        "{\"id\":\"a\",\"text\":\"hé\",\"embedding\":[1,0.5,-2e-1],\"strength\":2,"
        "\"confidence\":0.25,\"source\":\"s\",\"category\":\"c\",\"attributes\":{\"k\":\"v\","
        "\"l\":\"w\",\"m\":\"x\"},\"created_us\":123,\"associations\":[{\"target\":\"b\",\"type\":"
        "\"causal\",\"label\":\"l\",\"weight\":3,\"confidence\":0.5},{\"target\":\"c\"}]}",
        &st);

    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_str_eq(item->id, "a");
    cr_assert_str_eq(item->content, "hé");
    cr_assert_eq(item->embedding->n_values, 3);
    cr_assert_eq(item->embedding->values[1], 0.5F);
    cr_assert_eq(item->strength, 2.0F);
    cr_assert_eq(item->optional_strength_case,
                 SUTRA__V1__CONCEPT_INPUT__OPTIONAL_STRENGTH_STRENGTH);
    cr_assert_eq(item->confidence, 0.25F);
    cr_assert_str_eq(item->source, "s");
    cr_assert_str_eq(item->category, "c");
    cr_assert_eq(item->n_attributes, 3);
    cr_assert_str_eq(item->attributes[2]->key, "m");
    cr_assert_str_eq(item->attributes[2]->value, "x");
    cr_assert_eq(item->created_us, 123);
    cr_assert_eq(item->n_associations, 2);
    cr_assert_str_eq(item->associations[0]->target, "b");
    cr_assert_eq(item->associations[0]->type, SUTRA__V1__ASSOCIATION_TYPE__ASSOCIATION_TYPE_CAUSAL);
    cr_assert_eq(item->associations[0]->weight, 3.0F);
    cr_assert_eq(item->associations[1]->optional_weight_case,
                 SUTRA__V1__ASSOCIATION__OPTIONAL_WEIGHT__NOT_SET);
}

Test(cli_jsonl, names_what_it_does_not_understand)
{
    static const struct {
        const char *line;
        const char *says;
    } BAD[] = {
        { "{\"contents\":\"x\"}", "unknown key 'contents'" },
        { "{\"content\":1}", "'content' is not a string" },
        { "{\"strength\":\"1\"}", "'strength' is not a number" },
        { "{\"created_us\":1.5}", "'created_us' is not an integer" },
        { "{\"embedding\":[1,\"2\"]}", "'embedding' is not a number" },
        { "{\"embedding\":3}", "'embedding' is not an array of numbers" },
        { "{\"attributes\":{\"a\":1}}", "'attributes' is not an object of strings" },
        { "{\"associations\":[{\"target\":\"a\"},{\"kind\":\"b\"}]}",
          "associations[1]: unknown key 'kind'" },
        { "{\"associations\":[{\"type\":\"odd\"}]}", "'type' is not an association type" },
        { "{\"associations\":[1]}", "associations[0]: not an object" },
        { "{\"id\":\"a\",\"id\":\"b\"}", "not JSON: duplicate object key" },
        { "{\"id\":\"\xff\"}", "not JSON: unable to decode byte 0xff" },
        { "{\"id\":\"\\u0000\"}", "not JSON" },
        { "{\"id\":\"a\"", "not JSON" },
        { "[]", "not a JSON object" },
        { "", "not JSON" },
    };

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct status st = { 0 };
        cr_assert_null(json_item(BAD[i].line, &st));
        cr_assert_eq(st.code, STATUS_INVALID_ARGUMENT);
        cr_assert_not_null(strstr(st.message, BAD[i].says), "%s: %s", BAD[i].line, st.message);
    }
}

Test(cli_jsonl, reads_what_list_prints)
{
    struct status st = { 0 };
    Sutra__V1__ConceptInput *item = json_item("{\"id\":\"a\",\"version\":3,\"access_count\":0,"
                                              "\"last_accessed_us\":0,\"embedding\":null}",
                                              &st);

    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_null(item->embedding);
}

Test(cli_jsonl, a_malformed_line_is_named_and_ends_the_source)
{
    static const char TEXT[] =
        "\xEF\xBB\xBF{\"id\":\"a\"}\r\n\n{\"id\":\"b\"}\n{oops\n{\"id\":\"c\"}";
    const char *path = file_with("x.jsonl", TEXT, sizeof TEXT - 1);
    Sutra__V1__ConceptInput *items[8];
    struct status st = { 0 };
    size_t count = read_all(SOURCE_JSONL, path, items, 8, &st);

    cr_assert_eq(count, 2);
    cr_assert_str_eq(items[1]->id, "b");
    cr_assert_eq(st.code, STATUS_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(st.message, "x.jsonl:4: not JSON"), "%s", st.message);
    remove_file(path);
}

Test(cli_jsonl, an_endless_line_is_refused)
{
    size_t size = (size_t)LINE_MAX_BYTES + 200 * 1024;
    char *text = malloc(size);
    const char *path;
    Sutra__V1__ConceptInput *items[1];
    struct status st = { 0 };

    memset(text, 'x', size);
    path = file_with("x.jsonl", text, size);
    free(text);
    cr_assert_eq(read_all(SOURCE_JSONL, path, items, 1, &st), 0);
    cr_assert_eq(st.code, STATUS_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(st.message, "x.jsonl:1: the line is longer"), "%s", st.message);
    remove_file(path);
}

static size_t csv_items(enum source_format format, const char *text,
                        Sutra__V1__ConceptInput *ret_items[], size_t room, struct status *st)
{
    const char *path = file_with("x.csv", text, strlen(text));
    size_t count = read_all(format, path, ret_items, room, st);

    remove_file(path);
    return count;
}

Test(cli_csv, columns_are_fields_or_attributes)
{
    Sutra__V1__ConceptInput *items[4];
    struct status st = { 0 };
    size_t count = csv_items(
        SOURCE_CSV,
        "id,content,strength,colour,embedding,attributes,shape\r\n"
        "a,\"one, \"\"two\"\"\nthree\",0.5,red,\"[1, 2]\",\"{\"\"k\"\":\"\"v\"\"}\",round\r\n"
        "\r\n"
        "b,,,,,,\r\n",
        items, 4, &st);

    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_eq(count, 2);
    cr_assert_str_eq(items[0]->content, "one, \"two\"\nthree");
    cr_assert_eq(items[0]->strength, 0.5F);
    cr_assert_eq(items[0]->embedding->n_values, 2);
    cr_assert_eq(items[0]->n_attributes, 3);
    cr_assert_str_eq(items[0]->attributes[0]->key, "colour");
    cr_assert_str_eq(items[0]->attributes[1]->key, "k");
    cr_assert_str_eq(items[0]->attributes[2]->value, "round");
    cr_assert_str_eq(items[1]->id, "b");
    cr_assert_eq(items[1]->n_attributes, 0);
    cr_assert_eq(items[1]->optional_strength_case,
                 SUTRA__V1__CONCEPT_INPUT__OPTIONAL_STRENGTH__NOT_SET);
}

Test(cli_csv, a_carriage_return_alone_ends_a_row)
{
    Sutra__V1__ConceptInput *items[4];
    struct status st = { 0 };

    cr_assert_eq(csv_items(SOURCE_CSV, "id\ra\rb\rc", items, 4, &st), 3);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_str_eq(items[2]->id, "c");
}

Test(cli_csv, tabs_separate_tsv)
{
    Sutra__V1__ConceptInput *items[2];
    struct status st = { 0 };

    cr_assert_eq(csv_items(SOURCE_TSV, "id\ttext\na,b\tc, d\n", items, 2, &st), 1);
    cr_assert_str_eq(items[0]->id, "a,b");
    cr_assert_str_eq(items[0]->content, "c, d");
}

Test(cli_csv, names_file_and_line_of_what_is_wrong)
{
    static const struct {
        const char *text;
        const char *says;
    } BAD[] = {
        { "id,content\na,b\nc\n", "x.csv:3: 1 cells, but the header has 2" },
        { "id,content\na,b,c\n", "x.csv:2: 3 cells" },
        { "id,strength\na,much\n", "x.csv:2: 'strength' is not JSON" },
        { "id,strength\na,[]\n", "x.csv:2: 'strength' is not a number" },
        { "id,content\na,\"b\"c\n", "x.csv:2: not CSV" },
        { "id,content\na,b\nc,\"d\ne\n", "x.csv:3: not CSV: a quote is never closed" },
        { "id,content\na,\xC3\x28\n", "x.csv:2: not UTF-8" },
        { "id,,content\n", "x.csv:1: column 2 has no name" },
        { "id,id\n", "x.csv:1: two columns are named 'id'" },
        { "", "x.csv: no header row" },
    };

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        Sutra__V1__ConceptInput *items[4];
        struct status st = { 0 };
        csv_items(SOURCE_CSV, BAD[i].text, items, 4, &st);
        cr_assert_eq(st.code, STATUS_INVALID_ARGUMENT, "accepted: %s", BAD[i].text);
        cr_assert_not_null(strstr(st.message, BAD[i].says), "%s: %s", BAD[i].text, st.message);
    }
}

Test(cli_csv, an_endless_cell_is_refused)
{
    size_t lines = LINE_MAX_BYTES / 1000 + 100;
    char *text = malloc(4 + lines * 1000 + 1);
    Sutra__V1__ConceptInput *items[1];
    struct status st = { 0 };

    memset(text, 'x', 4 + lines * 1000);
    memcpy(text, "id\n\"", 4);
    for (size_t i = 1; i <= lines; i++)
        text[4 + i * 1000 - 1] = '\n';
    text[4 + lines * 1000] = '\0';
    cr_assert_eq(csv_items(SOURCE_CSV, text, items, 1, &st), 0);
    cr_assert_eq(st.code, STATUS_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(st.message, "x.csv:2: the row is longer"), "%s", st.message);
    free(text);
}

Test(cli_source, formats_are_guessed_from_names)
{
    enum source_format format;
    struct status st = { 0 };
    const char *path = file_with("x.jsonl", "", 0);

    cr_assert_eq(source_format_guess(path, &format, &st), STATUS_OK);
    cr_assert_eq(format, SOURCE_JSONL);
    cr_assert_eq(source_format_guess("/tmp", &format, &st), STATUS_OK);
    cr_assert_eq(format, SOURCE_WORDNET);
    cr_assert_eq(source_format_guess("-", &format, &st), STATUS_INVALID_ARGUMENT);
    status_clear(&st);
    remove_file(path);
    cr_assert_eq(source_format_guess(path, &format, &st), STATUS_NOT_FOUND);
    cr_assert_eq(source_format_parse("CSV"), SOURCE_CSV);
    cr_assert_eq(source_format_parse("xml"), SOURCE_FORMATS);
}

Test(cli_source, a_changed_file_has_another_fingerprint)
{
    const char *path = file_with("x.csv", "id\na\n", 5);
    const char *before;
    const char *again;
    const char *after;
    struct status st = { 0 };
    FILE *file;

    source_fingerprint(SOURCE_CSV, path, &arena, &before, &st);
    source_fingerprint(SOURCE_CSV, path, &arena, &again, &st);
    file = fopen(path, "a");
    fputs("b\n", file);
    fclose(file);
    source_fingerprint(SOURCE_CSV, path, &arena, &after, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_str_eq(before, again);
    cr_assert_str_neq(before, after);
    remove_file(path);
}

Test(cli_csv, a_cell_with_nul_is_refused)
{
    static const char TEXT[] = "id,content\na,b\0c\n";
    const char *path = file_with("x.csv", TEXT, sizeof TEXT - 1);
    Sutra__V1__ConceptInput *items[1];
    struct status st = { 0 };

    cr_assert_eq(read_all(SOURCE_CSV, path, items, 1, &st), 0);
    cr_assert_not_null(strstr(st.message, "x.csv:2: not UTF-8"), "%s", st.message);
    remove_file(path);
}

/* Every limit of the arena from none to enough: an item or RESOURCE_EXHAUSTED, nothing else. */
static void parse_in_little_memory(bool json, const char *line)
{
    struct status st = { .code = STATUS_RESOURCE_EXHAUSTED };

    for (size_t limit = 0; st.code == STATUS_RESOURCE_EXHAUSTED; limit += 8) {
        struct arena small;
        Sutra__V1__ConceptInput *item = NULL;
        arena_init(&small, limit);
        status_clear(&st);
        if (json)
            jsonl_parse_item(line, strlen(line), &small, &item, &st);
        else
            wordnet_parse_synset(line, strlen(line), &small, &item, &st);
        cr_assert_eq(item != NULL, st.code == STATUS_OK);
        arena_deinit(&small);
    }
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
}

Test(cli_source, too_little_memory_is_a_limit)
{
    parse_in_little_memory(false, "00000001 03 n 02 a 0 b 0 003 + 00000002 v 0101 "
                                  "+ 00000002 v 0101 ~ 00000002 n 0000 | x");
    parse_in_little_memory(true, "{\"id\":\"a\",\"embedding\":[1,2],\"attributes\":{\"k\":"
                                 "\"v\",\"l\":\"w\"},\"associations\":[{\"target\":\"b\","
                                 "\"label\":\"c\"}]}");
}

/* Whether no two associations of @item have the same key: the store would keep one of them. */
static bool keys_are_distinct(const Sutra__V1__ConceptInput *item)
{
    for (size_t i = 0; i < item->n_associations; i++)
        for (size_t j = 0; j < i; j++)
            if (item->associations[i]->type == item->associations[j]->type &&
                strcmp(item->associations[i]->target, item->associations[j]->target) == 0 &&
                strcmp(item->associations[i]->label, item->associations[j]->label) == 0)
                return false;
    return true;
}

/* The real thing, from Debian's package wordnet-base: as many as wnstats(7) and a count of pointers
 * say. */
Test(cli_wordnet, the_whole_database, .timeout = 120)
{
    struct source *source = NULL;
    struct source_size size = { 0 };
    struct status st = { 0 };
    Sutra__V1__ConceptInput *item = NULL;
    uint64_t synsets = 0;
    uint64_t associations = 0;

    if (access(WORDNET_FOLDER "/data.noun", R_OK) != 0)
        cr_skip_test("wordnet-base is not installed");
    cr_assert_eq(source_measure(SOURCE_WORDNET, WORDNET_FOLDER, &size, &st), STATUS_OK);
    cr_assert_eq(source_open(SOURCE_WORDNET, WORDNET_FOLDER, &source, &st), STATUS_OK);
    while (source_next(source, &arena, &item, &st) == STATUS_OK && item != NULL) {
        synsets++;
        associations += item->n_associations;
        cr_assert(keys_are_distinct(item), "%s", item->id);
        arena_reset(&arena);
    }
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_assert_eq(synsets, 117659);
    cr_assert_eq(associations, 377592);
    cr_assert_eq(size.items, 117659);
    cr_assert_eq(source_bytes_read(source), size.bytes);
    source_close(source);
}
