#ifndef SUTRA_BASE_AMX_H
#define SUTRA_BASE_AMX_H

/** What Intel's Advanced Matrix Extensions want beside their instructions: x86-64 and Linux only.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/** The operand of LDTILECFG (Intel 64 and IA-32 Architectures SDM, vol. 1, §18.2). */
struct amx_tiles {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

_Static_assert(sizeof(struct amx_tiles) == 64, "as the instruction reads it");

/** All eight tiles at their full size. Such a thing must not lie on the stack: GCC 12 believes that
 * the instruction reads eight bytes, and would leave out the stores behind them. */
static const struct amx_tiles amx_full_tiles __attribute__((aligned(64))) = {
    .palette = 1,
    .row_bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
    .rows = { 16, 16, 16, 16, 16, 16, 16, 16 },
};

/** Tiles are 8 KiB of state per thread: Linux wants to be asked before it keeps them for a process
 * (Documentation/arch/x86/xstate.rst). Asking again is harmless. False: it will not. */
static inline bool amx_request(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

#endif
