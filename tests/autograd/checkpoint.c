/* checkpoint.c: recomputed parts give the same bits as kept ones, with parameters, dropout, nesting and second
 * derivatives, and hold less memory. */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"
#include "support/sample.h"
#include "wick/nn.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static const wk_reduce_opts all = { .keep_dims = false };

enum { WIDTH = 24, DEPTH = 6 };

typedef struct net {
    wk_tensor *weight[DEPTH];
    bool with_dropout;
    int first, last; /* layers that one call runs */
    int depth;       /* of nesting still to come */
    int runs;
} net;

static void make(net *n, bool with_dropout) {
    *n = (net){ .with_dropout = with_dropout, .last = DEPTH };
    wk_scope scope = wk_scope_begin();
    for (int k = 0; k < DEPTH; k++) {
        wk_tensor *w = wk_empty(WK_F32, WK_DIMS(WIDTH, WIDTH));
        wk_random_uniform_f32(wk_default_generator(), wk_data(w), WIDTH * WIDTH, -0.4, 0.4);
        n->weight[k] = wk_require_grad(wk_keep(w), true);
    }
    wk_scope_end(scope);
}
static void destroy(net *n) {
    for (int k = 0; k < DEPTH; k++) wk_release(n->weight[k]);
}

static wk_status layers(void *context, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    net *n = context;
    (void)n_in, (void)n_out;
    n->runs++;
    wk_tensor *x = in[0];
    for (int k = n->first; k < n->last; k++) {
        x = wk_tanh(wk_linear(x, n->weight[k], NULL, (wk_linear_opts){ 0 }));
        if (!n->with_dropout) continue;
        wk_generator *g = wk_default_generator();
        const int64_t key[2] = { (int64_t)g->seed, (int64_t)g->counter++ };
        x = wk_dropout(x, wk_from_array(WK_I64, WK_DIMS(2), key), (wk_dropout_opts){ 0.3 });
    }
    out[0] = x;
    return x ? WK_OK : wk_error_code();
}

/* Two layers a part; a part may hold checkpoints of its own. */
static wk_status parts(void *context, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    const net *n = context;
    wk_tensor *x = in[0];
    static net part[3];
    for (int k = 0; k < 3; k++) {
        if (n->depth == 0 || part[k].weight[0] != n->weight[0]) part[k] = *n;
        part[k].first = 2 * k;
        part[k].last = 2 * k + 2;
        wk_tensor *y;
        WK_TRY(wk_checkpoint(layers, &part[k], &x, n_in, &y, n_out));
        x = y;
    }
    out[0] = x;
    return WK_OK;
}

typedef enum how { PLAIN, PARTS, NESTED, HOWS } how;

/* Gradients of all weights and of x, one after the other; the loss in front. */
typedef struct result {
    float loss, weight[DEPTH][WIDTH * WIDTH], x[5 * WIDTH];
} result;

static void run(net *n, how h, result *r) {
    wk_manual_seed(77);
    wk_scope scope = wk_scope_begin();
    float values[5 * WIDTH];
    for (int i = 0; i < 5 * WIDTH; i++) values[i] = (float)((i * 29) % 31) / 15.0F - 1;
    wk_tensor *x = wk_require_grad(wk_keep(wk_from_array(WK_F32, WK_DIMS(5, WIDTH), values)), true), *y = NULL;
    wk_tensor *doubled = wk_scale(x, 2);
    wk_status status = h == PLAIN   ? layers(n, &doubled, 1, &y, 1)
                       : h == PARTS ? parts(n, &doubled, 1, &y, 1)
                                    : wk_checkpoint(parts, n, &doubled, 1, &y, 1);
    cr_assert_eq(status, WK_OK, "%s", wk_message());
    wk_tensor *loss = wk_sum(wk_mul(y, y), all);
    r->loss = (float)wk_item(loss);
    uint64_t drawn = wk_default_generator()->counter;
    cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_default_generator()->counter, drawn, "the second run draws nothing from the stream that goes on");
    for (int k = 0; k < DEPTH; k++) {
        cr_assert_eq(wk_copy_out(wk_gradient(n->weight[k]), r->weight[k], sizeof r->weight[k]), WK_OK);
        wk_clear_grad(n->weight[k]);
    }
    cr_assert_eq(wk_copy_out(wk_gradient(x), r->x, sizeof r->x), WK_OK);
    wk_scope_end(scope);
    wk_release(x);
}

