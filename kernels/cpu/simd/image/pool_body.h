/* pool_body.h: pooling for one element type; included by pool.c once a type.
 *
 * T is the stored type, REAL the one computed in, LOAD and STORE go between.  Each kernel computes a run of `count`
 * channels (channels last) or single elements (any other layout: count 1, steps by stride).
 */

/* The largest of one window (at: its place along the axes) for up to CHUNK channels. */
static inline WK_EXPANDED void NAME(max_window)(const pooling *s, T *restrict y, int64_t to,
                                                const T *x /* from this channel on */, const layout *by,
                                                const int64_t *at, int64_t count) {
    const window_axis *a = s->axis;
    REAL best[CHUNK];
    int32_t taken[CHUNK];
    int64_t o = at[0], p = at[1], q = at[2];
    int32_t first = (int32_t)((a[0].from[o] * a[1].kernel + a[1].from[p]) * a[2].kernel + a[2].from[q]);
    for (int64_t c = 0; c < count; c++) best[c] = -(REAL)INFINITY, taken[c] = first;
    for (int64_t t = a[0].from[o]; t < a[0].to[o]; t++)
        for (int64_t r = a[1].from[p]; r < a[1].to[p]; r++) {
            const T *row = x + (a[0].start[o] + t * a[0].dilation) * by->stride[2]
                           + (a[1].start[p] + r * a[1].dilation) * by->stride[3] + a[2].start[q] * by->stride[4];
            int64_t step = a[2].dilation * by->stride[4], line = (t * a[1].kernel + r) * a[2].kernel;
            for (int64_t v = a[2].from[q]; v < a[2].to[q]; v++) {
                int32_t tap = (int32_t)(line + v);
                const T *restrict from = row + v * step;
                for (int64_t c = 0; c < count; c++) {
                    REAL value = LOAD(from[c]);
                    bool better = (value > best[c]) | (value != value);
                    best[c] = better ? value : best[c];
                    taken[c] = better ? tap : taken[c];
                }
            }
        }
    for (int64_t c = 0; c < count; c++) y[to + c] = STORE(best[c]);
    if (s->wide)
        for (int64_t c = 0; c < count; c++) ((int32_t *)s->taps)[to + c] = taken[c];
    else
        for (int64_t c = 0; c < count; c++) ((uint8_t *)s->taps)[to + c] = (uint8_t)taken[c];
}

/* The largest of n neighbours and whether one is NaN. */
static inline REAL NAME(largest)(const T *restrict row, int64_t n, bool *has_nan) {
    REAL most = -(REAL)INFINITY;
    int unordered = 0;
#pragma omp simd reduction(max : most) reduction(| : unordered)
    for (int64_t v = 0; v < n; v++) {
        REAL value = LOAD(row[v]);
        most = value > most ? value : most;
        unordered |= value != value;
    }
    *has_nan = unordered != 0;
    return most;
}

/* Where in a row that holds `value` it stands first: a run at a time, then within the run. */
static inline int64_t NAME(place_of)(REAL value, const T *restrict row, int64_t n) {
    int64_t at = 0;
    for (; at + CHUNK <= n; at += CHUNK) {
        int found = 0;
#pragma omp simd reduction(| : found)
        for (int64_t v = 0; v < CHUNK; v++) found |= LOAD(row[at + v]) == value;
        if (found) break;
    }
    while (LOAD(row[at]) != value) at++;
    return at;
}

/* One element of a row-major plane whose window has long rows: each row's largest first, and only where that is more
 * than what was found before, its place.  False where a NaN wins: max_window knows which. */
