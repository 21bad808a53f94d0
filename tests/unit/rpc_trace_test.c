#include "src/rpc/trace.h"

#include <criterion/criterion.h>
#include <string.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static struct rpc_trace trace;

static bool continues(const char *header)
{
    return rpc_trace_continue(header, strlen(header), &trace);
}

Test(rpc_trace, goes_on_under_its_id)
{
    cr_assert(continues("00-" TRACE "-" PARENT "-01"));
    cr_expect_str_eq(trace.trace_id, TRACE);
    cr_expect_str_eq(trace.parent, PARENT);
    cr_expect_str_eq(trace.flags, "01");
    cr_expect_eq(strlen(trace.call_id), 16);
    cr_expect_str_neq(trace.call_id, PARENT);
}

Test(rpc_trace, tells_the_next_one_who_asks)
{
    char header[TRACE_HEADER_SIZE];
    struct rpc_trace mine;

    cr_assert(continues("00-" TRACE "-" PARENT "-01"));
    mine = trace;
    rpc_trace_header(&mine, header);
    cr_assert(continues(header));
    cr_expect_str_eq(trace.trace_id, TRACE);
    cr_expect_str_eq(trace.parent, mine.call_id);
    cr_expect_str_eq(trace.flags, "01");
}

Test(rpc_trace, begins_with_fresh_ids)
{
    struct rpc_trace other;
    char header[TRACE_HEADER_SIZE];

    rpc_trace_begin(&trace);
    rpc_trace_begin(&other);
    cr_expect_str_neq(trace.trace_id, other.trace_id);
    cr_expect_str_neq(trace.call_id, other.call_id);
    cr_expect_str_eq(trace.parent, "");
    rpc_trace_header(&other, header);
    cr_expect(continues(header), "%s", header);
}

Test(rpc_trace, a_later_version_may_say_more)
{
    cr_expect(continues("01-" TRACE "-" PARENT "-01"));
    cr_expect(continues("cc-" TRACE "-" PARENT "-01-what-ever"));
    cr_expect(!continues("cc-" TRACE "-" PARENT "-01.what"));
}

Test(rpc_trace, refuses_what_is_none)
{
    static const char *const headers[] = {
        "",
        "00",
        "00-1",
        "00-" TRACE "-" PARENT,
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-011",
        "00-" TRACE "-" PARENT "-01-more",
        "ff-" TRACE "-" PARENT "-01",
        "0g-" TRACE "-" PARENT "-01",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "00-" TRACE "-B7AD6B7169203331-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319\n-" PARENT "-01",
        "00-" TRACE "-" PARENT "-xy",
        " 0-" TRACE "-" PARENT "-01",
        "00-" TRACE "-b7ad6b71692\xff\xfe\xfd"
        "31-01",
    };

    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        cr_expect(!continues(headers[i]), "%s", headers[i]);
    cr_expect(!rpc_trace_continue("00-" TRACE "-" PARENT "-01", 54, &trace));
    cr_expect(!rpc_trace_continue("00-" TRACE "\0" PARENT "-01", 55, &trace));
}