static void all_ways(bool with_dropout) {
    static result of[HOWS];
    net n;
    wk_manual_seed(1);
    make(&n, with_dropout);
    for (how h = PLAIN; h < HOWS; h++) {
        run(&n, h, &of[h]);
        cr_expect_eq(of[h].loss, of[PLAIN].loss);
        cr_expect_eq(memcmp(&of[h], &of[PLAIN], sizeof of[h]), 0, "way %d gives other bits", (int)h);
    }
    destroy(&n);
}
Test(checkpoint, gives_the_same_bits) {
    all_ways(false);
}
Test(checkpoint, gives_the_same_bits_with_dropout) {
    all_ways(true);
}

/* ---- memory ---- */

typedef struct block {
    wk_tensor *one;
    int steps;
} block;
static wk_status many_steps(void *context, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    const block *b = context;
    (void)n_in, (void)n_out;
    wk_tensor *x = in[0];
    for (int i = 0; i < b->steps; i++) x = wk_mul(wk_tanh(x), b->one);
    out[0] = x;
    return WK_OK;
}

enum { CHAIN = 16, STEPS = 16, ELEMENTS = 64 * 1024 };
/* What the context's storage cache has seen at most: every block asked for once, for freed ones wait in it. */
static void *chain(void *argument) {
    bool *checkpointed = argument;
    wk_set_threads(1);
    wk_scope scope = wk_scope_begin();
    const block b = { wk_full(WK_F32, WK_SCALAR, 0.99), STEPS };
    wk_tensor *leaf = wk_require_grad(wk_keep(wk_full(WK_F32, WK_DIMS(ELEMENTS), 0.5)), true), *x = leaf;
    for (int k = 0; k < CHAIN; k++) {
        wk_scope inner = wk_scope_begin();
        wk_tensor *y = NULL;
        if (*checkpointed)
            cr_assert_eq(wk_checkpoint(many_steps, (void *)(uintptr_t)&b, &x, 1, &y, 1), WK_OK, "%s", wk_message());
        else
            cr_assert_eq(many_steps((void *)(uintptr_t)&b, &x, 1, &y, 1), WK_OK);
        x = wk_scope_return(inner, y);
        wk_scope_end(inner);
    }
    cr_assert_eq(wk_backward(wk_sum(x, all)), WK_OK, "%s", wk_message());
    wk_scope_end(scope);
    size_t *most = wk_alloc(sizeof *most);
    *most = wk__context_slow()->cached_bytes;
    wk_release(leaf);
    return most;
}
static size_t most_of(bool checkpointed) {
    pthread_t thread;
    void *most;
    cr_assert_eq(pthread_create(&thread, NULL, chain, &checkpointed), 0);
    cr_assert_eq(pthread_join(thread, &most), 0);
    size_t bytes = *(size_t *)most;
    wk_free(most);
    return bytes;
}
Test(checkpoint, a_deep_chain_holds_less) {
    size_t kept = most_of(false), again = most_of(true);
    cr_expect_gt(kept, (size_t)CHAIN * STEPS * ELEMENTS * 4, "each tanh keeps its result");
    cr_expect_lt(again, (size_t)(CHAIN + 3 * STEPS) * ELEMENTS * 4, "%zu bytes: one part at a time", again);
}

/* ---- what is used besides the inputs ---- */

typedef struct captured {
    wk_tensor *leaf, *made;
} captured;
static wk_status with_captured(void *context, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    const captured *c = context;
    (void)n_in, (void)n_out;
    out[0] = wk_mul(wk_mul(in[0], c->leaf), c->made);
    out[1] = wk_scale(in[0], 2);
    out[2] = wk_ge(in[0], c->leaf);
    return WK_OK;
}
static wk_tensor *leaf_of(double value) {
    wk_tensor *kept = wk_kept_zeros(WK_F64, WK_DIMS(1));
    *(double *)wk_data(kept) = value;
    return wk_require_grad(kept, true);
}
static int readies;
static void count_ready(void *context, wk_tensor *leaf) {
    (void)context, (void)leaf;
    readies++;
}

Test(checkpoint, sees_leaves_and_results_that_it_captures) {
    wk_tensor *x = leaf_of(2), *w = leaf_of(3);
    wk_scope scope = wk_scope_begin();
    captured c = { w, wk_mul(w, w) };
    wk_tensor *out[3];
    cr_assert_neq(wk_on_gradient_ready(w, count_ready, NULL), 0);
    cr_assert_eq(wk_checkpoint(with_captured, &c, &x, 1, out, 3), WK_OK, "%s", wk_message());
    cr_expect_not(wk_requires_grad(out[2]), "a truth value");
    wk_tensor *y = wk_sum(wk_add(wk_add(out[0], out[1]), w), all); /* x w³ + 2 x + w */
    cr_assert_eq(wk_backward_from(y, NULL, (wk_backward_opts){ .retain_graph = true }), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_item(wk_gradient(x)), 27.0 + 2);
    cr_expect_eq(wk_item(wk_gradient(w)), 3 * 2 * 9.0 + 1);
    cr_expect_eq(readies, 1, "once, when all has come");
    cr_assert_eq(wk_backward(y), WK_OK, "retained: %s", wk_message());
    cr_expect_eq(wk_item(wk_gradient(w)), 2 * 55.0);
    cr_expect_eq(wk_backward(y), WK_STATE);
    wk_clear_error();
    wk_scope_end(scope);
    wk_release(x);
    wk_release(w);
}

