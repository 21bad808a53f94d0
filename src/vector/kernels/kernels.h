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

/** The table of one: its functions have the same names in every file. Scanning for @least_batch
 * queries at once takes as long as for one after the other. */
#define VECTOR_KERNEL(isa, product_function, least_batch)                                          \
    const struct vector_kernel vector_kernel_##isa = {                                             \
        .name = #isa,                                                                              \
        .scan = scan,                                                                              \
        .scan_batch = scan_batch,                                                                  \
        .batch_from = least_batch,                                                                 \
        .dot_i16_i8 = dot_i16_i8,                                                                  \
        .dot_i8 = dot_i8,                                                                          \
        .products = product_function,                                                              \
        .requantise = requantise,                                                                  \
        .encode = encode,                                                                          \
        .estimates = estimates,                                                                    \
        .quantise = quantise,                                                                      \
        .largest = largest,                                                                        \
        .to_int8 = to_int8,                                                                        \
    }

#endif
