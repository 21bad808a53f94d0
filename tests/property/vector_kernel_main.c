/* The checks of vector_kernel_checks.h as a program, for machines that have nothing but a libc:
 * vector_kernel_main NAME fails too if the best kernel is not the one of that name. */

#include <stdio.h>
#include <string.h>

#include "tests/property/vector_kernel_checks.h"

int main(int argc, char **argv)
{
    bool all = argc == 2 && strcmp(vector_kernel_name(), argv[1]) == 0;

    if (!all)
        fprintf(stderr, "usage: vector_kernel_main %s\n", vector_kernel_name());
    for (size_t i = 0; i < vector_kernel_checks_count; i++)
        if (!vector_kernel_check_all(&vector_kernel_checks[i])) {
            fprintf(stderr, "not so: %s\n", vector_kernel_checks[i].fact);
            all = false;
        }
    return all ? 0 : 1;
}
