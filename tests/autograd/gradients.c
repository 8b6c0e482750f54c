/* gradients.c: the gradient rule of every row, by central differences in f64: first and second order.
 *
 * A row that is new is checked here without further work.
 */
#define WK_NO_CALL_SITES
#include "support/sample.h"
#include "wick/autograd.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* ---- a row as a function of its float inputs ---- */

typedef struct subject {
    const wk_op_def *row;
    const void *attrs;
    const wk_sample_in *in;
    int output; /* whose gradient is checked */
} subject;

enum { MOST_OUT = 32 };

/* Inputs that the row writes in place (running statistics) must not move between evaluations. */
static bool is_state(const wk_op_def *row, int i) {
    return row->n_in != WK_LIST && (row->mutates >> i & 1) != 0;
}

static wk_tensor *apply(void *context, wk_tensor *const *in, int n_in) {
    const subject *s = context;
    wk_tensor *used[16] = { NULL }, *out[MOST_OUT];
    for (int i = 0; i < n_in; i++) {
        used[i] = in[i];
        if (in[i] && is_state(s->row, i))
            used[i] = wk_contiguous(wk_add(in[i], wk_full(WK_F64, WK_SCALAR, 0)));
        else if (in[i] && s->in[i].strided && wk_rank(in[i]) == 2) /* through other strides */
            used[i] = wk_transpose(wk_contiguous(wk_transpose(in[i], 0, 1)), 0, 1);
    }
    return wk_op_run(s->row, used, n_in, out, s->attrs) == WK_OK ? out[s->output] : NULL;
}

/* Floats alone have gradients. */
static int outputs_of(const subject *s, int n_in) {
    wk_tensor *in[16] = { NULL };
    wk_scope scope = wk_scope_begin();
    for (int i = 0; i < n_in; i++)
        in[i] = wk__sample_draw(&s->in[i], i, wk__sample_dtype(s->row, &s->in[i], i, WK_F64), WK__SAMPLE_AS_SAID);
    int count = wk_op_outputs(s->row, in, n_in, s->attrs);
    cr_assert(count >= 0 && count <= MOST_OUT, "%s: %d outputs", s->row->name, count);
    wk_scope_end(scope);
    return count;
}

static bool is_large(const char *label) {
    return strstr(label, "large") || strstr(label, "wide");
}

static wk_tensor *kept_input(const subject *s, int i, bool *is_leaf) {
    wk_scope scope = wk_scope_begin();
    wk_sample_in plain = s->in[i];
    plain.strided = false;
    wk_dtype dtype = wk__sample_dtype(s->row, &plain, i, WK_F64);
    wk_tensor *kept = wk_keep(wk__sample_draw(&plain, i, dtype, WK__SAMPLE_AS_SAID));
    wk_scope_end(scope);
    *is_leaf = kept && wk_dtype_is_float(dtype) && !is_state(s->row, i);
    if (*is_leaf) wk_require_grad(kept, true);
    return kept;
}

/* A second difference evaluates the gradient twice for each element: small ones show a wrong rule as well. */
enum { MOST_OF_SECOND_ORDER = 250 };
static int checked;

static void check(subject *s, const char *label, int n_in) {
    wk_tensor *in[16] = { NULL };
    bool any = false, leaf;
    int64_t elements = 0;
    for (int i = 0; i < n_in; i++) {
        in[i] = kept_input(s, i, &leaf);
        any = any || leaf;
        elements += leaf ? wk_count(in[i]) : 0;
    }
    bool second = elements <= MOST_OF_SECOND_ORDER;
    wk_status status = wk_gradcheck(apply, s, in, n_in, (wk_gradcheck_opts){ .second_order = false });
    cr_expect(any && status == WK_OK, "%s \"%s\", output %d: %s", s->row->name, label, s->output, wk_message());
    wk_clear_error();
    status = second ? wk_gradcheck(apply, s, in, n_in, (wk_gradcheck_opts){ .second_order = true, .tolerance = 1e-4 })
                    : WK_OK;
    cr_expect_eq(status, WK_OK, "%s \"%s\", output %d, second order: %s", s->row->name, label, s->output, wk_message());
    wk_clear_error();
    for (int i = 0; i < n_in; i++) wk_release(in[i]);
    checked++;
}

