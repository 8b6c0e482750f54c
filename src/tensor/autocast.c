/* autocast.c: mixed precision as a mode: which rows compute in a half type, which in f32, and the casts.
 *
 * A row's class is what its definition says, or what the lists here say: the lists of torch.autocast, joined for CPU
 * and CUDA (where they differ, CUDA's).  Weights are cast once: the cast of a leaf is kept, in the scope where the
 * outermost autocast began, until that ends, the leaf's memory changes, or a backward consumed its node.  Where the
 * leaf's optimizer writes it along with the weight (autograd/half.c), it is a view.
 */
#define WK_NO_CALL_SITES
#include "tensor/registry.h"
#include "wick/ops.h"

#include <string.h>

static const char *const low[] = { "matmul",
                                   "linear",
                                   "addmm",
                                   "baddbmm",
                                   "outer_product",
                                   "conv1d",
                                   "conv2d",
                                   "conv3d",
                                   "conv_transpose1d",
                                   "conv_transpose2d",
                                   "conv_transpose3d",
                                   "prelu",
                                   "scaled_dot_product_attention",
                                   "rnn",
                                   "lstm",
                                   "gru",
                                   "einsum",
                                   NULL };
static const char *const wide[] = {
    /* powers and logarithms */
    "pow", "rpow", "reciprocal", "rsqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "acos", "asin",
    "cosh", "sinh", "tan", "erfinv", "softplus",
    /* sums of many terms */
    "sum", "prod", "cumsum", "cumprod", "norm", "p_norm", "vector_norm", "renorm", "normalize", "logsumexp", "cdist",
    "dist", "pdist", "softmax", "softmin", "log_softmax", "layer_norm", "group_norm", "rms_norm",
    /* losses */
    "cross_entropy", "nll_loss", "bce_with_logits", "l1_loss", "mse_loss", "huber_loss", "smooth_l1_loss", "kl_div",
    "poisson_nll_loss", "gaussian_nll_loss", "hinge_embedding_loss", "margin_ranking_loss", "soft_margin_loss",
    "multi_margin_loss", "multilabel_margin_loss", "triplet_margin_loss", "cosine_embedding_loss", "cosine_similarity",
    "ctc_loss", NULL
};
static const char *const widest[] = { "addcdiv",    "addcmul",     "atan2",       "bilinear",  "cross",
                                      "dot",        "concat",      "stack",       "index_put", "index_add",
                                      "index_copy", "scatter_add", "grid_sample", "tensordot", NULL };

static bool is_listed(const char *const *names, const char *name) {
    for (; *names; names++)
        if (strcmp(*names, name) == 0) return true;
    return false;
}

void wk__autocast_classify(wk_op_def *op) {
    if (op->dtype.autocast != WK_CAST_AS_IS) return;
    if (is_listed(low, op->name)) op->dtype.autocast = WK_CAST_LOW;
    if (is_listed(wide, op->name)) op->dtype.autocast = WK_CAST_F32;
    if (is_listed(widest, op->name)) op->dtype.autocast = WK_CAST_WIDEST;
}

/* ---- the mode ---- */

wk_autocast wk_autocast_begin(wk_dtype dtype, bool enabled) {
    wk_context *context = wk__context();
    if (!context) return (wk_autocast){ 0 };
    wk_autocast was = { (context->mode & WK__MODE_AUTOCAST) != 0, context->autocast.dtype };
    if (enabled && dtype != WK_BF16 && dtype != WK_F16) {
        (void)wk_fail(WK_DTYPE, "wk_autocast_begin: %s, expected bf16 or f16", wk_dtype_name(dtype));
        enabled = false;
    }
    if (context->autocast.depth++ == 0) context->autocast.scope = context->scope;
    context->autocast.dtype = dtype;
    context->mode = enabled ? context->mode | WK__MODE_AUTOCAST : context->mode & ~(uint32_t)WK__MODE_AUTOCAST;
    return was;
}

void wk_autocast_end(wk_autocast was) {
    wk_context *context = wk__context();
    if (!context || context->autocast.depth == 0) return;
    context->autocast.dtype = was.dtype;
    context->mode = was.enabled ? context->mode | WK__MODE_AUTOCAST : context->mode & ~(uint32_t)WK__MODE_AUTOCAST;
    if (--context->autocast.depth > 0) return;
    context->autocast.scope = NULL;
    wk__autocast_forget(context);
}

bool wk_autocast_is_on(void) {
    wk_context *context = wk__context();
    return context && (context->mode & WK__MODE_AUTOCAST);
}

/* ---- casts of weights ---- */

void wk__autocast_forget(wk_context *context) {
    wk__autocast *a = &context->autocast;
    wk_free(a->cache);
    a->cache = NULL;
    a->used = a->capacity = 0;
}

