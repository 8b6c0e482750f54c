/* table.c: every row × sample × dtype on another device, held against the CPU: results and first gradients; twice, bit
 * for bit.
 *
 * WICK_TEST_DEVICE names the device ("cudaemu").  A row that has neither a kernel there for the dtype nor parts is
 * counted and shown (docs/cuda-coverage.md says so too); everything else must agree.  The bound is that of
 * row_goldens.c for two results that round apart:
 *
 *     |got − w| ≤ 2 u_stored |w| + STEPS √n u_working m
 *
 * Kernels work in f32 for the half types; what runs as parts rounds to the stored type after each, so there
 * u_working = u_stored.
 */
#define WK_NO_CALL_SITES
#include "device/other.h"
#include "device/paths.h"
#include "support/agree.h"
#include "support/brief.h"
#include "support/sample.h"
#include "tensor/op_attrs.h"
#include "tensor/registry.h"
#include "wick/autograd.h"
#include "wick/device.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_IN = 16, MOST_OUT = 32 };
static const double STEPS = 16;

/* Rows that need more than the bound, whose √n is of the mean number of terms a result. */
static const struct {
    const char *row;
    double factor; /* of the bound */
} exceptions[] = {
    /* The large sample lies far from 0: x - mean cancels leading digits, so the last bit of the mean, in whose sum the
     * two sides differ, is several of the result's. */
    { "layer_norm", 4 },
    /* A group of few values leaves x̂ with Σ x̂ = 0: the terms of its gradient cancel to less than one of them. */
    { "group_norm", 2 },
    /* Indices meet: where the mean is one value an element, some get a dozen, added in another order than the CPU's. */
    { "scatter_add", 4 },
    /* Other algorithms than LAPACK's; gradients divide by the differences of the values. */
    { "eigh", 4 },
    { "svd", 4 },
};

static double factor_of(const wk_op_def *row) {
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++)
        if (strcmp(exceptions[i].row, row->name) == 0) return exceptions[i].factor;
    return 1;
}

/* ---- one case ---- */

typedef struct subject {
    const wk_op_def *row;
    wk_dtype dtype;
    wk__sample_layout layout;
    const char *label;
    const void *attrs;
    const wk_sample_in *sample;
    wk_tensor *in[MOST_IN], *out[MOST_OUT], *gradient[MOST_IN];
    int n_in, n_out;
    wk_status status;
    bool by_parts;
} subject;

typedef struct walk {
    const wk_op_def *row;
    wk_dtype dtype;
    wk__sample_layout layout;
    int cases, unsupported, by_parts;
} walk;

static bool writes(const wk_op_def *row, int i) {
    return row->n_in == WK_LIST ? row->mutates && i > 0 : (row->mutates >> i & 1) != 0;
}

static bool stays(const subject *s, int i) {
    return wk__sample_stays(s->row, s->in, s->n_in, s->attrs, i);
}

/* On a device with the strides that it has here: what lies with gaps is sent without, and laid out there. */
static wk_tensor *as_it_lies(wk_tensor *drawn, wk_device where) {
    wk_tensor *placed = wk_to_device(drawn, where);
    if (where == WK_CPU || wk__is_dense(drawn)) return placed;
    wk_device was = wk_device_use(where);
    wk_tensor *view = wk__sample_lay_out(placed, WK__SAMPLE_GAPS);
    (void)wk_device_use(was);
    return view;
}

static bool is_differentiable(const wk_op_def *row) {
    return row->grad || (row->composite && !row->not_differentiable);
}

static void draw(subject *s, wk_device where) {
    static const double scalars[WK_STEP_SCALARS] = { 0.01, 0.5, 0, 0.1, 0.6, 0.8, 0.01, 0.5, 0.4 };
    for (int i = 0; i < s->n_in; i++) {
        wk_dtype dtype = wk__sample_dtype(s->row, &s->sample[i], i, s->dtype);
        wk_tensor *drawn = wk__sample_draw(&s->sample[i], i, dtype, s->layout);
        if (drawn && i == 0 && wk__sample_is_step(s->row)) memcpy(wk_data(drawn), scalars, sizeof scalars);
        wk_tensor *placed = drawn && !stays(s, i) ? as_it_lies(drawn, where) : drawn;
        s->in[i] = wk_keep(placed);
        bool wants = placed && wk_dtype_is_float(dtype) && !writes(s->row, i) && !s->row->mutates && !stays(s, i);
        if (wants && is_differentiable(s->row)) wk_require_grad(s->in[i], true);
    }
}

static wk_tensor *weights(const wk_tensor *like) {
    wk_device was = wk_device_use(WK_CPU);
    wk_tensor *wide = wk_empty(WK_F64, wk_dims_get(like));
    (void)wk_device_use(was);
    for (int64_t i = 0; wide && i < wk_count(wide); i++)
        ((double *)wk_data(wide))[i] = 0.5 + fmod(0.618033988749895 * (double)(i + 1), 1.0);
    return wk_to_device(wk_cast(wide, wk_dtype_get(like)), wk_device_of(like));
}

