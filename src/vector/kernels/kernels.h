#ifndef SUTRA_VECTOR_KERNELS_KERNELS_H
#define SUTRA_VECTOR_KERNELS_KERNELS_H

/** The kernels there are; src/vector/kernel.c chooses among them, nobody else includes this. */

#include "src/vector/kernel.h"

extern const struct vector_kernel vector_kernel_portable;
extern const struct vector_kernel vector_kernel_neon;
extern const struct vector_kernel vector_kernel_avx2;
extern const struct vector_kernel vector_kernel_avx512bw;
extern const struct vector_kernel vector_kernel_avx512vbmi;
extern const struct vector_kernel vector_kernel_avx512amx;

#endif
