#include "src/base/buf.h"

#include <criterion/criterion.h>
#include <string.h>

#include "src/base/size.h"
#include "tests/support/alloc_fault.h"

Test(buf, appends_bytes_in_order)
{
    struct buf buf = { 0 };

    for (unsigned i = 0; i < 10000; i++)
        buf_append_u8(&buf, (uint8_t)(i % 251));
    cr_assert_eq(buf.size, 10000);
    for (unsigned i = 0; i < 10000; i++)
        cr_assert_eq(buf.data[i], i % 251);
    cr_expect_not(buf.failed);
    buf_deinit(&buf);
    cr_expect_null(buf.data);
}

Test(buf, writes_numbers_little_endian)
{
    static const uint8_t expected[] = { 0x78, 0x56, 0x34, 0x12, 0xEF, 0xCD,
                                        0xAB, 0x89, 0x67, 0x45, 0x23, 0x01 };
    struct buf buf = { 0 };

    buf_append_u32le(&buf, 0x12345678u);
    buf_append_u64le(&buf, 0x0123456789ABCDEFu);
    cr_assert_eq(buf.size, sizeof expected);
    cr_expect_eq(memcmp(buf.data, expected, sizeof expected), 0);
    buf_deinit(&buf);
}

Test(buf, printf_leaves_no_terminator_behind)
{
    struct buf buf = { 0 };

    buf_printf(&buf, "%s=%d", "k", 10);
    buf_printf(&buf, ";");
    cr_assert_eq(buf.size, 5);
    cr_expect_eq(memcmp(buf.data, "k=10;", 5), 0);
    buf_deinit(&buf);
}

Test(buf, appending_nothing_changes_nothing)
{
    struct buf buf = { 0 };

    buf_append(&buf, NULL, 0);
    cr_expect_eq(buf.size, 0);
    cr_expect_null(buf.data);
    cr_expect_not(buf.failed);
    buf_deinit(&buf);
}

Test(buf, reset_keeps_the_memory)
{
    struct buf buf = { 0 };

    buf_append(&buf, "0123456789", 10);
    buf_reset(&buf);
    cr_expect_eq(buf.size, 0);
    alloc_fault_at(1);
    buf_append(&buf, "abcdefghij", 10);
    cr_expect_not(alloc_fault_clear());
    cr_expect_eq(memcmp(buf.data, "abcdefghij", 10), 0);
    buf_deinit(&buf);
}

static void append_everything(struct buf *buf)
{
    buf_append(buf, "first", 5);
    buf_append_u64le(buf, 1);
    buf_printf(buf, "%0200d", 1);
    uint8_t *space = buf_extend(buf, 1000);
    if (space != NULL)
        memset(space, 'x', 1000);
    buf_append_u8(buf, 'e');
}

Test(buf, fails_once_and_for_all_when_memory_runs_out)
{
    int failures = 0;

    for (int n = 1;; n++) {
        struct buf buf = { 0 };
        alloc_fault_at(n);
        append_everything(&buf);
        if (!alloc_fault_clear()) {
            cr_expect_not(buf.failed);
            cr_expect_eq(buf.size, 5 + 8 + 200 + 1000 + 1);
            buf_deinit(&buf);
            break;
        }
        failures++;
        size_t kept = buf.size;
        cr_expect(buf.failed, "allocation %d", n);
        buf_append(&buf, "later", 5);
        cr_expect_eq(buf.size, kept, "appends behind a failure are ignored");
        cr_expect_null(buf_extend(&buf, 1));
        buf_reset(&buf);
        append_everything(&buf);
        cr_expect_not(buf.failed, "usable again after reset");
        buf_deinit(&buf);
    }
    cr_expect_geq(failures, 3, "the test has seen every growth fail");
}

Test(buf, refuses_a_size_that_wraps)
{
    struct buf buf = { 0 };

    buf_append(&buf, "x", 1);
    cr_expect_null(buf_extend(&buf, SIZE_MAX));
    cr_expect(buf.failed);
    cr_expect_eq(buf.size, 1);
    buf_deinit(&buf);
}

Test(size, products_and_sums_fail_instead_of_wrapping)
{
    size_t ret = 7;

    cr_expect(size_mul(6, 7, &ret) && ret == 42);
    cr_expect(size_mul(SIZE_MAX, 1, &ret) && ret == SIZE_MAX);
    cr_expect(size_mul(0, SIZE_MAX, &ret) && ret == 0);
    ret = 7;
    cr_expect_not(size_mul(SIZE_MAX / 2 + 1, 2, &ret));
    cr_expect_not(size_add(SIZE_MAX, 1, &ret));
    cr_expect_eq(ret, 7, "untouched on failure");
    cr_expect(size_add(SIZE_MAX - 1, 1, &ret) && ret == SIZE_MAX);
    cr_expect_eq(size_min(3, 4), 3);
    cr_expect_eq(size_max(3, 4), 4);
}
