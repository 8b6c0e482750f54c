/* row_norm_body.h: rows of numbers normalised, for one compute type; included by row_norm.c for f32 and for f64. */

/* Sums run in lanes within a chunk and in f64 across chunks. */
enum { NAME(CHUNK) = 512 };

static double NAME(sum)(const REAL *x, int64_t n) {
    double total = 0;
    for (int64_t from = 0; from < n; from += NAME(CHUNK)) {
        int64_t to = from + NAME(CHUNK) < n ? from + NAME(CHUNK) : n;
        REAL part = 0;
#pragma omp simd reduction(+ : part)
        for (int64_t i = from; i < to; i++) part += x[i];
        total += (double)part;
    }
    return total;
}

static double NAME(squares)(const REAL *x, REAL mean, int64_t n) {
    double total = 0;
    for (int64_t from = 0; from < n; from += NAME(CHUNK)) {
        int64_t to = from + NAME(CHUNK) < n ? from + NAME(CHUNK) : n;
        REAL part = 0;
#pragma omp simd reduction(+ : part)
        for (int64_t i = from; i < to; i++) part += (x[i] - mean) * (x[i] - mean);
        total += (double)part;
    }
    return total;
}

/* Two passes over the row, which is in the cache: E[x²] - mean² would lose four digits at a mean of a hundred
 * deviations. */
static void NAME(moments)(const REAL *x, int64_t n, bool centred, double eps, REAL *mean, REAL *rstd) {
    double count = (double)n;
    *mean = centred ? (REAL)(NAME(sum)(x, n) / count) : 0;
    *rstd = (REAL)(1 / sqrt(NAME(squares)(x, *mean, n) / count + eps));
}

static void NAME(forward_row)(const row_norm *v, int64_t row, char *room) {
    REAL *x_room = (REAL *)(void *)room, *y_room = x_room + v->x.length;
    const REAL *x = wk_rows_read(&v->x, row, x_room);
    REAL *y = wk_rows_target(&v->y, row, y_room), mean, rstd;
    NAME(moments)(x, v->x.length, v->centred, v->eps, &mean, &rstd);
    if (v->mean) ((REAL *)v->mean)[row] = mean;
    ((REAL *)v->rstd)[row] = rstd;
    int64_t first = row % v->groups * v->channels;
    const REAL *restrict weight = v->weight ? (const REAL *)v->weight + first : NULL;
    const REAL *restrict bias = v->bias ? (const REAL *)v->bias + first : NULL;
    if (v->area == 1) {
        if (weight && bias)
            for (int64_t c = 0; c < v->channels; c++) y[c] = (x[c] - mean) * rstd * weight[c] + bias[c];
        else if (weight)
            for (int64_t c = 0; c < v->channels; c++) y[c] = (x[c] - mean) * rstd * weight[c];
        else
            for (int64_t c = 0; c < v->channels; c++) y[c] = (x[c] - mean) * rstd + (bias ? bias[c] : 0);
    } else {
        for (int64_t c = 0; c < v->channels; c++) {
            REAL scale = weight ? rstd * weight[c] : rstd, shift = bias ? bias[c] : 0;
            const REAL *restrict from = x + c * v->area;
            REAL *restrict to = y + c * v->area;
            for (int64_t i = 0; i < v->area; i++) to[i] = (from[i] - mean) * scale + shift;
        }
    }
    wk_rows_store(&v->y, row, y);
}

/* With x̂ = (x - mean) · rstd and g = dy · weight over n elements (for rms_norm without the first sum):
 *   dx = rstd (g - Σ g / n - x̂ Σ g x̂ / n)                                                 Ba et al. 2016 */
