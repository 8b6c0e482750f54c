/* grid_sample_body.h: sampling for one element type; included by grid_sample.c once a type. */

typedef struct NAME(block) {
    int64_t offset[BLOCK * MOST_TAPS], y[BLOCK];
    REAL weight[BLOCK * MOST_TAPS];
} NAME(block);

static void NAME(load_pixels)(const sampling *s, NAME(block) * b, pixel_block *p, int64_t n, int64_t first,
                              int64_t count) {
    load_block_of_pixels(s, p, n, first, count);
    const axis_block *across = &p->axis[0], *down = &p->axis[1];
    for (int64_t i = 0; i < count; i++) {
        b->y[i] = p->y[i];
        for (int t = 0; t < 4; t++) {
            int left = t & 1, low = t >> 1;
            b->offset[i * 4 + t] = across->index[left][i] * s->by[1] + down->index[low][i] * s->by[0];
            b->weight[i * 4 + t] = (REAL)(across->weight[left][i] * down->weight[low][i]);
        }
    }
}

static void NAME(load_block)(const sampling *s, NAME(block) * b, int64_t n, int64_t first, int64_t count) {
    if (has_pixels(s)) {
        pixel_block pixels;
        NAME(load_pixels)(s, b, &pixels, n, first, count);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        place_taps p;
        taps_of_place(s, &p, n, first + i);
        b->y[i] = at_place(s, s->y_by, first + i);
        for (int t = 0; t < s->taps; t++)
            b->offset[i * s->taps + t] = p.offset[t], b->weight[i * s->taps + t] = (REAL)p.weight[t];
    }
}

/* Channels lie together in x and y. */
static void NAME(forward_last)(const sampling *s, const NAME(block) * b, const T *x, T *y, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        const int64_t *offset = b->offset + i * s->taps;
        const REAL *weight = b->weight + i * s->taps;
        for (int64_t first = 0; first < s->x->shape[1]; first += BLOCK) {
            REAL sum[BLOCK] = { 0 };
            int64_t channels = s->x->shape[1] - first < BLOCK ? s->x->shape[1] - first : BLOCK;
            for (int t = 0; t < s->taps; t++) {
                if (weight[t] == 0) continue;
                const T *restrict from = x + offset[t] + first;
                for (int64_t c = 0; c < channels; c++) sum[c] += weight[t] * LOAD(from[c]);
            }
            for (int64_t c = 0; c < channels; c++) y[b->y[i] + first + c] = STORE(sum[c]);
        }
    }
}

static void NAME(forward_planes)(const sampling *s, const NAME(block) * b, const T *x, T *y, int64_t count) {
    for (int64_t c = 0; c < s->x->shape[1]; c++) {
        const T *plane = x + c * s->x->stride[1];
        T *to = y + c * s->y->stride[1];
        if (s->taps == 4) {
            for (int64_t i = 0; i < count; i++) {
                const int64_t *offset = b->offset + i * 4;
                const REAL *weight = b->weight + i * 4;
                to[b->y[i]] = STORE((weight[0] * LOAD(plane[offset[0]]) + weight[1] * LOAD(plane[offset[1]]))
                                    + (weight[2] * LOAD(plane[offset[2]]) + weight[3] * LOAD(plane[offset[3]])));
            }
            continue;
        }
        for (int64_t i = 0; i < count; i++) {
            REAL sum = 0;
            for (int t = 0; t < s->taps; t++)
                sum += b->weight[i * s->taps + t] * LOAD(plane[b->offset[i * s->taps + t]]);
            to[b->y[i]] = STORE(sum);
        }
    }
}

static void NAME(forward)(const sampling *s, int threads) {
    int64_t blocks = (s->places + BLOCK - 1) / BLOCK, images = s->x->shape[0];
    bool last = s->x->stride[1] == 1 && s->y->stride[1] == 1 && s->x->shape[1] > 1, pairs = !last && goes_by_pairs(s);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t task = 0; task < images * blocks; task++) {
        NAME(block) b;
        int64_t n = task / blocks, first = task % blocks * BLOCK;
        int64_t count = s->places - first < BLOCK ? s->places - first : BLOCK;
        if (pairs) {
            block_by_pairs(s, n, first, count);
            continue;
        }
        NAME(load_block)(s, &b, n, first, count);
        const T *x = (const T *)s->x->data + n * s->x->stride[0];
        T *y = (T *)s->y->data + n * s->y->stride[0];
        if (last)
            NAME(forward_last)(s, &b, x, y, count);
        else
            NAME(forward_planes)(s, &b, x, y, count);
    }
}

