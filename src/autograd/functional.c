/* functional.c: derivatives of a function of tensors: products with Jacobians and Hessians, and the matrices whole.
 *
 * Each of these runs the function on stand-ins for its inputs, cut off from whatever graph those are part of, and takes
 * from the tape at the end what it noted: nothing is left behind but plain results.
 */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"
#include "wick/ops.h"

#include <string.h>

enum { MOST = WK_MAX_ARGUMENTS };

typedef struct application {
    const char *who;
    wk_context *context;
    wk_scope scope;
    struct wk_node *before;
    bool was;
    wk_tensor *in[MOST], *out[MOST];
    int n_in, n_out;
} application;

static wk_status check_inputs(const application *a, wk_tensor *const *in) {
    char text[160];
    if (a->n_in < 1 || a->n_in > MOST || a->n_out < 1 || a->n_out > MOST)
        return wk_fail(WK_INVALID, "%s: %d inputs and %d results, expected 1 to %d of each", a->who, a->n_in, a->n_out,
                       MOST);
    for (int i = 0; i < a->n_in; i++) {
        if (!in[i]) return wk_fail(WK_INVALID, "%s: input %d is NULL", a->who, i);
        if (!wk_dtype_is_float((wk_dtype)in[i]->dtype))
            return wk_fail(WK_DTYPE, "%s: input %d is %s, expected floats", a->who, i,
                           wk_describe(in[i], text, sizeof text));
        if (in[i]->device)
            return wk_fail(WK_DEVICE, "%s: input %d is %s, expected the CPU", a->who, i,
                           wk_describe(in[i], text, sizeof text));
    }
    return WK_OK;
}

/* A variable that is known by its place on the tape, as copies of its header are too. */
static wk_tensor *variable(wk_tensor *value) {
    return wk__stand_in(wk__stand_in(value, true, false), true, true);
}

static void begin(application *a) {
    a->context = wk__context();
    a->before = a->context->tape;
    a->scope = wk_scope_begin();
    a->was = wk_enable_grad_begin();
}

static wk_status end(application *a, wk_status status) {
    wk_enable_grad_end(a->was);
    wk_scope_end(a->scope);
    if (a->context->scope) wk__tape_cut(a->context, a->before);
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}

/* Run the function inside begin and end. */
static wk_status run(application *a, wk_function function, void *user, wk_tensor *const *in) {
    if (!a->scope.record) return wk_error_code();
    for (int i = 0; i < a->n_in; i++) {
        a->in[i] = variable(in[i]);
        if (!a->in[i]) return wk_error_code();
    }
    WK_TRY(function(user, a->in, a->n_in, a->out, a->n_out));
    if (wk_failed()) return wk_error_code();
    for (int k = 0; k < a->n_out; k++)
        if (!a->out[k]) return wk_fail(WK_INVALID, "%s: the function gave no result %d", a->who, k);
    return WK_OK;
}

/* Into the scope around, in no graph; zeros like another tensor where there is nothing. */
static wk_status hand_out(const application *a, const wk_tensor *tensor, const wk_tensor *like, wk_tensor **result) {
    wk__scope *inner = a->context->scope;
    a->context->scope = inner->outer;
    *result = tensor ? wk__header_copy(a->context, tensor) : wk_zeros((wk_dtype)like->dtype, wk__dims(like));
    a->context->scope = inner;
    if (!*result) return wk_error_code();
    (*result)->node = NULL;
    (*result)->leaf = NULL;
    (*result)->flags &= (uint8_t)~WK_TENSOR_REQUIRES_GRAD;
    return WK_OK;
}

static wk_status hand_out_results(const application *a, wk_tensor **out) {
    for (int k = 0; out && k < a->n_out; k++) WK_TRY(hand_out(a, a->out[k], NULL, &out[k]));
    return WK_OK;
}

static wk_status check_alike(const application *a, const char *what, wk_tensor *const *given, wk_tensor *const *like,
                             int count) {
    for (int i = 0; i < count; i++) {
        char one[160], other[160];
        bool fits = given[i] && given[i]->rank == like[i]->rank && given[i]->dtype == like[i]->dtype;
        for (int axis = 0; fits && axis < like[i]->rank; axis++) fits = given[i]->shape[axis] == like[i]->shape[axis];
        if (!fits)
            return wk_fail(WK_SHAPE, "%s: %s %d is %s, expected %s", a->who, what, i,
                           wk_describe(given[i], one, sizeof one), wk_describe(like[i], other, sizeof other));
    }
    return WK_OK;
}

