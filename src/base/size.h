#ifndef SUTRA_BASE_SIZE_H
#define SUTRA_BASE_SIZE_H

/**
 * Sums and products of sizes that come from a file or a message: they fail instead of wrapping.
 */

#include <stdbool.h>
#include <stddef.h>

/** *ret = a * b; false (and *ret untouched) on overflow. */
static inline bool size_mul(size_t a, size_t b, size_t *ret)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *ret = product;
    return true;
}

/** *ret = a + b; false (and *ret untouched) on overflow. */
static inline bool size_add(size_t a, size_t b, size_t *ret)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *ret = sum;
    return true;
}

static inline size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
