/* select.h: what cpu.c takes from select.c. */
#ifndef WICK_KERNELS_CPU_SELECT_H
#define WICK_KERNELS_CPU_SELECT_H

#include "cpu/cpu.h"

/* Name of the chosen instruction set.  Errors: WK_CONFIG if WICK_ISA asks for one that there is not. */
wk_status wk__cpu_isa(const char **name);
/* The kernel of an operation, NULL if there is none.  With a WICK_ISA that cannot be had, a kernel that says so. */
wk_kernel wk__cpu_kernel(const char *op, wk_dtype dtype);

#endif
