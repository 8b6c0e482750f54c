/* mixed.c: batches mixed with themselves: mixup and cutmix. */
#include "data/mixed.h"

#include "data/dataset.h"

#include <math.h>
#include <string.h>

typedef struct mixed {
    wk_dataset base;
    wk_dataset *source;
    wk_mix_opts opts;
} mixed;

/* ---- the beta distribution ---- */

static double draw_normal(wk_draws *d) {
    static const double TWO_PI = 6.283185307179586;
    const double radius = sqrt(-2 * log1p(-wk_draw_uniform(d, 0, 1)));
    return radius * cos(TWO_PI * wk_draw_uniform(d, 0, 1));
}

/* The logarithm of a gamma number (Marsaglia and Tsang 2000); below 1 that of a + 1, times u^(1/a): as a logarithm it
 * does not underflow for small a. */
static double draw_log_gamma(wk_draws *d, double a) {
    const double boost = a < 1 ? log1p(-wk_draw_uniform(d, 0, 1)) / a : 0, b = (a < 1 ? a + 1 : a) - 1.0 / 3;
    for (;;) {
        const double x = draw_normal(d), root = 1 + x / sqrt(9 * b), v = root * root * root;
        if (v > 0 && log1p(-wk_draw_uniform(d, 0, 1)) < 0.5 * x * x + b - b * v + b * log(v)) return log(b * v) + boost;
    }
}

static double draw_share(wk_draws *d, double alpha) {
    const double one = draw_log_gamma(d, alpha), other = draw_log_gamma(d, alpha);
    return 1 / (1 + exp(other - one));
}

/* ---- pictures ---- */

/* Batch item i is mixed with item i - 1, the first with the last; from the end on, so that none is read after it was
 * written but the last, of which there is a copy. */
static const float *before(const float *input, const float *last, int64_t i, int64_t size) {
    return i > 0 ? input + (i - 1) * size : last;
}

void wk__mix_add(float *input, const float *last, int64_t n, wk_dims dims, double share) {
    const int64_t size = dims.size[0] * dims.size[1] * dims.size[2];
    const float own = (float)share, others = (float)(1 - share);
    for (int64_t i = n - 1; i >= 0; i--) {
        const float *other = before(input, last, i, size);
        float *item = input + i * size;
        for (int64_t k = 0; k < size; k++) item[k] = other[k] * others + item[k] * own;
    }
}

/* A rectangle around a point of chance; the share that remains of the own picture. */
static double cut(wk_dims dims, wk_draws *d, double share, int64_t box[4]) {
    const int64_t height = dims.size[1], width = dims.size[2], x = wk_draw_below(d, width),
                  y = wk_draw_below(d, height);
    const double half = 0.5 * sqrt(1 - share);
    const int64_t half_width = (int64_t)(half * (double)width), half_height = (int64_t)(half * (double)height);
    box[0] = y > half_height ? y - half_height : 0;
    box[1] = x > half_width ? x - half_width : 0;
    box[2] = y + half_height < height ? y + half_height : height;
    box[3] = x + half_width < width ? x + half_width : width;
    return 1 - (double)((box[2] - box[0]) * (box[3] - box[1])) / (double)(height * width);
}

void wk__mix_paste(float *input, const float *last, int64_t n, wk_dims dims, const int64_t box[4]) {
    const int64_t height = dims.size[1], width = dims.size[2], size = dims.size[0] * height * width;
    for (int64_t i = n - 1; i >= 0; i--) {
        const float *other = before(input, last, i, size);
        for (int64_t row = 0; row < dims.size[0] * height; row++) {
            if (row % height < box[0] || row % height >= box[2]) continue;
            memcpy(input + i * size + row * width + box[1], other + row * width + box[1],
                   (size_t)(box[3] - box[1]) * sizeof(float));
        }
    }
}

/* ---- the dataset ---- */

void wk__mix_targets(float *out, const int64_t *label, int64_t n, int classes, double share) {
    memset(out, 0, (size_t)(n * classes) * sizeof *out);
    for (int64_t i = 0; i < n; i++) {
        out[i * classes + label[i > 0 ? i - 1 : n - 1]] += (float)(1 - share);
        out[i * classes + label[i]] += (float)share;
    }
}

static wk_status fetch_at(const wk_dataset *self, wk_moment moment, const int64_t *indices, int64_t n, void *input,
                          void *target) {
    const mixed *m = (const mixed *)self;
    const size_t bytes = wk__item_bytes(WK_F32, self->input_dims);
    const int64_t size = (int64_t)(bytes / sizeof(float));
    int64_t *label = wk_alloc((size_t)n * sizeof *label);
    float *last = label ? wk_alloc_data(bytes) : NULL;
    wk_status status = last ? wk_dataset_fetch(m->source, moment, indices, n, input, label) : wk_error_code();
    if (status == WK_OK) {
        wk_draws draws = wk_draws_of(moment.seed, moment.epoch, ~indices[0]); /* not those of the item itself */
        const bool cuts = m->opts.cutmix > 0 && (m->opts.mixup <= 0 || wk_draw_uniform(&draws, 0, 1) < 0.5);
        double share = draw_share(&draws, cuts ? m->opts.cutmix : m->opts.mixup);
        memcpy(last, (const float *)input + (n - 1) * size, bytes);
        if (cuts) {
            int64_t box[4];
            share = cut(self->input_dims, &draws, share, box);
            wk__mix_paste(input, last, n, self->input_dims, box);
        } else {
            wk__mix_add(input, last, n, self->input_dims, share);
        }
        wk__mix_targets(target, label, n, self->classes, share);
    }
    wk_free(last);
    wk_free(label);
    return status;
}

static wk_status fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    return fetch_at(self, (wk_moment){ 0 }, indices, n, input, target);
}

static int64_t label_of(const wk_dataset *self, int64_t index) {
    return wk_dataset_label(((const mixed *)self)->source, index);
}

static void destroy(wk_dataset *self) {
    wk_dataset_destroy(((mixed *)self)->source);
}

static const wk_dataset_class mixed_class = {
    .name = "mixed", .size = sizeof(mixed), .fetch = fetch, .destroy = destroy, .fetch_at = fetch_at, .label = label_of
};

wk_dataset *wk_mixed_dataset(wk_dataset *source, wk_mix_opts opts) {
    if (wk_failed()) return NULL;
    if (!(opts.mixup >= 0 && opts.cutmix >= 0 && opts.mixup + opts.cutmix > 0 && opts.mixup + opts.cutmix < 1e6))
        return wk_fail_null(WK_INVALID, "mixup %g and cutmix %g: expected at least 0, and one of them more", opts.mixup,
                            opts.cutmix);
    if (source->input_dims.rank != 3 || source->input_dtype != WK_F32 || source->classes < 2
        || source->target_dims.rank != 0 || source->target_dtype != WK_I64)
        return wk_fail_null(WK_INVALID,
                            "dataset \"%s\" cannot be mixed: expected pictures (C, H, W) of f32 and classes",
                            source->class_->name);
    mixed *m = (mixed *)wk_dataset_create(&mixed_class);
    if (!m) return NULL;
    m->base = *source;
    m->base.class_ = &mixed_class;
    m->base.users = 1;
    m->base.weights = NULL;
    m->base.target_dims = WK_DIMS(source->classes);
    m->base.target_dtype = WK_F32;
    m->source = wk_dataset_keep(source);
    m->opts = opts;
    return &m->base;
}
