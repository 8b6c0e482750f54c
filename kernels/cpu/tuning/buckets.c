/* buckets.c: how sizes fall into buckets.
 *
 * Sizes of products go by powers of two, each step from 1/√2 to √2 of its middle, so that a bucket's work differs from
 * what was measured by less than three times: between 32³ and 128³ the best implementation changes twice.  Those of
 * convolutions go by powers of four, since there are more of them and what counts more is the image: its side is
 * counted in tiles of 4, which is what Winograd computes.
 */
#include "cpu/tuning/tuning.h"

#include "cpu/choice.h"

#include <stdio.h>

const char *const wk__tuned_op_names[] = { "product", "conv2d", "conv2d_backward_input", "conv2d_backward_weight" };

const char *wk__by_name(wk_by by) {
    static const char *const names[] = { "",
#define NAME(name, text) text,
                                         WK_BY_MAP(NAME)
#undef NAME
    };
    return by < WK_BY_COUNT ? names[by] : "";
}

wk_dtype wk__tuned_dtype(int dtype) {
    return dtype ? WK_BF16 : WK_F32;
}

const char *wk__tuned_form_name(wk__tuned_op op, int form) {
    static const char *const product[] = { "nn", "nt", "tn", "tt" }, *const convolution[] = { "1x1", "3x3", "depthwise",
                                                                                              "other" };
    return op == WK__TUNED_PRODUCT ? product[form] : convolution[form];
}

/* ---- scales ---- */

typedef enum scale { PAIR, DOUBLING, FOURFOLD, SIDE } scale;

static const struct {
    int steps;
    int64_t least[WK__TUNED_STEPS], middle[WK__TUNED_STEPS];
} scales[] = {
    [PAIR] = { 2, { 1, 2 }, { 1, 16 } },
    [DOUBLING] = { 13,
                   { 1, 2, 3, 6, 12, 23, 46, 91, 182, 363, 725, 1449, 2897 },
                   { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096 } },
    [FOURFOLD] = { 6, { 1, 2, 8, 32, 128, 512 }, { 1, 4, 16, 64, 256, 1024 } },
    [SIDE] = { 6, { 1, 5, 9, 17, 33, 65 }, { 4, 7, 14, 28, 56, 112 } },
};

static const struct {
    const char *name;
    scale scale;
} product_sizes[] = { { "batch", PAIR }, { "m", DOUBLING }, { "n", DOUBLING }, { "k", DOUBLING } },
  convolution_sizes[] = {
      { "n", FOURFOLD }, { "c", FOURFOLD }, { "k", FOURFOLD }, { "side", SIDE }, { "threads", PAIR }
  };

static scale scale_of(wk__tuned_op op, int size) {
    return op == WK__TUNED_PRODUCT ? product_sizes[size].scale : convolution_sizes[size].scale;
}

int wk__tuned_sizes(wk__tuned_op op) {
    return op == WK__TUNED_CONV_WEIGHT ? 5 : 4;
}

const char *wk__tuned_size_name(wk__tuned_op op, int size) {
    return op == WK__TUNED_PRODUCT ? product_sizes[size].name : convolution_sizes[size].name;
}

int wk__tuned_steps(wk__tuned_op op, int size) {
    return scales[scale_of(op, size)].steps;
}

wk__tuned_step wk__tuned_step_get(wk__tuned_op op, int size, int step) {
    scale s = scale_of(op, size);
    return (wk__tuned_step){ .least = scales[s].least[step],
                             .most = step + 1 < scales[s].steps ? scales[s].least[step + 1] - 1 : INT64_MAX,
                             .middle = scales[s].middle[step] };
}

void wk__tuned_step_text(wk__tuned_op op, int size, int step, char *text, size_t length) {
    wk__tuned_step s = wk__tuned_step_get(op, size, step);
    int used = snprintf(text, length, "%s=%lld", wk__tuned_size_name(op, size), (long long)s.least);
    if (used < 0 || (size_t)used >= length || s.most == s.least) return;
    text += used, length -= (size_t)used;
    (void)(s.most == INT64_MAX ? snprintf(text, length, "-") : snprintf(text, length, "-%lld", (long long)s.most));
}

static inline int bits_of(int64_t value) {
    return value > 0 ? 64 - __builtin_clzll((unsigned long long)value) : 0;
}

/* Without a search: a product of a microsecond cannot wait for one. */
static inline int step_on(scale s, int64_t value) {
    if (value < 1) value = 1;
    int step = 0;
    switch (s) {
    case PAIR: return value > 1;
    case DOUBLING:
        if (value > 4096) value = 4096;
        step = bits_of(value) - 1;
        return step + (value * value > (int64_t)2 << 2 * step);
    case FOURFOLD: step = bits_of(value) / 2; break;
    case SIDE: step = bits_of((value - 1) / 4); break;
    }
    return step < 5 ? step : 5;
}

int wk__tuned_step_of(wk__tuned_op op, int size, int64_t value) {
    return step_on(scale_of(op, size), value);
}

/* ---- buckets ---- */

int wk_tuning_cell(const wk__bucket *b) {
    const int *step = b->step;
    if (b->op == WK__TUNED_PRODUCT) return ((step[0] * 13 + step[1]) * 13 + step[2]) * 13 + step[3];
    return (((step[0] * 6 + step[1]) * 6 + step[2]) * 6 + step[3]) * 2 + step[4];
}

wk__bucket wk__bucket_of_product(wk_dtype dtype, const wk_product_shape *s) {
    return (wk__bucket){ .op = WK__TUNED_PRODUCT,
                         .dtype = dtype == WK_BF16,
                         .form = s->a_turned * 2 + s->b_turned,
                         .step = { step_on(PAIR, s->count), step_on(DOUBLING, s->m), step_on(DOUBLING, s->n),
                                   step_on(DOUBLING, s->k) } };
}

static int form_of(const wk_convolution_shape *s) {
    enum { ONE, THREE, DEPTHWISE, OTHER };
    bool plain = s->stride[1] == 1 && s->stride[2] == 1 && s->dilation[1] == 1 && s->dilation[2] == 1;
    if (s->groups > 1) return s->groups == s->c && s->groups == s->k ? DEPTHWISE : OTHER;
    if (plain && s->kernel[1] == 1 && s->kernel[2] == 1) return ONE;
    return plain && s->kernel[1] == 3 && s->kernel[2] == 3 ? THREE : OTHER;
}

/* What serves several threads serves one too where the result would else depend on their number, for implementations
 * differ in the last bit; that of the weights' gradient does anyway, by oneDNN's split of the batch. */
wk__bucket wk__bucket_of_convolution(wk_dtype dtype, const wk_convolution_shape *s, wk_convolution_pass pass,
                                     int threads) {
    int64_t side = s->out[1] < s->out[2] ? s->out[1] : s->out[2];
    return (wk__bucket){ .op = (wk__tuned_op)(WK__TUNED_CONV + (int)pass),
                         .dtype = dtype == WK_BF16,
                         .form = form_of(s),
                         .step = { step_on(FOURFOLD, s->n), step_on(FOURFOLD, s->c), step_on(FOURFOLD, s->k),
                                   step_on(SIDE, side), pass == WK_BACKWARD_WEIGHT && threads > 1 } };
}
