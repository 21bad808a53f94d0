#include "src/vector/kernel.h"

#include <stdatomic.h>
#include <string.h>

#include "src/vector/kernels/kernels.h"

static bool runs_anywhere(void)
{
    return true;
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

static bool has_avx512vbmi(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vbmi");
}

/* Best first. */
static const struct {
    const struct vector_kernel *kernel;
    bool (*supported)(void);
} choices[] = {
    { &vector_kernel_avx512vbmi, has_avx512vbmi },
    { &vector_kernel_avx2, has_avx2 },
    { &vector_kernel_portable, runs_anywhere },
};

enum { CHOICES = sizeof choices / sizeof choices[0] };

/* Two threads may both choose at first use; they choose the same. */
static _Atomic(const struct vector_kernel *) chosen;

static const struct vector_kernel *best(void)
{
    size_t i = 0;

    while (!choices[i].supported())
        i++;
    return choices[i].kernel;
}

const struct vector_kernel *vector_kernel(void)
{
    const struct vector_kernel *kernel = atomic_load_explicit(&chosen, memory_order_relaxed);

    if (kernel == NULL) {
        kernel = best();
        atomic_store_explicit(&chosen, kernel, memory_order_relaxed);
    }
    return kernel;
}

const char *vector_kernel_name(void)
{
    return vector_kernel()->name;
}

bool vector_kernel_select(const char *name)
{
    for (size_t i = 0; i < CHOICES; i++)
        if (strcmp(choices[i].kernel->name, name) == 0 && choices[i].supported()) {
            atomic_store_explicit(&chosen, choices[i].kernel, memory_order_relaxed);
            return true;
        }
    return false;
}
