/* wick/tasks.h: what networks of the literature are trained for: the commands.  The names that a run's file may use for
 * it (data "text", wrapper "language_model", …) are printed by `wick train --schema`; docs/tasks.md shows a run of
 * each.
 */
#ifndef WICK_TASKS_H
#define WICK_TASKS_H

#include "wick/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* generate MODEL [--prompt TEXT] [--tokens N] …: see --help.  The exit code: 0; 1: an error, which was reported; 2:
 * usage. */
WK_API int wk_generate_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
