/* pool_body.h: pooling for one element type; included by pool.c once a type.
 *
 * T is the stored type, REAL the one computed in, LOAD and STORE go between.  Each kernel computes a run of `count`
 * channels (channels last) or single elements (any other layout: count 1, steps by stride).
 */

/* The largest of one window for up to CHUNK channels. */
static inline WK_EXPANDED void NAME(max_window)(T *restrict y, uint8_t *restrict indices,
                                                const T *x /* (H, W, C) from this channel on */, const window *v,
                                                int64_t row, int64_t col, int64_t count) {
    REAL best[CHUNK];
    int32_t at[CHUNK];
    int32_t first = (int32_t)((v->h_from - v->h_start) * v->kernel_w + v->w_from - v->w_start);
    for (int64_t c = 0; c < count; c++) best[c] = -(REAL)INFINITY, at[c] = first;
    for (int64_t h = v->h_from; h < v->h_to; h++)
        for (int64_t w = v->w_from; w < v->w_to; w++) {
            int32_t tap = (int32_t)((h - v->h_start) * v->kernel_w + w - v->w_start);
            const T *restrict from = x + h * row + w * col;
            for (int64_t c = 0; c < count; c++) {
                REAL value = LOAD(from[c]);
                bool better = (value > best[c]) | (value != value);
                best[c] = better ? value : best[c];
                at[c] = better ? tap : at[c];
            }
        }
    for (int64_t c = 0; c < count; c++) y[c] = STORE(best[c]), indices[c] = (uint8_t)at[c];
}

static inline WK_EXPANDED void NAME(mean_window)(T *restrict y, const T *x, const window *v, int64_t row, int64_t col,
                                                 int64_t count) {
    REAL sum[CHUNK];
    for (int64_t c = 0; c < count; c++) sum[c] = 0;
    for (int64_t h = v->h_from; h < v->h_to; h++)
        for (int64_t w = v->w_from; w < v->w_to; w++) {
            const T *restrict from = x + h * row + w * col;
            for (int64_t c = 0; c < count; c++) sum[c] += LOAD(from[c]);
        }
    REAL divisor = (REAL)v->divisor;
    for (int64_t c = 0; c < count; c++) y[c] = STORE(sum[c] / divisor);
}

/* One window; `count` is a constant where this is expanded. */
static inline WK_EXPANDED void NAME(forward_run)(const pooling *s, const layout *x, const layout *y, bool is_max,
                                                 const window *v, const int64_t *at /* n, c, p, q */, int64_t count) {
    int64_t to = at[0] * y->stride[0] + at[1] * y->stride[1] + at[2] * y->stride[2] + at[3] * y->stride[3];
    const T *from = (const T *)x->data + at[0] * x->stride[0] + at[1] * x->stride[1];
    if (is_max)
        NAME(max_window)((T *)y->data + to, s->indices + to, from, v, x->stride[2], x->stride[3], count);
    else
        NAME(mean_window)((T *)y->data + to, from, v, x->stride[2], x->stride[3], count);
}

/* Output row `line` = n · P + p, all channels. */
static void NAME(forward_row)(const pooling *s, const layout *x, const layout *y, bool is_max, int64_t line) {
    int64_t at[4] = { line / s->p, 0, line % s->p, 0 };
    if (!s->by_channels) {
        for (at[1] = 0; at[1] < s->c; at[1]++)
            for (at[3] = 0; at[3] < s->q; at[3]++) {
                window v = window_at(s, at[2], at[3]);
                NAME(forward_run)(s, x, y, is_max, &v, at, 1);
            }
        return;
    }
    for (at[3] = 0; at[3] < s->q; at[3]++) {
        window v = window_at(s, at[2], at[3]);
        for (at[1] = 0; at[1] + CHUNK <= s->c; at[1] += CHUNK) NAME(forward_run)(s, x, y, is_max, &v, at, CHUNK);
        if (at[1] < s->c) NAME(forward_run)(s, x, y, is_max, &v, at, s->c - at[1]);
    }
}

/* One element of dx, or a run of channels: it collects from the windows that cover it, so nothing is cleared first, and
 * the order of the sum is fixed. */
