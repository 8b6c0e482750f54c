/* init.c: initial values, in PyTorch's order of draws and operations, so that equal seeds give equal weights. */
#include "tensor/tensor.h"
#include "wick/nn/init.h"

#include <math.h>

/* ---- what all need ---- */

static bool takes(const char *who, const wk_tensor *t, int least_rank, int most_rank) {
    char text[160];
    if (!t || wk_failed()) return false;
    bool fits = (t->dtype == WK_F32 || t->dtype == WK_F64) && (t->flags & WK_TENSOR_CONTIGUOUS)
                && (t->flags & WK_TENSOR_KEPT) && t->rank >= least_rank && t->rank <= most_rank;
    if (fits && t->device) {
        (void)wk_fail(WK_DEVICE, "%s: the tensor is %s; draw on the CPU, then wk_module_to_device", who,
                      wk_describe(t, text, sizeof text));
        return false;
    }
    if (fits) {
        t->storage->version++;
        return true;
    }
    (void)wk_fail(WK_INVALID, "%s: %s, expected a kept tensor, f32 or f64, row major, of rank %d to %d", who,
                  wk_describe(t, text, sizeof text), least_rank, most_rank);
    return false;
}

static double get(const wk_tensor *t, int64_t i) {
    return t->dtype == WK_F32 ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
}
static void set(wk_tensor *t, int64_t i, double value) {
    if (t->dtype == WK_F32)
        ((float *)t->data)[i] = (float)value;
    else
        ((double *)t->data)[i] = value;
}

static void draw_uniform(wk_tensor *t, double low, double high) {
    if (t->dtype == WK_F32)
        wk_random_uniform_f32(wk_default_generator(), t->data, t->count, low, high);
    else
        wk_random_uniform_f64(wk_default_generator(), t->data, t->count, low, high);
}
static void draw_normal(wk_tensor *t, double mean, double deviation) {
    if (t->dtype == WK_F32)
        wk_random_normal_f32(wk_default_generator(), t->data, t->count, mean, deviation);
    else
        wk_random_normal_f64(wk_default_generator(), t->data, t->count, mean, deviation);
}

/* ---- plain distributions ---- */

wk_tensor *wk_init_uniform(wk_tensor *t, double low, double high) {
    if (!takes("wk_init_uniform", t, 0, WK_MAX_RANK)) return NULL;
    if (!(low <= high)) return wk_fail_null(WK_INVALID, "wk_init_uniform: low %g, high %g", low, high);
    draw_uniform(t, low, high);
    return t;
}

wk_tensor *wk_init_normal(wk_tensor *t, double mean, double deviation) {
    if (!takes("wk_init_normal", t, 0, WK_MAX_RANK)) return NULL;
    if (!(deviation >= 0)) return wk_fail_null(WK_INVALID, "wk_init_normal: deviation %g", deviation);
    draw_normal(t, mean, deviation);
    return t;
}

static double normal_cdf(double x) {
    return (1 + erf(x / sqrt(2.0))) / 2;
}

/* Draws as large as the tensor, taken where the ones before lie outside, until none does. */
static void reject_normal(wk_tensor *t, wk_tensor *drawn, const double by[4]) {
    double low = t->dtype == WK_F32 ? (float)by[2] : by[2], high = t->dtype == WK_F32 ? (float)by[3] : by[3];
    draw_normal(t, by[0], by[1]);
    for (bool outside = true; outside;) {
        outside = false;
        for (int64_t i = 0; i < t->count && !outside; i++) outside = get(t, i) < low || get(t, i) > high;
        if (!outside) break;
        draw_normal(drawn, by[0], by[1]);
        for (int64_t i = 0; i < t->count; i++)
            if (get(t, i) < low || get(t, i) > high) set(t, i, get(drawn, i));
    }
}

/* Where little of the distribution lies in [low, high]: uniform candidates, kept with the density relative to its peak.
 */
static void reject_uniform(wk_tensor *t, wk_tensor *candidate, wk_tensor *accept, bool *pending, const double by[4]) {
    double mode = by[0] < by[2] ? by[2] : by[0] > by[3] ? by[3] : by[0], away = (mode - by[0]) / by[1];
    bool any = true;
    for (int64_t i = 0; i < t->count; i++) pending[i] = true;
    while (any) {
        draw_uniform(candidate, by[2], by[3]);
        draw_uniform(accept, 0, 1);
        any = false;
        for (int64_t i = 0; i < t->count; i++) {
            if (!pending[i]) continue;
            double z = (get(candidate, i) - by[0]) / by[1];
            set(t, i, get(candidate, i));
            pending[i] = log(get(accept, i)) > -0.5 * z * z + 0.5 * away * away;
            any = any || pending[i];
        }
    }
}

