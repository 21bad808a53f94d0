#include "src/embed/kernels.h"

/* The sets are compiled for x86-64-v4, v3 and plain x86-64 (x86-64 psABI, §3.1.1). */
const struct embed_kernels *embed_kernels_select(void)
{
    if (__builtin_cpu_supports("x86-64-v4"))
        return &embed_kernels_avx512;
    if (__builtin_cpu_supports("x86-64-v3"))
        return &embed_kernels_avx2;
    return &embed_kernels_baseline;
}
