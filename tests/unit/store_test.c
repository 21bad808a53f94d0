#include "src/store/store.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/store_fixture.h"

enum { ROW_BYTES = 12 };

static const uint8_t row_a[ROW_BYTES] = "rowAAAAAAAA";
static const uint8_t row_b[ROW_BYTES] = "rowBBBBBBBB";
static const uint8_t code_1[STORE_CODE_BYTES] = "code one";
static const uint8_t code_2[STORE_CODE_BYTES] = "code two";

static const struct store_vector vector_a = { row_a, ROW_BYTES, NULL, 0, NULL };
static const struct store_vector vector_b = { row_b, ROW_BYTES, code_1, 3, NULL };

static const struct store_condition no_condition = { 0 };

static struct store_fixture f;

static void open_fixture(void)
{
    store_fixture_open(&f);
}

static void close_fixture(void)
{
    store_fixture_close(&f);
}

TestSuite(store, .init = open_fixture, .fini = close_fixture);

static struct store_stats stats(void)
{
    struct store_stats stats = { 0 };
    struct status st = { 0 };

    store_stats(f.store, &stats, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return stats;
}

static struct store_vector vector_of(const char *id)
{
    struct concept_id key = id_of(id);
    struct store_vector vector = { 0 };
    struct status st = { 0 };

