/* reference_networks.c: products, convolution, pooling, normalisation and losses, as their definitions say. */
#include "tensor/reference.h"

#include "tensor/op_attrs.h"

#include <math.h>

/* ---- products ---- */

static void matmul_ref(ref_call *c) {
    const ref_tensor *a = c->in[0], *b = c->in[1];
    ref_tensor *y = &c->out[0];
    int64_t inner = a->shape[a->rank - 1];
    c->terms = inner;
    for (int64_t o = 0; o < y->count; o++) {
        int64_t index[WK_MAX_RANK], ia[WK_MAX_RANK], ib[WK_MAX_RANK];
        ref_index(y, o, index);
        for (int axis = 0; axis < a->rank; axis++) ia[axis] = a->shape[axis] == 1 ? 0 : index[y->rank - a->rank + axis];
        for (int axis = 0; axis < b->rank; axis++) ib[axis] = b->shape[axis] == 1 ? 0 : index[y->rank - b->rank + axis];
        y->v[o] = y->size[o] = 0;
        for (int64_t k = 0; k < inner; k++) {
            ia[a->rank - 1] = ib[b->rank - 2] = k;
            double term = a->v[ref_flat(a, ia)] * b->v[ref_flat(b, ib)];
            y->v[o] += term;
            y->size[o] += fabs(term);
        }
    }
    y->known = true;
}

static void linear_ref(ref_call *c) {
    const ref_tensor *x = c->in[0], *weight = c->in[1], *bias = c->in[2];
    ref_tensor *y = &c->out[0];
    int64_t inner = weight->shape[1], width = weight->shape[0];
    bool relu = ((const wk_linear_opts *)c->attrs)->activation == WK_ACTIVATION_RELU;
    c->terms = inner;
    for (int64_t o = 0; o < y->count; o++) {
        int64_t row = o / width, n = o % width;
        double sum = bias ? bias->v[n] : 0, size = fabs(sum);
        for (int64_t k = 0; k < inner; k++) {
            double term = x->v[row * inner + k] * weight->v[n * inner + k];
            sum += term;
            size += fabs(term);
        }
        y->v[o] = relu && sum < 0 ? 0 : sum;
        y->size[o] = size;
    }
    y->known = true;
}

/* ---- convolution ---- */

typedef struct taps {
    int64_t stride[2], padding[2], dilation[2], groups;
} taps;
static taps taps_of(const wk_conv_opts *opts, const ref_tensor *weight) {
    taps t = { .groups = opts->groups ? opts->groups : 1 };
    for (int i = 0; i < 2; i++) {
        t.stride[i] = opts->stride[i] ? opts->stride[i] : 1;
        t.dilation[i] = opts->dilation[i] ? opts->dilation[i] : 1;
        t.padding[i] = opts->padding[i];
        if (opts->pad == WK_CONV_VALID) t.padding[i] = 0;
        if (opts->pad == WK_CONV_SAME) t.padding[i] = t.dilation[i] * (weight->shape[2 + i] - 1) / 2;
    }
    return t;
}

/* Visit every product of a convolution: y[n,k,p,q] += x[n,c,h,w] · weight[k,c mod group,r,s]. */
typedef void product(void *context, int64_t iy, int64_t ix, int64_t iw);
static void visit(const ref_tensor *y, const ref_tensor *x, const ref_tensor *weight, taps t, product *each,
                  void *context) {
    int64_t per_group = weight->shape[1], filters = weight->shape[0] / t.groups;
    for (int64_t o = 0; o < y->count; o++) {
        int64_t at[WK_MAX_RANK];
        ref_index(y, o, at);
        for (int64_t ch = 0; ch < per_group; ch++)
            for (int64_t r = 0; r < weight->shape[2]; r++)
                for (int64_t s = 0; s < weight->shape[3]; s++) {
                    int64_t h = at[2] * t.stride[0] - t.padding[0] + r * t.dilation[0];
                    int64_t w = at[3] * t.stride[1] - t.padding[1] + s * t.dilation[1];
                    if (h < 0 || h >= x->shape[2] || w < 0 || w >= x->shape[3]) continue;
                    int64_t channel = at[1] / filters * per_group + ch;
                    int64_t ix = ((at[0] * x->shape[1] + channel) * x->shape[2] + h) * x->shape[3] + w;
                    int64_t iw = ((at[1] * per_group + ch) * weight->shape[2] + r) * weight->shape[3] + s;
                    each(context, o, ix, iw);
                }
    }
}

