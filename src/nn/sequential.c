/* sequential.c: Sequential, and the layers without parameters. */
#define WK_NO_CALL_SITES
#include "nn/hooks.h"
#include "nn/parametrise.h"
#include "nn/support.h"

/* ---- layers without parameters ---- */

static wk_tensor *flatten_forward(wk_module *self, wk_tensor *x) {
    (void)self;
    return wk_flatten(x, 1);
}
static const wk_module_class flatten_class = { .name = "Flatten",
                                               .size = sizeof(wk_module),
                                               .forward = flatten_forward };
wk_module *wk_nn_flatten(void) {
    return wk_failed() ? NULL : wk_module_create(&flatten_class);
}

typedef struct dropout {
    wk_module base;
    double p;
} dropout;
static wk_tensor *dropout_forward(wk_module *self, wk_tensor *x) {
    double p = ((dropout *)self)->p;
    if (!self->training || p == 0) return x;
    return wk_dropout(x, wk_random_key(), (wk_dropout_opts){ p });
}
static void dropout_describe(const wk_module *self, char *buffer, size_t size) {
    (void)snprintf(buffer, size, "p=%g", ((const dropout *)self)->p);
}
static const wk_module_class dropout_class = {
    .name = "Dropout", .size = sizeof(dropout), .forward = dropout_forward, .describe = dropout_describe
};
wk_module *wk_nn_dropout(double p) {
    if (wk_failed()) return NULL;
    if (!(p >= 0 && p < 1)) return wk_fail_null(WK_INVALID, "Dropout: p is %g, expected 0 ≤ p < 1", p);
    dropout *m = (dropout *)wk_module_create(&dropout_class);
    if (m) m->p = p;
    return m ? &m->base : NULL;
}

/* ---- Sequential ---- */

/* A child that can end with an activation, followed by the activation alone: one operation, one pass less over memory
 * (measured on the convolutions of `cnn`: the separate ReLU costs two passes over 9.4 MB forward). */
static wk_tensor *run_activated(wk_module *child, wk_tensor *x, int activation) {
    wk_context *context = wk__context();
    const char *outer = context->layer;
    context->layer = child->path;
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = wk_scope_return(scope, child->class_->forward_activated(child, x, activation));
    wk_scope_end(scope);
    context->layer = outer;
    return y;
}

/* Hooks want to see both results. */
static bool runs_activated(wk_module *child, wk_module *activation) {
    return child->class_->forward_activated && activation->class_->activation && !*wk__module_hooks(child)
           && !*wk__module_hooks(activation) && !*wk__module_parametrised(child);
}

static wk_tensor *sequential_forward(wk_module *self, wk_tensor *x) {
    const wk_tensor *input = x;
    const int count = wk_module_count(self);
    for (int i = 0; i < count && x; i++) {
        wk_module *child = wk_module_child(self, i), *next = wk_module_child(self, i + 1);
        wk_tensor *y;
        if (next && runs_activated(child, next)) {
            y = run_activated(child, x, next->class_->activation);
            i++;
        } else {
            y = wk_forward(child, x);
        }
        /* What backward needs, the tape holds; this name for it is gone. */
        if (x != input && x != y) wk__tensor_drop(x);
        x = y;
    }
    return x;
}

static const wk_module_class sequential_class = { .name = "Sequential",
                                                  .size = sizeof(wk_module),
                                                  .forward = sequential_forward };

wk_module *wk_nn_sequential_of(wk_module *const *children, int count) {
    return wk__module_of(&sequential_class, NULL, children, count);
}
