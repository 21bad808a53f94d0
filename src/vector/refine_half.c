#include "src/vector/refine_half.h"

#include <string.h>

enum {
    MANTISSA_BITS = 10,
    DROPPED_BITS = 23 - MANTISSA_BITS, /* of a float's mantissa */
    LEAST_NORMAL = 113,                /* exponent field of a float, 2^-14 */
    INFINITE = 0x7C00,
};

/* @bits without its lowest @dropped bits, rounded to the nearest, of two the even one. */
static uint32_t round_off(uint32_t bits, uint32_t dropped)
{
    uint32_t half = (uint32_t)1 << (dropped - 1);

    return (bits + half - 1 + (bits >> dropped & 1)) >> dropped;
}

uint16_t half_from_float(float value)
{
    uint32_t bits, sign, exponent, magnitude;

    memcpy(&bits, &value, sizeof bits);
    sign = bits >> 16 & 0x8000;
    exponent = bits >> 23 & 0xFF;
    if (exponent < LEAST_NORMAL - MANTISSA_BITS - 1) /* less than half of the least */
        return (uint16_t)sign;
    if (exponent < LEAST_NORMAL)
        return (uint16_t)(sign | round_off((bits & 0x7FFFFF) | 0x800000,
                                           DROPPED_BITS + LEAST_NORMAL - exponent));
    if (exponent > LEAST_NORMAL + 29)
        return (uint16_t)(sign | INFINITE);
    magnitude = round_off(bits & 0x7FFFFFFF, DROPPED_BITS); /* may carry into the exponent */
    return (uint16_t)(sign | (magnitude - ((LEAST_NORMAL - 1) << MANTISSA_BITS)));
}

float half_to_float(uint16_t half)
{
    uint32_t bits = (uint32_t)(half & 0x7FFF) << DROPPED_BITS;
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    float value;

    memcpy(&value, &bits, sizeof value);
    value *= 0x1p112f; /* from the bias of a half to that of a float; subnormals become normal */
    memcpy(&bits, &value, sizeof bits);
    bits |= sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}
