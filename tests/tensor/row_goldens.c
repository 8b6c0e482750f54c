/* row_goldens.c: every row × sample × dtype against PyTorch (tests/golden/make_rows.py): results, and first gradients.
 *
 * Samples hold eight significant bits, so one set of goldens, computed in f64, serves every float type.  The bound, for
 * an element whose result is w, in a result whose largest element is m, made of n terms (operations of the row's cost
 * an element):
 *
 *     |got − w| ≤ 2 u_stored |w| + STEPS √n u_working m
 *
 * u is half the distance of neighbouring numbers relative to them.  Kernels work in f32 for the half types; a composite
 * row rounds to the stored type after each of its parts, so there u_working = u_stored.
 */
#define WK_NO_CALL_SITES
#include "support/agree.h"
#include "support/golden_rows.h"
#include "support/sample.h"
#include "wick/autograd.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_IN = 16, MOST_OUT = 32 };
static const double STEPS = 16;

/* Rows that need more than the bound. */
static const struct {
    const char *row;
    bool rounds_often; /* to the stored type, more than once, as composite rows do */
    double factor;     /* of the bound */
    const char *reason;
    double of_bf16; /* u of bf16 more, of the largest element, where the operands are of that type */
} exceptions[] = {
    { "scatter_add", true, 1, "values are added where they land, one after the other", 0 },
    { "scaled_dot_product_attention", false, 1, "on AMX's tiles weights are rounded for their products", 2 },
    { "gelu", false, 2, "PyTorch's gradient of the form by tanh subtracts tanh² from 1", 0 },
    { "eigh", false, 64, "a vector is known as well as its value lies apart from the next", 0 },
    { "svd", false, 64, "likewise", 0 },
    { NULL, false, 0, NULL, 0 },
};

static bool rounds_once(const wk_op_def *row) {
    for (int i = 0; exceptions[i].row; i++)
        if (strcmp(exceptions[i].row, row->name) == 0 && exceptions[i].rounds_often) return false;
    return !row->composite;
}

static double factor_of(const wk_op_def *row) {
    for (int i = 0; exceptions[i].row; i++)
        if (strcmp(exceptions[i].row, row->name) == 0) return exceptions[i].factor;
    return 1;
}

static double units_of_bf16(const wk_op_def *row) {
    for (int i = 0; exceptions[i].row; i++)
        if (strcmp(exceptions[i].row, row->name) == 0) return exceptions[i].of_bf16;
    return 0;
}

/* Samples whose result hangs on drawn numbers, which are not PyTorch's. */
static bool drawn(const wk_op_def *row, const char *label) {
    return strcmp(row->name, "scaled_dot_product_attention") == 0 && strcmp(label, "dropout") == 0;
}

typedef struct subject {
    const wk_op_def *row;
    wk_dtype dtype;
    const char *class_, *label;
    wk_tensor *in[MOST_IN], *out[MOST_OUT];
    int n_in, n_out;
    double terms;
} subject;

static double largest(const double *values, int64_t count) {
    double most = 0;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i])) most = fmax(most, fabs(values[i]));
    return most;
}

/* Integers wrap around. */
static double wrapped(double value, wk_dtype dtype) {
    if (dtype == WK_I64 || dtype == WK_BOOL || wk_dtype_is_float(dtype)) return value;
    double range = ldexp(1, 8 * (int)wk_dtype_size(dtype)), low = dtype == WK_U8 ? 0 : -range / 2;
    return value - floor((value - low) / range) * range;
}