typedef struct operands {
    const double *a, *b;
    ref_tensor *out;
} operands;
static void add_term(ref_tensor *out, int64_t at, double term) {
    out->v[at] += term;
    out->size[at] += fabs(term);
}
static void zero(ref_tensor *t) {
    for (int64_t i = 0; i < t->count; i++) t->v[i] = t->size[i] = 0;
    t->known = true;
}
static void to_y(void *context, int64_t iy, int64_t ix, int64_t iw) {
    const operands *p = context;
    add_term(p->out, iy, p->a[ix] * p->b[iw]);
}
static void to_x(void *context, int64_t iy, int64_t ix, int64_t iw) {
    const operands *p = context;
    add_term(p->out, ix, p->a[iy] * p->b[iw]);
}
static void to_weight(void *context, int64_t iy, int64_t ix, int64_t iw) {
    const operands *p = context;
    add_term(p->out, iw, p->a[ix] * p->b[iy]);
}

static void conv2d_ref(ref_call *c) {
    const wk_conv_opts *opts = c->attrs;
    ref_tensor *y = &c->out[0];
    zero(y);
    operands p = { c->in[0]->v, c->in[1]->v, y };
    visit(y, c->in[0], c->in[1], taps_of(opts, c->in[1]), to_y, &p);
    c->terms = c->in[1]->count / (c->in[1]->shape[0] ? c->in[1]->shape[0] : 1);
    for (int64_t o = 0; o < y->count; o++) {
        int64_t at[WK_MAX_RANK];
        ref_index(y, o, at);
        if (c->in[2]) add_term(y, o, c->in[2]->v[at[1]]);
        if (opts->activation == WK_ACTIVATION_RELU && y->v[o] < 0) y->v[o] = 0;
    }
}
static void conv2d_backward_input_ref(ref_call *c) {
    ref_tensor *dx = &c->out[0];
    zero(dx);
    operands p = { c->in[0]->v, c->in[1]->v, dx };
    visit(c->in[0], dx, c->in[1], taps_of(&((const wk_conv_grad_attrs *)c->attrs)->conv, c->in[1]), to_x, &p);
    c->terms = c->in[1]->count / c->in[1]->shape[1];
}
static void conv2d_backward_weight_ref(ref_call *c) {
    ref_tensor *dw = &c->out[0], *db = &c->out[1];
    zero(dw);
    zero(db);
    operands p = { c->in[0]->v, c->in[1]->v, dw };
    visit(c->in[1], c->in[0], dw, taps_of(&((const wk_conv_grad_attrs *)c->attrs)->conv, dw), to_weight, &p);
    c->terms = c->in[1]->count / (c->in[1]->shape[1] ? c->in[1]->shape[1] : 1);
    for (int64_t i = 0; i < c->in[1]->count; i++) {
        int64_t at[WK_MAX_RANK];
        ref_index(c->in[1], i, at);
        add_term(db, at[1], c->in[1]->v[i]);
    }
}

/* ---- pooling ---- */

static int64_t pool_stride(const wk_pool_opts *opts, int i) {
    return opts->stride[i] ? opts->stride[i] : opts->kernel[i];
}

static int64_t pool_dilation(const wk_pool_opts *opts, int i) {
    return opts->dilation[i] ? opts->dilation[i] : 1;
}

