#include "src/vector/kernels/avx512vbmi.h"
#include "src/vector/kernels/kernels.h"

const struct vector_kernel vector_kernel_avx512vbmi = {
    .name = "avx512vbmi",
    .scan = scan,
    .dot_i16_i8 = dot_i16_i8,
    .dot_i8 = dot_i8,
    .products = products,
    .requantise = requantise,
    .encode = encode,
    .estimates = estimates,
    .quantise = quantise,
    .largest = largest,
    .to_int8 = to_int8,
};
