/* recompute.c: blocks that backward runs again: the same bits, less memory. */
#define WK_NO_CALL_SITES
#include "models/check.h"
#include "wick/autograd.h"
#include "wick/ops.h"
#include "wick/random.h"

#include <stdlib.h>
#include <string.h>

/* ---- bytes that are held, and the most ---- */

static int64_t held, most;

static void *take(void *context, size_t size, size_t alignment) {
    (void)context;
    void *memory = NULL;
    if (posix_memalign(&memory, alignment, size) != 0) return NULL;
    held += (int64_t)size;
    if (held > most) most = held;
    return memory;
}
static void give_back(void *context, void *memory, size_t size) {
    (void)context;
    held -= memory ? (int64_t)size : 0;
    free(memory);
}

/* ---- one step ---- */

typedef struct subject {
    wk_module *(*make)(void);
    wk_tensor *(*loss)(wk_module *m);
    int blocks;
    bool by_weights; /* a few small images: weights and their gradients are what takes memory */
} subject;

typedef struct outcome {
    double loss;
    uint64_t gradients, buffers; /* digests */
    int64_t bytes;
} outcome;

static uint64_t digest(uint64_t so_far, wk_tensor *tensor) {
    const unsigned char *bytes = wk_data(tensor);
    for (size_t i = 0; i < (size_t)wk_count(tensor) * wk_dtype_size(wk_dtype_get(tensor)); i++)
        so_far = (so_far ^ bytes[i]) * UINT64_C(0x100000001b3);
    return so_far;
}

static outcome step(const subject *s, bool recompute) {
    outcome o = { .gradients = 1, .buffers = 1 };
    wk_manual_seed(5);
    wk_module *m = s->make();
    cr_assert_not_null(m, "%s", wk_message());
    cr_assert_eq(wk_module_recompute(m, recompute), s->blocks);
    for (int again = 0; again < 2; again++) { /* the first makes the memory of gradients */
        wk_memory_trim();
        most = held;
        int64_t before = held;
        wk_scope scope = wk_scope_begin();
        wk_named_tensors p = wk_parameters(m);
        for (int i = 0; i < p.count; i++) wk_clear_grad(p.tensor[i]);
        wk_tensor *loss = s->loss(m);
        cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
        o.loss = wk_item(loss);
        wk_scope_end(scope);
        o.bytes = most - before;
    }
    wk_named_tensors p = wk_parameters(m), all = wk_state(m);
    for (int i = 0; i < p.count; i++)
        if (wk_gradient(p.tensor[i])) o.gradients = digest(o.gradients, wk_gradient(p.tensor[i]));
    for (int i = 0; i < all.count; i++) o.buffers = digest(o.buffers, all.tensor[i]);
    wk_module_destroy(m);
    return o;
}

static void check(subject s) {
    wk_set_allocator(&(wk_allocator){ take, give_back, NULL });
    outcome kept = step(&s, false), again = step(&s, true);
    cr_expect_eq(kept.loss, again.loss, "loss %.9g, recomputed %.9g", kept.loss, again.loss);
    cr_expect_eq(kept.gradients, again.gradients, "other gradients");
    cr_expect_eq(kept.buffers, again.buffers, "other running statistics");
    if (s.by_weights) return;
    cr_expect_lt((double)again.bytes, 0.75 * (double)kept.bytes, "%lld bytes, recomputed %lld", (long long)kept.bytes,
                 (long long)again.bytes);
}

/* ---- models ---- */

static wk_tensor *mean_square(wk_tensor *y) {
    return wk_mean(wk_square(y), (wk_reduce_opts){ .keep_dims = false });
}

static wk_module *resnet(void) {
    return wk_resnet((wk_resnet_opts){ .depth = 18, .classes = 10, .small_images = true });
}
static wk_tensor *resnet_loss(wk_module *m) {
    return mean_square(wk_forward(m, model_wave(WK_DIMS(2, 3, 16, 16))));
}
Test(recompute, of_a_resnet) {
    check((subject){ resnet, resnet_loss, 8, true });
}

/* With dropout: the second run draws the same masks. */
static wk_module *gpt2(void) {
    return wk_gpt2((wk_gpt2_opts){ .layers = 6, .heads = 4, .width = 64, .vocabulary = 50, .context = 64 });
}
static wk_tensor *gpt2_loss(wk_module *m) {
    wk_tensor *tokens = model_tokens(50, WK_DIMS(4, 64));
    return wk_gpt2_loss(m, tokens, tokens, (wk_linear_cross_entropy_opts){ .chunk = 32 });
}
Test(recompute, of_gpt2) {
    check((subject){ gpt2, gpt2_loss, 6, false });
}

static wk_module *bert(void) {
    return wk_bert((wk_bert_opts){ .layers = 6, .heads = 4, .width = 64, .vocabulary = 50, .context = 64 });
}
static wk_tensor *bert_loss(wk_module *m) {
    wk_tensor *mask = wk_full(WK_I64, WK_DIMS(4, 64), 1);
    return mean_square(
        wk_bert_run(m, model_tokens(50, WK_DIMS(4, 64)), (wk_bert_inputs){ .attention_mask = mask }, NULL));
}
Test(recompute, of_bert) {
    check((subject){ bert, bert_loss, 6, false });
}

Test(recompute, of_a_model_without_blocks_is_nothing) {
    wk_module *m = wk_mlp((wk_mlp_opts){ .in_features = 4 });
    cr_expect_eq(wk_module_recompute(m, true), 0);
    wk_module_destroy(m);
}
