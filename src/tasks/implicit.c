/* implicit.c: wrapper "implicit": how LIIF learns.  Mean absolute error of the colours, which are normalised as the
 * picture is; validation tells the mean over pictures of the peak signal-to-noise ratio, and draws one picture finer.
 *
 * A picture's queries may be too many for memory at once: in validation they are answered eval_bsize at a time.
 */
#include "tasks/tasks.h"

#include "io/png.h"
#include "wick/models.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { MOST_CHANNELS = 4, PLACE = 4 /* y, x, height, width before a query's colours */ };
typedef enum eval_kind { ALL_PIXELS, DIV2K, BENCHMARK } eval_kind;

typedef struct implicit {
    wk_wrapper base;
    double sub[2][MOST_CHANNELS], div[2][MOST_CHANNELS]; /* of the picture, of the colours */
    int64_t at_once, picture_scale;
    eval_kind kind;
    int64_t eval_scale, channels;
} implicit;

/* ---- normalising ---- */

/* (x - sub) / div along `axis`, which has the channels; back where `undo`. */
static wk_tensor *normalise(const implicit *m, wk_tensor *x, int which, int axis, bool undo) {
    wk_tensor *part[MOST_CHANNELS];
    const double *sub = m->sub[which], *div = m->div[which];
    bool same = true;
    for (int64_t c = 1; c < m->channels; c++) same = same && sub[c] == sub[0] && div[c] == div[0];
    for (int c = 0; c < (same ? 1 : (int)m->channels); c++) {
        const wk_affine_opts map =
            undo ? (wk_affine_opts){ div[c], sub[c] } : (wk_affine_opts){ 1 / div[c], -sub[c] / div[c] };
        part[c] = wk_affine(same ? x : wk_slice(x, axis, c, c + 1, 1), map);
    }
    return same ? part[0] : wk_concat(part, (int)m->channels, axis);
}

typedef struct queries {
    wk_tensor *coord, *cell, *colours;
} queries;
static queries queries_of(const implicit *m, const wk_batch *batch) {
    return (queries){ wk_slice(batch->target, 2, 0, 2, 1), wk_slice(batch->target, 2, 2, PLACE, 1),
                      wk_slice(batch->target, 2, PLACE, PLACE + m->channels, 1) };
}

/* ---- steps ---- */

static wk_status setup(wk_wrapper *self, wk_trainer *t) {
    implicit *m = (implicit *)self;
    const wk_dataset *data = wk_trainer_data(t);
    const wk_dims in = data->input_dims, out = data->target_dims;
    char text[160];
    if (in.rank != 3 || in.size[0] > MOST_CHANNELS || out.rank != 2 || out.size[1] != PLACE + in.size[0]
        || data->target_dtype != WK_F32)
        return wk_fail(WK_CONFIG,
                       "wrapper \"implicit\" needs pictures and queries, as data \"sr-implicit-downsampled\" has");
    m->channels = in.size[0];
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_tensor *x = wk_to_device(wk_zeros(WK_F32, WK_DIMS(1, in.size[0], in.size[1], in.size[2])), wk_trainer_device(t));
    wk_tensor *place = wk_to_device(wk_zeros(WK_F32, WK_DIMS(1, 1, 2)), wk_trainer_device(t));
    wk_tensor *y = wk_liif_query(self->module, wk_liif_encode(self->module, x), place, place);
    wk_status status = y ? WK_OK : wk_error_code();
    if (y && wk_size(y, 2) != m->channels)
        status =
            wk_fail(WK_CONFIG,
                    "implicit: the model gives %s for a query, expected (1, 1, %lld), as many colours as the data has",
                    wk_describe(y, text, sizeof text), (long long)m->channels);
    wk_no_grad_end(was);
    wk_scope_end(scope);
    return status;
}

static wk_tensor *error_of(wk_tensor *answers, wk_tensor *wanted) {
    return wk_mean(wk_abs(wk_sub(answers, wanted)), (wk_reduce_opts){ 0 });
}

