/* batch_norm_body.h: sums and maps of batch normalisation for one element type; included by batch_norm.c once a type.
 *
 * T is stored, REAL computed in, LOAD and STORE go between.  `rows` functions take channels last, (rows, C): one pass
 * over all channels a row.  `run` functions take `count` values of one channel beside each other.
 */

enum { NAME(LANES) = 16 };

/* Mean and sum of squared deviations of a block that fits the cache, two passes: E[x²] - mean² would lose four digits
 * at a mean of a hundred deviations, and the first pass sums
 * differences from the block's first value, or the mean itself would lose three.  Joined to what came before by Chan,
 * Golub & LeVeque 1979. */
static void NAME(join)(moments *m, int64_t c, double count, double mean, double squares, double before) {
    double total = before + count, delta = mean - m->mean[c];
    m->mean[c] += delta * count / total;
    m->squares[c] += squares + delta * delta * before * count / total;
}

static void NAME(moments_rows)(moments *m, const T *x /* (rows, C) */, int64_t rows, int64_t channels) {
    REAL *restrict sum = m->work, *restrict squares = (REAL *)m->work + channels;
    int64_t block = (int64_t)(BLOCK_BYTES / sizeof(T)) / channels;
    if (block < 16) block = 16;
    for (int64_t from = 0; from < rows; from += block) {
        int64_t to = from + block < rows ? from + block : rows;
        for (int64_t c = 0; c < channels; c++) sum[c] = 0, squares[c] = 0;
        for (int64_t row = from; row < to; row++)
            for (int64_t c = 0; c < channels; c++) sum[c] += LOAD(x[row * channels + c]) - LOAD(x[from * channels + c]);
        for (int64_t c = 0; c < channels; c++) sum[c] = LOAD(x[from * channels + c]) + sum[c] / (REAL)(to - from);
        for (int64_t row = from; row < to; row++)
            for (int64_t c = 0; c < channels; c++) {
                REAL deviation = LOAD(x[row * channels + c]) - sum[c];
                squares[c] += deviation * deviation;
            }
        for (int64_t c = 0; c < channels; c++)
            NAME(join)(m, c, (double)(to - from), (double)sum[c], (double)squares[c], (double)from);
    }
}

/* The same of one channel's run; `before` values have been joined already. */
static void NAME(moments_run)(moments *m, int64_t c, const T *x /* (count) */, int64_t count, int64_t before) {
    int64_t block = BLOCK_BYTES / (int64_t)sizeof(T);
    for (int64_t from = 0; from < count; from += block) {
        int64_t to = from + block < count ? from + block : count, i = from;
        REAL lane[NAME(LANES)] = { 0 }, total = 0, first = LOAD(x[from]);
        for (; i + NAME(LANES) <= to; i += NAME(LANES))
            for (int l = 0; l < NAME(LANES); l++) lane[l] += LOAD(x[i + l]) - first;
        for (int l = 0; l < NAME(LANES); l++) total += lane[l], lane[l] = 0;
        for (; i < to; i++) total += LOAD(x[i]) - first;
        REAL mean = first + total / (REAL)(to - from);
        for (i = from, total = 0; i + NAME(LANES) <= to; i += NAME(LANES))
            for (int l = 0; l < NAME(LANES); l++) {
                REAL deviation = LOAD(x[i + l]) - mean;
                lane[l] += deviation * deviation;
            }
        for (int l = 0; l < NAME(LANES); l++) total += lane[l];
        for (; i < to; i++) total += (LOAD(x[i]) - mean) * (LOAD(x[i]) - mean);
        NAME(join)(m, c, (double)(to - from), (double)mean, (double)total, (double)(before + from));
    }
}

/* y = (x - mean) · scale + shift */
static void NAME(map_rows)(T *restrict y /* (rows, C) */, const T *restrict x /* (rows, C) */, int64_t rows,
                           int64_t channels, const void *coefficients /* (4, C) */) {
    const REAL *restrict mean = coefficients, *restrict scale = mean + channels, *restrict shift = mean + 2 * channels;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t c = 0; c < channels; c++) {
            int64_t i = row * channels + c;
            y[i] = STORE((LOAD(x[i]) - mean[c]) * scale[c] + shift[c]);
        }
}

static void NAME(map_run)(T *restrict y /* (count) */, const T *restrict x /* (count) */, int64_t count, int64_t c,
                          int64_t channels, const void *coefficients /* (4, C) */) {
    const REAL *of = coefficients;
    REAL mean = of[c], scale = of[channels + c], shift = of[2 * channels + c];
    for (int64_t i = 0; i < count; i++) y[i] = STORE((LOAD(x[i]) - mean) * scale + shift);
}

/* Sums of dy and of dy · (x - mean), blocks in REAL, their totals in double: m->mean and m->squares hold them. */
static void NAME(sums_rows)(moments *m, const T *restrict dy /* (rows, C) */, const T *restrict x /* (rows, C) */,
                            int64_t rows, int64_t channels, const void *coefficients /* (4, C) */) {
    const REAL *restrict mean = coefficients;
    REAL *restrict sum = m->work, *restrict product = (REAL *)m->work + channels;
    for (int64_t from = 0; from < rows; from += 512) {
        int64_t to = from + 512 < rows ? from + 512 : rows;
        for (int64_t c = 0; c < channels; c++) sum[c] = 0, product[c] = 0;
        for (int64_t row = from; row < to; row++)
            for (int64_t c = 0; c < channels; c++) {
                int64_t i = row * channels + c;
                REAL d = LOAD(dy[i]);
                sum[c] += d;
                product[c] += d * (LOAD(x[i]) - mean[c]);
            }
        for (int64_t c = 0; c < channels; c++) m->mean[c] += (double)sum[c], m->squares[c] += (double)product[c];
    }
}

