#ifndef SUTRA_TESTS_PROPERTY_VECTOR_KERNEL_CHECKS_H
#define SUTRA_TESTS_PROPERTY_VECTOR_KERNEL_CHECKS_H

/**
 * Checks of one kernel against the definitions in kernel.h, bit for bit, on random and on extreme
 * values. Without a test framework, so that they also run where a cross compiler's program does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/vector/kernel.h"

struct vector_kernel_check {
    const char *fact;
    /* False, and one line on stderr, where the kernel differs. */
    bool (*holds)(const struct vector_kernel *kernel, uint64_t seed);
};

extern const struct vector_kernel_check vector_kernel_checks[];
extern const size_t vector_kernel_checks_count;

/** With each kernel this CPU supports and a number of seeds. */
bool vector_kernel_check_all(const struct vector_kernel_check *check);

#endif
