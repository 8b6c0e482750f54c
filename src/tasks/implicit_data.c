/* implicit_data.c: data "sr-implicit-downsampled" and "sr-implicit-paired": from pictures to what LIIF learns from: a
 * coarse picture, and queries with their answers in a finer one.
 *
 * The pictures are another spec's: any data whose items are (C, H, W) of f32 from 0 to 1.  An item is a function of the
 * seed, the epoch and its number: which part of the picture, at which scale, which pixels are asked for.  So threads
 * change nothing, and a run that is resumed sees what it would have seen; `repeat` gives a picture several numbers an
 * epoch.
 *
 *   input (C, h, w)   target (Q, 4 + C): for each query its place y, x, its pixel's height and width, the colours
 */
#include "tasks/tasks.h"
#include "wick/data/transform.h"

#include <float.h>
#include <math.h>
#include <string.h>

typedef struct implicit {
    wk_dataset base;
    wk_dataset *pictures;                         /* owned */
    int64_t channels, coarse[2], fine[2], repeat; /* sizes of the pictures: coarse ones of pairs */
    int64_t side, queries;                        /* of an item; 0: the whole picture, all of its pixels */
    double least, most;                           /* the scale */
    uint64_t seed;
    bool paired, augments;
} implicit;

/* Memory for one item at a time. */
typedef struct room {
    float *coarse, *fine; /* a whole picture, a pair's two */
    float *part;          /* of the fine one */
    char *other;          /* the target of data that is not paired */
    int32_t *order;
    float *turned; /* what turning moves */
} room;

/* ---- geometry of an item ---- */

static void crop(const float *from, const int64_t size[2], int64_t channels, const int64_t at[2], const int64_t part[2],
                 float *to) {
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < part[0]; i++)
            memcpy(to + (c * part[0] + i) * part[1], from + (c * size[0] + at[0] + i) * size[1] + at[1],
                   (size_t)part[1] * sizeof *to);
}

/* Mirrored, and its axes exchanged: the sizes must be equal for that. */
static void turn(float *x, const int64_t size[2], int64_t channels, const bool how[3], float *turned) {
    const int64_t h = size[0], w = size[1];
    for (int64_t c = 0; c < channels; c++) {
        memcpy(turned, x, (size_t)(h * w) * sizeof *x);
        for (int64_t i = 0; i < h; i++)
            for (int64_t k = 0; k < w; k++) {
                const int64_t a = how[2] ? k : i, b = how[2] ? i : k;
                x[i * w + k] = turned[(how[0] ? h - 1 - a : a) * w + (how[1] ? w - 1 - b : b)];
            }
        x += h * w;
    }
}