static wk_status check_one_element(const application *a) {
    char text[160];
    if (a->out[0]->count == 1) return WK_OK;
    return wk_fail(WK_SHAPE, "%s: the function's result is %s, expected one element", a->who,
                   wk_describe(a->out[0], text, sizeof text));
}

/* Gradients of some tensors with respect to others; those that depend on nothing are left out. */
static wk_status walk(wk_tensor *const *outputs, wk_tensor *const *seeds, int n_outputs, wk_tensor *const *inputs,
                      int n_inputs, wk_tensor **gradients, wk_grad_opts opts) {
    return wk__gradients(&(wk__request){ .outputs = outputs,
                                         .seeds = seeds,
                                         .n_outputs = n_outputs,
                                         .inputs = inputs,
                                         .gradients = gradients,
                                         .n_inputs = n_inputs,
                                         .retain = opts.retain_graph,
                                         .create = opts.create_graph,
                                         .in_parts = true });
}

static wk_tensor *ones_like(const wk_tensor *tensor) {
    return wk_full((wk_dtype)tensor->dtype, wk__dims(tensor), 1);
}

/* ---- products ---- */

static wk_status vjp(application *a, wk_function function, void *user, wk_tensor *const *in, wk_tensor **out,
                     wk_tensor *const *cotangents, wk_tensor **gradients) {
    wk_tensor *seeds[MOST], *found[MOST];
    WK_TRY(run(a, function, user, in));
    if (cotangents) WK_TRY(check_alike(a, "cotangent", cotangents, a->out, a->n_out));
    for (int k = 0; k < a->n_out; k++) {
        if (!cotangents && a->n_out == 1) WK_TRY(check_one_element(a));
        seeds[k] = cotangents ? cotangents[k] : ones_like(a->out[k]);
    }
    WK_TRY(walk(a->out, seeds, a->n_out, a->in, a->n_in, found, (wk_grad_opts){ 0 }));
    for (int i = 0; i < a->n_in; i++) WK_TRY(hand_out(a, found[i], in[i], &gradients[i]));
    return hand_out_results(a, out);
}

wk_status wk_vjp(wk_function function, void *user, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out,
                 wk_tensor *const *cotangents, wk_tensor **gradients) {
    application a = { .who = "wk_vjp", .n_in = n_in, .n_out = n_out };
    if (wk_failed()) return WK_PENDING;
    WK_TRY(check_inputs(&a, in));
    begin(&a);
    return end(&a, vjp(&a, function, user, in, out, cotangents, gradients));
}

static wk_status jvp(application *a, wk_function function, void *user, wk_tensor *const *in, wk_tensor *const *tangents,
                     wk_tensor **out, wk_tensor **products) {
    const wk_grad_opts create = { .create_graph = true };
    wk_tensor *seeds[MOST], *found[MOST], *product[MOST];
    WK_TRY(check_alike(a, "tangent", tangents, in, a->n_in));
    WK_TRY(run(a, function, user, in));
    for (int k = 0; k < a->n_out; k++) {
        seeds[k] = variable(wk_zeros((wk_dtype)a->out[k]->dtype, wk__dims(a->out[k])));
        if (!seeds[k]) return wk_error_code();
    }
    WK_TRY(walk(a->out, seeds, a->n_out, a->in, a->n_in, found, create));
    WK_TRY(walk(found, tangents, a->n_in, seeds, a->n_out, product, (wk_grad_opts){ 0 }));
    for (int k = 0; k < a->n_out; k++) WK_TRY(hand_out(a, product[k], a->out[k], &products[k]));
    return hand_out_results(a, out);
}

wk_status wk_jvp(wk_function function, void *user, wk_tensor *const *in, int n_in, wk_tensor *const *tangents,
                 wk_tensor **out, int n_out, wk_tensor **products) {
    application a = { .who = "wk_jvp", .n_in = n_in, .n_out = n_out };
    if (wk_failed()) return WK_PENDING;
    WK_TRY(check_inputs(&a, in));
    begin(&a);
    return end(&a, jvp(&a, function, user, in, tangents, out, products));
}

