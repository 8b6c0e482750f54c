/* wick/profile.h: where the time of a run goes: by operation, by module, call by call.
 *
 *     wk_profile *profile = wk_profile_begin();
 *     ... some steps ...
 *     wk_profile_end(profile);
 *     wk_profile_print(profile, WK_PROFILE_BY_OPERATION, 20, stdout);
 *     wk_profile_save_trace(profile, "trace.json");  -- chrome://tracing, ui.perfetto.dev
 *     wk_profile_save_flames(profile, "flames.svg"); -- any browser
 *     wk_profile_destroy(profile);
 *
 * Any program can be profiled without changing it: `wick profile -- PROGRAM ...`, or WICK_PROFILE=FOLDER in its
 * environment; what the first thread to use Wick did is written there when it ends.
 */
#ifndef WICK_PROFILE_H
#define WICK_PROFILE_H

#include "wick/base.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_profile wk_profile;

/* Note every kernel that this thread's context runs, from now on.  Two clock readings a kernel (about 0.1 µs).  NULL
 * with an error pending: WK_STATE where a profile of this context is under way.  The caller destroys it. */
WK_API wk_profile *wk_profile_begin(void);
/* Note no more.  A profile that has ended stays as it is. */
WK_API void wk_profile_end(wk_profile *profile);
/* Ends it if need be.  NULL is allowed. */
WK_API void wk_profile_destroy(wk_profile *profile);

typedef enum wk_profile_phase {
    WK_PROFILE_FORWARD,
    WK_PROFILE_BACKWARD, /* while gradients are computed */
    WK_PROFILE_OPTIMIZER /* rows of the family "optim" */
} wk_profile_phase;

/* All calls of one operation in one place. */
typedef struct wk_profile_row {
    const char *operation, *composite,
        *module; /* of the profile; composite: whose part it ran as, or ""; module: "" where none was */
    wk_profile_phase phase;
    int64_t calls;
    double seconds, operations, bytes; /* floating-point operations; bytes read and written */
} wk_profile_row;
/* The rows, those that took longest first: how many there are; the first `most` are written. */
WK_API int wk_profile_rows(const wk_profile *profile, wk_profile_row *rows, int most);
/* Seconds from begin to end (or until now). */
WK_API double wk_profile_seconds(const wk_profile *profile);

typedef enum wk_profile_by { WK_PROFILE_BY_OPERATION, WK_PROFILE_BY_MODULE } wk_profile_by;
/* A table of the first `lines` operations or modules, and the time between kernels.  Errors: WK_NO_MEMORY, WK_IO. */
WK_API wk_status wk_profile_print(const wk_profile *profile, wk_profile_by by, int lines, FILE *to);
/* Both tables, of 40 lines each, into a file.  Errors: WK_IO with the path. */
WK_API wk_status wk_profile_save_tables(const wk_profile *profile, const char *path);
/* Every call as JSON in Chrome's trace-event format (the first million; otherData says how many more there were).
 * Errors: WK_IO with the path. */
WK_API wk_status wk_profile_save_trace(const wk_profile *profile, const char *path);
/* Phase, modules, operations as a flame graph (SVG): widths are times.  Errors: WK_IO, WK_NO_MEMORY. */
WK_API wk_status wk_profile_save_flames(const wk_profile *profile, const char *path);

/* profile [-o FOLDER] -- PROGRAM ...; profile --help says more.  The exit code is the program's; 1 where
 * nothing was noted; 2: usage. */
WK_API int wk_profile_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
