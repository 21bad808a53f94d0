#include "src/vector/kernels/avx512vbmi.h"
#include "src/vector/kernels/kernels.h"

VECTOR_KERNEL(avx512vbmi, products, 36);