wk_tensor *wk_init_truncated_normal(wk_tensor *t, double mean, double deviation, double low, double high) {
    if (!takes("wk_init_truncated_normal", t, 0, WK_MAX_RANK)) return NULL;
    if (!(deviation > 0) || !(low < high))
        return wk_fail_null(WK_INVALID, "wk_init_truncated_normal: deviation %g, low %g, high %g", deviation, low,
                            high);
    const double by[4] = { mean, deviation, low, high };
    wk_tensor *first = wk_kept_zeros((wk_dtype)t->dtype, wk__dims(t)),
              *second = wk_kept_zeros((wk_dtype)t->dtype, wk__dims(t));
    bool *pending = wk_alloc((size_t)t->count + 1);
    bool ready = first && second && pending;
    if (ready && normal_cdf((high - mean) / deviation) - normal_cdf((low - mean) / deviation) > 0.3)
        reject_normal(t, first, by);
    else if (ready)
        reject_uniform(t, first, second, pending, by);
    wk_release(first);
    wk_release(second);
    wk_free(pending);
    return ready ? t : NULL;
}

wk_tensor *wk_init_constant(wk_tensor *t, double value) {
    if (!takes("wk_init_constant", t, 0, WK_MAX_RANK)) return NULL;
    for (int64_t i = 0; i < t->count; i++) set(t, i, value);
    return t;
}
wk_tensor *wk_init_zeros(wk_tensor *t) {
    return wk_init_constant(t, 0);
}
wk_tensor *wk_init_ones(wk_tensor *t) {
    return wk_init_constant(t, 1);
}

/* ---- identities ---- */

wk_tensor *wk_init_eye(wk_tensor *t) {
    if (!takes("wk_init_eye", t, 2, 2)) return NULL;
    for (int64_t i = 0; i < t->count; i++) set(t, i, i / t->shape[1] == i % t->shape[1]);
    return t;
}

wk_tensor *wk_init_dirac(wk_tensor *t, int64_t groups) {
    if (!takes("wk_init_dirac", t, 3, 5)) return NULL;
    if (groups == 0) groups = 1;
    if (groups < 1 || t->shape[0] % groups)
        return wk_fail_null(WK_INVALID, "wk_init_dirac: %lld groups do not divide %lld channels", (long long)groups,
                            (long long)t->shape[0]);
    int64_t per_group = t->shape[0] / groups, least = per_group < t->shape[1] ? per_group : t->shape[1];
    for (int64_t i = 0; i < t->count; i++) set(t, i, 0);
    for (int64_t g = 0; g < groups; g++)
        for (int64_t c = 0; c < least; c++) {
            int64_t at = (g * per_group + c) * t->stride[0] + c * t->stride[1];
            for (int axis = 2; axis < t->rank; axis++) at += t->shape[axis] / 2 * t->stride[axis];
            set(t, at, 1);
        }
    return t;
}

/* ---- by fan ---- */

static void fans(const wk_tensor *t, double *in, double *out) {
    double field = 1;
    for (int axis = 2; axis < t->rank; axis++) field *= (double)t->shape[axis];
    *in = (double)t->shape[1] * field;
    *out = (double)t->shape[0] * field;
}

wk_tensor *wk_init_xavier_uniform(wk_tensor *t, double gain) {
    double in, out;
    if (!takes("wk_init_xavier_uniform", t, 2, WK_MAX_RANK)) return NULL;
    fans(t, &in, &out);
    double bound = sqrt(3.0) * ((gain != 0 ? gain : 1) * sqrt(2.0 / (in + out)));
    draw_uniform(t, -bound, bound);
    return t;
}
wk_tensor *wk_init_xavier_normal(wk_tensor *t, double gain) {
    double in, out;
    if (!takes("wk_init_xavier_normal", t, 2, WK_MAX_RANK)) return NULL;
    fans(t, &in, &out);
    draw_normal(t, 0, (gain != 0 ? gain : 1) * sqrt(2.0 / (in + out)));
    return t;
}

