/* sequential.c: Sequential, and the layers without parameters. */
#define WK_NO_CALL_SITES
#include "nn/freeze.h"
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
static bool dropout_passes(const wk_module *self) {
    return !self->training || ((const dropout *)self)->p == 0;
}
static const wk_module_class dropout_class = { .name = "Dropout",
                                               .size = sizeof(dropout),
                                               .forward = dropout_forward,
                                               .describe = dropout_describe,
                                               .passes = dropout_passes };
wk_module *wk_nn_dropout(double p) {
    if (wk_failed()) return NULL;
    if (!(p >= 0 && p < 1)) return wk_fail_null(WK_INVALID, "Dropout: p is %g, expected 0 ≤ p < 1", p);
    dropout *m = (dropout *)wk_module_create(&dropout_class);
    if (m) m->p = p;
    return m ? &m->base : NULL;
}

/* ---- a layer and the activation behind it ---- */

bool wk__passes(wk_module *module) {
    return module->class_->passes && module->class_->passes(module) && !*wk__module_hooks(module);
}

/* A layer that can end with an activation: one operation, one pass less over memory (measured on the convolutions of
 * `cnn`: the separate ReLU costs two passes over 9.4 MB forward). */
static wk_tensor *run_activated(wk_module *layer, wk_tensor *x, int activation) {
    wk_context *context = wk__context();
    const char *outer = context->layer;
    context->layer = layer->path;
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = wk_scope_return(scope, layer->class_->forward_activated(layer, x, activation));
    wk_scope_end(scope);
    context->layer = outer;
    return y;
}

/* Hooks want to see both results. */
static bool runs_activated(wk_module *layer) {
    return layer->class_->forward_activated && !*wk__module_hooks(layer) && !*wk__module_parametrised(layer);
}

wk_tensor *wk_forward_activated(wk_module *layer, wk_module *norm, wk_tensor *x, int activation) {
    if (wk_failed() || !layer || !x) return NULL;
    if (activation != WK_ACTIVATION_NONE && activation != WK_ACTIVATION_RELU)
        return wk_fail_null(WK_INVALID, "wk_forward_activated: activation is %d, expected one of wk_activation",
                            activation);
    bool alone = !norm || wk__passes(norm);
    if (alone && activation && runs_activated(layer)) return run_activated(layer, x, activation);
    wk_tensor *y = wk_forward(layer, x);
    if (!alone) y = wk_forward(norm, y);
    return activation ? wk_relu(y) : y;
}

/* ---- Sequential ---- */

/* The first child from i on that does something; NULL: none. */
static wk_module *next_of(wk_module *self, int *i) {
    wk_module *child = wk_module_child(self, *i);
    while (child && wk__passes(child)) child = wk_module_child(self, ++*i);
    return child;
}

static wk_tensor *sequential_forward(wk_module *self, wk_tensor *x) {
    const wk_tensor *input = x;
    int i = 0;
    for (wk_module *child = next_of(self, &i), *next; child && x; child = next) {
        wk_tensor *y;
        i++;
        next = next_of(self, &i);
        if (next && next->class_->activation && !*wk__module_hooks(next) && runs_activated(child)) {
            y = run_activated(child, x, next->class_->activation);
            i++;
            next = next_of(self, &i);
        } else {
            y = wk_forward(child, x);
        }
        /* What backward needs, the tape holds; this name for it is gone. */
        if (x != input && x != y) wk__tensor_drop(x);
        x = y;
    }
    return x;
}

/* Neighbours see each other's results whole. */
static wk_status sequential_freeze(wk_module *self, const wk_freeze_opts *opts) {
    (void)opts;
    for (int i = 0; i + 1 < wk_module_count(self); i++)
        WK_TRY(wk_module_fold(wk_module_child(self, i), wk_module_child(self, i + 1)));
    return WK_OK;
}

static const wk_module_class sequential_class = {
    .name = "Sequential", .size = sizeof(wk_module), .forward = sequential_forward, .freeze = sequential_freeze
};

wk_module *wk_nn_sequential_of(wk_module *const *children, int count) {
    return wk__module_of(&sequential_class, NULL, children, count);
}
