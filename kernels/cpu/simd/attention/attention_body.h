/* attention_body.h: attention in tiles, for one compute type; included by attention.c for f32 and for f64. */

/* q kᵀ of a tile, scaled and masked, into t->scores; what takes no part is -∞. */
static void NAME(scores)(const attention *a, const tile *t, const head *h) {
    REAL *scores = t->scores;
    wk_gemm g = { .m = t->rows, .n = t->cols, .k = a->width, .c = scores, .c_row = COLS, .c_dtype = REAL_DTYPE };
    g.a = operand(&a->q, h->q, t->row, 0), g.b = turned(operand(&a->k, h->k, t->col, 0));
    run(t, &g);
    REAL scale = (REAL)a->scale;
    for (int64_t i = 0; i < t->rows; i++) {
        REAL *restrict s = scores + i * COLS;
        for (int64_t j = 0; j < t->cols; j++) s[j] *= scale;
        if (a->mask) {
            const char *from =
                a->mask
                + (h->mask + (t->row + i) * a->mask_row + t->col * a->mask_col) * (int64_t)wk_size_of(a->mask_dtype);
            if (a->mask_dtype == WK_BOOL) {
                const uint8_t *allowed = (const uint8_t *)from;
                for (int64_t j = 0; j < t->cols; j++) s[j] = allowed[j * a->mask_col] ? s[j] : -(REAL)INFINITY;
            } else {
                wk_staging room;
                const REAL *added = wk_stage_in(&room, from, a->mask_dtype, a->mask_col, t->cols);
                for (int64_t j = 0; j < t->cols; j++) s[j] += added[j];
            }
        }
        if (a->causal) {
            int64_t end = t->row + i + a->offset + 1 - t->col;
            for (int64_t j = end > 0 ? end : 0; j < t->cols; j++) s[j] = -(REAL)INFINITY;
        }
    }
}

/* 0 or 1 / (1 - p) for each weight of a row, as the row `dropout` draws it for the whole (…, T, S). */
static void NAME(drop)(const attention *a, const tile *t, const head *h, int64_t i, REAL *restrict factor) {
    uint64_t first = (uint64_t)((h->index * a->queries + t->row + i) * a->keys + t->col), skip = first & 3;
    uint32_t words[COLS + 4 * WK_WIDE + 4];
    int blocks = (int)((skip + (uint64_t)t->cols + 3) / 4);
    wk_philox_run(&a->philox, first >> 2, (blocks + WK_WIDE - 1) / WK_WIDE * WK_WIDE, words);
    REAL keep = (REAL)(1 / (1 - a->dropout));
    for (int64_t j = 0; j < t->cols; j++) factor[j] = words[skip + (uint64_t)j] >= a->threshold ? keep : 0;
}

/* One row of scores joined to what is known of its query (Milakov & Gimelshein 2018): weights relative to the largest
 * score so far; gives the factor of what was summed before. */
static REAL NAME(online)(REAL *restrict s, int64_t cols, REAL *most, double *sum) {
    REAL before = *most, now = (REAL)MOST(s, cols), total = 0;
    if (!(now > before)) now = before;
    REAL shift = now == -(REAL)INFINITY ? 0 : now;
    for (int64_t j = 0; j < cols; j++) s[j] = EXP(s[j] - shift);
#pragma omp simd reduction(+ : total)
    for (int64_t j = 0; j < cols; j++) total += s[j];
    REAL factor = before == -(REAL)INFINITY ? 0 : EXP(before - shift);
    *most = now;
    *sum = *sum * (double)factor + (double)total;
    return factor;
}

static void NAME(forward_tile)(const attention *a, tile *t, const head *h) {
    REAL most[ROWS], *sums = t->sums;
    double total[ROWS];
    for (int64_t i = 0; i < t->rows; i++) most[i] = -(REAL)INFINITY, total[i] = 0;
    memset(sums, 0, (size_t)(t->rows * a->value_width) * sizeof(REAL));
    int64_t end = last_key(a, t);
    for (t->col = 0; t->col < end; t->col += COLS) {
        t->cols = end - t->col < COLS ? end - t->col : COLS;
        NAME(scores)(a, t, h);
        for (int64_t i = 0; i < t->rows; i++) {
            REAL *s = (REAL *)t->scores + i * COLS;
            REAL factor = NAME(online)(s, t->cols, &most[i], &total[i]), dropped[COLS];
            if (factor != 1)
                for (int64_t e = 0; e < a->value_width; e++) sums[i * a->value_width + e] *= factor;
            if (a->dropout > 0) {
                NAME(drop)(a, t, h, i, dropped);
                for (int64_t j = 0; j < t->cols; j++) s[j] *= dropped[j];
            }
            lower(t, (const float *)(const void *)s, false, i);
        }
        wk_gemm g = { .m = t->rows, .n = a->value_width, .k = t->cols, .c = sums, .c_row = a->value_width };
        g.c_dtype = REAL_DTYPE, g.accumulate = true;
        g.a = made(t, false, REAL_DTYPE), g.b = operand(&a->v, h->v, t->col, 0);
        run(t, &g);
    }
    for (int64_t i = 0; i < t->rows; i++) {
        REAL *y = sums + i * a->value_width, part = (REAL)(total[i] == 0 ? 0 : 1 / total[i]);
        for (int64_t e = 0; e < a->value_width; e++) y[e] *= part;
        wk_rows_move(&a->y, wk_rows_at(&a->y, h->index * a->queries + t->row + i), (char *)y, true);
        ((REAL *)a->lse)[h->index * a->queries + t->row + i] = (REAL)((double)most[i] + log(total[i]));
    }
}