double wk_init_gain(wk_nonlinearity nonlinearity, double slope) {
    switch (nonlinearity) {
    case WK_NONLINEARITY_RELU: return sqrt(2.0);
    case WK_NONLINEARITY_LEAKY_RELU: return sqrt(2.0 / (1 + slope * slope));
    case WK_NONLINEARITY_TANH: return 5.0 / 3;
    case WK_NONLINEARITY_SELU: return 3.0 / 4;
    default: return 1;
    }
}

static double kaiming_deviation(const wk_tensor *t, const wk_kaiming_opts *opts) {
    double in, out;
    fans(t, &in, &out);
    return wk_init_gain(opts->nonlinearity, opts->slope) / sqrt(opts->fan_out ? out : in);
}
wk_tensor *wk_init_kaiming_uniform(wk_tensor *t, wk_kaiming_opts opts) {
    if (!takes("wk_init_kaiming_uniform", t, 2, WK_MAX_RANK)) return NULL;
    if (t->count == 0) return t;
    double bound = sqrt(3.0) * kaiming_deviation(t, &opts);
    draw_uniform(t, -bound, bound);
    return t;
}
wk_tensor *wk_init_kaiming_normal(wk_tensor *t, wk_kaiming_opts opts) {
    if (!takes("wk_init_kaiming_normal", t, 2, WK_MAX_RANK)) return NULL;
    if (t->count == 0) return t;
    draw_normal(t, 0, kaiming_deviation(t, &opts));
    return t;
}

/* ---- orthogonal, sparse ---- */

/* Columns made orthonormal one after the other: that is Q of a QR decomposition whose R has a positive diagonal, which
 * PyTorch's becomes by the signs it applies.  Twice, since once leaves the error of a bad condition. */
static void orthonormalise(double *a /* (columns, rows) */, int64_t columns, int64_t rows) {
    for (int64_t c = 0; c < columns; c++) {
        double *own = a + c * rows, length = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t k = 0; k < c; k++) {
                const double *other = a + k * rows;
                double dot = 0;
                for (int64_t i = 0; i < rows; i++) dot += own[i] * other[i];
                for (int64_t i = 0; i < rows; i++) own[i] -= dot * other[i];
            }
        for (int64_t i = 0; i < rows; i++) length += own[i] * own[i];
        length = sqrt(length);
        for (int64_t i = 0; i < rows && length > 0; i++) own[i] /= length;
    }
}

wk_tensor *wk_init_orthogonal(wk_tensor *t, double gain) {
    if (!takes("wk_init_orthogonal", t, 2, WK_MAX_RANK)) return NULL;
    if (t->count == 0) return t;
    int64_t rows = t->shape[0], columns = t->count / rows, lines = rows < columns ? rows : columns;
    int64_t length = rows < columns ? columns : rows;
    double *a = wk_alloc((size_t)t->count * sizeof *a);
    if (!a) return NULL;
    draw_normal(t, 0, 1);
    bool wide = rows < columns; /* then the rows are what becomes orthonormal */
    for (int64_t i = 0; i < t->count; i++) a[wide ? i : i % columns * rows + i / columns] = get(t, i);
    orthonormalise(a, lines, length);
    for (int64_t i = 0; i < t->count; i++)
        set(t, i, a[wide ? i : i % columns * rows + i / columns] * (gain != 0 ? gain : 1));
    wk_free(a);
    return t;
}

wk_tensor *wk_init_sparse(wk_tensor *t, double sparsity, double deviation) {
    if (!takes("wk_init_sparse", t, 2, 2)) return NULL;
    if (!(sparsity >= 0 && sparsity <= 1))
        return wk_fail_null(WK_INVALID, "wk_init_sparse: sparsity %g, expected 0 to 1", sparsity);
    int64_t rows = t->shape[0], columns = t->shape[1], zeros = (int64_t)ceil(sparsity * (double)rows);
    int64_t *order = wk_alloc((size_t)(rows ? rows : 1) * sizeof *order);
    if (!order) return NULL;
    draw_normal(t, 0, deviation);
    for (int64_t c = 0; c < columns; c++) {
        wk_random_permutation(wk_default_generator(), order, rows);
        for (int64_t i = 0; i < zeros; i++) set(t, order[i] * columns + c, 0);
    }
    wk_free(order);
    return t;
}
