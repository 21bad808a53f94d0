#include "src/base/arena.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "tests/support/alloc_fault.h"

enum { BIG = 1 << 20 };

static bool aligned(const void *p, size_t align)
{
    return (uintptr_t)p % align == 0;
}

Test(arena, aligns_small_pieces_to_16_and_big_ones_to_64)
{
    struct arena arena;

    arena_init(&arena, BIG);
    for (size_t size = 0; size < 300; size++) {
        void *p = arena_alloc(&arena, size);
        cr_assert_not_null(p);
        cr_expect(aligned(p, size >= 64 ? 64 : 16), "%zu bytes at %p", size, p);
        memset(p, 0xAA, size);
    }
    arena_deinit(&arena);
}

Test(arena, pieces_stay_where_they_are_and_do_not_overlap)
{
    enum { PIECES = 2000 };
    static unsigned char *pieces[PIECES];
    struct arena arena;

    arena_init(&arena, 16 * BIG);
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = arena_alloc(&arena, 1 + i * 7 % 4000);
        cr_assert_not_null(pieces[i]);
        memset(pieces[i], (int)(i % 251), 1 + i * 7 % 4000);
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t j = 0; j < 1 + i * 7 % 4000; j++)
            cr_assert_eq(pieces[i][j], i % 251, "piece %zu, byte %zu", i, j);
    arena_deinit(&arena);
}

Test(arena, refuses_what_exceeds_its_limit_and_stays_usable)
{
    struct arena arena;

    arena_init(&arena, 4096);
    cr_expect_null(arena_alloc(&arena, 4097));
    cr_expect_null(arena_alloc(&arena, SIZE_MAX));
    cr_expect_null(arena_alloc(&arena, SIZE_MAX - 8));
    cr_expect_not_null(arena_alloc(&arena, 1000));
    cr_expect_null(arena_alloc(&arena, 4000));
    cr_expect_not_null(arena_alloc(&arena, 1000));
    arena_deinit(&arena);
}

Test(arena, never_hands_out_more_than_its_limit)
{
    struct arena arena;
    size_t handed_out = 0;

    arena_init(&arena, 100000);
    while (arena_alloc(&arena, 333) != NULL)
        handed_out += 333;
    cr_expect_leq(handed_out, 100000);
    cr_expect_leq(arena.used_bytes, 100000);
    cr_expect_gt(handed_out, 80000, "%zu: most of the limit can be used", handed_out);
    arena_deinit(&arena);
}

Test(arena, reset_gives_the_whole_limit_back)
{
    struct arena arena;

    arena_init(&arena, 64 * 1024);
    for (int round = 0; round < 100; round++) {
        cr_assert_not_null(arena_alloc(&arena, 60 * 1024), "round %d", round);
        cr_assert_null(arena_alloc(&arena, 8 * 1024));
        arena_reset(&arena);
        cr_assert_eq(arena.used_bytes, 0);
    }
    arena_deinit(&arena);
}

Test(arena, reset_keeps_a_block_so_that_the_next_request_allocates_nothing)
{
    struct arena arena;

    arena_init(&arena, BIG);
    cr_assert_not_null(arena_alloc(&arena, 10000));
    arena_reset(&arena);
    alloc_fault_at(1);
    cr_expect_not_null(arena_alloc(&arena, 10000));
    cr_expect_not(alloc_fault_clear());
    arena_deinit(&arena);
}

Test(arena, calloc_zeroes_what_was_used_before)
{
    struct arena arena;
    unsigned char *p;

    arena_init(&arena, BIG);
    memset(arena_alloc(&arena, 5000), 0xFF, 5000);
    arena_reset(&arena);
    p = arena_calloc(&arena, 1250, 4);
    for (size_t i = 0; i < 5000; i++)
        cr_assert_eq(p[i], 0, "byte %zu", i);
    arena_deinit(&arena);
}

Test(arena, calloc_refuses_a_product_that_wraps)
{
    struct arena arena;

    arena_init(&arena, SIZE_MAX);
    cr_expect_null(arena_calloc(&arena, SIZE_MAX / 2, 3));
    cr_expect_null(arena_calloc(&arena, (size_t)1 << 33, (size_t)1 << 33));
    arena_deinit(&arena);
}

Test(arena, copies_bytes_text_and_formats)
{
    struct arena arena;

    arena_init(&arena, BIG);
    cr_expect_eq(memcmp(arena_copy(&arena, "a\0b", 3), "a\0b", 3), 0);
    cr_expect_not_null(arena_copy(&arena, NULL, 0));
    cr_expect_str_eq(arena_strndup(&arena, "telescope", 4), "tele");
    cr_expect_str_eq(arena_strndup(&arena, NULL, 0), "");
    cr_expect_str_eq(arena_printf(&arena, "%s-%d", "shard", 3), "shard-3");
    arena_deinit(&arena);
}

Test(arena, printf_and_strndup_respect_the_limit)
{
    struct arena arena;

    arena_init(&arena, 64);
    cr_expect_null(arena_printf(&arena, "%100d", 1));
    cr_expect_null(arena_strndup(&arena,
                                 "0123456789012345678901234567890123456789"
                                 "0123456789012345678901234567890123456789",
                                 80));
    cr_expect_str_eq(arena_printf(&arena, "%d", 7), "7");
    arena_deinit(&arena);
}

Test(arena, survives_running_out_of_memory)
{
    struct arena arena;

    arena_init(&arena, BIG);
    alloc_fault_at(1);
    cr_expect_null(arena_alloc(&arena, 100));
    cr_expect(alloc_fault_clear());
    cr_expect_eq(arena.used_bytes, 0, "what was not handed out is not counted");
    cr_expect_not_null(arena_alloc(&arena, 100));
    arena_deinit(&arena);
}

Test(arena, an_empty_one_may_be_reset_and_released)
{
    struct arena zero = { 0 };

    arena_reset(&zero);
    arena_deinit(&zero);
    arena_deinit(&zero);
    cr_expect_null(arena_alloc(&zero, 1), "no limit was given");
}