/* s->y is dy: each place's gradient sums over taps and channels. */
static void NAME(backward_place)(const sampling *s, T *to /* (axes) */, int64_t n, int64_t place) {
    place_taps p;
    taps_of_place(s, &p, n, place);
    const T *x = (const T *)s->x->data + n * s->x->stride[0];
    const T *dy = (const T *)s->y->data + n * s->y->stride[0] + at_place(s, s->y_by, place);
    REAL sum[3] = { 0 };
    for (int t = 0; t < s->taps && s->width > 1; t++) {
        if (!p.inside[t]) continue;
        REAL product = 0;
        for (int64_t c = 0; c < s->x->shape[1]; c++)
            product += LOAD(dy[c * s->y->stride[1]]) * LOAD(x[p.offset[t] + c * s->x->stride[1]]);
        for (int d = 0; d < s->axes; d++) sum[d] += (REAL)p.slant[d][t] * product;
    }
    for (int d = 0; d < s->axes; d++) to[d] = STORE(sum[d]);
}

/* The same for a block of places with two axes of two taps: the sums over channels run plane by plane. */
static void NAME(backward_pixels)(const sampling *s, T *to /* (count, 2) */, int64_t n, int64_t first, int64_t count) {
    NAME(block) b;
    pixel_block p;
    NAME(load_pixels)(s, &b, &p, n, first, count);
    REAL product[BLOCK * 4];
    for (int64_t i = 0; i < count * 4; i++) product[i] = 0;
    for (int64_t c = 0; c < s->x->shape[1]; c++) {
        const T *plane = (const T *)s->x->data + n * s->x->stride[0] + c * s->x->stride[1];
        const T *dy = (const T *)s->y->data + n * s->y->stride[0] + c * s->y->stride[1];
        for (int64_t i = 0; i < count; i++) {
            REAL value = LOAD(dy[b.y[i]]);
            for (int t = 0; t < 4; t++) product[i * 4 + t] += value * LOAD(plane[b.offset[i * 4 + t]]);
        }
    }
    const axis_block *x = &p.axis[0], *y = &p.axis[1];
    for (int64_t i = 0; i < count; i++) {
        double sum[2] = { 0 };
        for (int t = 0; t < 4; t++) {
            int across = t & 1, down = t >> 1;
            double share = x->slant[across][i] != 0 && y->slant[down][i] != 0 ? (double)product[i * 4 + t] : 0;
            sum[0] += x->slant[across][i] * y->weight[down][i] * share;
            sum[1] += x->weight[across][i] * y->slant[down][i] * share;
        }
        to[i * 2] = STORE((REAL)(sum[0] * x->slope[i])), to[i * 2 + 1] = STORE((REAL)(sum[1] * y->slope[i]));
    }
}

