/* present.c: whether this process may use tiles, and for which products it does; compiled for any processor. */
#include "cpu/amx/amx.h"
#include "cpu/processor/processor.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) && defined(__linux__)
#    include <sys/syscall.h>
#    include <unistd.h>
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool present;

/* A program asks the system for the registers of tiles before it uses them: arch_prctl(ARCH_REQ_XCOMP_PERM), Linux
 * 5.16 (Documentation/arch/x86/xstate.rst). */
static bool is_allowed(void) {
#if defined(__x86_64__) && defined(__linux__)
    enum { ASK = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0;
#else
    return false;
#endif
}

static void look_around(void) {
    const char *wish = getenv("WICK_AMX");
    wk_processor processor;
    wk__processor_read(&processor);
    present = processor.has_amx && !(wish && strcmp(wish, "0") == 0) && is_allowed();
}

bool wk__amx_present(void) {
    (void)pthread_once(&once, look_around);
    return present;
}

static bool has_unit_stride(const wk_gemm_operand *x) {
    return x->dtype == WK_BF16 && (x->row == 1 || x->col == 1);
}

bool wk__amx_takes(const wk_gemm *g) {
    enum { LEAST = 8, WORK = 1 << 15 };
    if (!has_unit_stride(&g->a) || !has_unit_stride(&g->b) || g->packed) return false;
    if (g->c_dtype != WK_F32 && g->c_dtype != WK_BF16) return false;
    if (g->m < LEAST || g->n < LEAST || g->k < LEAST || g->m * g->n * g->k < WORK) return false;
    return wk__amx_present();
}