static void compare(const subject *s, wk_tensor *got, wk_tensor *golden, const char *what, int k) {
    wk_dtype dtype = wk_dtype_get(got);
    int64_t every = (wk_count(got) + GOLDEN_MOST_ELEMENTS - 1) / GOLDEN_MOST_ELEMENTS;
    if (every < 1) every = 1;
    bool thinned = wk_count(got) > GOLDEN_MOST_ELEMENTS, same = thinned || wk_rank(got) == wk_rank(golden);
    for (int axis = 0; same && !thinned && axis < wk_rank(got); axis++)
        same = wk_size(got, axis) == wk_size(golden, axis);
    char text[2][160];
    cr_expect(same && (wk_count(got) + every - 1) / every == wk_count(golden), "%s \"%s\" %s, %s %d: %s, expected %s",
              s->row->name, s->label, wk_dtype_name(s->dtype), what, k, wk_describe(got, text[0], sizeof text[0]),
              wk_describe(golden, text[1], sizeof text[1]));
    if (!same) return;
    double *values = tensor_values(got), *wanted = tensor_values(golden), most = largest(wanted, wk_count(golden));
    double working =
        !rounds_once(s->row) || dtype == WK_F64 ? rounding_unit(dtype) : fmin(0x1p-24, rounding_unit(dtype));
    if (s->dtype != WK_F64 && dtype == WK_F64) working = 0x1p-24;
    for (int64_t i = 0; i < wk_count(golden); i++) {
        double value = values[i * every], w = wrapped(wanted[i], dtype);
        double bound = 2 * rounding_unit(dtype) * fabs(w) + factor_of(s->row) * STEPS * sqrt(s->terms) * working * most;
        if (s->dtype == WK_BF16) bound += units_of_bf16(s->row) * rounding_unit(WK_BF16) * most;
        if (dtype == WK_F16) bound += 0x1p-24; /* the smallest number of f16 */
        if (fabs(value - w) <= bound || (isnan(value) && isnan(w)) || value == w) continue;
        cr_expect(false, "%s \"%s\" %s, %s %d, element %lld: %.10g, expected %.10g ± %.2g", s->row->name, s->label,
                  wk_dtype_name(s->dtype), what, k, (long long)(i * every), value, w, bound);
        break;
    }
    free(values);
    free(wanted);
}

static wk_tensor *weights(const wk_tensor *like, wk_dtype dtype) {
    wk_tensor *wide = wk_empty(WK_F64, wk_dims_get(like));
    for (int64_t i = 0; wide && i < wk_count(wide); i++)
        ((double *)wk_data(wide))[i] = 0.5 + fmod(0.618033988749895 * (double)(i + 1), 1.0);
    return wk_cast(wide, dtype);
}

static wk_tensor *weighted_total(const subject *s) {
    wk_tensor *total = NULL;
    for (int k = 0; k < s->n_out; k++) {
        wk_tensor *y = s->out[k];
        if (!y || !wk_requires_grad(y) || !golden_rows_find(s->row->name, s->label, s->class_, "out", k)) continue;
        wk_tensor *part = wk_sum(wk_mul(y, weights(y, wk_dtype_get(y))), (wk_reduce_opts){ 0 });
        total = total ? wk_add(total, part) : part;
    }
    return total;
}

static void check_gradients(subject *s) {
    bool any = false;
    for (int i = 0; i < s->n_in; i++)
        any = any || golden_rows_find(s->row->name, s->label, s->class_, "grad", i) != NULL;
    if (!any || !(s->row->grad || s->row->composite)) return;
    wk_tensor *total = weighted_total(s);
    /* Without a way from the inputs the gradients are zero. */
    cr_expect(!wk_failed() && (!total || wk_backward(total) == WK_OK), "%s \"%s\" %s: backward: %s", s->row->name,
              s->label, wk_dtype_name(s->dtype), wk_message());
    for (int i = 0; i < s->n_in && !wk_failed(); i++) {
        wk_tensor *golden = golden_rows_find(s->row->name, s->label, s->class_, "grad", i);
        if (!golden) continue;
        wk_tensor *gradient = wk_gradient(s->in[i]);
        if (!gradient) gradient = wk_zeros(s->dtype, wk_dims_get(s->in[i]));
        compare(s, gradient, golden, "gradient", i);
    }
}