/* The first `count` of a shuffle of `all` numbers. */
static void choose(wk_draws *d, int32_t *order, int64_t all, int64_t count) {
    for (int64_t i = 0; i < all; i++) order[i] = (int32_t)i;
    for (int64_t i = 0; i < count && count < all; i++) {
        const int64_t other = i + wk_draw_below(d, all - i);
        const int32_t kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

static void ask(const implicit *m, const float *part, const int64_t size[2], const int32_t *order, int64_t queries,
                float *target) {
    const int64_t width = 4 + m->channels;
    for (int64_t q = 0; q < queries; q++, target += width) {
        const int64_t y = order[q] / size[1], x = order[q] % size[1];
        target[0] = (float)(-1 + (2 * (double)y + 1) / (double)size[0]);
        target[1] = (float)(-1 + (2 * (double)x + 1) / (double)size[1]);
        target[2] = (float)(2 / (double)size[0]);
        target[3] = (float)(2 / (double)size[1]);
        for (int64_t c = 0; c < m->channels; c++) target[4 + c] = part[(c * size[0] + y) * size[1] + x];
    }
}

/* ---- items ---- */

/* The part of the fine picture, and the coarse one of it. */
static wk_status downsampled(const implicit *m, wk_draws *d, const room *r, float *input, int64_t part[2]) {
    const double scale = m->least + (m->most - m->least) * wk_draw_uniform(d, 0, 1);
    int64_t at[2] = { 0, 0 }, small[2];
    for (int k = 0; k < 2; k++) {
        small[k] = m->base.input_dims.size[1 + k];
        part[k] = (int64_t)floor((double)small[k] * scale + 0.5);
        if (m->side) at[k] = wk_draw_below(d, m->fine[k] - part[k] + 1);
    }
    crop(r->fine, m->fine, m->channels, at, part, r->part);
    return wk__shrink(r->part, m->channels, part, small, input);
}

static wk_status of_a_pair(const implicit *m, wk_draws *d, const room *r, float *input, int64_t part[2]) {
    const int64_t scale = m->fine[0] / m->coarse[0];
    int64_t at[2] = { 0, 0 }, small[2], fine_at[2];
    for (int k = 0; k < 2; k++) {
        small[k] = m->base.input_dims.size[1 + k];
        if (m->side) at[k] = wk_draw_below(d, m->coarse[k] - small[k] + 1);
        part[k] = small[k] * scale;
        fine_at[k] = at[k] * scale;
    }
    crop(r->coarse, m->coarse, m->channels, at, small, input);
    crop(r->fine, m->fine, m->channels, fine_at, part, r->part);
    return WK_OK;
}

static wk_status one_item(const implicit *m, wk_moment moment, int64_t index, const room *r, float *input,
                          float *target) {
    const int64_t picture = index % m->pictures->count, *small = m->base.input_dims.size + 1;
    wk_draws d = wk_draws_of(m->seed + moment.seed, moment.epoch, index);
    int64_t part[2];
    WK_TRY(wk_dataset_fetch(m->pictures, moment, &picture, 1, m->paired ? r->coarse : r->fine,
                            m->paired ? (void *)r->fine : (void *)r->other));
    WK_TRY(m->paired ? of_a_pair(m, &d, r, input, part) : downsampled(m, &d, r, input, part));
    if (m->augments) {
        bool how[3];
        for (int i = 0; i < 3; i++) how[i] = wk_draw_uniform(&d, 0, 1) < 0.5;
        how[2] = how[2] && small[0] == small[1];
        turn(input, small, m->channels, how, r->turned);
        turn(r->part, part, m->channels, how, r->turned);
    }
    const int64_t pixels = part[0] * part[1], queries = m->queries ? m->queries : pixels;
    choose(&d, r->order, pixels, queries);
    ask(m, r->part, part, r->order, queries, target);
    return WK_OK;
}

static int64_t count_of(wk_dims dims) {
    int64_t count = 1;
    for (int i = 0; i < dims.rank; i++) count *= dims.size[i];
    return count;
}

static wk_status fetch_at(const wk_dataset *self, wk_moment moment, const int64_t *indices, int64_t n, void *input,
                          void *target) {
    const implicit *m = (const implicit *)self;
    const size_t pixels = (size_t)(m->fine[0] * m->fine[1]), all = pixels * (size_t)m->channels;
    const size_t other =
        m->paired ? 1 : (size_t)count_of(m->pictures->target_dims) * wk_dtype_size(m->pictures->target_dtype);
    room r = { .coarse = wk_alloc((m->paired ? (size_t)count_of(m->pictures->input_dims) : 1) * sizeof(float)),
               .fine = wk_alloc(all * sizeof(float)),
               .part = wk_alloc(all * sizeof(float)),
               .other = wk_alloc(other),
               .order = wk_alloc(pixels * sizeof(int32_t)),
               .turned = wk_alloc(pixels * sizeof(float)) };
    wk_status status = wk_failed() ? wk_error_code() : WK_OK;
    const int64_t in = count_of(self->input_dims), out = count_of(self->target_dims);
    for (int64_t i = 0; i < n && status == WK_OK; i++)
        status = one_item(m, moment, indices[i], &r, (float *)input + i * in, (float *)target + i * out);
    wk_free(r.coarse);
    wk_free(r.fine);
    wk_free(r.part);
    wk_free(r.other);
    wk_free(r.order);
    wk_free(r.turned);
    return status;
}

static wk_status fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    return fetch_at(self, (wk_moment){ 0 }, indices, n, input, target);
}

static void destroy(wk_dataset *self) {
    wk_dataset_destroy(((implicit *)self)->pictures);
}
static const wk_dataset_class implicit_class = {
    .name = "implicit", .size = sizeof(implicit), .fetch = fetch, .destroy = destroy, .fetch_at = fetch_at
};

/* ---- from args ---- */

static bool is_picture(wk_dims dims, wk_dtype dtype) {
    return dims.rank == 3 && dtype == WK_F32;
}

static wk_status check_pictures(const wk_config *args, const implicit *m) {
    const wk_dataset *p = m->pictures;
    if (!is_picture(p->input_dims, p->input_dtype))
        return wk_config_fail(args, "dataset", "its items are no pictures (C, H, W) of f32");
    if (!m->paired) return WK_OK;
    const int64_t *a = p->input_dims.size, *b = p->target_dims.size,
                  times = is_picture(p->target_dims, p->target_dtype) ? b[1] / a[1] : 0;
    if (times >= 1 && a[0] == b[0] && b[1] == times * a[1] && b[2] == times * a[2]) return WK_OK;
    return wk_config_fail(args, "dataset",
                          "its items are no pairs of a picture (C, H, W) and the same one a whole number of times as "
                          "fine, of f32");
}

/* The sizes of an item, which all have to be the same. */
static wk_status plan(const wk_config *args, implicit *m) {
    int64_t small[2], largest[2];
    if (!m->paired && m->most < m->least)
        return wk_config_fail(args, "scale_max", "scale_max is %g, expected at least scale_min, %g", m->most, m->least);
    if (m->least < m->most && !(m->side && m->queries))
        return wk_config_fail(args, m->side ? "sample_q" : "inp_size",
                              "with scales from %g to %g inp_size and sample_q must be set: items of a batch have one "
                              "shape",
                              m->least, m->most);
    for (int k = 0; k < 2; k++) {
        const double scale = m->paired ? (double)(m->fine[0] / m->coarse[0]) : m->most;
        const int64_t whole = m->paired ? m->coarse[k] : (int64_t)floor((double)m->fine[k] / scale + 1e-9);
        small[k] = m->side ? m->side : whole;
        largest[k] = (int64_t)floor((double)small[k] * scale + 0.5);
        if (small[k] < 1 || largest[k] > m->fine[k])
            return wk_config_fail(args, "inp_size",
                                  "pictures of %lld × %lld are too small for parts of %lld at scale %g",
                                  (long long)m->fine[0], (long long)m->fine[1], (long long)small[k], scale);
    }
    const double least = m->paired ? (double)(m->fine[0] / m->coarse[0]) : m->least;
    const int64_t pixels =
        (int64_t)floor((double)small[0] * least + 0.5) * (int64_t)floor((double)small[1] * least + 0.5);
    if (m->queries > pixels)
        return wk_config_fail(args, "sample_q", "sample_q is %lld, the smallest part has %lld pixels",
                              (long long)m->queries, (long long)pixels);
    m->base.input_dims = WK_DIMS(m->channels, small[0], small[1]);
    m->base.target_dims = WK_DIMS(m->queries ? m->queries : largest[0] * largest[1], 4 + m->channels);
    return WK_OK;
}

/* Takes `pictures` over. */
static wk_dataset *wrap(const wk_config *args, wk_dataset *pictures, bool paired, bool augments) {
    implicit *m = (implicit *)wk_dataset_create(&implicit_class);
    if (!m) {
        wk_dataset_destroy(pictures);
        return NULL;
    }
    m->pictures = pictures, m->paired = paired, m->augments = augments;
    m->side = wk_config_int(args, "inp_size", 1, 1 << 14, 0);
    m->queries = wk_config_int(args, "sample_q", 1, 1 << 24, 0);
    m->repeat = wk_config_int(args, "repeat", 1, 1 << 20, 1);
    m->seed = (uint64_t)wk_config_int(args, "data_seed", 0, INT64_MAX, 0);
    m->least = paired ? 1 : wk_config_double(args, "scale_min", 1, 64, 1);
    m->most = paired ? 1 : wk_config_double(args, "scale_max", 1, 64, m->least);
    wk_status status = wk_failed() ? wk_error_code() : check_pictures(args, m);
    if (status == WK_OK) {
        const wk_dims coarse = pictures->input_dims, fine = paired ? pictures->target_dims : coarse;
        m->channels = coarse.size[0];
        m->coarse[0] = coarse.size[1], m->coarse[1] = coarse.size[2];
        m->fine[0] = fine.size[1], m->fine[1] = fine.size[2];
        m->base.count = pictures->count * m->repeat;
        m->base.input_dtype = m->base.target_dtype = WK_F32;
        status = plan(args, m);
    }
    if (status == WK_OK) return &m->base;
    wk_dataset_destroy(&m->base);
    return NULL;
}

static wk_status build(const wk_config *args, bool paired, wk_dataset **train, wk_dataset **evaluation) {
    wk_dataset *pictures = NULL, *others = NULL;
    const bool augments = wk_config_bool(args, "augment", false);
    WK_TRY(wk_make_data(args, "dataset", &pictures, &others));
    *train = wrap(args, pictures, paired, augments);
    if (*train && others)
        *evaluation = wrap(args, others, paired, false);
    else
        wk_dataset_destroy(others);
    return wk_failed() ? wk_error_code() : WK_OK;
}
static wk_status build_downsampled(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    return build(args, false, train, evaluation);
}
static wk_status build_paired(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    return build(args, true, train, evaluation);
}

#define COMMON                                                                                              \
    { "inp_size", WK_ARG_INT, "", "side of the coarse part; none: the whole picture" },                     \
        { "sample_q", WK_ARG_INT, "", "queries of an item; none: all pixels" },                             \
        { "augment", WK_ARG_BOOL, "false", "mirror pictures and exchange their axes (in training)" },       \
        { "repeat", WK_ARG_INT, "1", "each picture so many times an epoch: other parts, scales, queries" }, \
        { "data_seed", WK_ARG_INT, "0", "draws those" },                                                    \
        { "batch_size", WK_ARG_INT, "64", "items a rank takes at a time" },                                 \
        { "workers", WK_ARG_INT, "1", "threads that fetch batches" },                                       \
        { "shuffle", WK_ARG_BOOL, "true", "train in another order in each epoch" }, {                       \
        NULL, WK_ARG_INT, NULL, NULL                                                                        \
    }
static const wk_arg downsampled_args[] = { { "dataset", WK_ARG_SPEC, NULL, "data of pictures" },
                                           { "scale_min", WK_ARG_NUMBER, "1", "uniform from there" },
                                           { "scale_max", WK_ARG_NUMBER, "", "to there; none: scale_min" },
                                           COMMON };
static const wk_arg paired_args[] = { { "dataset", WK_ARG_SPEC, NULL, "data of pictures and finer ones" }, COMMON };
const wk_data_entry wk__implicit_downsampled = {
    { "sr-implicit-downsampled", "parts of pictures made coarse, and queries with their answers", downsampled_args },
    build_downsampled
};
const wk_data_entry wk__implicit_paired = {
    { "sr-implicit-paired", "parts of coarse pictures, and queries with answers in fine ones", paired_args },
    build_paired
};