/* With weights p, dropped to p d, and dy yᵀ summed to delta a query:
 *   dv = (p d)ᵀ dy     ds = p (dy vᵀ d - delta) scale     dq = ds k     dk = dsᵀ q        Dao et al. 2022, alg. 4 */
static void NAME(slopes)(const attention *a, tile *t, const head *h, const REAL *delta) {
    REAL *p = t->scores, *ds = t->slopes, scale = (REAL)a->scale;
    NAME(scores)(a, t, h);
    wk_gemm g = { .m = t->rows, .n = t->cols, .k = a->value_width, .c = ds, .c_row = COLS, .c_dtype = REAL_DTYPE };
    g.a = operand(&a->dy, h->y, t->row, 0), g.b = turned(operand(&a->v, h->v, t->col, 0));
    run(t, &g);
    for (int64_t i = 0; i < t->rows; i++) {
        REAL lse = ((const REAL *)a->lse)[h->index * a->queries + t->row + i], dropped[COLS];
        REAL *restrict pi = p + i * COLS, *restrict di = ds + i * COLS;
        if (lse == -(REAL)INFINITY) {
            for (int64_t j = 0; j < t->cols; j++) pi[j] = di[j] = 0;
            lower(t, (const float *)(const void *)pi, false, i), lower(t, (const float *)(const void *)di, true, i);
            continue;
        }
        for (int64_t j = 0; j < t->cols; j++) pi[j] = EXP(pi[j] - lse);
        if (a->dropout > 0) {
            NAME(drop)(a, t, h, i, dropped);
            for (int64_t j = 0; j < t->cols; j++) {
                di[j] = pi[j] * (di[j] * dropped[j] - delta[i]) * scale;
                pi[j] *= dropped[j];
            }
        } else {
            for (int64_t j = 0; j < t->cols; j++) di[j] = pi[j] * (di[j] - delta[i]) * scale;
        }
        lower(t, (const float *)(const void *)pi, false, i), lower(t, (const float *)(const void *)di, true, i);
    }
}

static void NAME(add_product)(tile *t, void *c, int64_t c_row, int64_t m, int64_t k, wk_gemm_operand a,
                              wk_gemm_operand b, int64_t n) {
    wk_gemm g = { .m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .c_row = c_row, .c_dtype = REAL_DTYPE };
    g.accumulate = true;
    run(t, &g);
}

static void NAME(backward_tile)(const attention *a, tile *t, const head *h, REAL *dk, REAL *dv) {
    REAL delta[ROWS], *dq = t->sums;
    for (int64_t i = 0; i < t->rows; i++) {
        int64_t row = h->index * a->queries + t->row + i;
        REAL *room = t->slopes;
        wk_rows_move(&a->y, wk_rows_at(&a->y, row), (char *)room, false);
        wk_rows_move(&a->dy_rows, wk_rows_at(&a->dy_rows, row), (char *)(room + a->value_width), false);
        double total = 0;
        for (int64_t e = 0; e < a->value_width; e++) total += (double)room[e] * (double)room[a->value_width + e];
        delta[i] = (REAL)total;
    }
    memset(dq, 0, (size_t)(t->rows * a->width) * sizeof(REAL));
    int64_t end = last_key(a, t);
    for (t->col = 0; t->col < end; t->col += COLS) {
        t->cols = end - t->col < COLS ? end - t->col : COLS;
        NAME(slopes)(a, t, h, delta);
        const wk_gemm_operand p = made(t, false, REAL_DTYPE), ds = made(t, true, REAL_DTYPE);
        NAME(add_product)
        (t, dv + t->col * a->value_width, a->value_width, t->cols, t->rows, turned(p), operand(&a->dy, h->y, t->row, 0),
         a->value_width);
        NAME(add_product)
        (t, dq, a->width, t->rows, t->cols, ds, operand(&a->k, h->k, t->col, 0), a->width);
        NAME(add_product)
        (t, dk + t->col * a->width, a->width, t->cols, t->rows, turned(ds), operand(&a->q, h->q, t->row, 0), a->width);
    }
    for (int64_t i = 0; i < t->rows; i++)
        wk_rows_move(&a->dq, wk_rows_at(&a->dq, h->index * a->queries + t->row + i), (char *)(dq + i * a->width), true);
}

/* All queries that one head of k and v serves. */
static void NAME(backward_head)(const attention *a, tile *t, int64_t served) {
    REAL *dk = t->own, *dv = dk + a->keys * a->width;
    memset(dk, 0, (size_t)(a->keys * (a->width + a->value_width)) * sizeof(REAL));
    for (int64_t part = 0; part < a->group; part++) {
        head h = head_of(a, served / a->kv_heads * a->heads + served % a->kv_heads * a->group + part);
        for (t->row = 0; t->row < a->queries; t->row += ROWS) {
            t->rows = a->queries - t->row < ROWS ? a->queries - t->row : ROWS;
            NAME(backward_tile)(a, t, &h, dk, dv);
        }
    }
    for (int64_t j = 0; j < a->keys; j++) {
        wk_rows_move(&a->dk, wk_rows_at(&a->dk, served * a->keys + j), (char *)(dk + j * a->width), true);
        wk_rows_move(&a->dv, wk_rows_at(&a->dv, served * a->keys + j), (char *)(dv + j * a->value_width), true);
    }
}
