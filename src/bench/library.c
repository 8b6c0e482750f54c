/* library.c: peers that Wick calls itself: oneDNN and OpenBLAS, made to compute every product and convolution of a row
 * that they take, whatever Wick's choice would be.
 *
 * Everything around stays as it is, so that a line compares implementations and not frameworks.  OpenBLAS has the whole
 * team (Wick's own choice leaves it on one thread, for the sake of equal bits); oneDNN convolves by its direct
 * algorithm.
 */
#define WK_NO_CALL_SITES
#include "bench/bench.h"

#include "base/base.h"
#include "wick/ops.h"

#include <math.h>
#include <string.h>

wk_status wk__library_start(wk__peer *peer, const char *name) {
    bool onednn = strcmp(name, "onednn") == 0;
    const char *version = onednn ? wk__onednn_version() : wk__openblas_version();
    if (!*version)
        return wk_fail(WK_UNSUPPORTED, "--peer %s: this Wick is built without libraries (WICK_LIBRARIES=OFF)", name);
    (void)snprintf(peer->name, sizeof peer->name, "%s", version);
    peer->forced = onednn ? (wk__forced){ .product = WK_BY_ONEDNN, .convolution = WK_BY_DIRECT }
                          : (wk__forced){ .product = WK_BY_OPENBLAS, .convolution = WK_BY_CHOICE, .team = true };
    return WK_OK;
}

/* A library without convolutions does not answer for those that are computed meanwhile. */
static wk_status run_forced(wk__peer *peer, const wk__subject *s, wk__bench_mode mode, wk_tensor **out,
                            wk_tensor **gradients) {
    peer->forced.asked = peer->forced.declined = 0;
    wk__cpu_force(&peer->forced);
    wk_status status = wk__subject_run(s, mode, out, gradients);
    wk__cpu_force(NULL);
    return status;
}

static wk_status hold_against(wk__peer *peer, const wk__subject *s, wk__bench_side *side) {
    wk_tensor *out[WK__BENCH_MOST_OUT], *gradients[WK__BENCH_MOST_IN] = { NULL };
    wk_tensor *other[WK__BENCH_MOST_OUT], *other_gradients[WK__BENCH_MOST_IN] = { NULL };
    wk__bench_mode mode = s->has_grad ? WK__BENCH_GRAD : WK__BENCH_FORWARD;
    WK_TRY(run_forced(peer, s, mode, other, other_gradients));
    if (peer->forced.asked == peer->forced.declined) {
        (void)snprintf(side->note, sizeof side->note, "does not serve this row");
        return WK_OK;
    }
    if (s->row->random || s->row->mutates) return WK_OK; /* a second run gives others anyway */
    WK_TRY(wk__subject_run(s, mode, out, gradients));
    double tolerance = fmax(wk__bench_tolerance(s->in, s->n_in), wk__bench_tolerance(out, s->n_out));
    char name[20];
    for (int k = 0; k < s->n_out && !*side->note; k++) {
        (void)snprintf(name, sizeof name, "out.%d", k);
        if (other[k]) wk__bench_hold_against(out[k], other[k], name, tolerance, side->note, sizeof side->note);
    }
    for (int i = 0; i < s->n_in && !*side->note; i++) {
        (void)snprintf(name, sizeof name, "grad.%d", i);
        if (other_gradients[i])
            wk__bench_hold_against(gradients[i], other_gradients[i], name, tolerance, side->note, sizeof side->note);
    }
    side->differs = *side->note != '\0';
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_status wk__library_prepare(wk__peer *peer, const wk__subject *subject, wk__bench_side *side) {
    wk_scope scope = wk_scope_begin();
    wk_status status = hold_against(peer, subject, side);
    wk_scope_end(scope);
    return status;
}

double wk__library_time(wk__peer *peer, const wk__subject *subject, wk__bench_mode mode, double seconds, bool cold) {
    wk__cpu_force(&peer->forced);
    double ns = wk__subject_time(subject, mode, seconds, cold);
    wk__cpu_force(NULL);
    return ns;
}
