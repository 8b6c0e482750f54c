/* unet.c: from images to images of scores.  Ronneberger, Fischer & Brox 2015, "U-Net: convolutional networks for
 * biomedical image segmentation", as it is used today: convolutions are padded, so the result is as large as the image
 * and nothing is cropped, and batch normalisation follows each (the paper has neither).
 */
#include "models/models.h"

enum { MOST_LEVELS = 8 };

typedef struct unet {
    wk_module base;
    wk_module *down, *up, *join; /* lists: of levels + 1, levels, levels modules */
    wk_module *head;
    int levels;
    int64_t in_channels;
} unet;

/* Two 3×3 convolutions, each normalised. */
static wk_module *double_conv(int64_t in, int64_t out) {
    const wk_nn_conv2d_opts padded = { .conv = { .padding = { 1, 1 } }, .no_bias = true };
    const wk_nn_batch_norm_opts norm = { .eps = { 0 } };
    return wk_nn_sequential(wk_nn_conv2d(in, out, 3, padded), wk_nn_batch_norm2d(out, norm), wk_nn_relu(),
                            wk_nn_conv2d(out, out, 3, padded), wk_nn_batch_norm2d(out, norm), wk_nn_relu());
}

static bool fits(const unet *m, const wk_tensor *x) {
    const int64_t step = (int64_t)1 << m->levels;
    char text[160];
    if (wk_rank(x) == 4 && wk_size(x, 1) == m->in_channels && wk_size(x, 2) % step == 0 && wk_size(x, 3) % step == 0)
        return true;
    (void)wk_fail(WK_SHAPE, "UNet (layer \"%s\"): x %s, expected (N, %lld, H, W) with H and W multiples of %lld",
                  m->base.path, wk_describe(x, text, sizeof text), (long long)m->in_channels, (long long)step);
    return false;
}

/* Down: each level's result is kept for the way up, where it joins what comes from below. */
static wk_tensor *unet_forward(wk_module *self, wk_tensor *x) {
    const unet *m = (const unet *)self;
    wk_tensor *kept[MOST_LEVELS] = { NULL };
    if (!fits(m, x)) return NULL;
    for (int i = 0; i < m->levels; i++) {
        kept[i] = wk_forward(wk_module_child(m->down, i), x);
        x = wk_max_pool2d(kept[i], (wk_pool_opts){ .kernel = { 2, 2 } });
    }
    x = wk_forward(wk_module_child(m->down, m->levels), x);
    for (int i = 0; i < m->levels; i++) {
        wk_tensor *both[] = { kept[m->levels - 1 - i], wk_forward(wk_module_child(m->up, i), x) };
        x = wk_forward(wk_module_child(m->join, i), wk_concat(both, 2, 1));
    }
    return wk_forward(m->head, x);
}
static const wk_module_class unet_class = { .name = "UNet", .size = sizeof(unet), .forward = unet_forward };

wk_module *wk_unet(wk_unet_opts opts) {
    const char *who = "wk_unet";
    const int64_t in = wk__or(opts.in_channels, 1), classes = wk__or(opts.classes, 2), width = wk__or(opts.width, 64),
                  levels = wk__or(opts.levels, 4);
    if (wk_failed() || !wk__size_fits(who, "in_channels", in, 1) || !wk__size_fits(who, "classes", classes, 1)
        || !wk__size_fits(who, "width", width, 1))
        return NULL;
    if (levels < 1 || levels > MOST_LEVELS)
        return wk_fail_null(WK_INVALID, "%s: levels is %lld, expected 1 to %d", who, (long long)levels, MOST_LEVELS);
    unet *m = (unet *)wk_module_create(&unet_class);
    if (!m) return NULL;
    m->levels = (int)levels, m->in_channels = in;
    m->down = wk_module_add(&m->base, "down", wk_nn_module_list_of(NULL, 0));
    m->up = wk_module_add(&m->base, "up", wk_nn_module_list_of(NULL, 0));
    m->join = wk_module_add(&m->base, "join", wk_nn_module_list_of(NULL, 0));
    const wk_nn_conv_transpose_opts twice = { .conv = { .stride = { 2, 2 } } };
    int64_t channels = width;
    (void)wk_module_append(m->down, double_conv(in, width));
    for (int i = 0; i < m->levels; i++, channels *= 2)
        (void)wk_module_append(m->down, double_conv(channels, 2 * channels));
    for (int i = 0; i < m->levels; i++, channels /= 2) {
        (void)wk_module_append(m->up, wk_nn_conv_transpose2d(channels, channels / 2, 2, twice));
        (void)wk_module_append(m->join, double_conv(channels, channels / 2));
    }
    m->head = wk_module_add(&m->base, "head", wk_nn_conv2d(width, classes, 1, (wk_nn_conv2d_opts){ .no_bias = false }));
    return wk__finished(&m->base);
}