static inline bool NAME(max_broad)(const pooling *s, T *restrict y, int64_t to, const T *x, const layout *by,
                                   const int64_t *at) {
    const window_axis *a = s->axis;
    int64_t o = at[0], p = at[1], q = at[2], n = a[2].to[q] - a[2].from[q];
    int64_t taken = (a[0].from[o] * a[1].kernel + a[1].from[p]) * a[2].kernel + a[2].from[q];
    REAL best = -(REAL)INFINITY;
    /* Rows that are taken whole are one row. */
    int64_t together = a[2].steps == 1 && by->stride[3] == a[2].size ? a[1].to[p] - a[1].from[p] : 1;
    for (int64_t t = a[0].from[o]; t < a[0].to[o]; t++)
        for (int64_t r = a[1].from[p]; r < a[1].to[p]; r += together) {
            const T *row = x + (a[0].start[o] + t) * by->stride[2] + (a[1].start[p] + r) * by->stride[3] + a[2].start[q]
                           + a[2].from[q];
            bool has_nan;
            REAL most = NAME(largest)(row, together * n, &has_nan);
            if (has_nan) return false;
            if (!(most > best)) continue;
            best = most, taken = (t * a[1].kernel + r) * a[2].kernel + a[2].from[q];
            taken += NAME(place_of)(most, row, together * n);
        }
    y[to] = STORE(best);
    if (s->wide)
        ((int32_t *)s->taps)[to] = (int32_t)taken;
    else
        ((uint8_t *)s->taps)[to] = (uint8_t)taken;
    return true;
}

static inline WK_EXPANDED void NAME(mean_window)(const pooling *s, T *restrict y, const T *x, const layout *by,
                                                 const int64_t *at, int64_t count) {
    const window_axis *a = s->axis;
    REAL sum[CHUNK];
    int64_t o = at[0], p = at[1], q = at[2];
    for (int64_t c = 0; c < count; c++) sum[c] = 0;
    for (int64_t t = a[0].from[o]; t < a[0].to[o]; t++)
        for (int64_t r = a[1].from[p]; r < a[1].to[p]; r++) {
            const T *row = x + (a[0].start[o] + t) * by->stride[2] + (a[1].start[p] + r) * by->stride[3]
                           + a[2].start[q] * by->stride[4];
            for (int64_t v = a[2].from[q]; v < a[2].to[q]; v++) {
                const T *restrict from = row + v * by->stride[4];
                for (int64_t c = 0; c < count; c++) sum[c] += LOAD(from[c]);
            }
        }
    REAL divisor = (REAL)divisor_of(s, at);
    for (int64_t c = 0; c < count; c++) y[c] = STORE(sum[c] / divisor);
}

/* One window; `count` is a constant where this is expanded. */
static inline WK_EXPANDED void NAME(forward_run)(const pooling *s, const layout *x, const layout *y, bool is_max,
                                                 int64_t n, int64_t c, const int64_t *at, int64_t count) {
    int64_t to =
        n * y->stride[0] + c * y->stride[1] + at[0] * y->stride[2] + at[1] * y->stride[3] + at[2] * y->stride[4];
    const T *from = (const T *)x->data + n * x->stride[0] + c * x->stride[1];
    if (is_max && s->broad && NAME(max_broad)(s, y->data, to, from, x, at)) return;
    if (is_max)
        NAME(max_window)(s, y->data, to, from, x, at, count);
    else
        NAME(mean_window)(s, (T *)y->data + to, from, x, at, count);
}