/* The gradient of a scalar function, noted. */
static wk_status noted_gradient(application *a, wk_function function, void *user, wk_tensor *const *in,
                                wk_tensor **gradients) {
    WK_TRY(run(a, function, user, in));
    WK_TRY(check_one_element(a));
    wk_tensor *one = ones_like(a->out[0]);
    if (!one) return wk_error_code();
    return walk(a->out, &one, 1, a->in, a->n_in, gradients, (wk_grad_opts){ .create_graph = true });
}

static wk_status hvp(application *a, wk_function function, void *user, wk_tensor *const *in, wk_tensor *const *vectors,
                     wk_tensor **products) {
    wk_tensor *first[MOST], *second[MOST];
    WK_TRY(check_alike(a, "vector", vectors, in, a->n_in));
    WK_TRY(noted_gradient(a, function, user, in, first));
    WK_TRY(walk(first, vectors, a->n_in, a->in, a->n_in, second, (wk_grad_opts){ 0 }));
    for (int i = 0; i < a->n_in; i++) WK_TRY(hand_out(a, second[i], in[i], &products[i]));
    return WK_OK;
}

wk_status wk_hvp(wk_function function, void *user, wk_tensor *const *in, int n_in, wk_tensor *const *vectors,
                 wk_tensor **products) {
    application a = { .who = "wk_hvp", .n_in = n_in, .n_out = 1 };
    if (wk_failed()) return WK_PENDING;
    WK_TRY(check_inputs(&a, in));
    begin(&a);
    return end(&a, hvp(&a, function, user, in, vectors, products));
}

/* ---- matrices ---- */

/* Element `e` of a gradient's place: row e of `matrix`. */
static wk_status put_row(wk_tensor *matrix, int64_t e, wk_tensor *gradient) {
    if (!gradient) return WK_OK; /* zeros */
    wk_tensor *whole = wk_contiguous(gradient);
    if (!whole) return wk_error_code();
    size_t bytes = (size_t)whole->count * wk_dtype_size((wk_dtype)whole->dtype);
    if (bytes) memcpy((char *)matrix->data + (size_t)e * bytes, whole->data, bytes);
    return WK_OK;
}

static wk_dims joined(const wk_tensor *rows, const wk_tensor *columns) {
    wk_dims dims = { .rank = rows->rank + columns->rank };
    for (int i = 0; i < dims.rank && i < WK_MAX_RANK; i++)
        dims.size[i] = i < rows->rank ? rows->shape[i] : columns->shape[i - rows->rank];
    return dims;
}

/* Jacobians of one tensor with respect to the inputs, in the scope around. */
static wk_status fill_rows(application *a, wk_tensor *y, wk_tensor **jacobians) {
    wk__scope *inner = a->context->scope;
    a->context->scope = inner->outer;
    for (int i = 0; i < a->n_in; i++) jacobians[i] = wk_zeros((wk_dtype)a->in[i]->dtype, joined(y, a->in[i]));
    a->context->scope = inner;
    wk_tensor *seed = wk_zeros((wk_dtype)y->dtype, wk__dims(y));
    if (!seed || wk_failed()) return wk_error_code();
    for (int64_t e = 0; e < y->count; e++) {
        wk_tensor *row[MOST];
        wk_scope scope = wk_scope_begin();
        wk__element_set(seed->data, (wk_dtype)y->dtype, e, 1);
        wk_status status = walk(&y, &seed, 1, a->in, a->n_in, row, (wk_grad_opts){ .retain_graph = true });
        wk__element_set(seed->data, (wk_dtype)y->dtype, e, 0);
        for (int i = 0; i < a->n_in && status == WK_OK; i++) status = put_row(jacobians[i], e, row[i]);
        wk_scope_end(scope);
        WK_TRY(status);
    }
    return WK_OK;
}

static wk_status jacobian(application *a, wk_function function, void *user, wk_tensor *const *in,
                          wk_tensor **jacobians) {
    WK_TRY(run(a, function, user, in));
    return fill_rows(a, a->out[0], jacobians);
}

wk_status wk_jacobian(wk_function function, void *user, wk_tensor *const *in, int n_in, wk_tensor **jacobians) {
    application a = { .who = "wk_jacobian", .n_in = n_in, .n_out = 1 };
    if (wk_failed()) return WK_PENDING;
    WK_TRY(check_inputs(&a, in));
    begin(&a);
    return end(&a, jacobian(&a, function, user, in, jacobians));
}

