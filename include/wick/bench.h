/* wick/bench.h: measuring from the command line: what `wick bench` runs. */
#ifndef WICK_BENCH_H
#define WICK_BENCH_H

#include "wick/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* bench ops|steps|step|overhead|roofs|plot ...; bench --help says more.  Gives the process's exit code: 0; 1: an error,
 * which was reported, or results that differ from the peer's; 2: usage. */
WK_API int wk_bench_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