/* Windows [first, first + count) of a row of a plane, all of whose taps along the row lie in the image. */
static inline WK_EXPANDED void NAME(row_run)(const pooling *s, const layout *x, bool is_max, const T *plane, T *y,
                                             int64_t to, const int64_t *at, int64_t step, int64_t count) {
    const window_axis *a = s->axis;
    REAL best[CHUNK];
    int32_t taken[CHUNK];
    int64_t o = at[0], p = at[1];
    int32_t first = (int32_t)((a[0].from[o] * a[1].kernel + a[1].from[p]) * a[2].kernel);
    for (int64_t c = 0; c < count; c++) best[c] = is_max ? -(REAL)INFINITY : 0, taken[c] = first;
    for (int64_t t = a[0].from[o]; t < a[0].to[o]; t++)
        for (int64_t r = a[1].from[p]; r < a[1].to[p]; r++) {
            const T *row = plane + (a[0].start[o] + t * a[0].dilation) * x->stride[2]
                           + (a[1].start[p] + r * a[1].dilation) * x->stride[3] + a[2].start[at[2]];
            for (int64_t v = 0; v < a[2].kernel; v++) {
                int32_t tap = (int32_t)((t * a[1].kernel + r) * a[2].kernel + v);
                const T *restrict from = row + v * a[2].dilation;
                for (int64_t c = 0; c < count; c++) {
                    REAL value = LOAD(from[c * step]);
                    bool better = (value > best[c]) | (value != value);
                    best[c] = !is_max ? best[c] + value : better ? value : best[c];
                    taken[c] = better ? tap : taken[c];
                }
            }
        }
    REAL divisor = is_max ? 1 : (REAL)divisor_of(s, at); /* the same for all that lie inside */
    for (int64_t c = 0; c < count; c++) y[to + c] = STORE(is_max ? best[c] : best[c] / divisor);
    if (!is_max) return;
    if (s->wide)
        for (int64_t c = 0; c < count; c++) ((int32_t *)s->taps)[to + c] = taken[c];
    else
        for (int64_t c = 0; c < count; c++) ((uint8_t *)s->taps)[to + c] = (uint8_t)taken[c];
}

/* The same of the maxima of two or three neighbours along the row, two apart: no best and no tap to carry from one pass
 * to the next.  Values and taps are loops of their own, so that each is of one width. */
static inline void NAME(row_of_pairs)(const pooling *s, const T *restrict row, T *restrict y, int64_t to,
                                      int64_t count) {
    uint8_t *restrict taps = (uint8_t *)s->taps + to;
    for (int64_t c = 0; c < count; c++) {
        REAL a = LOAD(row[2 * c]), b = LOAD(row[2 * c + 1]);
        y[to + c] = ((b > a) | (b != b)) ? row[2 * c + 1] : row[2 * c];
    }
    for (int64_t c = 0; c < count; c++) {
        REAL a = LOAD(row[2 * c]), b = LOAD(row[2 * c + 1]);
        taps[c] = (uint8_t)((b > a) | (b != b));
    }
}
static inline void NAME(row_of_triples)(const pooling *s, const T *restrict row, T *restrict y, int64_t to,
                                        int64_t count) {
    uint8_t *restrict taps = (uint8_t *)s->taps + to;
    for (int64_t c = 0; c < count; c++) {
        REAL a = LOAD(row[2 * c]), b = LOAD(row[2 * c + 1]), d = LOAD(row[2 * c + 2]);
        REAL best = ((b > a) | (b != b)) ? b : a;
        y[to + c] = STORE(((d > best) | (d != d)) ? d : best);
    }
    for (int64_t c = 0; c < count; c++) {
        REAL a = LOAD(row[2 * c]), b = LOAD(row[2 * c + 1]), d = LOAD(row[2 * c + 2]);
        bool second = (b > a) | (b != b);
        REAL best = second ? b : a;
        bool third = (d > best) | (d != d);
        taps[c] = (uint8_t)(third ? 2 : second);
    }
}