static void run(subject *s, const void *attrs) {
    s->n_out = wk_op_outputs(s->row, s->in, s->n_in, attrs);
    cr_assert_leq(s->n_out, MOST_OUT, "%s", s->row->name);
    wk_status status = s->n_out < 0 ? wk_error_code() : wk_op_run(s->row, s->in, s->n_in, s->out, attrs);
    cr_expect(status == WK_OK, "%s \"%s\" %s: %s", s->row->name, s->label, wk_dtype_name(s->dtype), wk_message());
    if (status != WK_OK) return;
    const wk_call call = {
        .op = s->row, .in = s->in, .out = s->out, .attrs = attrs, .n_in = s->n_in, .n_out = s->n_out
    };
    double elements = s->n_out && s->out[0] ? (double)wk_count(s->out[0]) : 1;
    s->terms = fmax(1, s->row->cost(&call).operations / fmax(1, elements));
    for (int k = 0; k < s->n_out; k++) {
        wk_tensor *golden = golden_rows_find(s->row->name, s->label, s->class_, "out", k);
        if (golden) compare(s, s->out[k], golden, "output", k);
    }
    if (s->dtype == WK_F64 || s->dtype == WK_F32) check_gradients(s);
}

static int compared;

static void one_case(wk_sampler *sampler, const char *label, const wk_sample_in *in, int n_in, const void *attrs) {
    subject s = *(const subject *)sampler->context;
    s.label = label;
    s.n_in = n_in;
    wk_scope scope = wk_scope_begin();
    if (golden_rows_find(s.row->name, label, s.class_, "out", 0)
        || golden_rows_find(s.row->name, label, s.class_, "out", 1)) {
        for (int i = 0; i < n_in; i++) {
            wk_dtype dtype = wk__sample_dtype(s.row, &in[i], i, s.dtype);
            s.in[i] = wk_keep(wk__sample_draw_exact(&in[i], i, dtype, WK__SAMPLE_AS_SAID));
            bool written = s.row->n_in != WK_LIST && (s.row->mutates >> i & 1) != 0;
            if (s.in[i] && wk_dtype_is_float(dtype) && !written) wk_require_grad(s.in[i], true);
        }
        run(&s, attrs);
        compared++;
    } else {
        cr_expect(drawn(s.row, label), "%s \"%s\" %s has no golden; run tests/golden/make_rows.py", s.row->name, label,
                  s.class_);
    }
    wk_clear_error();
    wk_scope_end(scope);
    for (int i = 0; i < n_in; i++) wk_release(s.in[i]);
}

static const char *class_of(wk_dtype dtype) {
    if (wk_dtype_is_float(dtype)) return "f64";
    return dtype == WK_U8 ? "u8" : dtype == WK_BOOL ? "bool" : "i64";
}

/* Every part-th row, so that the walk spreads over the processes of the test runner. */
static void walk(int part, int parts) {
    for (int id = part; id < wk_op_count(); id += parts) {
        subject s = { .row = wk_op_get(id) };
        if (!golden_rows_has(s.row->name)) {
            cr_expect(s.row->internal || s.row->random, "%s: PyTorch's function is missing from tests/golden/rows",
                      s.row->name);
            continue;
        }
        wk_sampler sampler = { .emit = one_case, .context = &s };
        compared = 0;
        for (int dtype = 0; dtype < WK_DTYPE_COUNT; dtype++) {
            s.dtype = (wk_dtype)dtype;
            s.class_ = class_of(s.dtype);
            if (wk__sample_serves(s.row, s.dtype)) s.row->samples(&sampler);
        }
        cr_expect_gt(compared, 0, "%s: its goldens belong to none of its samples; run tests/golden/make_rows.py",
                     s.row->name);
    }
}
Test(row_goldens, part_a) {
    walk(0, 4);
}
Test(row_goldens, part_b) {
    walk(1, 4);
}
Test(row_goldens, part_c) {
    walk(2, 4);
}
Test(row_goldens, part_d) {
    walk(3, 4);
}