static void one_case(wk_sampler *sampler, const char *label, const wk_sample_in *in, int n_in, const void *attrs) {
    subject s = { .row = sampler->context, .attrs = attrs, .in = in };
    if (is_large(label)) return;
    if (strcmp(s.row->name, "cast") == 0 && !wk_dtype_is_float(((const wk_cast_opts *)attrs)->dtype)) return;
    if (strcmp(s.row->name, "embedding") == 0 && ((const wk_embedding_opts *)attrs)->padding_idx.is_set)
        return; /* the gradient of that row is withheld on purpose; its golden says so */
    if (strcmp(s.row->name, "kept_cast") == 0) return; /* the result does not come of the tensor that it stands for */
    /* Results of less than f64 cannot be told apart by a step of 1e-6. */
    if (strcmp(s.row->name, "cast") == 0 && ((const wk_cast_opts *)attrs)->dtype != WK_F64) return;
    for (s.output = 0; s.output < outputs_of(&s, n_in); s.output++)
        if (!(s.row->internal_out >> s.output & 1)) check(&s, label, n_in);
}

static void walk(int part, int parts) {
    for (int id = part; id < wk_op_count(); id += parts) {
        const wk_op_def *row = wk_op_get(id);
        wk_sampler sampler = { .emit = one_case, .context = (void *)(uintptr_t)row };
        if (row->grad || (row->composite && !row->not_differentiable))
            row->samples(&sampler);
        else
            cr_expect(row->not_differentiable && strlen(row->not_differentiable) > 10,
                      "%s: the reason why it has no gradient", row->name);
    }
    cr_log_info("%d functions checked", checked);
    cr_assert_gt(checked, 20);
}
Test(gradients, of_every_row_a) {
    walk(0, 2);
}
Test(gradients, of_every_row_b) {
    walk(1, 2);
}

/* ---- functions of several rows, where rules meet ---- */

static wk_tensor *perceptron(void *context, wk_tensor *const *in, int n_in) {
    (void)context, (void)n_in;
    wk_tensor *hidden = wk_linear(in[0], in[1], in[2], (wk_linear_opts){ WK_ACTIVATION_RELU });
    return wk_cross_entropy(wk_linear(hidden, in[3], NULL, (wk_linear_opts){ 0 }), in[4],
                            (wk_cross_entropy_opts){ .label_smoothing = 0.1 });
}
static wk_tensor *normalised(void *context, wk_tensor *const *in, int n_in) {
    (void)context, (void)n_in;
    return wk_batch_norm(in[0], in[1], in[2], NULL, NULL, (wk_batch_norm_opts){ .training = true });
}
static wk_tensor *shared(void *context, wk_tensor *const *in, int n_in) {
    (void)context, (void)n_in;
    wk_tensor *square = wk_mul(in[0], in[0]), *root = wk_sqrt(wk_affine(square, (wk_affine_opts){ 1, 1 }));
    return wk_add(wk_mul(root, in[1]), wk_div(square, wk_add(root, in[1])));
}
static wk_tensor *picked(void *context, wk_tensor *const *in, int n_in) {
    (void)context, (void)n_in;
    wk_tensor *rows = wk_index_select(in[0], in[1], 0), *both[] = { rows, wk_slice(in[0], 1, 1, 3, 1) };
    return wk_mul(
        wk_concat((wk_tensor *[]){ wk_transpose(both[0], 0, 1), wk_transpose(wk_slice(rows, 1, 0, 2, 1), 0, 1) }, 2, 0),
        wk_select(both[1], 1, 1));
}

/* The gradient of a max pooling is a function of what comes in, and has one itself. */
static wk_tensor *pooled(void *context, wk_tensor *const *in, int n_in) {
    (void)context, (void)n_in;
    wk_tensor *y = wk_max_pool2d(in[0], (wk_pool_opts){ .kernel = { 3, 2 }, .stride = { 2, 1 }, .padding = { 1, 1 } });
    return wk_mul(wk_mul(y, y), wk_sigmoid(y));
}