/* PyTorch's: the first largest of the window in row-major order; NaN wins. */
static void max_pool2d_ref(ref_call *c) {
    const wk_pool_opts *opts = c->attrs;
    const ref_tensor *x = c->in[0];
    ref_tensor *y = &c->out[0], *where = &c->out[1];
    for (int64_t o = 0; o < y->count; o++) {
        int64_t at[WK_MAX_RANK];
        ref_index(y, o, at);
        double best = -INFINITY;
        int64_t place = -1;
        for (int64_t r = 0; r < opts->kernel[0]; r++)
            for (int64_t s = 0; s < opts->kernel[1]; s++) {
                int64_t h = at[2] * pool_stride(opts, 0) - opts->padding[0] + r * pool_dilation(opts, 0);
                int64_t w = at[3] * pool_stride(opts, 1) - opts->padding[1] + s * pool_dilation(opts, 1);
                if (h < 0 || h >= x->shape[2] || w < 0 || w >= x->shape[3]) continue;
                double value = x->v[((at[0] * x->shape[1] + at[1]) * x->shape[2] + h) * x->shape[3] + w];
                if (place >= 0 && !(value > best) && !(isnan(value) && !isnan(best))) continue;
                best = value;
                place = r * opts->kernel[1] + s;
            }
        y->v[o] = best;
        where->v[o] = (double)place;
    }
    y->known = where->known = true;
}

static void max_pool2d_backward_ref(ref_call *c) {
    const wk_pool_opts *opts = &((const wk_pool_grad_attrs *)c->attrs)->pool;
    const ref_tensor *dy = c->in[0], *where = c->in[1];
    ref_tensor *dx = &c->out[0];
    zero(dx);
    c->terms = opts->kernel[0] * opts->kernel[1];
    for (int64_t o = 0; o < dy->count; o++) {
        int64_t at[WK_MAX_RANK], place = (int64_t)where->v[o];
        ref_index(dy, o, at);
        int64_t h = at[2] * pool_stride(opts, 0) - opts->padding[0] + place / opts->kernel[1];
        int64_t w = at[3] * pool_stride(opts, 1) - opts->padding[1] + place % opts->kernel[1];
        add_term(dx, ((at[0] * dx->shape[1] + at[1]) * dx->shape[2] + h) * dx->shape[3] + w, dy->v[o]);
    }
}

/* PyTorch's divisor: the window cut to the padded image, or to the image itself. */
static double divisor(const wk_pool_opts *opts, int i, int64_t start, int64_t size) {
    int64_t end = start + opts->kernel[i] < size + opts->padding[i] ? start + opts->kernel[i] : size + opts->padding[i];
    if (!opts->exclude_padding) return (double)(end - start);
    return (double)((end < size ? end : size) - (start > 0 ? start : 0));
}
static void avg_pool_walk(const wk_pool_opts *opts, const ref_tensor *y, const ref_tensor *x, bool backward,
                          ref_tensor *out) {
    zero(out);
    for (int64_t o = 0; o < y->count; o++) {
        int64_t at[WK_MAX_RANK];
        ref_index(y, o, at);
        int64_t top = at[2] * pool_stride(opts, 0) - opts->padding[0],
                left = at[3] * pool_stride(opts, 1) - opts->padding[1];
        double by = divisor(opts, 0, top, x->shape[2]) * divisor(opts, 1, left, x->shape[3]);
        if (opts->divisor) by = (double)opts->divisor;
        for (int64_t h = top; h < top + opts->kernel[0]; h++)
            for (int64_t w = left; w < left + opts->kernel[1]; w++) {
                if (h < 0 || h >= x->shape[2] || w < 0 || w >= x->shape[3]) continue;
                int64_t i = ((at[0] * x->shape[1] + at[1]) * x->shape[2] + h) * x->shape[3] + w;
                add_term(out, backward ? i : o, (backward ? y->v[o] : x->v[i]) / by);
            }
    }
}
static void avg_pool2d_ref(ref_call *c) {
    avg_pool_walk(c->attrs, &c->out[0], c->in[0], false, &c->out[0]);
}
static void avg_pool2d_backward_ref(ref_call *c) {
    avg_pool_walk(&((const wk_pool_grad_attrs *)c->attrs)->pool, c->in[0], &c->out[0], true, &c->out[0]);
}

