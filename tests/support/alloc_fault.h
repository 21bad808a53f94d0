#ifndef SUTRA_TESTS_SUPPORT_ALLOC_FAULT_H
#define SUTRA_TESTS_SUPPORT_ALLOC_FAULT_H

/**
 * Makes the n-th allocation of the code under test fail, so that a test can walk through every one:
 *
 *     for (int n = 1;; n++) {
 *         alloc_fault_at(n);
 *         … the call …
 *         if (!alloc_fault_clear())
 *             break;   (all of its allocations succeeded)
 *         … check the error …
 *     }
 *
 * The linker redirects malloc, calloc, realloc, strdup and strndup of everything linked statically
 * into the test; shared libraries keep theirs. One thread at a time.
 */

#include <stdbool.h>

/** The @n-th allocation from now on fails, and only that one; the first is 1. */
void alloc_fault_at(int n);

/** No further failures. True when one has happened since alloc_fault_at(). */
bool alloc_fault_clear(void);

#endif
