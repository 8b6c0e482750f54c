/* edsr.c: residual networks for super-resolution.  Lim et al. 2017, "Enhanced deep residual networks for single image
 * super-resolution"; without its shift by the data set's mean, as the encoder of LIIF has it (the wrapper that trains
 * one normalises pictures).
 */
#include "models/models.h"

static wk_module *conv(int64_t in, int64_t out) {
    return wk_nn_conv2d(in, out, 3, (wk_nn_conv2d_opts){ .conv = { .padding = { 1, 1 } } });
}

/* ---- blocks: x + scale · conv(relu(conv(x))), without normalisation, which would take the range from pictures ---- */

typedef struct block {
    wk_module base;
    wk_module *body;
    double scale;
} block;

static wk_tensor *block_forward(wk_module *self, wk_tensor *x) {
    const block *b = (const block *)self;
    wk_tensor *y = wk_forward(b->body, x);
    return wk_add(x, b->scale == 1 ? y : wk_affine(y, (wk_affine_opts){ b->scale, 0 }));
}
static const wk_module_class block_class = {
    .name = "ResBlock", .size = sizeof(block), .forward = block_forward, .is_block = true
};

static wk_module *make_block(int64_t width, double scale) {
    block *b = (block *)wk_module_create(&block_class);
    if (!b) return NULL;
    b->scale = scale;
    b->body = wk_module_add(&b->base, "body", wk_nn_sequential(conv(width, width), wk_nn_relu(), conv(width, width)));
    return &b->base;
}

/* ---- the network ---- */

typedef struct edsr {
    wk_module base;
    wk_module *head, *body, *tail; /* tail NULL: features */
    int64_t channels;
} edsr;

static wk_tensor *edsr_forward(wk_module *self, wk_tensor *x) {
    const edsr *m = (const edsr *)self;
    if (wk_rank(x) != 4 || wk_size(x, 1) != m->channels) {
        char expected[60];
        (void)snprintf(expected, sizeof expected, "(N, %lld, H, W)", (long long)m->channels);
        return wk__bad_input(self, x, expected);
    }
    x = wk_forward(m->head, x);
    x = wk_add(wk_forward(m->body, x), x);
    return m->tail ? wk_forward(m->tail, x) : x;
}
static const wk_module_class edsr_class = { .name = "EDSR", .size = sizeof(edsr), .forward = edsr_forward };

/* Twice (or three times) as wide and high with each step. */
static wk_module *upsampler(int64_t width, int64_t scale) {
    wk_module *steps = wk_nn_sequential_of(NULL, 0);
    const int factor = scale == 3 ? 3 : 2;
    for (int64_t done = 1; done < scale; done *= factor) {
        (void)wk_module_append(steps, conv(width, factor * factor * width));
        (void)wk_module_append(steps, wk_nn_pixel_shuffle(factor));
    }
    return steps;
}

wk_module *wk_edsr(wk_edsr_opts opts) {
    const char *who = "wk_edsr";
    const int64_t blocks = wk__or(opts.blocks, 16), width = wk__or(opts.width, 64), scale = wk__or(opts.scale, 2),
                  channels = wk__or(opts.channels, 3);
    const double res_scale = opts.res_scale.is_set ? opts.res_scale.value : 1;
    if (wk_failed() || !wk__size_fits(who, "blocks", blocks, 1) || !wk__size_fits(who, "width", width, 1)
        || !wk__size_fits(who, "channels", channels, 1))
        return NULL;
    if (scale != 2 && scale != 3 && scale != 4)
        return wk_fail_null(WK_INVALID, "%s: scale is %lld, expected 2, 3 or 4", who, (long long)scale);
    edsr *m = (edsr *)wk_module_create(&edsr_class);
    if (!m) return NULL;
    m->channels = channels;
    m->head = wk_module_add(&m->base, "head", wk_nn_sequential(conv(channels, width)));
    m->body = wk_module_add(&m->base, "body", wk_nn_sequential_of(NULL, 0));
    for (int64_t i = 0; i < blocks && !wk_failed(); i++) (void)wk_module_append(m->body, make_block(width, res_scale));
    (void)wk_module_append(m->body, conv(width, width));
    if (!opts.no_upsampling)
        m->tail = wk_module_add(&m->base, "tail", wk_nn_sequential(upsampler(width, scale), conv(width, channels)));
    return wk__finished(&m->base);
}