/* A row of a row-major plane: up to 64 windows at once where they lie inside, one by one at its ends. */
static inline WK_EXPANDED void NAME(plane_row)(const pooling *s, const layout *x, const layout *y, bool is_max,
                                               int64_t n, int64_t c, int64_t *at) {
    const window_axis *a = &s->axis[2];
    const T *plane = (const T *)x->data + n * x->stride[0] + c * x->stride[1];
    int64_t row = n * y->stride[0] + c * y->stride[1] + at[0] * y->stride[2] + at[1] * y->stride[3];
    bool few = is_max && !s->wide && (a->kernel == 2 || a->kernel == 3) && a->stride == 2 && a->dilation == 1
               && s->axis[0].kernel == 1 && s->axis[1].kernel == 1; /* whose padding, half a window, is none */
    int64_t first = few ? s->axis[0].start[at[0]] * x->stride[2] + s->axis[1].start[at[1]] * x->stride[3] : 0;
    const T *line = plane + first;
    for (at[2] = 0; at[2] < a->steps;) {
        int64_t count = at[2] < a->inside ? 0 : least(CHUNK, a->outside - at[2]);
        if (count <= 0)
            NAME(forward_run)(s, x, y, is_max, n, c, at, count = 1);
        else if (few && a->kernel == 2)
            NAME(row_of_pairs)(s, line + a->start[at[2]], y->data, row + at[2], count = a->outside - at[2]);
        else if (few)
            NAME(row_of_triples)(s, line + a->start[at[2]], y->data, row + at[2], count = a->outside - at[2]);
        else if (a->stride == 1 && count == CHUNK)
            NAME(row_run)(s, x, is_max, plane, y->data, row + at[2], at, 1, CHUNK);
        else if (a->stride == 2 && count == CHUNK)
            NAME(row_run)(s, x, is_max, plane, y->data, row + at[2], at, 2, CHUNK);
        else if (a->stride == 1)
            NAME(row_run)(s, x, is_max, plane, y->data, row + at[2], at, 1, count);
        else if (a->stride == 2)
            NAME(row_run)(s, x, is_max, plane, y->data, row + at[2], at, 2, count);
        else
            NAME(row_run)(s, x, is_max, plane, y->data, row + at[2], at, a->stride, count);
        at[2] += count;
    }
}

/* Output row `line`: image, depth, height; all channels. */
static inline WK_EXPANDED void NAME(forward_row)(const pooling *s, const layout *x, const layout *y, bool is_max,
                                                 int64_t line) {
    int64_t rows = s->axis[1].steps, deep = s->axis[0].steps, n = line / (rows * deep), c = 0;
    int64_t at[3] = { line / rows % deep, line % rows, 0 };
    if (!s->by_channels) {
        bool rows_of_memory = s->axis[2].stride > 0 && x->stride[4] == 1 && y->stride[4] == 1;
        for (c = 0; c < s->c; c++) {
            if (rows_of_memory) {
                NAME(plane_row)(s, x, y, is_max, n, c, at);
                continue;
            }
            for (at[2] = 0; at[2] < s->axis[2].steps; at[2]++) NAME(forward_run)(s, x, y, is_max, n, c, at, 1);
        }
        return;
    }
    for (at[2] = 0; at[2] < s->axis[2].steps; at[2]++) {
        for (c = 0; c + CHUNK <= s->c; c += CHUNK) NAME(forward_run)(s, x, y, is_max, n, c, at, CHUNK);
        if (c < s->c) NAME(forward_run)(s, x, y, is_max, n, c, at, s->c - c);
    }
}

/* What window `at` (its place) gives to element `i` (d, h, w) of a run of channels. */
static inline WK_EXPANDED void NAME(collect)(const pooling *s, REAL *restrict sum, const T *restrict dy,
                                             const layout *taps, int64_t taken, const int64_t *at, const int64_t *i,
                                             int64_t count) {
    if (!taps) {
        REAL factor = 1 / (REAL)divisor_of(s, at);
        for (int64_t c = 0; c < count; c++) sum[c] += LOAD(dy[c]) * factor;
        return;
    }
    const window_axis *a = s->axis;
    int64_t place[3];
    for (int k = 0; k < 3; k++) {
        place[k] = tap_at(&a[k], at[k], i[k]);
        if (place[k] < 0) return;
    }
    int32_t tap = (int32_t)((place[0] * a[1].kernel + place[1]) * a[2].kernel + place[2]);
    if (s->wide) {
        const int32_t *restrict from = (const int32_t *)taps->data + taken;
        for (int64_t c = 0; c < count; c++) sum[c] += from[c] == tap ? LOAD(dy[c]) : 0;
    } else {
        const uint8_t *restrict from = (const uint8_t *)taps->data + taken;
        for (int64_t c = 0; c < count; c++) sum[c] += from[c] == tap ? LOAD(dy[c]) : 0;
    }
}