static wk_tensor *training_step(wk_wrapper *self, wk_trainer *t, const wk_batch *batch) {
    const implicit *m = (const implicit *)self;
    const queries q = queries_of(m, batch);
    (void)t;
    wk_tensor *y = wk_liif_forward(self->module, normalise(m, batch->input, 0, 1, false), q.coord, q.cell);
    return error_of(y, normalise(m, q.colours, 1, 2, false));
}

/* Answers, some queries after the other. */
static wk_tensor *answer_all(const implicit *m, wk_tensor *picture, wk_tensor *coord, wk_tensor *cell) {
    enum { MOST_PARTS = 4096 };
    wk_tensor *feature = wk_liif_encode(m->base.module, normalise(m, picture, 0, 1, false));
    const int64_t all = coord ? wk_size(coord, 1) : 0, step = m->at_once ? m->at_once : all;
    if (!feature || all == 0) return NULL;
    if (all <= step) return wk_liif_query(m->base.module, feature, coord, cell);
    if ((all + step - 1) / step > MOST_PARTS)
        return wk_fail_null(WK_CONFIG, "implicit: eval_bsize %lld cuts %lld queries into more than %d parts",
                            (long long)step, (long long)all, MOST_PARTS);
    wk_tensor **part = wk_alloc(MOST_PARTS * sizeof(wk_tensor *)), *whole = NULL;
    int parts = 0;
    for (int64_t i = 0; i < all && part; i += step) {
        const int64_t end = i + step < all ? i + step : all;
        part[parts++] =
            wk_liif_query(m->base.module, feature, wk_slice(coord, 1, i, end, 1), wk_slice(cell, 1, i, end, 1));
    }
    if (part) whole = wk_concat(part, parts, 1);
    wk_free(part);
    return whole;
}

/* ---- validation ---- */

/* The part of a whole picture's error (N, Q, C) that the benchmarks count: without a border, and there of luma alone.
 */
static wk_tensor *counted(const implicit *m, const wk_batch *batch, wk_tensor *error) {
    static const double luma[] = { 65.738 / 256, 129.057 / 256, 25.064 / 256 };
    if (m->kind == ALL_PIXELS) return error;
    const int64_t h = wk_size(batch->input, 2), w = wk_size(batch->input, 3),
                  border = m->kind == DIV2K ? m->eval_scale + 6 : m->eval_scale;
    const double scale = sqrt((double)wk_size(error, 1) / (double)(h * w));
    const int64_t high = (int64_t)floor((double)h * scale + 0.5), wide = (int64_t)floor((double)w * scale + 0.5);
    if (high * wide != wk_size(error, 1) || high <= 2 * border || wide <= 2 * border)
        return wk_fail_null(WK_CONFIG,
                            "implicit: eval_type needs all pixels of pictures larger than twice the border of %lld, "
                            "in their order: leave sample_q away",
                            (long long)border);
    if (m->kind == BENCHMARK && m->channels == 3) {
        wk_tensor *sum = NULL;
        for (int c = 0; c < 3; c++) {
            wk_tensor *part = wk_affine(wk_slice(error, 2, c, c + 1, 1), (wk_affine_opts){ luma[c], 0 });
            sum = sum ? wk_add(sum, part) : part;
        }
        error = sum;
    }
    error = wk_reshape(error, WK_DIMS(wk_size(error, 0), high, wide, wk_size(error, 2)));
    return wk_slice(wk_slice(error, 1, border, high - border, 1), 2, border, wide - border, 1);
}

static wk_status validation_step(wk_wrapper *self, wk_trainer *t, const wk_batch *batch) {
    const implicit *m = (const implicit *)self;
    const queries q = queries_of(m, batch);
    wk_tensor *y = answer_all(m, batch->input, q.coord, q.cell),
              *loss = error_of(y, normalise(m, q.colours, 1, 2, false));
    if (!loss) return wk_error_code();
    WK_TRY(wk_trainer_log(t, "val_loss", wk_item(loss), (wk_log_opts){ 0 }));
    const wk_clamp_opts range = { WK_SET(0), WK_SET(1) };
    wk_tensor *error = counted(m, batch, wk_sub(wk_clamp(normalise(m, y, 1, 2, true), range), q.colours));
    if (!error) return wk_error_code();
    wk_tensor *square = wk_to_device(
        wk_mean(wk_reshape(wk_mul(error, error), WK_DIMS(batch->size, -1)), (wk_reduce_opts){ .axes = WK_DIMS(1) }),
        WK_CPU);
    double sum = 0;
    for (int64_t i = 0; square && i < batch->size; i++) sum += -10 * log10(wk_at(square, i));
    return square ? wk_trainer_log(t, "val_psnr", sum / (double)batch->size, (wk_log_opts){ 0 }) : wk_error_code();
}