static wk_tensor *weighted_total(const subject *s) {
    wk_tensor *total = NULL;
    for (int k = 0; k < s->n_out; k++) {
        wk_tensor *y = s->out[k];
        if (!y || !wk_requires_grad(y) || (s->row->internal_out >> k & 1)) continue;
        wk_tensor *part = wk_sum(wk_mul(y, weights(y)), (wk_reduce_opts){ 0 });
        total = total ? wk_add(total, part) : part;
    }
    return total;
}

static bool has_gradients(const subject *s) {
    return (s->dtype == WK_F32 || s->dtype == WK_F64) && s->layout == WK__SAMPLE_AS_SAID && !s->row->mutates
           && !s->row->random && is_differentiable(s->row);
}

static subject run(const walk *w, const char *label, const wk_sample_in *in, int n_in, const void *attrs,
                   wk_device where) {
    subject s = { w->row, w->dtype, w->layout, label, attrs, in, .n_in = n_in };
    draw(&s, where);
    uint32_t before = wk__count_decompositions();
    wk_device was = wk_device_use(where);
    s.n_out = wk_op_outputs(w->row, s.in, n_in, attrs);
    s.status = s.n_out < 0 ? wk_error_code() : wk_op_run(w->row, s.in, n_in, s.out, attrs);
    s.by_parts = w->row->composite || wk__count_decompositions() != before;
    wk_tensor *total = s.status == WK_OK && has_gradients(&s) ? weighted_total(&s) : NULL;
    if (total) s.status = wk_backward(total);
    if (s.status == WK_OK && wk_failed()) s.status = wk_error_code();
    for (int i = 0; i < n_in && s.status == WK_OK && total; i++)
        if (s.in[i] && wk_requires_grad(s.in[i])) s.gradient[i] = wk_gradient(s.in[i]);
    (void)wk_device_use(was);
    return s;
}

static void let_go(subject *s) {
    for (int i = 0; i < s->n_in; i++) wk_release(s->in[i]);
}

/* ---- held together ---- */

static double largest(const double *values, int64_t count) {
    double most = 0;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i])) most = fmax(most, fabs(values[i]));
    return most;
}

static void compare(const subject *s, wk_tensor *got, wk_tensor *wanted, double terms, const char *what, int k) {
    char text[2][160];
    cr_expect((got == NULL) == (wanted == NULL), "%s \"%s\" %s: %s %d is there once", s->row->name, s->label,
              wk_dtype_name(s->dtype), what, k);
    if (!got || !wanted) return;
    got = wk_to_device(got, WK_CPU);
    bool same = got && got->rank == wanted->rank && got->dtype == wanted->dtype;
    for (int axis = 0; same && axis < got->rank; axis++) same = got->shape[axis] == wanted->shape[axis];
    cr_expect(same, "%s \"%s\" %s, %s %d: %s, expected %s", s->row->name, s->label, wk_dtype_name(s->dtype), what, k,
              wk_describe(got, text[0], sizeof text[0]), wk_describe(wanted, text[1], sizeof text[1]));
    const double factor = factor_of(s->row);
    if (!same) return;
    double *a = tensor_values(got), *b = tensor_values(wanted), most = largest(b, wk_count(wanted));
    wk_dtype dtype = wk_dtype_get(got);
    double stored = rounding_unit(dtype), working = s->by_parts || dtype == WK_F64 ? stored : fmin(0x1p-24, stored);
    if (s->dtype != WK_F64 && dtype == WK_F64) working = 0x1p-24;
    if (s->by_parts) working = fmax(working, rounding_unit(s->dtype)); /* in which the parts round */
    for (int64_t i = 0; i < wk_count(wanted); i++) {
        double bound = 2 * stored * fabs(b[i]) + factor * STEPS * sqrt(terms) * working * most;
        if (dtype == WK_F16) bound += 0x1p-24; /* the smallest number of f16 */
        if (fabs(a[i] - b[i]) <= bound || (isnan(a[i]) && isnan(b[i])) || a[i] == b[i]) continue;
        cr_expect(false, "%s \"%s\" %s layout %d, %s %d, element %lld: %.10g, on the CPU %.10g ± %.2g", s->row->name,
                  s->label, wk_dtype_name(s->dtype), s->layout, what, k, (long long)i, a[i], b[i], bound);
        break;
    }
    free(a);
    free(b);
}

static void compare_all(const subject *there, const subject *here) {
    const wk_call call = { .op = here->row,
                           .in = here->in,
                           .out = (wk_tensor **)here->out,
                           .attrs = here->attrs,
                           .n_in = here->n_in,
                           .n_out = here->n_out };
    double elements = here->n_out && here->out[0] ? (double)wk_count(here->out[0]) : 1;
    double terms = fmax(1, here->row->cost(&call).operations / fmax(1, elements));
    for (int k = 0; k < here->n_out; k++) {
        const bool is_internal = here->row->internal_out >> k & 1; /* parts may leave it out */
        if ((is_internal || here->row->internal) && there->by_parts && !there->out[k]) continue;
        compare(there, there->out[k], here->out[k], terms, "output", k);
    }
    for (int i = 0; i < here->n_in; i++) {
        if (here->in[i] && writes(here->row, i)) compare(there, there->in[i], here->in[i], terms, "changed input", i);
        if (here->gradient[i]) compare(there, there->gradient[i], here->gradient[i], terms, "gradient", i);
    }
}

