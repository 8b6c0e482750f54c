/* operands.c: what stands for a bucket while it is measured.
 *
 * Products are calls of `matmul` on matrices that are stored as they are or the other way round; convolutions those of
 * conv2d and its two gradients, channels last, as they lie between the layers of a network.
 */
#define WK_NO_CALL_SITES
#include "bench/tune/tune.h"

#include "wick/ops.h"

#include <math.h>

enum { BATCH, M, N, K };                  /* sizes of a product */
enum { IMAGES, CHANNELS, FILTERS, SIDE }; /* of a convolution */
enum { ONE, THREE, DEPTHWISE, OTHER };    /* its forms; the last one: 3 × 3 with stride 2 */
static const double MOST_PRODUCT = 1 << 26, MOST_CONVOLUTION = 1 << 26, MOST_ELEMENTS = 1 << 23;

/* ---- which are measured ---- */

double wk__tune_work(const wk__tune_case *c) {
    const int64_t *size = c->size;
    if (c->bucket.op == WK__TUNED_PRODUCT)
        return (double)size[BATCH] * (double)size[M] * (double)size[N] * (double)size[K];
    double taps = c->bucket.form == ONE ? 1 : 9, channels = c->bucket.form == DEPTHWISE ? 1 : (double)size[CHANNELS];
    return (double)size[IMAGES] * (double)(size[SIDE] * size[SIDE]) * taps * (double)size[FILTERS] * channels;
}

static double elements(const wk__tune_case *c) {
    const int64_t *size = c->size;
    double channels = (double)size[CHANNELS], filters = (double)size[FILTERS];
    double area = (double)(size[SIDE] * size[SIDE]), wider = c->bucket.form == OTHER ? 4 : 1;
    if (c->bucket.op != WK__TUNED_PRODUCT)
        return (double)size[IMAGES] * area * (wider * channels + filters) + 9 * channels * filters;
    double m = (double)size[M], n = (double)size[N], k = (double)size[K];
    return (double)size[BATCH] * (m * k + k * n + m * n);
}

bool wk__tune_exists(const wk__tune_case *c) {
    if (c->bucket.op == WK__TUNED_PRODUCT || c->bucket.form != DEPTHWISE) return true;
    return c->size[CHANNELS] == c->size[FILTERS] && c->size[CHANNELS] > 1;
}

/* Small convolutions spend their time in the call, whoever computes them; what is larger than these behaves as they do.
 * Of products in batches, those of attention's heads and the like. */
bool wk__tune_is_worth(const wk__tune_case *c) {
    double work = wk__tune_work(c);
    if (elements(c) > MOST_ELEMENTS) return false;
    if (c->bucket.op != WK__TUNED_PRODUCT) return work >= 1 << 14 && work <= MOST_CONVOLUTION;
    for (int i = M; i <= K && c->size[BATCH] > 1; i++)
        if (c->size[i] < 8 || c->size[i] > 512) return false;
    return work <= MOST_PRODUCT;
}

/* ---- operands ---- */

/* Numbers without a pattern that a wrong index would not disturb. */
static wk_tensor *drawn(wk_dtype dtype, wk_dims dims) {
    wk_tensor *wide = wk_empty(WK_F32, dims);
    float *value = wide ? wk_data(wide) : NULL;
    for (int64_t i = 0; value && i < wk_count(wide); i++)
        value[i] = (float)(fmod(0.618033988749895 * (double)(i + 1), 1.0) - 0.5);
    return dtype == WK_F32 ? wide : wk_cast(wide, dtype);
}

/* (rows, cols), or `batch` of them; turned: its memory holds the transpose. */
static wk_tensor *matrix(wk_dtype dtype, int64_t batch, int64_t rows, int64_t cols, bool turned) {
    int64_t first = turned ? cols : rows, second = turned ? rows : cols;
    int rank = batch > 1 ? 3 : 2;
    wk_tensor *x = drawn(dtype, batch > 1 ? WK_DIMS(batch, first, second) : WK_DIMS(first, second));
    return turned ? wk_transpose(x, rank - 2, rank - 1) : x;
}

static wk_tensor *image(wk_dtype dtype, int64_t n, int64_t channels, int64_t side) {
    return wk_permute(drawn(dtype, WK_DIMS(n, side, side, channels)), WK_DIMS(0, 3, 1, 2));
}

static void draw_product(wk__tune_case *c, wk_dtype dtype) {
    const int64_t *size = c->size;
    c->subject.in[0] = wk_keep(matrix(dtype, size[BATCH], size[M], size[K], c->bucket.form >> 1 & 1));
    c->subject.in[1] = wk_keep(matrix(dtype, size[BATCH], size[K], size[N], c->bucket.form & 1));
    c->subject.n_in = 2;
    c->subject.n_out = 1;
}

static void draw_convolution(wk__tune_case *c, wk_dtype dtype) {
    const int64_t *size = c->size;
    int form = c->bucket.form;
    int64_t kernel = form == ONE ? 1 : 3, step = form == OTHER ? 2 : 1, groups = form == DEPTHWISE ? size[CHANNELS] : 1;
    for (int i = 0; i < 2; i++) {
        c->attrs.conv.stride[i] = step, c->attrs.conv.dilation[i] = 1, c->attrs.conv.padding[i] = kernel / 2;
    }
    c->attrs.conv.stride[2] = c->attrs.conv.dilation[2] = 1;
    c->attrs.conv.groups = groups;
    wk_dims filters = WK_DIMS(size[FILTERS], size[CHANNELS] / groups, kernel, kernel);
    wk_tensor *x = image(dtype, size[IMAGES], size[CHANNELS], size[SIDE] * step), *weight = drawn(dtype, filters);
    wk_tensor *dy = image(dtype, size[IMAGES], size[FILTERS], size[SIDE]);
    if (!x || !weight || !dy) return;
    bool forward = c->bucket.op == WK__TUNED_CONV, of_input = c->bucket.op == WK__TUNED_CONV_INPUT;
    c->attrs.dims = of_input ? wk_dims_get(x) : filters;
    c->subject.in[0] = wk_keep(of_input ? dy : x);
    c->subject.in[1] = wk_keep(forward || of_input ? weight : dy);
    c->subject.n_in = forward ? 3 : 2; /* there is no bias */
    c->subject.n_out = forward || of_input ? 1 : 2;
}

wk_status wk__tune_case_begin(wk__tune_case *c) {
    bool product = c->bucket.op == WK__TUNED_PRODUCT;
    const char *row = product ? "matmul" : wk__tuned_op_names[c->bucket.op];
    c->attrs = (wk_conv_grad_attrs){ 0 };
    c->subject = (wk__subject){ .row = wk_op_find(row), .label = "", .attrs = product ? NULL : &c->attrs };
    wk_scope scope = wk_scope_begin();
    if (product)
        draw_product(c, wk__tuned_dtype(c->bucket.dtype));
    else
        draw_convolution(c, wk__tuned_dtype(c->bucket.dtype));
    wk_scope_end(scope);
    if (!wk_failed()) return WK_OK;
    wk__tune_case_end(c);
    return wk_error_code();
}

void wk__tune_case_end(wk__tune_case *c) {
    wk__subject_end(&c->subject);
}
