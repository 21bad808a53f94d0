#include "src/log/log_limit.h"

#include <criterion/criterion.h>

enum { SECOND_US = 1000000, START_US = 77 * SECOND_US };

/* How many of @tries at one moment are let through. */
static int take(struct log_limit *limit, int64_t now_us, int tries, uint64_t *suppressed)
{
    int taken = 0;

    for (int i = 0; i < tries; i++)
        taken += log_limit_take(limit, now_us, suppressed);
    return taken;
}

Test(log_limit, a_burst_is_let_through_and_then_a_rate)
{
    struct log_limit limit = LOG_LIMIT_INIT;
    uint64_t suppressed = 99;

    cr_expect_eq(take(&limit, START_US, LOG_LIMIT_BURST, &suppressed), LOG_LIMIT_BURST);
    cr_expect_eq(suppressed, 0);
    cr_expect_eq(take(&limit, START_US, 1000, &suppressed), 0);
    cr_expect_eq(take(&limit, START_US + SECOND_US, 1000, &suppressed), LOG_LIMIT_PER_SECOND);
}

Test(log_limit, what_was_left_out_is_said_by_the_next_line_and_once)
{
    struct log_limit limit = LOG_LIMIT_INIT;
    uint64_t suppressed = 99;

    take(&limit, START_US, LOG_LIMIT_BURST + 7, &suppressed);
    cr_expect(log_limit_take(&limit, START_US + SECOND_US, &suppressed));
    cr_expect_eq(suppressed, 7);
    cr_expect(log_limit_take(&limit, START_US + SECOND_US, &suppressed));
    cr_expect_eq(suppressed, 0);
    take(&limit, START_US + SECOND_US, LOG_LIMIT_PER_SECOND, &suppressed);
    cr_expect_eq(log_limit_suppressed(&limit), 2);
    cr_expect_eq(log_limit_suppressed(&limit), 0);
}

Test(log_limit, a_pause_gives_the_burst_back_and_not_more)
{
    struct log_limit limit = LOG_LIMIT_INIT;
    uint64_t suppressed;

    take(&limit, START_US, 1000, &suppressed);
    cr_expect_eq(take(&limit, START_US + 3600LL * SECOND_US, 1000, &suppressed), LOG_LIMIT_BURST);
}