static wk_status hessian(application *a, wk_function function, void *user, wk_tensor *const *in, wk_tensor **hessians) {
    wk_tensor *first[MOST] = { NULL };
    WK_TRY(noted_gradient(a, function, user, in, first));
    for (int i = 0; i < a->n_in; i++) {
        if (!first[i]) first[i] = wk_zeros((wk_dtype)in[i]->dtype, wk__dims(in[i]));
        if (!first[i]) return wk_error_code();
        WK_TRY(fill_rows(a, first[i], hessians + (ptrdiff_t)i * a->n_in));
    }
    return WK_OK;
}

wk_status wk_hessian(wk_function function, void *user, wk_tensor *const *in, int n_in, wk_tensor **hessians) {
    application a = { .who = "wk_hessian", .n_in = n_in, .n_out = 1 };
    if (wk_failed()) return WK_PENDING;
    WK_TRY(check_inputs(&a, in));
    begin(&a);
    return end(&a, hessian(&a, function, user, in, hessians));
}

/* ---- sample by sample ---- */

static wk_status one_sample(application *a, wk_function function, void *user, wk_tensor *const *in, int64_t s,
                            wk_tensor *const *parameters, int n_parameters, wk_tensor **gradients) {
    wk_tensor *sample[MOST], **found = wk__arena_take(&a->context->arena, (size_t)n_parameters * sizeof *found);
    if (!found) return WK_NO_MEMORY;
    for (int i = 0; i < a->n_in; i++) sample[i] = wk_detach(wk_slice(in[i], 0, s, s + 1, 1));
    WK_TRY(function(user, sample, a->n_in, a->out, 1));
    if (wk_failed()) return wk_error_code();
    if (!a->out[0]) return wk_fail(WK_INVALID, "%s: the function gave no result", a->who);
    WK_TRY(check_one_element(a));
    wk_tensor *one = ones_like(a->out[0]);
    if (!one) return wk_error_code();
    WK_TRY(walk(a->out, &one, 1, parameters, n_parameters, found, (wk_grad_opts){ 0 }));
    for (int p = 0; p < n_parameters; p++) WK_TRY(put_row(gradients[p], s, found[p]));
    return WK_OK;
}

static wk_status check_batch(const application *a, wk_tensor *const *in, wk_tensor *const *parameters,
                             int n_parameters) {
    char text[160];
    if (a->n_in < 1 || a->n_in > MOST)
        return wk_fail(WK_INVALID, "%s: %d inputs, expected 1 to %d", a->who, a->n_in, MOST);
    for (int i = 0; i < a->n_in; i++)
        if (!in[i] || in[i]->rank < 1 || in[i]->shape[0] != in[0]->shape[0])
            return wk_fail(WK_SHAPE, "%s: input %d is %s, expected a batch (N, …), N the same for all", a->who, i,
                           wk_describe(in[i], text, sizeof text));
    for (int p = 0; p < n_parameters; p++)
        if (!parameters[p] || !wk__wants_grad(parameters[p]))
            return wk_fail(WK_INVALID, "%s: parameter %d, %s, wants no gradient", a->who, p,
                           wk_describe(parameters[p], text, sizeof text));
    return WK_OK;
}

wk_status wk_per_sample_grads(wk_function function, void *user, wk_tensor *const *in, int n_in,
                              wk_tensor *const *parameters, int n_parameters, wk_tensor **gradients) {
    application a = { .who = "wk_per_sample_grads", .n_in = n_in, .n_out = 1 };
    if (wk_failed()) return WK_PENDING;
    WK_TRY(check_batch(&a, in, parameters, n_parameters));
    int64_t samples = in[0]->shape[0];
    for (int p = 0; p < n_parameters; p++) {
        const wk_tensor axis = { .rank = 1, .shape = { samples } };
        gradients[p] = wk_zeros((wk_dtype)parameters[p]->dtype, joined(&axis, parameters[p]));
        if (!gradients[p]) return wk_error_code();
    }
    for (int64_t s = 0; s < samples; s++) {
        begin(&a);
        wk_status status = a.scope.record ? one_sample(&a, function, user, in, s, parameters, n_parameters, gradients)
                                          : wk_error_code();
        WK_TRY(end(&a, status));
    }
    return WK_OK;
}