/* ---- a picture, finer ---- */

static void put(unsigned char *pixels, int64_t wide, int64_t row, int64_t column, int64_t channels, int64_t c,
                double value) {
    pixels[(row * wide + column) * channels + c] = (unsigned char)(fmin(fmax(value, 0), 1) * 255 + 0.5);
}

/* The coarse picture with large pixels on the left, the fine one beside it. */
static wk_status write_picture(const implicit *m, wk_trainer *t, wk_tensor *coarse, wk_tensor *fine) {
    const int64_t scale = m->picture_scale, channels = m->channels, h = wk_size(coarse, 2) * scale,
                  w = wk_size(coarse, 3) * scale, shown = channels == 2 ? 1 : channels;
    unsigned char *pixels = wk_alloc((size_t)(h * 2 * w * shown));
    char *path = wk_format("%s/img/epoch-%lld.png", wk_trainer_folder(t), (long long)wk_trainer_epoch(t) + 1);
    wk_tensor *a = wk_contiguous(wk_to_device(coarse, WK_CPU)), *b = wk_contiguous(wk_to_device(fine, WK_CPU));
    const float *left = a ? wk_data(a) : NULL, *right = b ? wk_data(b) : NULL;
    for (int64_t i = 0; pixels && left && right && i < h * w * shown; i++) {
        const int64_t c = i % shown, row = i / shown / w, column = i / shown % w;
        put(pixels, 2 * w, row, column, shown, c,
            (double)left[(c * (h / scale) + row / scale) * (w / scale) + column / scale]);
        put(pixels, 2 * w, row, w + column, shown, c, (double)right[(row * w + column) * channels + c]);
    }
    wk_status status = pixels && path && left && right ? wk__png_write(path, pixels, (int)h, (int)(2 * w), (int)shown)
                                                       : wk_error_code();
    wk_free(path);
    wk_free(pixels);
    return status;
}

static wk_status draw(const implicit *m, wk_trainer *t, const wk_dataset *data, float *picture, float *unused) {
    const int64_t *size = data->input_dims.size, h = size[1] * m->picture_scale, w = size[2] * m->picture_scale,
                  first = 0;
    WK_TRY(data->class_->fetch(data, &first, 1, picture, unused));
    wk_scope scope = wk_scope_begin();
    const wk_device device = wk_trainer_device(t);
    wk_tensor *coarse = wk_from_array(WK_F32, WK_DIMS(1, size[0], size[1], size[2]), picture);
    const float cell_size[] = { (float)(2 / (double)h), (float)(2 / (double)w) };
    wk_tensor *coord = wk_to_device(wk_liif_coordinates(1, h, w), device),
              *cell = wk_to_device(wk_from_array(WK_F32, WK_DIMS(1, 1, 2), cell_size), device);
    wk_tensor *fine = answer_all(m, wk_to_device(coarse, device), coord, wk_expand(cell, WK_DIMS(1, h * w, 2)));
    fine = normalise(m, fine, 1, 2, true);
    wk_status status = fine ? write_picture(m, t, coarse, fine) : wk_error_code();
    if (status == WK_OK) {
        wk_tensor *chw = wk_reshape(wk_transpose(fine, 1, 2), WK_DIMS(m->channels, h, w));
        if (m->channels != 2) status = wk_trainer_log_image(t, "finer", chw);
    }
    wk_scope_end(scope);
    return status;
}

