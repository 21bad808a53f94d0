#ifndef SUTRA_VECTOR_REFINE_HALF_H
#define SUTRA_VECTOR_REFINE_HALF_H

/** IEEE 754 binary16, in integer arithmetic, so that every machine gives the same bits. */

#include <stdbool.h>
#include <stdint.h>

/** The nearest half, of two the even one; what is too large becomes infinite. @value not NaN. */
uint16_t half_from_float(float value);

/** Exact. */
float half_to_float(uint16_t half);

static inline bool half_finite(uint16_t half)
{
    return (half & 0x7C00) != 0x7C00;
}

#endif