static size_t slot_of(const wk__autocast *a, const wk_tensor *leaf) {
    size_t mask = (size_t)a->capacity - 1, at = ((uintptr_t)leaf >> 6) * UINT64_C(0x9E3779B97F4A7C15) >> 20 & mask;
    while (a->cache[at].leaf && a->cache[at].leaf != leaf) at = (at + 1) & mask;
    return at;
}

/* Room for one more, at most half full; false with an error pending. */
static bool make_room(wk__autocast *a) {
    if (2 * (a->used + 1) <= a->capacity) return true;
    wk__autocast bigger = { .capacity = a->capacity ? 2 * a->capacity : 64 };
    bigger.cache = wk_alloc((size_t)bigger.capacity * sizeof *bigger.cache);
    if (!bigger.cache) return false;
    for (int i = 0; i < a->capacity; i++)
        if (a->cache[i].leaf) bigger.cache[slot_of(&bigger, a->cache[i].leaf)] = a->cache[i];
    wk_free(a->cache);
    a->cache = bigger.cache;
    a->capacity = bigger.capacity;
    return true;
}

wk_tensor *wk__autocast_leaf(wk_context *context, wk_tensor *leaf, wk_dtype dtype) {
    wk__leaf_wish_half(leaf, dtype);
    wk_tensor *half = wk__leaf_half(leaf, dtype);
    if (WK_UNLIKELY(context->mode & WK__MODE_CAPTURE)) wk__capture_half(context, leaf, dtype, half);
    return half ? wk__kept_cast(leaf, half) : wk_cast(leaf, dtype);
}

/* The cast of a leaf, in the scope where autocast began. */
static wk_tensor *cast_leaf(wk_context *context, wk_tensor *leaf) {
    wk__autocast *a = &context->autocast;
    if (!make_room(a)) return NULL;
    wk__cast_of_leaf *entry = &a->cache[slot_of(a, leaf)];
    bool is_known = entry->leaf == leaf && entry->version == leaf->storage->version && entry->storage == leaf->storage;
    if (is_known && entry->cast->dtype == a->dtype && entry->cast->life == WK__ALIVE) return entry->cast;
    wk__scope *here = context->scope;
    context->scope = a->scope;
    wk_tensor *cast = wk__autocast_leaf(context, leaf, a->dtype);
    context->scope = here;
    if (!cast) return NULL;
    if (!entry->leaf) a->used++;
    *entry = (wk__cast_of_leaf){ leaf, leaf->storage, leaf->storage->version, cast };
    return cast;
}

/* A weight, or one that is turned: its cast turned. */
static wk_tensor *cast_operand(wk_context *context, wk_tensor *tensor, wk_dtype dtype) {
    const bool keeps = dtype == context->autocast.dtype && context->autocast.scope;
    if (!keeps || !wk__wants_grad(tensor) || context->mode & WK__MODE_NO_GRAD) return wk_cast(tensor, dtype);
    if (tensor->leaf) return cast_leaf(context, tensor);
    wk_tensor *turned = wk__turned_leaf(tensor), *cast = turned ? cast_leaf(context, turned) : wk_cast(tensor, dtype);
    return turned && cast ? wk__turned_likewise(tensor, cast) : cast;
}

/* f64 is left alone, as by torch.autocast. */
static bool is_eligible(const wk_tensor *tensor) {
    return tensor && (tensor->dtype == WK_F32 || tensor->dtype == WK_BF16 || tensor->dtype == WK_F16);
}

static bool has_f32(const wk_call *call) {
    for (int i = 0; i < call->n_in; i++)
        if (call->in[i] && call->in[i]->dtype == WK_F32) return true;
    return false;
}

wk_status wk__autocast_operands(wk_context *context, wk_call *call, wk_tensor *converted[WK_MAX_IN]) {
    const wk_op_def *op = call->op;
    if (op->mutates && (!op->mutates_now || op->mutates_now(call))) return WK_OK;
    if (op->dtype.autocast == WK_CAST_WIDEST && !has_f32(call)) return WK_OK;
    wk_dtype dtype = op->dtype.autocast == WK_CAST_LOW ? context->autocast.dtype : WK_F32;
    wk_tensor **in = converted;
    if (call->n_in > WK_MAX_IN) {
        in = wk__arena_take(&context->arena, (size_t)call->n_in * sizeof(wk_tensor *));
        if (!in) return WK_NO_MEMORY;
    }
    for (int i = 0; i < call->n_in; i++) {
        in[i] = call->in[i];
        if (!is_eligible(in[i]) || in[i]->dtype == dtype) continue;
        in[i] = cast_operand(context, in[i], dtype);
        if (!in[i]) return wk_error_code();
    }
    call->in = in;
    return WK_OK;
}

wk_tensor *wk__autocast_f32(wk_tensor *tensor) {
    wk_context *context = wk__context();
    bool is_half = tensor && (tensor->dtype == WK_BF16 || tensor->dtype == WK_F16);
    return is_half && context && (context->mode & WK__MODE_AUTOCAST) ? wk_cast(tensor, WK_F32) : tensor;
}