/* One element of dx, or a run of channels: it collects from the windows that cover it, so nothing is cleared first, and
 * the order of the sum is fixed. */
static inline WK_EXPANDED void NAME(backward_run)(const pooling *s, const layout *dx, const layout *dy,
                                                  const layout *taps, int64_t n, int64_t c, const int64_t *i,
                                                  int64_t count) {
    const window_axis *a = s->axis;
    REAL sum[CHUNK];
    int64_t at[3];
    for (int64_t k = 0; k < count; k++) sum[k] = 0;
    for (at[0] = a[0].first[i[0]]; at[0] < a[0].last[i[0]]; at[0]++)
        for (at[1] = a[1].first[i[1]]; at[1] < a[1].last[i[1]]; at[1]++)
            for (at[2] = a[2].first[i[2]]; at[2] < a[2].last[i[2]]; at[2]++) {
                const T *from = (const T *)dy->data + n * dy->stride[0] + c * dy->stride[1] + at[0] * dy->stride[2]
                                + at[1] * dy->stride[3] + at[2] * dy->stride[4];
                int64_t taken = taps ? n * taps->stride[0] + c * taps->stride[1] + at[0] * taps->stride[2]
                                           + at[1] * taps->stride[3] + at[2] * taps->stride[4]
                                     : 0;
                NAME(collect)(s, sum, from, taps, taken, at, i, count);
            }
    T *restrict to = (T *)dx->data + n * dx->stride[0] + c * dx->stride[1] + i[0] * dx->stride[2] + i[1] * dx->stride[3]
                     + i[2] * dx->stride[4];
    for (int64_t k = 0; k < count; k++) to[k] = STORE(sum[k]);
}

/* Row `line` of dx: image, depth, height. */
static void NAME(backward_row)(const pooling *s, const layout *dx, const layout *dy, const layout *taps, int64_t line) {
    int64_t rows = s->axis[1].size, deep = s->axis[0].size, n = line / (rows * deep), c = 0;
    int64_t i[3] = { line / rows % deep, line % rows, 0 };
    if (!s->by_channels) {
        for (c = 0; c < s->c; c++)
            for (i[2] = 0; i[2] < s->axis[2].size; i[2]++) NAME(backward_run)(s, dx, dy, taps, n, c, i, 1);
        return;
    }
    for (i[2] = 0; i[2] < s->axis[2].size; i[2]++) {
        for (c = 0; c + CHUNK <= s->c; c += CHUNK) NAME(backward_run)(s, dx, dy, taps, n, c, i, CHUNK);
        if (c < s->c) NAME(backward_run)(s, dx, dy, taps, n, c, i, s->c - c);
    }
}

/* One window's share of a mean, added to all of its elements. */
static inline void NAME(spread)(const pooling *s, REAL *dx, const layout *by, const int64_t *at, REAL value) {
    const window_axis *a = s->axis;
    for (int64_t t = a[0].from[at[0]]; t < a[0].to[at[0]]; t++)
        for (int64_t r = a[1].from[at[1]]; r < a[1].to[at[1]]; r++) {
            REAL *row = dx + (a[0].start[at[0]] + t) * by->stride[2] + (a[1].start[at[1]] + r) * by->stride[3]
                        + a[2].start[at[2]];
            for (int64_t v = a[2].from[at[2]]; v < a[2].to[at[2]]; v++) row[v] += value;
        }
}

