/* verify.c: whether a result is worth being timed: beside another's, beside its own parts', and beside its own of a
 * second run.
 */
#define WK_NO_CALL_SITES
#include "bench/bench.h"

#include "wick/autograd.h"
#include "wick/ops.h"

#include <math.h>
#include <string.h>

const char *const wk__bench_check_names[] = { "check", "bitwise" };

/* Relative to the largest element.  What is right to the last digit is the tests' business; this only keeps two
 * different computations from being compared. */
double wk__bench_tolerance(wk_tensor *const *tensors, int count) {
    double most = 1e-8;
    for (int i = 0; i < count; i++) {
        wk_dtype dtype = tensors[i] ? wk_dtype_get(tensors[i]) : WK_F64;
        most = fmax(most, dtype == WK_BF16 ? 4e-2 : dtype == WK_F16 ? 5e-3 : dtype == WK_F32 ? 1e-3 : 0);
    }
    return most;
}

static wk_tensor *as_doubles(wk_tensor *x) {
    return wk_contiguous(wk_cast(wk_to_device(x, WK_CPU), WK_F64));
}

void wk__bench_hold_against(wk_tensor *own, wk_tensor *other, const char *what, double tolerance, char *note,
                            size_t size) {
    if (!own) {
        (void)snprintf(note, size, "%s: there is none to hold against the other's", what);
        return;
    }
    wk_tensor *a = as_doubles(own), *b = as_doubles(other);
    if (!a || !b) return;
    if (wk_count(a) != wk_count(b)) {
        (void)snprintf(note, size, "%s: %lld elements, the other has %lld", what, (long long)wk_count(a),
                       (long long)wk_count(b));
        return;
    }
    const double *x = wk_data(a), *y = wk_data(b);
    double most = 0;
    for (int64_t i = 0; i < wk_count(b); i++)
        if (isfinite(y[i]) && fabs(y[i]) > most) most = fabs(y[i]);
    for (int64_t i = 0; i < wk_count(b); i++) {
        if (x[i] == y[i] || (isnan(x[i]) && isnan(y[i])) || fabs(x[i] - y[i]) <= tolerance * most) continue;
        (void)snprintf(note, size, "%s, element %lld: %g, the other has %g", what, (long long)i, x[i], y[i]);
        return;
    }
}

/* ---- parts ---- */

static bool hold_against_parts(const wk__subject *s, char *note, size_t size) {
    const wk_op_def *row = s->row;
    wk_tensor *out[WK__BENCH_MOST_OUT] = { NULL }, *parts[WK__BENCH_MOST_OUT] = { NULL };
    if (row->composite || !row->decompose || row->random) {
        (void)snprintf(note, size, "%s",
                       row->random      ? "draws random numbers"
                       : row->composite ? "made of other rows"
                                        : "has no parts to be held against");
        return true;
    }
    const wk_call call = {
        .op = row, .in = s->in, .out = parts, .attrs = s->attrs, .n_in = s->n_in, .n_out = s->n_out
    };
    char differs[160] = "";
    bool was = wk_no_grad_begin();
    if (wk__subject_run(s, WK__BENCH_FORWARD, out, NULL) == WK_OK) (void)row->decompose(&call, parts);
    double tolerance = fmax(wk__bench_tolerance(s->in, s->n_in), wk__bench_tolerance(out, s->n_out));
    for (int k = 0; k < s->n_out && !*differs && !wk_failed(); k++) {
        char name[20];
        (void)snprintf(name, sizeof name, "result %d", k);
        if (parts[k]) wk__bench_hold_against(out[k], parts[k], name, tolerance, differs, sizeof differs);
    }
    wk_no_grad_end(was);
    (void)snprintf(note, size, "%s%s", *differs ? "differs from its parts: " : "agrees with its parts", differs);
    return !*differs;
}

/* ---- bits ---- */

static bool same_bits(wk_tensor *a, wk_tensor *b) {
    if (!a || !b) return a == b;
    a = wk_contiguous(a);
    b = wk_contiguous(b);
    size_t bytes = a ? (size_t)wk_count(a) * wk_dtype_size(wk_dtype_get(a)) : 0;
    return a && b && wk_count(a) == wk_count(b) && memcmp(wk_data(a), wk_data(b), bytes) == 0;
}

static bool run_again(const wk__subject *s, int threads, wk_tensor *const *first, wk_tensor *const *first_gradients) {
    wk_tensor *out[WK__BENCH_MOST_OUT] = { NULL }, *gradients[WK__BENCH_MOST_IN] = { NULL };
    int before = wk_threads();
    wk_set_threads(threads);
    bool same = wk__subject_run(s, s->has_grad ? WK__BENCH_GRAD : WK__BENCH_FORWARD, out, gradients) == WK_OK;
    wk_set_threads(before);
    for (int k = 0; k < s->n_out && same; k++)
        same = (s->row->n_out != WK_LIST && (s->row->internal_out >> k & 1)) || same_bits(first[k], out[k]);
    for (int i = 0; i < s->n_in && same && s->has_grad; i++) same = same_bits(first_gradients[i], gradients[i]);
    return same;
}

static bool compare_bits(const wk__subject *s, char *note, size_t size) {
    wk_tensor *out[WK__BENCH_MOST_OUT] = { NULL }, *gradients[WK__BENCH_MOST_IN] = { NULL };
    if (s->row->random || s->row->mutates) {
        (void)snprintf(note, size, "%s", s->row->random ? "draws random numbers" : "changes its operands");
        return true;
    }
    if (wk__subject_run(s, s->has_grad ? WK__BENCH_GRAD : WK__BENCH_FORWARD, out, gradients) != WK_OK) return false;
    int threads = wk_threads(), other = threads == 1 ? 2 : 1;
    bool again = run_again(s, threads, out, gradients), elsewhere = again && run_again(s, other, out, gradients);
    (void)snprintf(note, size, "%s", !again ? "a second run has other bits" : "the same bits in a second run");
    if (again && !elsewhere) (void)snprintf(note, size, "the same bits in a second run, others on %d threads", other);
    return again && (elsewhere || s->row->thread_dependent);
}

bool wk__subject_verify(const wk__subject *subject, wk__bench_check check, char *note, size_t size) {
    wk_scope scope = wk_scope_begin();
    bool right = check == WK__BENCH_PARTS ? hold_against_parts(subject, note, size) : compare_bits(subject, note, size);
    wk_scope_end(scope);
    return right && !wk_failed();
}