static void NAME(backward_grid)(const sampling *s, const wk_tensor *dgrid /* row major */, int threads) {
    int64_t images = s->grid->shape[0];
    if (has_pixels(s)) {
        int64_t blocks = (s->places + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
        for (int64_t task = 0; task < images * blocks; task++) {
            int64_t n = task / blocks, first = task % blocks * BLOCK;
            T *to = (T *)dgrid->data + (n * s->places + first) * 2;
            NAME(backward_pixels)(s, to, n, first, s->places - first < BLOCK ? s->places - first : BLOCK);
        }
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t i = 0; i < images * s->places; i++)
        NAME(backward_place)(s, (T *)dgrid->data + i * s->axes, i / s->places, i % s->places);
}

/* Channels [from, to) of image n. */
static void NAME(backward_planes)(const sampling *s, const wk_tensor *dx /* row major */, REAL *sums, int64_t area,
                                  int64_t n, int64_t from, int64_t to) {
    memset(sums, 0, (size_t)((to - from) * area) * sizeof *sums);
    const T *dy = (const T *)s->y->data + n * s->y->stride[0];
    for (int64_t first = 0; first < s->places; first += BLOCK) {
        NAME(block) b;
        int64_t count = s->places - first < BLOCK ? s->places - first : BLOCK;
        NAME(load_block)(s, &b, n, first, count);
        for (int64_t c = from; c < to; c++) {
            REAL *plane = sums + (c - from) * area;
            for (int64_t i = 0; i < count && s->taps == 4; i++) {
                REAL value = LOAD(dy[b.y[i] + c * s->y->stride[1]]);
                for (int t = 0; t < 4; t++) plane[b.offset[i * 4 + t]] += b.weight[i * 4 + t] * value;
            }
            for (int64_t i = 0; i < count && s->taps != 4; i++) {
                REAL value = LOAD(dy[b.y[i] + c * s->y->stride[1]]);
                for (int t = 0; t < s->taps; t++) plane[b.offset[i * s->taps + t]] += b.weight[i * s->taps + t] * value;
            }
        }
    }
    T *out = (T *)dx->data + (n * dx->shape[1] + from) * area;
    for (int64_t i = 0; i < (to - from) * area; i++) out[i] = STORE(sums[i]);
}

/* The same with the channels together, a vector a tap. */
static void NAME(backward_together)(const sampling *s, const wk_tensor *dx /* row major */, REAL *restrict sums,
                                    int64_t area, int64_t n, int64_t from, int64_t to) {
    int64_t channels = to - from;
    memset(sums, 0, (size_t)(channels * area) * sizeof *sums);
    const T *dy = (const T *)s->y->data + n * s->y->stride[0] + from * s->y->stride[1];
    for (int64_t first = 0; first < s->places; first += BLOCK) {
        NAME(block) b;
        REAL turned[BLOCK * MOST_CHANNELS];
        int64_t count = s->places - first < BLOCK ? s->places - first : BLOCK;
        NAME(load_block)(s, &b, n, first, count);
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < count; i++) turned[i * channels + c] = LOAD(dy[b.y[i] + c * s->y->stride[1]]);
        for (int64_t k = 0; k < count * s->taps; k++) {
            REAL *restrict pixel = sums + b.offset[k] * channels, weight = b.weight[k];
            const REAL *restrict value = turned + k / s->taps * channels;
            for (int64_t c = 0; c < channels; c++) pixel[c] += weight * value[c];
        }
    }
    T *out = (T *)dx->data + (n * dx->shape[1] + from) * area;
    for (int64_t first = 0; first < area; first += BLOCK)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = first; i < area && i < first + BLOCK; i++)
                out[c * area + i] = STORE(sums[i * channels + c]);
}

static void NAME(backward_image)(const sampling *s, const wk_tensor *dx, char *scratch, int64_t each, int64_t channels,
                                 int64_t area, int threads) {
    int64_t groups = (dx->shape[1] + channels - 1) / channels, tasks = dx->shape[0] * groups;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t task = 0; task < tasks; task++) {
        int64_t from = task % groups * channels, to = from + channels < dx->shape[1] ? from + channels : dx->shape[1];
        REAL *sums = (REAL *)(void *)(scratch + omp_get_thread_num() * each);
        if (to - from < 4)
            NAME(backward_planes)(s, dx, sums, area, task / groups, from, to);
        else
            NAME(backward_together)(s, dx, sums, area, task / groups, from, to);
    }
}

/* index (i64), inside (N, P, taps);  slope, start (N, P, axes) */
static void NAME(taps)(const sampling *s, wk_tensor **out, int threads) {
    int64_t images = s->grid->shape[0];
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t i = 0; i < images * s->places; i++) {
        place_taps p;
        taps_of_place(s, &p, i / s->places, i % s->places);
        for (int t = 0; t < s->taps; t++) {
            ((int64_t *)out[0]->data)[i * s->taps + t] = p.flat[t];
            ((T *)out[1]->data)[i * s->taps + t] = STORE(p.inside[t] ? (REAL)1 : (REAL)0);
        }
        for (int d = 0; d < s->axes; d++) {
            ((T *)out[2]->data)[i * s->axes + d] = STORE((REAL)p.axis[d].slope);
            ((T *)out[3]->data)[i * s->axes + d] = STORE((REAL)p.axis[d].start);
        }
    }
}