    store_get_vectors(f.store, &key, 1, &f.arena, &vector, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return vector;
}

static bool delete (const char *id)
{
    struct concept_id key = id_of(id);
    struct status st = { 0 };
    bool existed = false;

    store_delete(f.store, &key, no_condition, false, &existed, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return existed;
}

static struct store_association associate(struct store_association association)
{
    struct store_association stored = { 0 };
    struct status st = { 0 };
    bool created;

    store_associate(f.store, &association, false, &stored, &created, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return stored;
}

static bool dissociate(struct store_association association)
{
    struct status st = { 0 };
    bool existed = false;

    store_dissociate(f.store, &association, false, &existed, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return existed;
}

/* ---- Writing ------------------------------------------------------------------------------ */

Test(store, keeps_every_field_of_a_concept)
{
    const struct concept_attribute attributes[] = { { { "k", 1 }, { "v", 1 } } };
    struct store_write write = item("a", "tides");
    struct concept read;

    write.concept.strength = 2.5f;
    write.concept.confidence = 0.25f;
    write.concept.access_count = 7;
    write.concept.last_accessed_us = 99;
    write.concept.source = text("book");
    write.concept.category = text("sea");
    write.concept.attributes = attributes;
    write.concept.attribute_count = 1;
    write_one(&f, write);
    store_fixture_reopen(&f);

    read = read_one(&f, "a");
    cr_expect(text_is(read.id, "a"));
    cr_expect(text_is(read.content, "tides"));
    cr_expect_eq(read.strength, 2.5f);
    cr_expect_eq(read.confidence, 0.25f);
    cr_expect_eq(read.access_count, 7);
    cr_expect_eq(read.created_us, 1000);
    cr_expect_eq(read.last_accessed_us, 99);
    cr_expect(text_is(read.source, "book"));
    cr_expect(text_is(read.category, "sea"));
    cr_expect(read.attribute_count == 1 && text_is(read.attributes[0].value, "v"));
    cr_expect_eq(read.version, 1);
}

Test(store, learn_keeps_what_is_not_given)
{
    struct store_write write = item("a", "old");
    struct concept read;

    write.concept.strength = 3;
    write.concept.confidence = 0.5f;
    write.concept.access_count = 4;
    write.concept.last_accessed_us = 5;
    write_one(&f, write);
    write = item("a", "new");
    write.concept.created_us = 7777;
    write.given = STORE_GIVEN_CONFIDENCE;
    cr_expect_not(write_one(&f, write).created);

    read = read_one(&f, "a");
    cr_expect(text_is(read.content, "new"));
    cr_expect_eq(read.strength, 3.0f);
    cr_expect_eq(read.confidence, 1.0f);
    cr_expect_eq(read.access_count, 4);
    cr_expect_eq(read.last_accessed_us, 5);
    cr_expect_eq(read.created_us, 1000);
    cr_expect_eq(read.version, 2);
}

Test(store, put_replaces_all_but_the_creation)
{
    struct store_write write = item("a", "old");
    struct concept read;

    write.concept.strength = 3;
    write.concept.access_count = 4;
    write_one(&f, write);
    write = item("a", "new");
    write.mode = STORE_PUT;
    write.concept.created_us = 7777;
    write_one(&f, write);
    read = read_one(&f, "a");
    cr_expect_eq(read.strength, 1.0f);
    cr_expect_eq(read.access_count, 0);
    cr_expect_eq(read.created_us, 1000);

    write.given = STORE_GIVEN_CREATED;
    write_one(&f, write);
    cr_expect_eq(read_one(&f, "a").created_us, 7777);
}

static struct status write_if(const char *id, uint64_t version)
{
    struct store_write write = item(id, "x");
    struct store_write_result result;
    struct status st = { 0 };

    write.condition = (struct store_condition){ true, version };
    store_write(f.store, &write, 1, true, &result, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    return result.status;
}

Test(store, writes_under_a_condition_only_if_it_holds)
{
    cr_expect_eq(write_if("a", 1).code, STATUS_ABORTED);
    cr_expect_not(exists(&f, "a"));
    cr_expect_eq(write_if("a", 0).code, STATUS_OK);
    cr_expect_eq(write_if("a", 0).code, STATUS_ABORTED);
    cr_expect_eq(write_if("a", 1).code, STATUS_OK);
    cr_expect_str_eq(write_if("a", 1).reason, "VERSION_MISMATCH");
    cr_expect_eq(read_one(&f, "a").version, 2);
}

Test(store, writes_the_other_items_when_one_is_refused)
{
    struct store_association bad = edge("", "b", 9, "");
    struct store_association good = edge("", "a", 1, "");
    struct store_write writes[] = { item("a", "1"), item("b", "2"), item("c", "3") };
    struct store_write_result results[3];
    struct status st = { 0 };

    writes[1].associations = &bad;
    writes[1].association_count = 1;
    writes[2].associations = &good;
    writes[2].association_count = 1;
    store_write(f.store, writes, 3, true, results, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_expect_eq(results[0].status.code, STATUS_OK);
    cr_expect_eq(results[1].status.code, STATUS_INVALID_ARGUMENT);
    cr_expect_str_eq(results[1].status.field, "associations[0].type");
    cr_expect_eq(results[2].status.code, STATUS_OK);
    cr_expect_not(exists(&f, "b"));
    cr_expect(text_is(neighbors(&f, "c", STORE_OUT).items[0].source, "c"));
}

Test(store, a_later_item_of_one_call_sees_the_earlier)
{
    struct store_association association = edge("", "t", 1, "");
    struct store_write writes[] = { item("a", "1"), item("a", "2"), item("a", "3") };
    struct store_write_result results[3];
    struct status st = { 0 };

    for (int i = 0; i < 3; i++) {
        writes[i].associations = &association;
        writes[i].association_count = 1;
        writes[i].vector = &vector_a;
    }
    writes[1].condition = (struct store_condition){ true, 0 };
    store_write(f.store, writes, 3, true, results, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_expect(results[0].created && results[0].version == 1);
    cr_expect_eq(results[1].status.code, STATUS_ABORTED);
    cr_expect(!results[2].created && results[2].version == 2);
    cr_expect(text_is(read_one(&f, "a").content, "3"));
    cr_expect_eq(stats().vectors, 1);
    cr_expect_eq(stats().associations_out, 1);
}

Test(store, a_deleted_concept_begins_anew)
{
    learn(&f, "a", "1");
    learn(&f, "a", "2");
    cr_expect(delete ("a"));
    cr_expect_not(exists(&f, "a"));
    cr_expect_not(delete ("a"));
    learn(&f, "a", "3");
    cr_expect_eq(read_one(&f, "a").version, 1);
}

Test(store, deletes_under_a_condition_only_if_it_holds)
{
    struct concept_id id = id_of("a");
    struct status st = { 0 };
    bool existed;

    learn(&f, "a", "1");
    store_delete(f.store, &id, (struct store_condition){ true, 2 }, true, &existed, &st);
    cr_expect_eq(st.code, STATUS_ABORTED);
    cr_expect(exists(&f, "a"));
    status_clear(&st);
    store_delete(f.store, &id, (struct store_condition){ true, 1 }, true, &existed, &st);
    cr_expect_eq(st.code, STATUS_OK);
    cr_expect_not(exists(&f, "a"));
}

Test(store, deletes_all_associations_of_a_concept)
{
    learn(&f, "a", "1");
    learn(&f, "b", "2");
    associate(edge("a", "b", 1, ""));
    associate(edge("b", "a", 2, "x"));
    associate(edge("a", "a", 3, "self"));
    associate(edge("b", "b", 3, "self"));
    cr_expect(delete ("a"));
    cr_expect_eq(neighbors(&f, "b", STORE_OUT).count, 1);
    cr_expect_eq(neighbors(&f, "b", STORE_IN).count, 1);
    cr_expect_eq(stats().associations_out, 1);
    cr_expect_eq(stats().associations_in, 1);
    cr_expect_eq(stats().outbox_pending, 0);
}

Test(store, reinforces_a_concept_up_to_the_limit)
{
    struct concept_id id = id_of("a");
    struct store_write write = item("a", "1");
    struct concept returned;
    struct text_view value;
    struct status st = { 0 };

    write.concept.strength = 9.9f;
    write_one(&f, write);
    store_reinforce_concept(f.store, &id, 123, true, &f.arena, &value, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    concept_wire_decode(value.data, value.length, &f.arena, &returned, &st);
    cr_expect_eq(returned.strength, 10.0f);
    cr_expect_eq(returned.access_count, 1);
    cr_expect_eq(returned.last_accessed_us, 123);
    cr_expect_eq(returned.version, 2);
    cr_expect_eq(read_one(&f, "a").version, 2);

    id = id_of("nobody");
    store_reinforce_concept(f.store, &id, 123, true, &f.arena, &value, &st);
    cr_expect_eq(st.code, STATUS_NOT_FOUND);
}

Test(store, counts_what_it_holds)
{
    struct store_write write = item("a", "12345");

    write.vector = &vector_a;
    write_one(&f, write);
    learn(&f, "b", "123");
    learn(&f, "b", "1");
    associate(edge("a", "b", 1, ""));
    store_fixture_reopen(&f);
    cr_expect_eq(stats().concepts, 2);
    cr_expect_eq(stats().vectors, 1);
    cr_expect_eq(stats().content_bytes, 6);
    cr_expect_eq(stats().associations_out, 1);
    cr_expect_eq(stats().associations_in, 1);
    cr_expect_gt(stats().disk_bytes, 100);
}

/* ---- Vectors ------------------------------------------------------------------------------ */

Test(store, keeps_a_vector_as_long_as_the_content)
{
    struct store_write write = item("a", "same");

    write.vector = &vector_b;
    cr_expect_eq(write_one(&f, write).vector, STORE_VECTOR_SET);
    cr_expect_eq(vector_of("a").codebook_version, 3);
    cr_expect_arr_eq(vector_of("a").refinement, row_b, ROW_BYTES);
    cr_expect_arr_eq(vector_of("a").code, code_1, STORE_CODE_BYTES);
    cr_expect_eq(write_one(&f, item("a", "same")).vector, STORE_VECTOR_SAME);
    cr_expect_not_null(vector_of("a").refinement);
    cr_expect_eq(write_one(&f, item("a", "other")).vector, STORE_VECTOR_REMOVED);
    cr_expect_null(vector_of("a").refinement);
    cr_expect_eq(write_one(&f, item("a", "third")).vector, STORE_VECTOR_SAME);
}

Test(store, put_without_a_vector_removes_it)
{
    struct store_write write = item("a", "same");

    write.vector = &vector_a;
    write_one(&f, write);
    cr_expect_eq(vector_of("a").refinement_size, ROW_BYTES);
    cr_expect_null(vector_of("a").code);
    write.vector = NULL;
    write.mode = STORE_PUT;
    cr_expect_eq(write_one(&f, write).vector, STORE_VECTOR_REMOVED);
    cr_expect_eq(stats().vectors, 0);
}

Test(store, sets_a_code_only_where_the_row_is_unchanged)
{
    struct store_write a = item("a", "1");
    struct store_write b = item("b", "1");
    const struct store_code codes[] = {
        { id_of("a"), row_a, ROW_BYTES, code_2, false },
        { id_of("b"), row_a, ROW_BYTES, code_2, false },
        { id_of("gone"), row_a, ROW_BYTES, code_2, false },
    };
    struct status st = { 0 };
    bool applied[3];

    a.vector = &vector_a;
    b.vector = &vector_b;
    write_one(&f, a);
    write_one(&f, b);
    store_set_codes(f.store, codes, 3, 8, applied, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_expect(applied[0] && !applied[1] && !applied[2]);
    cr_expect_eq(vector_of("a").codebook_version, 8);
    cr_expect_arr_eq(vector_of("a").code, code_2, STORE_CODE_BYTES);
    cr_expect_eq(vector_of("b").codebook_version, 3);
    cr_expect_null(vector_of("gone").refinement);
}

Test(store, drops_the_row_for_the_code_where_told_to)
{
    struct store_write write = item("a", "1");
    const struct store_code code = { id_of("a"), row_a, ROW_BYTES, code_2, true };
    struct status st = { 0 };
    bool applied;

    write.vector = &vector_a;
    write_one(&f, write);
    store_set_codes(f.store, &code, 1, 8, &applied, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_expect(applied);
    cr_expect_not_null(vector_of("a").refinement);
    cr_expect_eq(vector_of("a").refinement_size, 0);
    cr_expect_arr_eq(vector_of("a").code, code_2, STORE_CODE_BYTES);
}

struct seen {
    char text[256];
};

static void note_vector(void *context, const struct concept_id *id,
                        const struct store_vector *vector)
{
    struct seen *seen = context;
    size_t length = strlen(seen->text);

    snprintf(seen->text + length, sizeof seen->text - length, "%.*s%c%d ", (int)id->length,
             id->data, vector == NULL ? '-' : '+',
             vector == NULL ? 0 : (int)vector->codebook_version);
}

Test(store, tells_every_vector_that_was_set_or_removed)
{
    struct seen seen = { "" };
    struct store_write write = item("a", "1");
    const struct store_code code = { id_of("a"), row_a, ROW_BYTES, code_2, false };
    struct status st = { 0 };
    bool applied;

    f.options.on_vector = note_vector;
    f.options.context = &seen;
    store_fixture_reopen(&f);
    write.vector = &vector_a;
    write_one(&f, write);
    write_one(&f, item("a", "1"));
    store_set_codes(f.store, &code, 1, 5, &applied, &st);
    write_one(&f, item("a", "2"));
    write_one(&f, write);
    delete ("a");
    delete ("a");
    cr_expect_str_eq(seen.text, "a+0 a+5 a-0 a+0 a-0 ");
}

static bool note_scanned(void *context, const struct concept_id *id,
                         const struct store_vector *vector)
{
    size_t *count = context;

    cr_expect_eq(vector->refinement_size, ROW_BYTES);
    cr_expect_eq(id->length, 2);
    return ++*count < 30;
}

static bool note_visited(void *context, const struct concept_id *id,
                         const struct store_vector *vector)
{
    note_vector(context, id, vector);
    return id->data[0] != 'b';
}

Test(store, visits_vectors_as_they_are_until_told_to_stop)
{
    struct seen seen = { "" };
    struct store_write a = item("a", "1");
    struct store_write b = item("b", "1");
    const struct concept_id ids[] = { id_of("a"), id_of("gone"), id_of("b"), id_of("a") };
    struct status st = { 0 };

    a.vector = &vector_a;
    b.vector = &vector_b;
    write_one(&f, a);
    write_one(&f, b);
    store_visit_vectors(f.store, ids, 4, note_visited, &seen, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_expect_str_eq(seen.text, "a+0 gone-0 b+3 ");
}

struct hinted {
    const void *hint;
};

static void note_hint(void *context, const struct concept_id *id, const struct store_vector *vector)
{
    (void)id;
    ((struct hinted *)context)->hint = vector->hint;
}

Test(store, passes_the_hint_of_a_write_on_and_does_not_keep_it)
{
    struct hinted hinted = { NULL };
    struct store_write write = item("a", "1");
    struct store_vector vector = vector_a;

    f.options.on_vector = note_hint;
    f.options.context = &hinted;
    store_fixture_reopen(&f);
    vector.hint = "a hint";
    write.vector = &vector;
    write_one(&f, write);
    cr_expect_eq(hinted.hint, vector.hint);
    cr_expect_null(vector_of("a").hint);
}

Test(store, compacting_vectors_gives_back_what_replaced_codes_took)
{
    struct store_write write = item("a", "1");
    struct status st = { 0 };
    uint64_t before;

    write.vector = &vector_a;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 2000; i++) {
            char id[16];
            snprintf(id, sizeof id, "%u", i);
            write.id = id_of(id);
            write_one(&f, write);
        }
        cr_assert_eq(store_flush(f.store, &st), STATUS_OK, "%s", st.message);
    }
    before = stats().disk_bytes;
    cr_assert_eq(store_compact_vectors(f.store, &st), STATUS_OK, "%s", st.message);
    cr_expect_lt(stats().disk_bytes, before);
    cr_expect_eq(stats().vectors, 2000);
    cr_expect_eq(vector_of("77").refinement_size, ROW_BYTES);
}

/* ---- Changes of vectors ---- */

static char changed[64];

static bool note_changed(void *context, const struct concept_id *id)
{
    (void)context;
    strncat(changed, id->data, id->length);
    return true;
}

/* The ids that changed from @mark on, or why that cannot be said. */
static const char *changes_since(uint64_t mark)
{
    struct status st = { 0 };

    changed[0] = '\0';
    store_scan_changes(f.store, mark, note_changed, NULL, &st);
    return st.code == STATUS_OK ? changed : status_code_name(st.code);
}

static void set_vector(const char *id, const struct store_vector *vector)
{
    struct store_write write = item(id, "text");

    write.vector = vector;
    write_one(&f, write);
}

Test(store, knows_which_vectors_changed_since_a_mark)
{
    struct store_code code = {
        .id = id_of("a"), .refinement = row_a, .refinement_size = ROW_BYTES, .code = code_2
    };
    const struct concept_id b = id_of("b");
    struct status st = { 0 };
    bool done;
    uint64_t mark;

    set_vector("a", &vector_a);
    mark = store_change_mark(f.store);
    learn(&f, "no-vector", "text");
    cr_assert_eq(store_set_codes(f.store, &code, 1, 4, &done, &st), STATUS_OK);
    cr_expect_str_eq(changes_since(mark), "", "neither is a change of a vector");
    set_vector("b", &vector_b);
    set_vector("c", &vector_a);
    set_vector("c", &vector_b);
    cr_assert_eq(store_delete(f.store, &b, no_condition, false, &done, &st), STATUS_OK);
    cr_expect_str_eq(changes_since(mark), "bccb");
    cr_expect_str_eq(changes_since(1), "abccb");
    store_fixture_reopen(&f);
    cr_expect_str_eq(changes_since(mark), "bccb");
}

Test(store, does_not_pretend_to_know_changes_that_are_forgotten_or_to_come)
{
    struct status st = { 0 };
    uint64_t mark;

    cr_expect_str_eq(changes_since(1), "");
    set_vector("a", &vector_a);
    mark = store_change_mark(f.store);
    cr_assert_eq(store_forget_changes(f.store, mark, &st), STATUS_OK);
    cr_assert_eq(store_sync(f.store, &st), STATUS_OK);
    set_vector("b", &vector_a);
    store_fixture_reopen(&f);
    cr_expect_str_eq(changes_since(mark - 1), "FAILED_PRECONDITION");
    cr_expect_str_eq(changes_since(mark), "b");
    cr_expect_str_eq(changes_since(mark + 1), "");
    cr_expect_str_eq(changes_since(mark + 2), "FAILED_PRECONDITION");
}

Test(store, scans_vectors_until_told_to_stop)
{
    size_t count = 0;
    struct status st = { 0 };
    char id[16];

    for (int i = 10; i < 60; i++) {
        snprintf(id, sizeof id, "%d", i);
        struct store_write write = item(id, "x");
        write.vector = i % 2 == 0 ? &vector_a : &vector_b;
        write_one(&f, write);
    }
    store_scan_vectors(f.store, note_scanned, &count, &st);
    cr_expect_eq(st.code, STATUS_OK);
    cr_expect_eq(count, 30);
}

/* ---- Associations ------------------------------------------------------------------------- */

Test(store, an_association_is_seen_from_both_ends)
{
    struct store_neighbors in;

    learn(&f, "a", "1");
    associate(edge("a", "later", 2, "causes"));
    in = neighbors(&f, "later", STORE_IN);
    cr_assert_eq(in.count, 1);
    cr_expect(text_is(in.items[0].source, "a"));
    cr_expect(text_is(in.items[0].target, "later"));
    cr_expect(text_is(in.items[0].label, "causes"));
    cr_expect_eq(in.items[0].type, 2);
    cr_expect_eq(in.items[0].weight, 1.0f);
    cr_expect_eq(in.items[0].confidence, 0.5f);
    cr_expect_eq(in.items[0].created_us, 2000);
    cr_expect_eq(in.items[0].stamp, neighbors(&f, "a", STORE_OUT).items[0].stamp);
}

Test(store, rewriting_an_association_keeps_its_history)
{
    struct store_association association = edge("a", "b", 1, "x");
    struct store_association stored;
    struct status st = { 0 };

    learn(&f, "a", "1");
    associate(association);
    store_reinforce_association(f.store, &association, 555, true, &stored, &st);
    association.weight = 4;
    association.created_us = 9999;
    stored = associate(association);
    cr_expect_eq(stored.weight, 4.0f);
    cr_expect_eq(stored.created_us, 2000);
    cr_expect_eq(stored.last_used_us, 555);
    cr_expect_eq(stats().associations_in, 1);
}

Test(store, associations_differ_by_type_target_and_label)
{
    learn(&f, "a", "1");
    associate(edge("a", "b", 1, ""));
    associate(edge("a", "b", 2, ""));
    associate(edge("a", "b", 1, "x"));
    associate(edge("a", "c", 1, ""));
    associate(edge("a", "b", 1, ""));
    cr_expect_eq(stats().associations_out, 4);
    cr_expect(dissociate(edge("a", "b", 1, "x")));
    cr_expect_not(dissociate(edge("a", "b", 1, "x")));
    cr_expect_eq(stats().associations_out, 3);
    cr_expect_eq(stats().associations_in, 3);
}

Test(store, refuses_associations_that_cannot_be)
{
    char long_label[STORE_LABEL_MAX_BYTES + 2];
    struct store_association refused[] = { edge("a", "", 1, ""), edge("a", "b", 0, ""),
                                           edge("a", "b", 6, ""), edge("a", "b", 1, long_label) };
    struct store_association association = edge("nobody", "a", 1, "");
    struct store_association stored;
    bool created;

    memset(long_label, 'x', sizeof long_label - 1);
    long_label[sizeof long_label - 1] = '\0';
    refused[3].label = text(long_label);
    learn(&f, "a", "1");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct status st = { 0 };
        store_associate(f.store, &refused[i], true, &stored, &created, &st);
        cr_expect_eq(st.code, STATUS_INVALID_ARGUMENT, "%zu", i);
    }
    struct status st = { 0 };
    store_associate(f.store, &association, true, &stored, &created, &st);
    cr_expect_eq(st.code, STATUS_NOT_FOUND);
}

Test(store, reinforces_an_association_up_to_the_limits)
{
    struct store_association association = edge("a", "b", 1, "");
    struct store_association stored;
    struct status st = { 0 };

    learn(&f, "a", "1");
    association.weight = 4.9f;
    association.confidence = 0.99f;
    associate(association);
    store_reinforce_association(f.store, &association, 77, true, &stored, &st);
    cr_expect_eq(st.code, STATUS_OK);
    cr_expect_eq(stored.weight, 5.0f);
    cr_expect_eq(stored.confidence, 1.0f);
    cr_expect_eq(neighbors(&f, "b", STORE_IN).items[0].last_used_us, 77);

    association.label = text("none");
    store_reinforce_association(f.store, &association, 77, true, &stored, &st);
    cr_expect_eq(st.code, STATUS_NOT_FOUND);
}

/* Walks in pages and writes what it sees as "type:target/label ". */
static void walk(unsigned type_mask, size_t limit, char *ret, size_t size)
{
    struct store_neighbors_query query = { id_of("a"), STORE_OUT, type_mask, limit, { 0 } };
    struct store_neighbors page;
    struct status st = { 0 };
    size_t length = 0;

    do {
        store_neighbors(f.store, &query, &f.arena, &page, &st);
        cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
        for (size_t i = 0; i < page.count; i++)
            length +=
                (size_t)snprintf(ret + length, size - length, "%d:%.*s/%.*s ", page.items[i].type,
                                 (int)page.items[i].target.length, page.items[i].target.data,
                                 (int)page.items[i].label.length, page.items[i].label.data);
        query.cursor = page.cursor;
    } while (page.cursor.length != 0);
}

Test(store, walks_neighbors_in_order_page_by_page)
{
    const char *all = "1:aa/ 1:b/ 1:b/x 1:b/xy 2:a/ 4:a/ 5:a/ 5:zz/ ";
    char seen[256];

    learn(&f, "a", "1");
    learn(&f, "ab", "a neighbour in key order");
    associate(edge("ab", "0", 1, ""));
    associate(edge("a", "zz", 5, ""));
    associate(edge("a", "a", 5, ""));
    associate(edge("a", "b", 1, "xy"));
    associate(edge("a", "b", 1, ""));
    associate(edge("a", "b", 1, "x"));
    associate(edge("a", "aa", 1, ""));
    associate(edge("a", "a", 4, ""));
    associate(edge("a", "a", 2, ""));
    for (size_t limit = 1; limit < 10; limit++) {
        walk(0, limit, seen, sizeof seen);
        cr_expect_str_eq(seen, all, "limit %zu", limit);
        walk(1u << 2 | 1u << 5, limit, seen, sizeof seen);
        cr_expect_str_eq(seen, "2:a/ 5:a/ 5:zz/ ", "limit %zu", limit);
    }
}

/* ---- Reading ------------------------------------------------------------------------------ */

/* Contents of what is visited: "second one|-|first|". */
static void note_content(void *context, size_t i, const void *data, size_t size)
{
    struct buf *seen = context;
    struct concept concept = { .content = text("-") };
    struct status st = { 0 };

    (void)i;
    if (data != NULL)
        concept_wire_decode(data, size, &f.arena, &concept, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    buf_append(seen, concept.content.data, concept.content.length);
    buf_append_u8(seen, '|');
}

static void expect_contents(const struct concept_id *ids, size_t n, const char *expected)
{
    struct buf seen = { 0 };
    struct status st = { 0 };

    cr_assert_eq(store_get_many(f.store, ids, n, note_content, &seen, &st), STATUS_OK, "%s",
                 st.message);
    buf_append_u8(&seen, 0);
    cr_expect_str_eq((const char *)seen.data, expected);
    buf_deinit(&seen);
}

Test(store, gets_many_in_the_order_asked)
{
    const struct concept_id ids[] = { id_of("b"), id_of("none"), id_of("a"), id_of("b") };

    learn(&f, "a", "first");
    learn(&f, "b", "second one");
    for (int times = 0; times < 2; times++) /* from RocksDB, from the cache */
        expect_contents(ids, 4, "second one|-|first|second one|");
    expect_contents(ids, 0, "");
}

Test(store, gets_what_is_cached_and_what_is_not_in_the_order_asked)
{
    const struct concept_id ids[] = { id_of("a"), id_of("b"), id_of("c"), id_of("b"),
                                      id_of("a"), id_of("d"), id_of("c") };

    learn(&f, "a", "first");
    learn(&f, "b", "second");
    learn(&f, "c", "third");
    learn(&f, "d", "fourth");
    expect_contents(ids + 4, 2, "first|fourth|");
    expect_contents(ids, 7, "first|second|third|second|first|fourth|third|");
    learn(&f, "b", "other");
    expect_contents(ids, 7, "first|other|third|other|first|fourth|third|");
}

Test(store, gets_more_than_fit_a_window_and_the_cache)
{
    enum { N = 700 };
    static char texts[N][300];
    struct concept_id ids[N];
    struct buf expected = { 0 };

    for (size_t i = 0; i < N; i++) {
        snprintf(texts[i], sizeof texts[i], "%zu-%0250d", i, 7);
        learn(&f, texts[i], texts[i]);
        ids[i] = id_of(texts[i]);
        buf_printf(&expected, "%s|", texts[i]);
    }
    buf_append_u8(&expected, 0);
    for (int times = 0; times < 2; times++)
        expect_contents(ids, N, (const char *)expected.data);
    buf_deinit(&expected);
}

Test(store, a_deleted_concept_is_not_in_the_cache)
{
    const struct concept_id id = id_of("a");
    struct status st = { 0 };
    bool existed;

    learn(&f, "a", "first");
    expect_contents(&id, 1, "first|");
    store_delete(f.store, &id, (struct store_condition){ 0 }, false, &existed, &st);
    expect_contents(&id, 1, "-|");
}

/* Reads 200 concepts in pages of @limit with arenas of @bytes; how many came, in order. */
static size_t list_all(size_t limit, size_t bytes)
{
    struct concept last = { 0 };
    struct arena texts;
    struct arena arena;
    uint16_t slot = 0;
    size_t total = 0;
    bool done = false;

    arena_init(&texts, SIZE_MAX);
    arena_init(&arena, bytes);
    while (!done) {
        struct text_view *values;
        struct status st = { 0 };
        size_t count;

        arena_reset(&arena);
        store_list(f.store, slot, SLOT_COUNT - 1, last.id, limit, &arena, &values, &count, &done,
                   &st);
        cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
        for (size_t i = 0; i < count; i++) {
            struct concept concept;
            struct concept_id id;
            void *copy = arena_copy(&texts, values[i].data, values[i].length);
            concept_wire_decode(copy, values[i].length, &texts, &concept, &st);
            id = concept_id_trusted(concept.id.data, concept.id.length);
            cr_assert(id.slot > slot || last.id.length == 0 ||
                      concept_id_compare(last.id.data, last.id.length, id.data, id.length) < 0);
            slot = id.slot;
            last = concept;
        }
        total += count;
    }
    arena_deinit(&arena);
    arena_deinit(&texts);
    return total;
}

Test(store, lists_all_in_pages_of_any_size)
{
    char id[32];

    for (int i = 0; i < 200; i++) {
        snprintf(id, sizeof id, "concept %d", i);
        learn(&f, id, "text");
    }
    cr_expect_eq(list_all(1, SIZE_MAX), 200);
    cr_expect_eq(list_all(7, SIZE_MAX), 200);
    cr_expect_eq(list_all(200, SIZE_MAX), 200);
    cr_expect_eq(list_all(1000, SIZE_MAX), 200);
    cr_expect_eq(list_all(30, 2000), 200, "a small arena makes small pages");
}

Test(store, lists_only_the_slots_asked_for)
{
    struct concept_id id = id_of("a");
    struct text_view *values;
    struct status st = { 0 };
    size_t count;
    bool done;

    learn(&f, "a", "1");
    store_list(f.store, id.slot, id.slot, (struct text_view){ 0 }, 9, &f.arena, &values, &count,
               &done, &st);
    cr_expect(count == 1 && done);
    store_list(f.store, (uint16_t)(id.slot + 1), SLOT_COUNT - 1, (struct text_view){ 0 }, 9,
               &f.arena, &values, &count, &done, &st);
    cr_expect(count == 0 && done);
}

Test(store, says_when_there_is_no_such_concept)
{
    struct concept_id id = id_of("nobody");
    struct store_value value;
    struct status st = { 0 };

    store_get(f.store, &id, &value, &st);
    cr_expect_eq(st.code, STATUS_NOT_FOUND);
}

Test(store, keeps_codebook_and_calibration)
{
    struct text_view read;
    struct status st = { 0 };

    store_get_blob(f.store, STORE_CODEBOOK, &f.arena, &read, &st);
    cr_expect_eq(read.length, 0);
    store_put_blob(f.store, STORE_CODEBOOK, "book", 4, true, &st);
    store_put_blob(f.store, STORE_CALIBRATION, "curve", 5, true, &st);
    store_fixture_reopen(&f);
    store_get_blob(f.store, STORE_CODEBOOK, &f.arena, &read, &st);
    cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    cr_expect(text_is(read, "book"));
    store_get_blob(f.store, STORE_CALIBRATION, &f.arena, &read, &st);
    cr_expect(text_is(read, "curve"));
}

/* ---- Opening ------------------------------------------------------------------------------ */

static struct status try_open(const struct store_options *options)
{
    struct store *store = NULL;
    struct status st = { 0 };

    store_open(options, &store, &st);
    store_close(store);
    return st;
}

Test(store, refuses_a_folder_with_vectors_of_another_format)
{
    struct status st;

    store_close(f.store);
    f.store = NULL;
    f.options.vector_format = 1;
    st = try_open(&f.options);
    cr_expect_eq(st.code, STATUS_FAILED_PRECONDITION);
    cr_expect_not_null(strstr(st.message, "its vectors are of format 0, not of format 1"), "%s",
                       st.message);
    f.options.vector_format = 0;
    store_fixture_reopen(&f);
}

Test(store, refuses_a_folder_that_is_open)
{
    struct status st = try_open(&f.options);

    cr_expect_eq(st.code, STATUS_FAILED_PRECONDITION);
    cr_expect_not_null(strstr(st.message, "in use"), "%s", st.message);
}

Test(store, refuses_the_folder_of_another_shard)
{
    struct status st;

    f.options.has_shard = true;
    f.options.shard = 3;
    store_fixture_reopen(&f);
    store_close(f.store);
    f.options.shard = 4;
    st = try_open(&f.options);
    cr_expect_eq(st.code, STATUS_FAILED_PRECONDITION);
    cr_expect_not_null(strstr(st.message, "belongs to shard 3"), "%s", st.message);
    f.store = NULL;
    f.options.has_shard = false;
    store_fixture_reopen(&f);
}

/* What a later release would leave behind. */
static void leave(const char *family, const char *key, const char *value, size_t size)
{
    rocksdb_options_t *options = rocksdb_options_create();
    size_t n = 0;
    char *error = NULL;
    char **names = rocksdb_list_column_families(options, f.path, &n, &error);
    const rocksdb_options_t *each[16];
    rocksdb_column_family_handle_t *handles[16];
    rocksdb_writeoptions_t *write = rocksdb_writeoptions_create();
    rocksdb_t *db;

    for (size_t i = 0; i < n; i++)
        each[i] = options;
    db = rocksdb_open_column_families(options, f.path, (int)n, (const char *const *)names, each,
                                      handles, &error);
    cr_assert_null(error, "%s", error);
    for (size_t i = 0; i < n; i++)
        if (key != NULL && strcmp(names[i], family) == 0)
            rocksdb_put_cf(db, write, handles[i], key, strlen(key), value, size, &error);
    if (key == NULL)
        rocksdb_column_family_handle_destroy(
            rocksdb_create_column_family(db, options, family, &error));
    cr_assert_null(error, "%s", error);
    for (size_t i = 0; i < n; i++)
        rocksdb_column_family_handle_destroy(handles[i]);
    rocksdb_close(db);
    rocksdb_list_column_families_destroy(names, n);
    rocksdb_writeoptions_destroy(write);
    rocksdb_options_destroy(options);
}

Test(store, refuses_a_newer_format)
{
    struct status st;

    store_close(f.store);
    f.store = NULL;
    leave("meta", "format", "\2\0\0\0", 4);
    st = try_open(&f.options);
    cr_expect_eq(st.code, STATUS_FAILED_PRECONDITION);
    cr_expect_not_null(strstr(st.message, "newer release wrote it in format 2"), "%s", st.message);
    leave("meta", "format", "\1\0\0\0", 4);
    store_fixture_reopen(&f);
}

Test(store, refuses_a_family_of_a_newer_release)
{
    struct status st;

    store_close(f.store);
    leave("dreams", NULL, NULL, 0);
    st = try_open(&f.options);
    cr_expect_eq(st.code, STATUS_FAILED_PRECONDITION);
    cr_expect_not_null(strstr(st.message, "family 'dreams'"), "%s", st.message);
    temp_folder_remove(f.path);
    store_fixture_open(&f);
}

Test(store, refuses_damaged_records)
{
    struct concept_id id = id_of("a");
    struct store_write write = item("a", "2");
    struct store_write_result result;
    struct store_value value;
    struct status st = { 0 };
    uint8_t key[3] = { (uint8_t)(id.slot >> 8), (uint8_t)id.slot, 'a' };
    char text_key[4] = { (char)key[0], (char)key[1], 'a', 0 };

    cr_assert(key[0] != 0 && key[1] != 0, "the key must be a C string here");
    store_close(f.store);
    f.store = NULL;
    leave("concepts", text_key, "\xff\xff\xff", 3);
    store_fixture_reopen(&f);
    store_write(f.store, &write, 1, true, &result, &st);
    cr_expect_eq(st.code, STATUS_DATA_LOSS);
    status_clear(&st);
    store_get(f.store, &id, &value, &st);
    cr_expect_eq(st.code, STATUS_OK, "a read passes the bytes on");
    store_value_release(&value);
    temp_folder_remove(f.path);
    store_close(f.store);
    store_fixture_open(&f);
}

/* ---- Threads ------------------------------------------------------------------------------ */

enum { THREADS = 4, ROUNDS = 300 };

static void *reinforce_often(void *context)
{
    struct concept_id id = id_of("a");
    struct arena arena;
    struct text_view value;

    (void)context;
    arena_init(&arena, SIZE_MAX);
    for (int i = 0; i < ROUNDS; i++) {
        struct status st = { 0 };
        arena_reset(&arena);
        store_reinforce_concept(f.store, &id, i, i % 10 == 0, &arena, &value, &st);
        cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    }
    arena_deinit(&arena);
    return NULL;
}

/* Writes, ties and deletes the same few concepts as the other threads do. */
static void *churn(void *context)
{
    static const char *const names[] = { "p", "q", "r", "s", "t" };
    unsigned seed = (unsigned)(uintptr_t)context;

    for (int i = 0; i < ROUNDS; i++) {
        const char *a = names[seed = (seed * 5 + 3) % 5];
        const char *b = names[(seed + (unsigned)i) % 5];
        struct store_association association = edge(a, b, 1, "");
        struct store_write write = item(a, "x");
        struct store_write_result result;
        struct concept_id id = id_of(b);
        struct status st = { 0 };
        bool existed;

        write.associations = &association;
        write.association_count = 1;
        write.vector = &vector_a;
        store_write(f.store, &write, 1, false, &result, &st);
        association = edge(b, a, 1, "");
        if (i % 3 == 0)
            store_delete(f.store, &id, no_condition, false, &existed, &st);
        else if (i % 3 == 1)
            store_dissociate(f.store, &association, false, &existed, &st);
        cr_assert_eq(st.code, STATUS_OK, "%s", st.message);
    }
    return NULL;
}

static void run_threads(void *(*run)(void *))
{
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

Test(store, loses_no_update_between_threads)
{
    learn(&f, "a", "1");
    run_threads(reinforce_often);
    cr_expect_eq(read_one(&f, "a").version, THREADS * ROUNDS + 1);
    cr_expect_eq(read_one(&f, "a").access_count, THREADS * ROUNDS);
}

Test(store, stays_consistent_under_concurrent_writes_and_deletes)
{
    run_threads(churn); /* closing verifies */
}