/* Plane i = n · C + c of a row-major dx, window by window: each sum is in the order of the windows. */
static void NAME(backward_plane)(const pooling *s, const layout *dx, const layout *dy, const layout *taps, int64_t i) {
    const window_axis *a = s->axis;
    int64_t n = i / s->c, c = i % s->c, at[3];
    REAL *plane = (REAL *)dx->data + n * dx->stride[0] + c * dx->stride[1];
    int64_t area = a[0].size * a[1].size * a[2].size;
    memset(plane, 0, (size_t)area * sizeof *plane);
    for (at[0] = 0; at[0] < a[0].steps; at[0]++)
        for (at[1] = 0; at[1] < a[1].steps; at[1]++) {
            const T *from = (const T *)dy->data + n * dy->stride[0] + c * dy->stride[1] + at[0] * dy->stride[2]
                            + at[1] * dy->stride[3];
            int64_t line =
                taps ? n * taps->stride[0] + c * taps->stride[1] + at[0] * taps->stride[2] + at[1] * taps->stride[3]
                     : 0;
            int64_t start = (a[0].start[at[0]] * a[1].size + a[1].start[at[1]]) * a[2].size;
            for (at[2] = 0; at[2] < a[2].steps; at[2]++) {
                REAL value = LOAD(from[at[2] * dy->stride[4]]);
                if (!taps) {
                    NAME(spread)(s, plane, dx, at, value * (1 / (REAL)divisor_of(s, at)));
                    continue;
                }
                int64_t k = line + at[2] * taps->stride[4];
                int64_t tap = s->wide ? ((const int32_t *)taps->data)[k] : ((const uint8_t *)taps->data)[k];
                int64_t place = start + a[2].start[at[2]] + (s->wide ? reach_of(s, tap) : s->reach[tap]);
                if (place >= 0 && place < area) plane[place] += value;
            }
        }
}

static void NAME(forward)(const pooling *s, const layout *x, const layout *y, bool is_max, int threads) {
    int64_t lines = s->n * s->axis[0].steps * s->axis[1].steps;
    if (is_max) { /* two copies of the loops, each without the question */
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
        for (int64_t line = 0; line < lines; line++) NAME(forward_row)(s, x, y, true, line);
    } else {
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
        for (int64_t line = 0; line < lines; line++) NAME(forward_row)(s, x, y, false, line);
    }
}

static void NAME(backward)(const pooling *s, const layout *dx, const layout *dy, const layout *taps, int threads) {
    if (s->planes) { /* only where T is REAL */
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
        for (int64_t i = 0; i < s->n * s->c; i++) NAME(backward_plane)(s, dx, dy, taps, i);
        return;
    }
    int64_t lines = s->n * s->axis[0].size * s->axis[1].size;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t line = 0; line < lines; line++) NAME(backward_row)(s, dx, dy, taps, line);
}

/* Between layouts, 16 × 16 blocks of channels and pixels: whichever way the loops run, one side's stride is large. */
static void NAME(turn)(const layout *to, const layout *from, const int64_t *shape /* N, C, D, H, W */, int threads) {
    int64_t channels = shape[1], area = shape[2] * shape[3] * shape[4], plane = shape[3] * shape[4];
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t n = 0; n < shape[0]; n++)
        for (int64_t block = 0; block < area; block += 16)
            for (int64_t first = 0; first < channels; first += 16)
                for (int64_t i = block; i < block + 16 && i < area; i++) {
                    int64_t d = i / plane, h = i % plane / shape[4], w = i % shape[4];
                    int64_t end = first + 16 < channels ? first + 16 : channels;
                    const T *x = (const T *)from->data + n * from->stride[0] + d * from->stride[2] + h * from->stride[3]
                                 + w * from->stride[4];
                    T *y =
                        (T *)to->data + n * to->stride[0] + d * to->stride[2] + h * to->stride[3] + w * to->stride[4];
                    for (int64_t c = first; c < end; c++) y[c * to->stride[1]] = x[c * from->stride[1]];
                }
}