static inline WK_EXPANDED void NAME(backward_run)(const pooling *s, const layout *dx, const layout *dy,
                                                  const layout *indices, const int64_t *at /* n, c, h, w */,
                                                  const windows *over, int64_t count) {
    REAL sum[CHUNK];
    for (int64_t i = 0; i < count; i++) sum[i] = 0;
    for (int64_t p = over->p_from; p < over->p_to; p++)
        for (int64_t q = over->q_from; q < over->q_to; q++) {
            const T *restrict from = (const T *)dy->data + at[0] * dy->stride[0] + at[1] * dy->stride[1]
                                     + p * dy->stride[2] + q * dy->stride[3];
            if (!indices) {
                REAL factor = 1 / (REAL)window_at(s, p, q).divisor;
                for (int64_t i = 0; i < count; i++) sum[i] += LOAD(from[i]) * factor;
                continue;
            }
            const uint8_t *restrict taken = (const uint8_t *)indices->data + at[0] * indices->stride[0]
                                            + at[1] * indices->stride[1] + p * indices->stride[2]
                                            + q * indices->stride[3];
            uint8_t tap = (uint8_t)((at[2] + s->padding[0] - p * s->stride[0]) * s->kernel[1] + at[3] + s->padding[1]
                                    - q * s->stride[1]);
            for (int64_t i = 0; i < count; i++) sum[i] += taken[i] == tap ? LOAD(from[i]) : 0;
        }
    T *restrict to =
        (T *)dx->data + at[0] * dx->stride[0] + at[1] * dx->stride[1] + at[2] * dx->stride[2] + at[3] * dx->stride[3];
    for (int64_t i = 0; i < count; i++) to[i] = STORE(sum[i]);
}

/* Row `line` = n · H + h of dx. */
static void NAME(backward_row)(const pooling *s, const layout *dx, const layout *dy, const layout *indices,
                               int64_t line) {
    int64_t at[4] = { line / s->h, 0, line % s->h, 0 };
    windows over;
    windows_over(&over.p_from, &over.p_to, at[2] + s->padding[0], s->kernel[0], s->stride[0], s->p);
    if (!s->by_channels) {
        for (at[1] = 0; at[1] < s->c; at[1]++)
            for (at[3] = 0; at[3] < s->w; at[3]++) {
                windows_over(&over.q_from, &over.q_to, at[3] + s->padding[1], s->kernel[1], s->stride[1], s->q);
                NAME(backward_run)(s, dx, dy, indices, at, &over, 1);
            }
        return;
    }
    for (at[3] = 0; at[3] < s->w; at[3]++) {
        windows_over(&over.q_from, &over.q_to, at[3] + s->padding[1], s->kernel[1], s->stride[1], s->q);
        for (at[1] = 0; at[1] + CHUNK <= s->c; at[1] += CHUNK) NAME(backward_run)(s, dx, dy, indices, at, &over, CHUNK);
        if (at[1] < s->c) NAME(backward_run)(s, dx, dy, indices, at, &over, s->c - at[1]);
    }
}

static void NAME(forward)(const pooling *s, const layout *x, const layout *y, bool is_max, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t line = 0; line < s->n * s->p; line++) NAME(forward_row)(s, x, y, is_max, line);
}

static void NAME(backward)(const pooling *s, const layout *dx, const layout *dy, const layout *indices, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t line = 0; line < s->n * s->h; line++) NAME(backward_row)(s, dx, dy, indices, line);
}

/* Between layouts, 16 × 16 blocks of channels and pixels: whichever way the loops run, one side's stride is large. */
static void NAME(turn)(const layout *to, const layout *from, const int64_t *shape /* N, C, H, W */, int threads) {
    int64_t channels = shape[1], area = shape[2] * shape[3];
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t n = 0; n < shape[0]; n++)
        for (int64_t block = 0; block < area; block += 16)
            for (int64_t first = 0; first < channels; first += 16)
                for (int64_t i = block; i < block + 16 && i < area; i++) {
                    int64_t h = i / shape[3], w = i % shape[3], end = first + 16 < channels ? first + 16 : channels;
                    const T *x =
                        (const T *)from->data + n * from->stride[0] + h * from->stride[2] + w * from->stride[3];
                    T *y = (T *)to->data + n * to->stride[0] + h * to->stride[2] + w * to->stride[3];
                    for (int64_t c = first; c < end; c++) y[c * to->stride[1]] = x[c * from->stride[1]];
                }
}