/* ---- batch normalisation ---- */

static int64_t channel_of(const ref_tensor *x, int64_t i) {
    int64_t index[WK_MAX_RANK];
    ref_index(x, i, index);
    return index[1];
}

static void statistics(const ref_tensor *x, int64_t channel, double *mean, double *variance) {
    double sum = 0, squares = 0, n = (double)(x->count / x->shape[1]);
    for (int64_t i = 0; i < x->count; i++)
        if (channel_of(x, i) == channel) sum += x->v[i];
    *mean = sum / n;
    for (int64_t i = 0; i < x->count; i++)
        if (channel_of(x, i) == channel) squares += (x->v[i] - *mean) * (x->v[i] - *mean);
    *variance = squares / n;
}

static void batch_norm_ref(ref_call *c) {
    const wk_batch_norm_opts *opts = c->attrs;
    const ref_tensor *x = c->in[0], *weight = c->in[1], *bias = c->in[2];
    ref_tensor *y = &c->out[0], *running_mean = c->in[3], *running_variance = c->in[4];
    double momentum = wk_optional_or(opts->momentum, 0.1), eps = wk_optional_or(opts->eps, 1e-5);
    double n = (double)(x->count / x->shape[1]);
    c->terms = (int64_t)n;
    for (int64_t ch = 0; ch < x->shape[1]; ch++) {
        double mean = 0, variance = 0;
        if (opts->training)
            statistics(x, ch, &mean, &variance);
        else
            mean = running_mean->v[ch], variance = running_variance->v[ch];
        double factor = (weight ? weight->v[ch] : 1) / sqrt(variance + eps);
        for (int64_t i = 0; i < x->count; i++) {
            if (channel_of(x, i) != ch) continue;
            y->v[i] = (x->v[i] - mean) * factor + (bias ? bias->v[ch] : 0);
            y->size[i] = (fabs(x->v[i]) + fabs(mean)) * fabs(factor) + (bias ? fabs(bias->v[ch]) : 0);
        }
        if (!opts->training) continue;
        if (running_mean) running_mean->v[ch] += momentum * (mean - running_mean->v[ch]);
        if (running_variance) running_variance->v[ch] += momentum * (variance * n / (n - 1) - running_variance->v[ch]);
    }
    y->known = true;
}

/* From the mean and 1/deviation that forward kept. */
static void batch_norm_backward_ref(ref_call *c) {
    const wk_batch_norm_opts *opts = c->attrs;
    const ref_tensor *dy = c->in[0], *x = c->in[1], *weight = c->in[2], *mean = c->in[3], *rstd = c->in[4];
    ref_tensor *dx = &c->out[0], *dweight = &c->out[1], *dbias = &c->out[2];
    double n = (double)(x->count / x->shape[1]);
    zero(dweight);
    zero(dbias);
    c->terms = (int64_t)n;
    for (int64_t i = 0; i < x->count; i++) {
        int64_t ch = channel_of(x, i);
        add_term(dbias, ch, dy->v[i]);
        add_term(dweight, ch, dy->v[i] * (x->v[i] - mean->v[ch]) * rstd->v[ch]);
    }
    for (int64_t i = 0; i < x->count; i++) {
        int64_t ch = channel_of(x, i);
        double normal = (x->v[i] - mean->v[ch]) * rstd->v[ch], factor = (weight ? weight->v[ch] : 1) * rstd->v[ch];
        double pull = opts->training ? dbias->v[ch] / n + normal * dweight->v[ch] / n : 0;
        dx->v[i] = factor * (dy->v[i] - pull);
        dx->size[i] = fabs(factor) * (fabs(dy->v[i]) + fabs(pull));
    }
    dx->known = true;
}

/* ---- cross-entropy ---- */

static double row_lse(const ref_tensor *logits, int64_t row, double *largest) {
    int64_t classes = logits->shape[1];
    const double *x = logits->v + row * classes;
    double sum = 0;
    *largest = -INFINITY;
    for (int64_t k = 0; k < classes; k++) *largest = fmax(*largest, x[k]);
    for (int64_t k = 0; k < classes; k++) sum += exp(x[k] - *largest);
    return *largest + log(sum);
}

