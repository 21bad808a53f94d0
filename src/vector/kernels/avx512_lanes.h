#ifndef SUTRA_VECTOR_KERNELS_AVX512_LANES_H
#define SUTRA_VECTOR_KERNELS_AVX512_LANES_H

/** What integer_loops.h asks of sixteen lanes, for the kernels that have them. */

#include <immintrin.h>

#define GREATER_INT(a, b) ((lane_ints)_mm512_max_epi32((__m512i)(a), (__m512i)(b)))

static inline __m512i max_of_halves(__m512i a, __m512i b)
{
    return _mm512_max_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
}

static inline lane_ints greatest_lanes(const lane_ints lane[16])
{
    const __m512i *v = (const __m512i *)lane;
    __m512i twos[8];
    __m512i fours[4];

    for (size_t j = 0; j < 8; j++)
        twos[j] = _mm512_max_epi32(_mm512_unpacklo_epi32(v[2 * j], v[2 * j + 1]),
                                   _mm512_unpackhi_epi32(v[2 * j], v[2 * j + 1]));
    for (size_t j = 0; j < 4; j++)
        fours[j] = _mm512_max_epi32(_mm512_unpacklo_epi64(twos[2 * j], twos[2 * j + 1]),
                                    _mm512_unpackhi_epi64(twos[2 * j], twos[2 * j + 1]));
    return (lane_ints)max_of_halves(max_of_halves(fours[0], fours[1]),
                                    max_of_halves(fours[2], fours[3]));
}

#endif
