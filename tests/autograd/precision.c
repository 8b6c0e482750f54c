/* precision.c: gradients in f32, f16 and bf16, in every layout and at full size, against those in f64.
 *
 * gradients.c shows that the rules are right; what is left are the kernels that the rules call with other types, with
 * channels-last operands, and with enough work for vectors and threads.
 */
#define WK_NO_CALL_SITES
#include "support/sample.h"
#include "wick/autograd.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_IN = 16 };

typedef struct walk {
    const wk_op_def *row;
    wk_dtype dtype;
    wk__sample_layout layout;
    int checked;
} walk;

/* Of the largest element of a gradient: intermediate results (probabilities, statistics, dy itself) are rounded to the
 * dtype, and sums of them grow with the square root of their length, at most 32 here. */
static double tolerance_of(wk_dtype dtype) {
    return dtype == WK_F32 ? 32 * 0x1p-22 : dtype == WK_F16 ? 32 * 0x1p-12 : 32 * 0x1p-9;
}

static bool is_state(const wk_op_def *row, int i) {
    return row->n_in != WK_LIST && (row->mutates >> i & 1) != 0;
}

/* Kept inputs; `wide`: the same values in f64, row major. */
static int draw(const walk *w, const wk_sample_in *in, int n_in, bool wide, wk_tensor *kept[]) {
    for (int i = 0; i < n_in; i++) {
        wk_dtype dtype = wk__sample_dtype(w->row, &in[i], i, w->dtype);
        wk_tensor *x = wk__sample_draw(&in[i], i, dtype, w->layout);
        bool is_float = x && wk_dtype_is_float(dtype);
        kept[i] = wk_keep(wide && is_float ? wk_contiguous(wk_cast(x, WK_F64)) : x);
        if (is_float && !is_state(w->row, i)) wk_require_grad(kept[i], true);
    }
    return n_in;
}

/* The result's weight in the scalar: no symmetry, all of one size. */
static wk_tensor *weight_of(wk_tensor *y) {
    wk_tensor *weight = wk_empty(WK_F64, wk_dims_get(y));
    for (int64_t i = 0; i < wk_count(weight); i++) {
        double t = fmod(0.618033988749895 * (double)(i + 1), 1.0);
        ((double *)wk_data(weight))[i] = ldexp(floor((t < 0.5 ? -1 - t : t) * 64), -6); /* exact in every type */
    }
    return wk_cast(weight, wk_dtype_get(y));
}

static wk_status run(const walk *w, wk_tensor *const *in, int n_in, const void *attrs, wk_tensor **y) {
    wk_tensor *out[WK_MAX_OUT];
    *y = NULL;
    wk_status status = wk_op_run(w->row, in, n_in, out, attrs);
    if (status != WK_OK) return status;
    *y = out[0];
    return wk_requires_grad(out[0]) ? wk_backward_from(out[0], weight_of(out[0]), (wk_backward_opts){ 0 }) : WK_OK;
}

static void compare(walk *w, const char *label, int i, const wk_tensor *got, const wk_tensor *wanted) {
    if (!got || !wanted) {
        cr_expect(!got && !wanted, "%s \"%s\" %s: only one gradient of input %d", w->row->name, label,
                  wk_dtype_name(w->dtype), i);
        return;
    }
    double *a = tensor_values(got), *b = tensor_values(wanted), largest = 0;
    for (int64_t k = 0; k < wanted->count; k++) largest = fmax(largest, fabs(b[k]));
    for (int64_t k = 0; k < wanted->count; k++) {
        if (fabs(a[k] - b[k]) <= tolerance_of(w->dtype) * largest) continue;
        cr_expect(false,
                  "%s \"%s\" %s, layout %d, gradient of input %d, element %lld: %.7g, in f64 %.7g (largest %.3g)",
                  w->row->name, label, wk_dtype_name(w->dtype), (int)w->layout, i, (long long)k, a[k], b[k], largest);
        break;
    }
    w->checked++;
    free(a);
    free(b);
}

static void one_case(wk_sampler *sampler, const char *label, const wk_sample_in *in, int n_in, const void *attrs) {
    walk *w = sampler->context;
    if (strstr(label, "large") && w->layout > (w->dtype == WK_F32 ? WK__SAMPLE_PERMUTED : WK__SAMPLE_AS_SAID))
        return; /* seconds each */
    wk_tensor *low[MOST_IN] = { NULL }, *wide[MOST_IN] = { NULL }, *y, *wide_y;
    wk_scope scope = wk_scope_begin();
    (void)draw(w, in, n_in, false, low);
    (void)draw(w, in, n_in, true, wide);
    wk_status status = run(w, low, n_in, attrs, &y);
    cr_expect_eq(status, WK_OK, "%s \"%s\" %s: %s", w->row->name, label, wk_dtype_name(w->dtype), wk_message());
    if (status == WK_OK) {
        cr_expect_eq(run(w, wide, n_in, attrs, &wide_y), WK_OK, "%s: %s", w->row->name, wk_message());
        for (int i = 0; i < n_in; i++)
            if (low[i]) compare(w, label, i, wk_gradient(low[i]), wk_gradient(wide[i]));
    }
    wk_clear_error();
    wk_scope_end(scope);
    for (int i = 0; i < n_in; i++) wk_release(low[i]), wk_release(wide[i]);
}

/* Rows that change dtypes themselves, or that no layout but row major has. */
static bool is_left_out(const wk_op_def *row, wk__sample_layout layout) {
    if (strcmp(row->name, "cast") == 0 || strcmp(row->name, "kept_cast") == 0) return true;
    return strcmp(row->name, "reshape") == 0 && layout != WK__SAMPLE_AS_SAID;
}

static void walk_rows(wk_dtype dtype) {
    walk w = { .dtype = dtype };
    wk_set_threads(dtype == WK_F32 ? 0 : 1); /* both ways to run a kernel */
    wk_sampler sampler = { .emit = one_case, .context = &w };
    for (int id = 0; id < wk_op_count(); id++) {
        w.row = wk_op_get(id);
        if (!w.row->grad || !wk__sample_serves(w.row, dtype)) continue;
        for (int layout = 0; layout < WK__SAMPLE_LAYOUTS; layout++) {
            w.layout = (wk__sample_layout)layout;
            if (!is_left_out(w.row, w.layout)) w.row->samples(&sampler);
        }
    }
    cr_log_info("%d gradients compared", w.checked);
    cr_assert_gt(w.checked, 500);
}
Test(precision, gradients_in_f32) {
    walk_rows(WK_F32);
}
Test(precision, gradients_in_f16) {
    walk_rows(WK_F16);
}
Test(precision, gradients_in_bf16) {
    walk_rows(WK_BF16);
}
