#include "src/vector/kernel.h"

#include <criterion/criterion.h>

#include "tests/property/vector_kernel_checks.h"

Test(vector_kernel, every_kernel_keeps_its_contract)
{
    for (size_t i = 0; i < vector_kernel_checks_count; i++)
        cr_expect(vector_kernel_check_all(&vector_kernel_checks[i]), "%s",
                  vector_kernel_checks[i].fact);
}

Test(vector_kernel, unknown_names_are_not_selected)
{
    const char *before = vector_kernel_name();

    cr_assert_not(vector_kernel_select("abacus"));
    cr_assert_eq(vector_kernel_name(), before);
    cr_assert(vector_kernel_select("portable"));
    cr_assert_str_eq(vector_kernel_name(), "portable");
}