static void check_function(wk_gradcheck_function function, const char *name, const wk_sample_in *in, int n_in,
                           bool second) {
    wk_tensor *tensors[8] = { NULL };
    wk_scope scope = wk_scope_begin();
    for (int i = 0; i < n_in; i++) {
        tensors[i] =
            wk_keep(wk__sample_draw(&in[i], i, in[i].kind == WK_SAMPLE_INDEX ? WK_I64 : WK_F64, WK__SAMPLE_AS_SAID));
        if (in[i].kind != WK_SAMPLE_INDEX) wk_require_grad(tensors[i], true);
    }
    wk_scope_end(scope);
    wk_status status =
        wk_gradcheck(function, NULL, tensors, n_in, (wk_gradcheck_opts){ .second_order = second, .tolerance = 1e-4 });
    cr_expect_eq(status, WK_OK, "%s: %s", name, wk_message());
    wk_clear_error();
    for (int i = 0; i < n_in; i++) wk_release(tensors[i]);
}
#define CHECK(function, second, ...)                                           \
    check_function(function, #function, (const wk_sample_in[]){ __VA_ARGS__ }, \
                   (int)(sizeof((const wk_sample_in[]){ __VA_ARGS__ }) / sizeof(wk_sample_in)), second)

Test(gradients, of_functions) {
    CHECK(perceptron, true, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(6, 5) }, { .dims = WK_DIMS(6) },
          { .dims = WK_DIMS(3, 6) }, { .dims = WK_DIMS(4), .kind = WK_SAMPLE_INDEX, .high = 3 });
    CHECK(shared, true, { .dims = WK_DIMS(2, 3), .low = 0.5, .high = 2 },
          { .dims = WK_DIMS(3), .low = 0.5, .high = 2 });
    CHECK(picked, true, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4), .kind = WK_SAMPLE_INDEX, .high = 4 });
    CHECK(pooled, true, { .dims = WK_DIMS(2, 2, 5, 4), .margin = 0.01 });
    CHECK(normalised, true, { .dims = WK_DIMS(3, 2, 2, 2) }, { .dims = WK_DIMS(2) }, { .dims = WK_DIMS(2) });
}

/* The checker itself must be able to fail. */
static wk_tensor *cut(void *context, wk_tensor *const *in, int n_in) {
    (void)context, (void)n_in;
    return wk_mul(in[0], wk_detach(in[0]));
}
Test(gradients, a_wrong_gradient_is_found) {
    wk_tensor *x = wk_require_grad(wk_kept_zeros(WK_F64, WK_DIMS(2)), true);
    ((double *)wk_data(x))[1] = 3;
    cr_assert_eq(wk_gradcheck(cut, NULL, &x, 1, (wk_gradcheck_opts){ 0 }), WK_INVALID);
    cr_assert(strstr(wk_message(), "gradcheck: first gradient of input 0, element 1: analytic 2.2082") != NULL
                  && strstr(wk_message(), ", through \"mul\"") != NULL,
              "%s", wk_message());
    wk_clear_error();
    wk_release(x);
}

/* A sigmoid in f32 reaches 0 and 1. */
Test(gradients, binary_cross_entropy_of_certainties) {
    const float p[] = { 0, 0, 1, 1 }, t[] = { 0, 1, 0, 1 };
    const double losses[] = { 0, 100, 100, 0 }, slopes[] = { 1, -1e12, 1e12, -1 };
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_require_grad(wk_keep(wk_from_array(WK_F32, WK_DIMS(4), p)), true);
    wk_tensor *loss =
        wk_binary_cross_entropy(x, wk_from_array(WK_F32, WK_DIMS(4), t), NULL, (wk_loss_opts){ WK_REDUCTION_NONE });
    cr_assert_eq(wk_backward(wk_sum(loss, (wk_reduce_opts){ 0 })), WK_OK, "%s", wk_message());
    for (int i = 0; i < 4; i++) {
        cr_expect_float_eq(wk_at(loss, i), losses[i], 1e-5, "loss %d: %g", i, wk_at(loss, i));
        double slope = wk_at(wk_gradient(x), i);
        cr_expect(slope / slopes[i] > 0.999 && slope / slopes[i] < 1.001, "gradient %d: %g", i, slope);
    }
    wk_release(x);
    wk_scope_end(scope);
}
