#ifndef SUTRA_EMBED_VECTORS_H
#define SUTRA_EMBED_VECTORS_H

/**
 * One register full of floats, as wide as the instruction set this file is compiled for has them
 * (GCC's vector extensions); internal to the kernels. + - * / work element by element.
 */

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
enum { LANES = 16 };
#define VECTOR_INDEX 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#elif defined(__AVX2__)
enum { LANES = 8 };
#define VECTOR_INDEX 0, 1, 2, 3, 4, 5, 6, 7
#else
enum { LANES = 4 };
#define VECTOR_INDEX 0, 1, 2, 3
#endif

typedef float floats __attribute__((vector_size(LANES * sizeof(float))));
typedef uint32_t words __attribute__((vector_size(LANES * sizeof(uint32_t))));

#define VECTOR_INLINE static inline __attribute__((always_inline))

VECTOR_INLINE floats floats_load(const float *p)
{
    floats v;
    memcpy(&v, p, sizeof v);
    return v;
}

VECTOR_INLINE void floats_store(float *p, floats v)
{
    memcpy(p, &v, sizeof v);
}

VECTOR_INLINE floats floats_all(float x)
{
    return (floats){ 0 } + x;
}

VECTOR_INLINE floats floats_max(floats a, floats b)
{
    words a_wins = (words)(a > b);
    return (floats)((a_wins & (words)a) | (~a_wins & (words)b));
}

VECTOR_INLINE floats floats_min(floats a, floats b)
{
    return -floats_max(-a, -b);
}

VECTOR_INLINE floats floats_abs(floats v)
{
    return (floats)((words)v & UINT32_C(0x7FFFFFFF));
}

/* Lane i gets lane i ^ distance: neighbours, or neighbouring halves, change places. */
VECTOR_INLINE floats floats_swap(floats v, uint32_t distance)
{
    return __builtin_shuffle(v, (words){ VECTOR_INDEX } ^ distance);
}

VECTOR_INLINE float floats_sum(floats v)
{
    for (uint32_t distance = LANES / 2; distance > 0; distance /= 2)
        v += floats_swap(v, distance);
    return v[0];
}

VECTOR_INLINE float floats_highest(floats v)
{
    for (uint32_t distance = LANES / 2; distance > 0; distance /= 2)
        v = floats_max(v, floats_swap(v, distance));
    return v[0];
}

/**
 * exp(v) for v below 88, relative error about 1e-7; below -87 it is exp(-87). Moshier's Cephes
 * expf: v = n ln 2 + r with |r| <= ln 2 / 2, and a polynomial for exp(r).
 */
VECTOR_INLINE floats floats_exp(floats v)
{
    const float rounder =
        12582912.0f; /* 1.5 * 2^23: adding it leaves the integer in the low bits */
    floats x = floats_max(v, floats_all(-87.0f));
    floats shifted = x * 1.44269504088896341f + rounder;
    floats n = shifted - rounder;
    floats r = x - n * 0.693359375f + n * 2.12194440e-4f;
    floats p = floats_all(1.9875691500e-4f);

    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return (floats)((words)p + ((words)shifted << 23)); /* times 2^n */
}

#endif