static bool is_same(wk_tensor *a, wk_tensor *b) {
    if (!a || !b) return a == b;
    return same_bits(wk_to_device(a, WK_CPU), wk_to_device(b, WK_CPU));
}

static bool are_same(const subject *a, const subject *b) {
    for (int k = 0; k < a->n_out; k++)
        if (!is_same(a->out[k], b->out[k])) return false;
    for (int i = 0; i < a->n_in; i++)
        if ((a->in[i] && writes(a->row, i) && !is_same(a->in[i], b->in[i])) || !is_same(a->gradient[i], b->gradient[i]))
            return false;
    return true;
}

/* ---- the walk ---- */

static void repeat(const walk *w, const char *label, const wk_sample_in *in, int n_in, const void *attrs,
                   const subject *first) {
    subject again = run(w, label, in, n_in, attrs, other());
    cr_expect(again.status == WK_OK && are_same(first, &again), "%s \"%s\" %s: a second run differs", w->row->name,
              label, wk_dtype_name(w->dtype));
    let_go(&again);
}

static void one_case(wk_sampler *sampler, const char *label, const wk_sample_in *in, int n_in, const void *attrs) {
    walk *w = sampler->context;
    const bool is_large = strstr(label, "large") != NULL;
    if (is_large && (w->layout != WK__SAMPLE_AS_SAID || (tests_are_brief() && w->dtype != WK_F32))) return;
    wk_scope scope = wk_scope_begin();
    subject there = run(w, label, in, n_in, attrs, other());
    if (there.status == WK_UNSUPPORTED) {
        cr_expect(strstr(wk_message(), " is not supported on cuda"), "%s \"%s\": %s", w->row->name, label,
                  wk_message());
        w->unsupported++;
    } else if (there.status != WK_OK) {
        cr_expect(false, "%s \"%s\" %s: %s", w->row->name, label, wk_dtype_name(w->dtype), wk_message());
    }
    wk_clear_error();
    if (there.status == WK_OK) {
        if (!tests_are_brief()) repeat(w, label, in, n_in, attrs, &there);
        subject here = run(w, label, in, n_in, attrs, WK_CPU);
        w->cases++;
        w->by_parts += there.by_parts;
        cr_expect(here.status == WK_OK, "%s \"%s\" on the CPU: %s", w->row->name, label, wk_message());
        if (here.status == WK_OK) compare_all(&there, &here);
        wk_clear_error();
        let_go(&here);
    }
    let_go(&there);
    wk_scope_end(scope);
}

/* Layouts are what a kernel's indexing gets wrong, the same for all types: f32 goes through all of them. */
static void walk_row(const wk_op_def *row) {
    walk w = { .row = row };
    wk_sampler sampler = { .emit = one_case, .context = &w };
    for (int dtype = 0; dtype < WK_DTYPE_COUNT; dtype++) {
        if (!wk__sample_serves(row, (wk_dtype)dtype)) continue;
        w.dtype = (wk_dtype)dtype;
        const bool all =
            dtype == WK_F32 && !wk__sample_is_step(row) && strcmp(row->name, "reshape") != 0 && row->n_in != WK_LIST;
        for (int layout = 0; layout < (all ? WK__SAMPLE_LAYOUTS : 1); layout++) {
            w.layout = (wk__sample_layout)layout;
            row->samples(&sampler);
            device_paths(row, &sampler);
        }
    }
    if (w.unsupported && getenv("WICK_TEST_VERBOSE"))
        (void)fprintf(stderr, "%s: %d cases, %d by parts, %d not supported\n", row->name, w.cases, w.by_parts,
                      w.unsupported);
}

/* Every part-th row, so that the walk spreads over the processes of the test runner. */
static void walk_rows(int part, int parts) {
    const char *only = getenv("WICK_TEST_ROW"); /* a pattern */
    for (int id = part; id < wk_op_count(); id += parts)
        if (!only || !*only || fnmatch(only, wk_op_get(id)->name, 0) == 0) walk_row(wk_op_get(id));
}
/* Attention on AMX's tiles rounds weights to bf16 for their products, which not every device does. */
static void set_up(void) {
    (void)setenv("WICK_AMX", "0", 1);
    other_watch_refusals();
}

TestSuite(device_table, .init = set_up, .fini = other_expect_no_refusals);
Test(device_table, part_a) {
    walk_rows(0, 4);
}
Test(device_table, part_b) {
    walk_rows(1, 4);
}
Test(device_table, part_c) {
    walk_rows(2, 4);
}
Test(device_table, part_d) {
    walk_rows(3, 4);
}