static void NAME(backward_elements)(const row_norm *v, const REAL *restrict x, const REAL *restrict dy,
                                    REAL *restrict dx, int64_t first, REAL mean, REAL rstd, REAL *restrict dweight,
                                    REAL *restrict dbias) {
    const REAL *restrict weight = v->weight ? (const REAL *)v->weight + first : NULL;
    int64_t n = v->channels;
    double sum = 0, product = 0;
    for (int64_t from = 0; from < n; from += NAME(CHUNK)) {
        int64_t to = from + NAME(CHUNK) < n ? from + NAME(CHUNK) : n;
        REAL a = 0, b = 0;
        if (weight) {
#pragma omp simd reduction(+ : a, b)
            for (int64_t c = from; c < to; c++) {
                REAL g = dy[c] * weight[c];
                a += g;
                b += g * (x[c] - mean);
            }
        } else {
#pragma omp simd reduction(+ : a, b)
            for (int64_t c = from; c < to; c++) {
                a += dy[c];
                b += dy[c] * (x[c] - mean);
            }
        }
        sum += (double)a, product += (double)b;
    }
    REAL shift = v->centred ? (REAL)(sum / (double)n) : 0;
    REAL slope = (REAL)(product * (double)rstd * (double)rstd / (double)n);
    if (weight)
        for (int64_t c = 0; c < n; c++) dx[c] = rstd * (dy[c] * weight[c] - shift - (x[c] - mean) * slope);
    else
        for (int64_t c = 0; c < n; c++) dx[c] = rstd * (dy[c] - shift - (x[c] - mean) * slope);
    if (!dweight) return;
    for (int64_t c = 0; c < n; c++) {
        dweight[c] += dy[c] * (x[c] - mean) * rstd;
        dbias[c] += dy[c];
    }
}

/* The same where each weight stands for `area` elements: sums by channel first, everything else from them. */
static void NAME(backward_planes)(const row_norm *v, const REAL *x, const REAL *dy, REAL *dx, int64_t first, REAL mean,
                                  REAL rstd, double *sums /* (2, channels) */) {
    const REAL *weight = v->weight ? (const REAL *)v->weight + first : NULL;
    double n = (double)(v->channels * v->area), sum = 0, product = 0;
    for (int64_t c = 0; c < v->channels; c++) {
        double by_x = 0, alone = 0;
        for (int64_t from = 0; from < v->area; from += NAME(CHUNK)) {
            int64_t to = from + NAME(CHUNK) < v->area ? from + NAME(CHUNK) : v->area;
            const REAL *restrict dyc = dy + c * v->area, *restrict xc = x + c * v->area;
            REAL a = 0, b = 0;
#pragma omp simd reduction(+ : a, b)
            for (int64_t i = from; i < to; i++) {
                a += dyc[i];
                b += dyc[i] * (xc[i] - mean);
            }
            alone += (double)a, by_x += (double)b * (double)rstd;
        }
        sums[c] = by_x, sums[v->channels + c] = alone;
        double w = weight ? (double)weight[c] : 1;
        sum += w * alone, product += w * by_x;
    }
    REAL shift = v->centred ? (REAL)(sum / n) : 0, slope = (REAL)(product / n * (double)rstd);
    for (int64_t c = 0; c < v->channels; c++) {
        REAL w = weight ? weight[c] : 1;
        const REAL *restrict dyc = dy + c * v->area, *restrict xc = x + c * v->area;
        REAL *restrict dxc = dx + c * v->area;
        for (int64_t i = 0; i < v->area; i++) dxc[i] = rstd * (dyc[i] * w - shift - (xc[i] - mean) * slope);
    }
}

static void NAME(backward_row)(const row_norm *v, int64_t row, char *room, void *part) {
    REAL *x_room = (REAL *)(void *)room, *dy_room = x_room + v->x.length, *dx_room = dy_room + v->x.length;
    const REAL *x = wk_rows_read(&v->x, row, x_room), *dy = wk_rows_read(&v->dy, row, dy_room);
    REAL *dx = wk_rows_target(&v->y, row, dx_room), mean = 0, rstd;
    if (v->rstd) {
        mean = v->mean ? ((REAL *)v->mean)[row] : 0;
        rstd = ((REAL *)v->rstd)[row];
    } else {
        NAME(moments)(x, v->x.length, v->centred, v->eps, &mean, &rstd);
    }
    int64_t group = row % v->groups, all = v->groups * v->channels;
    if (v->area == 1) {
        REAL *sums = part;
        NAME(backward_elements)
        (v, x, dy, dx, group * v->channels, mean, rstd, sums ? sums + group * v->channels : NULL,
         sums ? sums + all + group * v->channels : NULL);
    } else {
        NAME(backward_planes)
        (v, x, dy, dx, group * v->channels, mean, rstd, v->plane_sums + row * 2 * v->channels);
    }
    wk_rows_store(&v->y, row, dx);
}

static double NAME(part_of)(const void *part, int64_t i) {
    return (double)((const REAL *)part)[i];
}

static const kernels NAME(kernels_of) = { NAME(forward_row), NAME(backward_row), NAME(part_of) };
