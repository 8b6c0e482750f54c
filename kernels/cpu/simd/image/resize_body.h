/* resize_body.h: one axis for one element type; included by resize.c once a type. */

/* Up to COLUMNS neighbouring lines at once: rows are added. */
static void NAME(rows)(const resizing *r, T *restrict y, const T *x, int64_t count) {
    const table *t = r->t;
    for (int64_t o = 0; o < t->results; o++, y += r->y_axis) {
        int64_t at = t->begin[o], entries = t->begin[o + 1] - at;
        const T *restrict a = x + (entries ? t->index[at] * r->x_axis : 0);
        REAL first = entries ? WEIGHT(t, at) : 0;
        if (t->taps == 1) {
            memcpy(y, a, (size_t)count * sizeof *y);
        } else if (entries == 2) {
            const T *restrict b = x + t->index[at + 1] * r->x_axis;
            REAL second = WEIGHT(t, at + 1);
            for (int64_t c = 0; c < count; c++) y[c] = STORE(first * LOAD(a[c]) + second * LOAD(b[c]));
        } else {
            REAL sum[COLUMNS];
            for (int64_t c = 0; c < count; c++) sum[c] = entries ? first * LOAD(a[c]) : 0;
            for (int64_t k = 1; k < entries; k++) {
                const T *restrict b = x + t->index[at + k] * r->x_axis;
                REAL weight = WEIGHT(t, at + k);
                for (int64_t c = 0; c < count; c++) sum[c] += weight * LOAD(b[c]);
            }
            for (int64_t c = 0; c < count; c++) y[c] = STORE(sum[c]);
        }
    }
}

/* A sum of neighbours in eight lanes. */
static REAL NAME(total)(const T *x, int64_t step, int64_t count) {
    REAL lane[8] = { 0 };
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
        for (int k = 0; k < 8; k++) lane[k] += LOAD(x[(i + k) * step]);
    for (int k = 0; i < count; i++, k++) lane[k] += LOAD(x[i * step]);
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static void NAME(line)(const resizing *r, T *restrict y, const T *restrict x) {
    const table *t = r->t;
    int64_t by = r->x_axis;
    const int32_t *restrict index = t->index;
    if (t->taps == 1) {
        for (int64_t o = 0; o < t->results; o++) y[o * r->y_axis] = x[index[o] * by];
        return;
    }
    if (t->taps == 2) {
        for (int64_t o = 0; o < t->results; o++)
            y[o * r->y_axis] = STORE(WEIGHT(t, 2 * o) * LOAD(x[index[2 * o] * by])
                                     + WEIGHT(t, 2 * o + 1) * LOAD(x[index[2 * o + 1] * by]));
        return;
    }
    for (int64_t o = 0; o < t->results;) {
        int64_t at = t->begin[o], end = t->begin[o + 1], alike = t->alike[o];
        REAL sum = 0;
        if (t->mean)
            sum = NAME(total)(x + index[at] * by, by, end - at) * WEIGHT(t, at);
        else
            for (; at < end; at++) sum += WEIGHT(t, at) * LOAD(x[index[at] * by]);
        for (T value = STORE(sum); o < alike; o++) y[o * r->y_axis] = value;
    }
}

static void NAME(visit)(const void *context, const int64_t offset[], int64_t n) {
    const resizing *r = context;
    T *y = (T *)r->y + offset[0];
    const T *x = (const T *)r->x + offset[1];
    if (r->y_step == 1 && r->x_step == 1 && n > 1) {
        for (int64_t done = 0; done < n; done += COLUMNS)
            NAME(rows)(r, y + done, x + done, n - done < COLUMNS ? n - done : COLUMNS);
    } else {
        for (int64_t i = 0; i < n; i++) NAME(line)(r, y + i * r->y_step, x + i * r->x_step);
    }
}