/* Of the first picture to evaluate on. */
static wk_status validation_end(wk_wrapper *self, wk_trainer *t) {
    const implicit *m = (const implicit *)self;
    const wk_dataset *data = wk_trainer_validation_data(t);
    if (m->picture_scale == 0 || wk_trainer_rank(t) != 0) return WK_OK;
    const wk_dims in = data->input_dims, out = data->target_dims;
    float *picture = wk_alloc((size_t)(in.size[0] * in.size[1] * in.size[2]) * sizeof *picture),
          *unused = wk_alloc((size_t)(out.size[0] * out.size[1]) * sizeof *unused);
    wk_status status = WK_NO_MEMORY;
    if (picture && unused) {
        bool was = wk_no_grad_begin();
        wk_module_train(self->module, false);
        status = draw(m, t, data, picture, unused);
        wk_module_train(self->module, true);
        wk_no_grad_end(was);
    }
    wk_free(unused);
    wk_free(picture);
    return status;
}

static const wk_wrapper_class implicit_class = { .name = "implicit",
                                                 .size = sizeof(implicit),
                                                 .setup = setup,
                                                 .training_step = training_step,
                                                 .validation_step = validation_step,
                                                 .validation_end = validation_end };

/* ---- from args ---- */

/* One number for all channels, or one for each. */
static void read_numbers(const wk_config *args, const char *key, double otherwise, double *numbers) {
    const int count = wk_config_doubles(args, key, numbers, MOST_CHANNELS);
    for (int c = 0; c < MOST_CHANNELS; c++) {
        if (c >= count) numbers[c] = count == 0 ? otherwise : count == 1 ? numbers[0] : otherwise;
        if (otherwise != 0 && !(fabs(numbers[c]) > 0) && !wk_failed()) (void)wk_config_fail(args, key, "%s is 0", key);
    }
}

/* div2k-4, benchmark-2 */
static void read_kind(implicit *m, const wk_config *args) {
    static const char *const kinds[] = { "", "div2k-", "benchmark-" };
    const char *text = wk_config_string(args, "eval_type", NULL);
    for (int k = DIV2K; text && k <= BENCHMARK; k++) {
        const size_t size = strlen(kinds[k]);
        const char *number = text + size;
        if (strncmp(text, kinds[k], size) != 0 || strlen(number) != 1 || *number < '1' || *number > '9') continue;
        m->kind = (eval_kind)k;
        m->eval_scale = *number - '0';
    }
    if (text && m->kind == ALL_PIXELS && !wk_failed())
        (void)wk_config_fail(args, "eval_type", "eval_type is \"%s\", expected div2k-N or benchmark-N, N from 1 to 9",
                             text);
}

static wk_wrapper *build(const wk_config *args, const wk_config *run) {
    implicit *m = (implicit *)wk_wrapper_create(&implicit_class);
    if (!m) return NULL;
    read_numbers(args, "inp_sub", 0, m->sub[0]);
    read_numbers(args, "inp_div", 1, m->div[0]);
    read_numbers(args, "gt_sub", 0, m->sub[1]);
    read_numbers(args, "gt_div", 1, m->div[1]);
    read_kind(m, args);
    m->at_once = wk_config_int(args, "eval_bsize", 1, 1 << 24, 0);
    m->picture_scale = wk_config_int(args, "picture_scale", 0, 64, 4);
    m->base.module = wk_failed() ? NULL : wk_make_model(run, "model");
    return &m->base;
}

static const wk_arg args[] = {
    { "inp_sub", WK_ARG_LIST, "0", "taken from the picture's channels: one number, or one each" },
    { "inp_div", WK_ARG_LIST, "1", "and then they are divided by it" },
    { "gt_sub", WK_ARG_LIST, "0", "the same for the colours that are learnt" },
    { "gt_div", WK_ARG_LIST, "1", NULL },
    { "eval_type", WK_ARG_TEXT, "", "div2k-N or benchmark-N: val_psnr without a border (and of luma)" },
    { "eval_bsize", WK_ARG_INT, "", "queries at a time in validation; none: all" },
    { "picture_scale", WK_ARG_INT, "4", "img/epoch-N.png shows a picture so many times as fine; 0: none" },
    { NULL, WK_ARG_INT, NULL, NULL },
};
const wk_wrapper_entry wk__implicit = {
    { "implicit", "a picture as a function of coordinates (model liif); validation logs val_psnr", args }, build
};
