/* wick/step.h: capture and replay of a step that repeats.
 *
 *     for (;;) {
 *         wk_scope scope = wk_scope_begin();
 *         wk_step_begin("train");
 *         … forward, wk_backward, wk_optim_step, exactly as without …
 *         wk_step_end();
 *         wk_scope_end(scope);
 *     }
 *
 * Your code runs each time.  The first step of a name runs as ever, the second is captured: which kernels ran, on which
 * memory.  From then on each call is held against the plan (row, attributes, operands); one that fits runs its kernels
 * at once, on memory that the plan owns, without shape rules, allocation or tape, and wk_backward runs the kernels that
 * it ran while capturing.  So results are the same bits, and whatever may be read without a step may be read in one.
 *
 * Inside of one call (a row that is made of parts, wk_backward) neighbours that compute element by element pass over
 * memory together, tile by tile: the same kernels, and the same bits.  WICK_FUSION=0 switches that off.
 *
 * A call that does not fit ends the replay of this step: the tape is rebuilt for the calls before it, and the step goes
 * on as ever; the log says once why.  A name holds up to eight plans (a short last batch, accumulation, validation).
 *
 * Rows of a device are put off until something is asked of it: elements, a collective, the optimizer's step.  A stretch
 * of them that is met again goes there as one graph, launched whole; random keys, learning rates and step counts lie in
 * the device's memory, where each launch finds the step's own.  WICK_GRAPHS=0 launches kernels one by one.
 *
 * What cannot be captured runs as ever, and the log says once what it was: results whose shape depends on values,
 * gradient hooks, wk_checkpoint, wk_gradients, create_graph, gradients as rows.
 *
 * A step's results live in the plan: wk_keep copies them.  A plan holds the parameters and the memory of its step until
 * wk_step_forget, or the context ends.  WICK_REPLAY=0 switches all of this off.
 */
#ifndef WICK_STEP_H
#define WICK_STEP_H

#include "wick/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Begin a step of this name, inside an open scope.  Steps do not nest: WK_STATE; without a scope: WK_NO_SCOPE. */
WK_API wk_status wk_step_begin(const char *name);
/* End it.  A scope that ends around an open step ends it too. */
WK_API wk_status wk_step_end(void);

typedef struct wk_step_report {
    int64_t eager, captured, replayed; /* steps so far; one whose replay broke off counts as eager */
    int plans, fused;                  /* plans, and their kernels that run tile by tile with their neighbours */
    int graphs;                        /* stretches of their kernels that go to a device whole */
    int operations;                    /* of these: kernels, calls of libraries, copies */
    size_t bytes;                      /* that the plans hold */
    const char
        *why; /* the last reason why a step was not captured, not replayed to its end, or is in no graph; or NULL */
} wk_step_report;
/* What became of the steps of this name in this context; zeros for a name that never began. */
WK_API wk_step_report wk_step_describe(const char *name);
/* Give the plans of this name (NULL: of all names) and their memory back. */
WK_API void wk_step_forget(const char *name);

#ifdef __cplusplus
}
#endif
#endif
