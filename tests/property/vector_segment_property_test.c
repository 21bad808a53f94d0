#include "src/vector/segment.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "src/vector/kernel.h"
#include "src/vector/topk.h"
#include "tests/property/vector_segment_model.h"

enum { MAX_SEGMENTS = 8 };

static const struct model_kind *kind_of(const char *name)
{
    for (size_t i = 0; i < model_kind_count; i++)
        if (strcmp(model_kinds[i].name, name) == 0)
            return &model_kinds[i];
    abort();
}

static void check_against_model(uint64_t seed, const struct model_kind *kind)
{
    struct model *model = model_new(seed, kind);
    struct segment *segment = model_segment(model);

    for (size_t round = 0; round < 30; round++) {
        model_steps(model, segment, vector_random_below(&model->random, 800),
                    vector_random_below(&model->random, 11));
        model_expect_same_answers(model, segment);
    }
    segment_unref(segment);
    model_free(model);
}

Test(vector_segment, answers_as_a_sorted_list_would)
{
    for (uint64_t seed = 1; seed <= 3; seed++)
        for (size_t i = 0; i < model_kind_count; i++)
            check_against_model(seed, &model_kinds[i]);
}

/* ---- order and splits ---- */

static void expect_equal(const struct segment_hits *a, const struct segment_hits *b)
{
    cr_assert_eq(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const struct segment_hit *x = &a->hits[i];
        const struct segment_hit *y = &b->hits[i];
        cr_assert_eq(x->approximate, y->approximate);
        cr_assert(x->refined == y->refined);
        cr_assert(x->id_length == y->id_length && memcmp(x->id, y->id, x->id_length) == 0);
    }
}

/* Everything in order of id; or everything twice, in another order, and much removed between. */
static struct segment *fill(struct model *model, bool at_once)
{
    struct segment *segment = model_segment(model);

    for (size_t i = 0; !at_once && i < MODEL_IDS; i++)
        model_put(model, segment, i * 769 % MODEL_IDS, i % MODEL_VECTORS, true);
    for (size_t i = 0; !at_once && i < MODEL_IDS; i++)
        if (i % 3 > 0)
            segment_remove(segment, model->ids[i], strlen(model->ids[i]));
    for (size_t i = 0; i < MODEL_IDS; i++) {
        size_t id = at_once ? i : MODEL_IDS - 1 - i;
        model_put(model, segment, id, id % 7 * 5, true);
    }
    return segment;
}

static void check_order(const struct model_kind *kind)
{
    struct model *model = model_new(71, kind);
    struct segment *segments[2] = { fill(model, true), fill(model, false) };
    struct segment_search options = { .r = 100, .k = 10, .nprobe = 5 };
    struct status st = { 0 };

    for (size_t round = 0; round < 4; round++) {
        struct segment_hits hits[2][MODEL_QUERIES];
        struct arena arena;
        arena_init(&arena, 16 << 20);
        options.k = round % 2 * 10;
        options.nprobe = round / 2 * 5;
        segment_search(segments[0], model->queries, MODEL_QUERIES, &options, &arena, hits[0], &st);
        for (size_t q = 0; q < MODEL_QUERIES; q++) /* and one by one */
            segment_search(segments[1], model->queries + q * MODEL_D, 1, &options, &arena,
                           &hits[1][q], &st);
        cr_assert_eq(st.code, STATUS_OK);
        for (size_t q = 0; q < MODEL_QUERIES; q++)
            expect_equal(&hits[0][q], &hits[1][q]);
        arena_deinit(&arena);
    }
    segment_unref(segments[0]);
    segment_unref(segments[1]);
    model_free(model);
}

Test(vector_segment, answers_do_not_depend_on_the_order_of_writes_nor_on_the_batch)
{
    check_order(kind_of("rows"));
    check_order(kind_of("codes and rows"));
    check_order(kind_of("cells and rows"));
}

static size_t merge(const struct segment_hits *parts, size_t count, size_t r,
                    struct segment_hit *ret)
{
    static struct topk_entry storage[MODEL_IDS];
    struct topk best;

    topk_init(&best, storage, r);
    for (size_t s = 0; s < count; s++)
        for (size_t i = 0; i < parts[s].count; i++) {
            const struct segment_hit *hit = &parts[s].hits[i];
            struct topk_entry entry = { hit->approximate, hit->id_length, hit->id,
                                        (uint64_t)(uintptr_t)hit };
            topk_offer(&best, &entry);
        }
    topk_sort(&best);
    for (size_t i = 0; i < best.count; i++)
        ret[i] = *(const struct segment_hit *)(uintptr_t)storage[i].value;
    return best.count;
}

static void search_split(struct model *model, struct segment **segments, size_t count, size_t r,
                         struct segment *whole)
{
    static struct segment_hit expected[MODEL_IDS];
    static struct segment_hit merged[MODEL_IDS];
    struct segment_search options = { .r = r };
    struct segment_hits parts[MAX_SEGMENTS];
    struct segment_hits all;
    struct status st = { 0 };
    struct arena arena;
    size_t wanted;

    arena_init(&arena, 16 << 20);
    for (size_t s = 0; s < count; s++)
        segment_search(segments[s], model->queries, 1, &options, &arena, &parts[s], &st);
    cr_assert_eq(st.code, STATUS_OK);
    wanted = model_search(model, whole, model->queries, &options, expected);
    all = (struct segment_hits){ .hits = merged, .count = merge(parts, count, r, merged) };
    model_expect_hits(model, &all, expected, wanted);
    arena_deinit(&arena);
}