/* torch.nn.functional.cross_entropy, but 0 for a mean over nothing. */
static void cross_entropy_ref(ref_call *c) {
    const wk_cross_entropy_opts *opts = c->attrs;
    const ref_tensor *logits = c->in[0], *target = c->in[1];
    ref_tensor *loss = &c->out[0];
    int64_t rows = logits->shape[0], classes = logits->shape[1], valid = 0;
    double smoothing = opts->label_smoothing, total = 0, total_size = 0;
    c->terms = rows > classes ? rows : classes;
    for (int64_t row = 0; row < rows; row++) {
        double largest, lse = row_lse(logits, row, &largest), mean_loss = 0, one = 0, size = 0;
        const double *x = logits->v + row * classes;
        if (target->v[row] != wk_optional_or(opts->ignore_index, -100)) {
            valid++;
            for (int64_t k = 0; k < classes; k++) mean_loss += (lse - x[k]) / (double)classes;
            one = (1 - smoothing) * (lse - x[(int64_t)target->v[row]]) + smoothing * mean_loss;
            size = fabs(lse) + fabs(x[(int64_t)target->v[row]]) + fabs(largest) + mean_loss;
        }
        total += one;
        total_size += size;
        if (opts->reduction == WK_REDUCTION_NONE) loss->v[row] = one, loss->size[row] = size;
    }
    double by = opts->reduction == WK_REDUCTION_MEAN ? (double)(valid ? valid : 1) : 1;
    if (opts->reduction != WK_REDUCTION_NONE) loss->v[0] = total / by, loss->size[0] = total_size / by;
    loss->known = true;
}

static void cross_entropy_backward_ref(ref_call *c) {
    const wk_cross_entropy_opts *opts = c->attrs;
    const ref_tensor *dloss = c->in[0], *logits = c->in[1], *target = c->in[2];
    ref_tensor *d = &c->out[0];
    int64_t rows = logits->shape[0], classes = logits->shape[1], valid = 0;
    double ignored = wk_optional_or(opts->ignore_index, -100), smoothing = opts->label_smoothing;
    for (int64_t row = 0; row < rows; row++) valid += target->v[row] != ignored;
    c->terms = classes;
    for (int64_t i = 0; i < d->count; i++) {
        int64_t row = i / classes;
        double largest, p = exp(logits->v[i] - row_lse(logits, row, &largest));
        double wanted = smoothing / (double)classes + (target->v[row] == (double)(i % classes) ? 1 - smoothing : 0);
        double weight = dloss->v[opts->reduction == WK_REDUCTION_NONE ? row : 0];
        if (opts->reduction == WK_REDUCTION_MEAN) weight /= (double)(valid ? valid : 1);
        d->v[i] = target->v[row] == ignored ? 0 : weight * (p - wanted);
        d->size[i] = fabs(weight) * (p * (1 + largest - logits->v[i]) + wanted);
    }
    d->known = true;
}

const ref_row reference_networks[] = {
    { "matmul", matmul_ref, 2 },
    { "linear", linear_ref, 2 },
    { "conv2d", conv2d_ref, 6 }, /* Winograd's transforms round more often than the plain sum */
    { "conv2d_backward_input", conv2d_backward_input_ref, 6 },
    { "conv2d_backward_weight", conv2d_backward_weight_ref, 6 },
    { "max_pool2d", max_pool2d_ref, 0 },
    { "max_pool_backward", max_pool2d_backward_ref, 1 },
    { "avg_pool2d", avg_pool2d_ref, 2 },
    { "avg_pool_backward", avg_pool2d_backward_ref, 2 },
    { "batch_norm", batch_norm_ref, 3 },
    { "batch_norm_backward", batch_norm_backward_ref, 3 },
    { "cross_entropy", cross_entropy_ref, 2 },
    { "cross_entropy_backward", cross_entropy_backward_ref, 3 },
    { NULL, NULL, 0 },
};
