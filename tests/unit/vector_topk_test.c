#include "src/vector/topk.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/property/vector_data.h"

static struct topk_entry entry(float score, const char *id)
{
    return (struct topk_entry){ score, (uint32_t)strlen(id), (const uint8_t *)id, 0 };
}

Test(vector_topk, higher_scores_come_first)
{
    struct topk_entry a = entry(0.5f, "z");
    struct topk_entry b = entry(0.4f, "a");

    cr_assert_lt(topk_compare(&a, &b), 0);
    cr_assert_gt(topk_compare(&b, &a), 0);
}

Test(vector_topk, equal_scores_go_by_bytes_then_length)
{
    static const char *const sorted[] = { "a", "aa", "ab", "b", "\xC3\xA9" };

    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < 5; j++) {
            struct topk_entry a = entry(1, sorted[i]);
            struct topk_entry b = entry(1, sorted[j]);
            int order = topk_compare(&a, &b);
            cr_assert_eq((order > 0) - (order < 0), (i > j) - (i < j));
        }
}

Test(vector_topk, a_tie_at_the_boundary_is_decided_by_id)
{
    struct topk_entry storage[2];
    struct topk topk;

    topk_init(&topk, storage, 2);
    topk_offer(&topk, &(struct topk_entry){ 1, 1, (const uint8_t *)"c", 0 });
    topk_offer(&topk, &(struct topk_entry){ 1, 1, (const uint8_t *)"b", 0 });
    cr_assert(topk_wants(&topk, 1));
    cr_assert_not(topk_wants(&topk, 0.99f));
    topk_offer(&topk, &(struct topk_entry){ 1, 1, (const uint8_t *)"a", 0 });
    topk_offer(&topk, &(struct topk_entry){ 1, 1, (const uint8_t *)"d", 0 });
    topk_sort(&topk);
    cr_assert_eq(topk.count, 2);
    cr_assert_eq(storage[0].id[0], 'a');
    cr_assert_eq(storage[1].id[0], 'b');
}

enum { OFFERS = 300 };

static int compare(const void *a, const void *b)
{
    return topk_compare(a, b);
}

static void check(uint64_t seed)
{
    struct vector_random random = { seed };
    struct topk_entry all[OFFERS];
    struct topk_entry storage[OFFERS];
    char ids[OFFERS][8];
    size_t capacity = 1 + vector_random_below(&random, OFFERS);
    struct topk topk;

    topk_init(&topk, storage, capacity);
    for (size_t i = 0; i < OFFERS; i++) {
        snprintf(ids[i], sizeof ids[i], "%zu", i);
        all[i] = entry((float)vector_random_below(&random, 6), ids[i]);
        topk_offer(&topk, &all[i]);
    }
    topk_sort(&topk);
    qsort(all, OFFERS, sizeof all[0], compare);
    cr_assert_eq(topk.count, capacity);
    for (size_t i = 0; i < capacity; i++)
        cr_assert_eq(topk_compare(&storage[i], &all[i]), 0, "seed %zu, rank %zu", (size_t)seed, i);
}

Test(vector_topk, keeps_what_sorting_everything_would)
{
    for (uint64_t seed = 1; seed <= 300; seed++)
        check(seed);
}

Test(vector_topk, sorts_nothing)
{
    struct topk_entry storage[1];
    struct topk topk;

    topk_init(&topk, storage, 1);
    topk_sort(&topk);
    cr_assert_eq(topk.count, 0);
}
