/* sequential.c: Sequential, and the layers without parameters. */
#define WK_NO_CALL_SITES
#include "nn/hooks.h"
#include "nn/parametrise.h"
#include "tensor/tensor.h"

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
    wk_generator *generator = wk_default_generator();
    const int64_t key[2] = { (int64_t)generator->seed, (int64_t)generator->counter++ };
    return wk_dropout(x, wk_from_array(WK_I64, WK_DIMS(2), key), (wk_dropout_opts){ p });
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

typedef struct sequential {
    wk_module base;
    wk_module **child;
    int count;
} sequential;

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
    const sequential *m = (sequential *)self;
    const wk_tensor *input = x;
    for (int i = 0; i < m->count && x; i++) {
        wk_module *child = m->child[i];
        wk_tensor *y;
        if (i + 1 < m->count && runs_activated(child, m->child[i + 1])) {
            y = run_activated(child, x, m->child[i + 1]->class_->activation);
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

static void sequential_destroy(wk_module *self) {
    wk_free(((sequential *)self)->child);
}

static const wk_module_class sequential_class = {
    .name = "Sequential", .size = sizeof(sequential), .forward = sequential_forward, .destroy = sequential_destroy
};

wk_module *wk_nn_sequential_of(wk_module *const *children, int count) {
    bool complete = !wk_failed();
    for (int i = 0; i < count; i++) complete = complete && children[i];
    sequential *m = complete ? (sequential *)wk_module_create(&sequential_class) : NULL;
    if (m) m->child = wk_alloc((size_t)(count ? count : 1) * sizeof *m->child);
    if (!m || !m->child) {
        for (int i = 0; i < count; i++) wk_module_destroy(children[i]);
        wk_module_destroy(m ? &m->base : NULL);
        if (!wk_failed()) (void)wk_fail(WK_INVALID, "Sequential: a child is NULL");
        return NULL;
    }
    for (int i = 0; i < count; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%d", i);
        m->child[i] = wk_module_add(&m->base, name, children[i]);
        if (m->child[i]) continue;
        for (int rest = i + 1; rest < count; rest++) wk_module_destroy(children[rest]);
        wk_module_destroy(&m->base);
        return NULL;
    }
    m->count = count;
    return &m->base;
}