static void check_split(uint64_t seed, const struct model_kind *kind, size_t count)
{
    struct model *model = model_new(seed, kind);
    struct segment *whole = model_segment(model);
    struct segment *segments[MAX_SEGMENTS];

    for (size_t s = 0; s < count; s++)
        segments[s] = model_segment(model);
    for (size_t i = 0; i < MODEL_IDS; i++) {
        size_t vector = vector_random_below(&model->random, MODEL_VECTORS);
        model_put(model, whole, i, vector, true);
        model_put(model, segments[vector_random_below(&model->random, count)], i, vector, true);
    }
    search_split(model, segments, count, 1, whole);
    search_split(model, segments, count, 100, whole);
    search_split(model, segments, count, MODEL_IDS, whole);
    for (size_t s = 0; s < count; s++)
        segment_unref(segments[s]);
    segment_unref(whole);
    model_free(model);
}

Test(vector_segment, answers_do_not_depend_on_the_split)
{
    for (size_t count = 1; count <= MAX_SEGMENTS; count *= 2) {
        check_split(30 + count, kind_of("rows"), count);
        check_split(30 + count, kind_of("codes and rows"), count);
        check_split(30 + count, kind_of("cells"), count);
    }
}

/* More ties than a search can keep in its shortlist. */
static void check_ties(const struct model_kind *kind)
{
    struct model *model = model_new(24, kind);
    struct segment *segment = model_segment(model);

    for (size_t i = 0; i < MODEL_IDS; i++) {
        size_t id = i * 769 % MODEL_IDS; /* in no order */
        model_put(model, segment, id, id % 97 == 0, true);
    }
    for (size_t round = 0; round < 20; round++)
        model_expect_same_answers(model, segment);
    segment_unref(segment);
    model_free(model);
}

Test(vector_segment, equal_codes_are_told_apart_by_id)
{
    check_ties(kind_of("codes"));
    check_ties(kind_of("cells and rows"));
}

/* ---- memory ---- */

static size_t memory_of(struct segment *segment)
{
    return segment_stats(segment).memory_bytes;
}

Test(vector_segment, replacing_for_ever_needs_no_more_memory)
{
    struct model *model = model_new(21, kind_of("cells and rows"));
    struct segment *segment = model_segment(model);
    size_t before;

    for (size_t i = 0; i < MODEL_IDS; i++)
        model_put(model, segment, i, i % MODEL_VECTORS, true);
    before = memory_of(segment);
    for (size_t i = 0; i < 20 * MODEL_IDS; i++)
        model_put(model, segment, vector_random_below(&model->random, MODEL_IDS), i % MODEL_VECTORS,
                  true);
    cr_assert_leq(memory_of(segment), 5 * before / 2);
    cr_assert_eq(segment_stats(segment).count, MODEL_IDS);
    segment_unref(segment);
    model_free(model);
}

Test(vector_segment, replacing_one_for_ever_needs_no_more_memory)
{
    struct model *model = model_new(22, kind_of("cells"));
    struct segment *segment = model_segment(model);

    for (size_t i = 0; i < 10000; i++)
        model_put(model, segment, 0, i % MODEL_VECTORS, true);
    cr_assert_leq(memory_of(segment), 40000);
    cr_assert_eq(segment_stats(segment).count, 1);
    segment_unref(segment);
    model_free(model);
}

/* Groups that fill up with what has died already must not stay as they are. */
Test(vector_segment, passing_concepts_leave_nothing_behind)
{
    struct model *model = model_new(23, kind_of("codes and rows"));
    struct segment *segment = model_segment(model);
    struct segment *fresh = model_segment(model);

    for (size_t i = 1; i < MODEL_IDS; i++) {
        model_put(model, fresh, i, 0, true);
        model_put(model, segment, i, 0, true);
        for (size_t passing = 0; passing < 5; passing++) {
            model_put(model, segment, 0, 0, true);
            segment_remove(segment, model->ids[0], strlen(model->ids[0]));
        }
    }
    cr_assert_eq(segment_stats(segment).count, MODEL_IDS - 1);
    cr_assert_leq(memory_of(segment), 5 * memory_of(fresh) / 2);
    segment_unref(segment);
    segment_unref(fresh);
    model_free(model);
}

Test(vector_segment, an_empty_one_again_holds_no_groups)
{
    struct model *model = model_new(25, kind_of("cells and rows"));
    struct segment *segment = model_segment(model);

    for (size_t i = 0; i < MODEL_IDS; i++)
        model_put(model, segment, i, i % MODEL_VECTORS, true);
    cr_assert_gt(segment_stats(segment).groups, 0);
    for (size_t i = 0; i < MODEL_IDS; i++)
        segment_remove(segment, model->ids[i], strlen(model->ids[i]));
    cr_assert_eq(segment_stats(segment).groups, 0);
    cr_assert_eq(segment_stats(segment).row_bytes, 0);
    segment_unref(segment);
    model_free(model);
}

Test(vector_segment, rows_stay_within_their_budget)
{
    struct model *model = model_new(26, kind_of("codes and some rows"));
    struct segment *segment = model_segment(model);

    model_steps(model, segment, 20000, 8);
    cr_assert_gt(segment_stats(segment).rows, 0);
    cr_assert_lt(segment_stats(segment).rows, segment_stats(segment).count);
    cr_assert_leq(segment_stats(segment).row_bytes, model->kind->row_budget);
    segment_unref(segment);
    model_free(model);
}