static void NAME(sums_run)(moments *m, int64_t c, const T *restrict dy /* (count) */, const T *restrict x /* (count) */,
                           int64_t count, const void *coefficients /* (4, C) */) {
    REAL mean = ((const REAL *)coefficients)[c];
    for (int64_t from = 0; from < count; from += 4096) {
        int64_t to = from + 4096 < count ? from + 4096 : count, i = from;
        REAL sum[NAME(LANES)] = { 0 }, product[NAME(LANES)] = { 0 };
        /* Two loops: the compiler keeps one array of lanes in a register, not two (11.6 ms
         * becomes 4.8 for (128, 64, 32, 32) row major). */
        for (; i + NAME(LANES) <= to; i += NAME(LANES))
            for (int l = 0; l < NAME(LANES); l++) sum[l] += LOAD(dy[i + l]);
        for (i = from; i + NAME(LANES) <= to; i += NAME(LANES))
            for (int l = 0; l < NAME(LANES); l++) product[l] += LOAD(dy[i + l]) * (LOAD(x[i + l]) - mean);
        for (; i < to; i++) sum[0] += LOAD(dy[i]), product[0] += LOAD(dy[i]) * (LOAD(x[i]) - mean);
        for (int l = 0; l < NAME(LANES); l++) m->mean[c] += (double)sum[l], m->squares[c] += (double)product[l];
    }
}

/* dx = dy · scale + (x - mean) · slope + shift */
static void NAME(grad_rows)(T *restrict dx /* (rows, C) */, const T *restrict dy /* (rows, C) */,
                            const T *restrict x /* (rows, C) */, int64_t rows, int64_t channels,
                            const void *coefficients /* (4, C) */) {
    const REAL *restrict mean = coefficients, *restrict scale = mean + channels;
    const REAL *restrict shift = mean + 2 * channels, *restrict slope = mean + 3 * channels;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t c = 0; c < channels; c++) {
            int64_t i = row * channels + c;
            dx[i] = STORE(LOAD(dy[i]) * scale[c] + (LOAD(x[i]) - mean[c]) * slope[c] + shift[c]);
        }
}

static void NAME(grad_run)(T *restrict dx /* (count) */, const T *restrict dy /* (count) */,
                           const T *restrict x /* (count) */, int64_t count, int64_t c, int64_t channels,
                           const void *coefficients /* (4, C) */) {
    const REAL *of = coefficients;
    REAL mean = of[c], scale = of[channels + c], shift = of[2 * channels + c], slope = of[3 * channels + c];
    for (int64_t i = 0; i < count; i++) dx[i] = STORE(LOAD(dy[i]) * scale + (LOAD(x[i]) - mean) * slope + shift);
}

/* Piece `share` of `shares`: rows where channels are last, else channels. */
static void NAME(gather)(const norm *v, moments *m, int share, int shares, bool backward) {
    const T *x = v->x, *dy = v->dy;
    int64_t channels = v->channels;
    if (v->by_rows) {
        int64_t rows = v->n * v->area, from = rows * share / shares, to = rows * (share + 1) / shares;
        if (backward)
            NAME(sums_rows)(m, dy + from * channels, x + from * channels, to - from, channels, v->coefficients);
        else
            NAME(moments_rows)(m, x + from * channels, to - from, channels);
        return;
    }
    for (int64_t c = channels * share / shares; c < channels * (share + 1) / shares; c++)
        for (int64_t n = 0; n < v->n; n++) {
            int64_t at = (n * channels + c) * v->area;
            if (backward)
                NAME(sums_run)(m, c, dy + at, x + at, v->area, v->coefficients);
            else
                NAME(moments_run)(m, c, x + at, v->area, n * v->area);
        }
}

static void NAME(map)(const norm *v, int share, int shares, bool backward) {
    const T *x = v->x, *dy = v->dy;
    T *y = v->y;
    int64_t channels = v->channels;
    if (v->by_rows) {
        int64_t rows = v->n * v->area, from = rows * share / shares, count = rows * (share + 1) / shares - from;
        int64_t at = from * channels;
        if (backward)
            NAME(grad_rows)(y + at, dy + at, x + at, count, channels, v->coefficients);
        else
            NAME(map_rows)(y + at, x + at, count, channels, v->coefficients);
        return;
    }
    int64_t planes = v->n * channels;
    for (int64_t plane = planes * share / shares; plane < planes * (share + 1) / shares; plane++) {
        int64_t at = plane * v->area, c = plane % channels;
        if (backward)
            NAME(grad_run)(y + at, dy + at, x + at, v->area, c, channels, v->coefficients);
        else
            NAME(map_run)(y + at, x + at, v->area, c, channels, v->coefficients);
    }
}

static void NAME(set_coefficient)(const norm *v, int which, int64_t c, double value) {
    ((REAL *)v->coefficients)[which * v->channels + c] = (REAL)value;
}

static const kernels NAME(kernels_of) = { NAME(gather), NAME(map), NAME(set_coefficient) };