Test(checkpoint, gradients_of_gradients) {
    wk_tensor *x = leaf_of(2), *w = leaf_of(3), *d[2], *dd[2];
    wk_scope scope = wk_scope_begin();
    captured c = { w, wk_mul(w, w) };
    wk_tensor *out[3], *const inputs[] = { x, w };
    cr_assert_eq(wk_checkpoint(with_captured, &c, &x, 1, out, 3), WK_OK);
    wk_tensor *y = wk_sum(wk_mul(out[0], x), all); /* x² w³ */
    cr_assert_eq(wk_grad(&y, 1, NULL, inputs, 2, d, (wk_grad_opts){ .create_graph = true }), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_item(d[0]), 2 * 2 * 27.0);
    cr_expect_eq(wk_item(d[1]), 4 * 3 * 9.0);
    cr_assert_eq(wk_grad(&d[0], 1, NULL, inputs, 2, dd, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_item(dd[0]), 2 * 27.0);
    cr_expect_eq(wk_item(dd[1]), 2 * 2 * 3 * 9.0);
    wk_scope_end(scope);
    wk_release(x);
    wk_release(w);
}

Test(checkpoint, a_weight_that_moved_is_found) {
    wk_tensor *x = leaf_of(2), *w = leaf_of(3), *out[3];
    wk_scope scope = wk_scope_begin();
    captured c = { w, wk_full(WK_F64, WK_DIMS(1), 1) };
    cr_assert_eq(wk_checkpoint(with_captured, &c, &x, 1, out, 3), WK_OK);
    cr_assert_eq(wk_copy_into(w, wk_full(WK_F64, WK_DIMS(1), 9)), WK_OK);
    cr_expect_eq(wk_backward(wk_sum(out[0], all)), WK_VERSION);
    cr_expect(strstr(wk_message(), "backward of \"checkpoint\"")
                  && strstr(wk_message(), "by the call at [wk_copy_into]"),
              "%s", wk_message());
    wk_clear_error();
    wk_scope_end(scope);
    wk_release(x);
    wk_release(w);
}

static wk_status second_time_fails(void *context, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    int *runs = context;
    (void)n_in, (void)n_out;
    if ((*runs)++ == 1) return wk_fail(WK_IO, "the second time it failed");
    out[0] = wk_mul(in[0], in[0]);
    return WK_OK;
}
static wk_status gives_nothing(void *context, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    (void)context, (void)n_in, (void)n_out;
    out[1] = wk_mul(in[0], in[0]);
    return WK_OK;
}
Test(checkpoint, functions_that_fail) {
    wk_tensor *x = leaf_of(2), *out[3];
    wk_scope scope = wk_scope_begin();
    int runs = 0;
    cr_assert_eq(wk_checkpoint(second_time_fails, &runs, &x, 1, out, 1), WK_OK);
    cr_expect_eq(wk_backward(wk_sum(out[0], all)), WK_IO);
    cr_expect(strstr(wk_message(), "the second time it failed"), "%s", wk_message());
    wk_clear_error();
    cr_expect_null(wk_gradient(x));
    struct wk_node *before = wk__context_slow()->tape;
    cr_expect_eq(wk_checkpoint(gives_nothing, NULL, &x, 1, out, 2), WK_INVALID);
    cr_expect_str_eq(wk_message(), "wk_checkpoint: the function gave no result 0");
    cr_expect(!out[0] && !out[1] && wk__context_slow()->tape == before);
    wk_clear_error();
    cr_expect_eq(wk_checkpoint(gives_nothing, NULL, &x, 1, out, 0), WK_INVALID);
    wk_clear_error();
    bool was = wk_no_grad_begin();
    runs = 0;
    cr_assert_eq(wk_checkpoint(second_time_fails, &runs, &x, 1, out, 1), WK_OK);
    cr_expect_not(wk_requires_grad(out[0]));
    wk_no_grad_end(was);
    wk_scope_end(scope);
    wk_release(x);
}
