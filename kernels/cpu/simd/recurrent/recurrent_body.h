/* recurrent_body.h: the steps of rnn, lstm and gru, for one compute type; included by recurrent.c for f32 and f64.
 *
 * `kept` is the reserve of one step and sequence (see op_attrs.h); what the step's product adds to stands in its first
 * gates · H numbers.  `omp simd` says what the compiler cannot see once these functions are expanded: that the parts of
 * a row do not overlap (without it the loops stay scalar and take two thirds of a layer's time).
 */

/* ---- forward: from gates to states, in place ---- */

static void NAME(rnn_forward)(REAL *restrict kept, int64_t hidden, bool relu) {
    if (relu)
#pragma omp simd
        for (int64_t j = 0; j < hidden; j++) kept[j] = kept[j] < 0 ? 0 : kept[j];
    else
#pragma omp simd
        for (int64_t j = 0; j < hidden; j++) kept[j] = TANH(kept[j]);
}

static void NAME(lstm_forward)(REAL *restrict kept, const REAL *restrict c_before, int64_t hidden) {
    REAL *restrict i = kept, *restrict f = kept + hidden, *restrict g = kept + 2 * hidden, *restrict o = g + hidden;
    REAL *restrict c = kept + 4 * hidden, *restrict h = kept + 5 * hidden;
#pragma omp simd
    for (int64_t j = 0; j < hidden; j++) {
        i[j] = SIGMOID(i[j]), f[j] = SIGMOID(f[j]);
        g[j] = TANH(g[j]), o[j] = SIGMOID(o[j]);
        c[j] = f[j] * c_before[j] + i[j] * g[j];
        h[j] = o[j] * TANH(c[j]);
    }
}

static void NAME(gru_forward)(REAL *restrict kept, const REAL *restrict x, const REAL *restrict h_before,
                              int64_t hidden) {
    REAL *restrict r = kept, *restrict z = kept + hidden, *restrict m = kept + 2 * hidden;
    REAL *restrict n = kept + 3 * hidden, *restrict h = kept + 4 * hidden;
#pragma omp simd
    for (int64_t j = 0; j < hidden; j++) {
        r[j] = SIGMOID(r[j]), z[j] = SIGMOID(z[j]);
        n[j] = TANH(x[2 * hidden + j] + r[j] * m[j]);
        h[j] = n[j] + z[j] * (h_before[j] - n[j]);
    }
}

/* What the product of the states is added to: the inputs' share and gru's bias. */
static void NAME(start_row)(const sequence *v, int64_t t, int64_t n, REAL *kept, REAL *room) {
    const REAL *x = wk_rows_read(&v->xg, t * v->batch + n, room), *bias = v->bias;
    int64_t hidden = v->hidden, from_x = v->kind == WK_RECURRENT_GRU ? 2 * hidden : v->gates * hidden;
    if (bias)
        for (int64_t j = 0; j < from_x; j++) kept[j] = x[j] + bias[j];
    else
        memcpy(kept, x, (size_t)from_x * sizeof(REAL));
    for (int64_t j = from_x; j < v->gates * hidden; j++) kept[j] = bias ? bias[j] : 0;
}

static const REAL *NAME(state_before)(const sequence *v, int64_t k, int64_t n, bool cell) {
    const REAL *start = cell ? v->c0 : v->h0;
    if (k == 0) return start ? start + n * v->hidden : NULL;
    const REAL *kept = (const REAL *)v->reserve + (step_of(v, k - 1) * v->batch + n) * v->kept * v->hidden;
    return kept + (v->kept - (cell ? 2 : 1)) * v->hidden;
}

/* The same; where a sequence starts from nothing, zeros: a test inside the loops would keep them scalar. */
static const REAL *NAME(values_before)(const sequence *v, int64_t k, int64_t n, bool cell) {
    const REAL *before = NAME(state_before)(v, k, n, cell);
    return before ? before : v->zeros;
}

static void NAME(forward_row)(const sequence *v, int64_t k, int64_t n, REAL *room) {
    int64_t t = step_of(v, k), hidden = v->hidden;
    REAL *kept = (REAL *)v->reserve + (t * v->batch + n) * v->kept * hidden;
    const REAL *before = NAME(values_before)(v, k, n, false);
    REAL *h = kept + (v->kept - 1) * hidden;
    bool runs = !v->lengths || t < v->lengths[n * v->lengths_step];
    if (v->kind == WK_RECURRENT_RNN)
        NAME(rnn_forward)(kept, hidden, v->relu);
    else if (v->kind == WK_RECURRENT_LSTM)
        NAME(lstm_forward)(kept, NAME(values_before)(v, k, n, true), hidden);
    else
        NAME(gru_forward)(kept, wk_rows_read(&v->xg, t * v->batch + n, room), before, hidden);
    if (!runs) {
        for (int64_t j = 0; j < hidden; j++) h[j] = before[j];
        const REAL *cell = NAME(values_before)(v, k, n, true);
        for (int64_t j = 0; v->kind == WK_RECURRENT_LSTM && j < hidden; j++) h[j - hidden] = cell[j];
        memset(room, 0, (size_t)hidden * sizeof(REAL));
    }
    wk_rows_move(&v->y, wk_rows_at(&v->y, t * v->batch + n), (char *)(runs ? h : room), true);
}

static void NAME(forward)(const sequence *v) {
    int64_t wide = v->kept * v->hidden, gates = v->gates * v->hidden;
    for (int64_t k = 0; k < v->steps; k++) {
        const int64_t t = step_of(v, k);
        REAL *kept = (REAL *)v->reserve + t * v->batch * wide;
        const REAL *before = NAME(state_before)(v, k, v->from, false);
        const bool shared_in = before && v->adds_xg; /* by the product */
#pragma omp parallel for num_threads(v->team) schedule(static) if (v->team > 1)
        for (int64_t n = v->from; n < (shared_in ? v->from : v->to); n++)
            NAME(start_row)(v, t, n, kept + n * wide, (REAL *)room_of(v));
        if (before) {
            wk_gemm g = v->product;
            g.addend = shared_in ? wk_rows_at(&v->xg, t * v->batch + v->from) : NULL, g.addend_row = gates;
            g.m = v->to - v->from, g.n = gates, g.k = v->hidden, g.c = kept + v->from * wide, g.c_row = wide;
            g.a = (wk_gemm_operand){ before, k == 0 ? v->hidden : wide, 1, REAL_DTYPE };
            g.b = (wk_gemm_operand){ v->weight, 1, v->hidden, REAL_DTYPE };
            (void)WK_GEMM(&g);
        }
#pragma omp parallel for num_threads(v->team) schedule(static) if (v->team > 1)
        for (int64_t n = v->from; n < v->to; n++) NAME(forward_row)(v, k, n, (REAL *)room_of(v));
    }
}

/* ---- backward: from dh (and dc) to gradients of the gates; dh becomes what reaches the step before directly ---- */

static void NAME(lstm_backward)(const REAL *restrict kept, const REAL *restrict c_before, REAL *restrict d,
                                const REAL *restrict dh, REAL *restrict dc, int64_t hidden) {
    const REAL *restrict i = kept, *restrict f = kept + hidden, *restrict g = kept + 2 * hidden,
                         *restrict o = g + hidden;
    const REAL *restrict c = kept + 4 * hidden;
#pragma omp simd
    for (int64_t j = 0; j < hidden; j++) {
        REAL tc = TANH(c[j]), through = dc[j] + dh[j] * o[j] * (1 - tc * tc);
        d[j] = through * g[j] * i[j] * (1 - i[j]);
        d[hidden + j] = through * c_before[j] * f[j] * (1 - f[j]);
        d[2 * hidden + j] = through * i[j] * (1 - g[j] * g[j]);
        d[3 * hidden + j] = dh[j] * tc * o[j] * (1 - o[j]);
        dc[j] = through * f[j];
    }
}

/* d: with respect to the inputs' share, own: to that of the states. */
static void NAME(gru_backward)(const REAL *restrict kept, const REAL *restrict h_before, REAL *restrict d,
                               REAL *restrict own, REAL *restrict dh, int64_t hidden) {
    const REAL *restrict r = kept, *restrict z = kept + hidden, *restrict m = kept + 2 * hidden;
    const REAL *restrict n = kept + 3 * hidden;
#pragma omp simd
    for (int64_t j = 0; j < hidden; j++) {
        REAL dn = dh[j] * (1 - z[j]) * (1 - n[j] * n[j]);
        REAL dz = dh[j] * (h_before[j] - n[j]) * z[j] * (1 - z[j]);
        REAL dr = dn * m[j] * r[j] * (1 - r[j]);
        d[j] = own[j] = dr;
        d[hidden + j] = own[hidden + j] = dz;
        d[2 * hidden + j] = dn;
        own[2 * hidden + j] = dn * r[j];
        dh[j] *= z[j];
    }
}

static void NAME(backward_row)(const sequence *v, int64_t k, int64_t n, REAL *room) {
    int64_t t = step_of(v, k), hidden = v->hidden, gates = v->gates * hidden, row = t * v->batch + n;
    const REAL *kept = (const REAL *)v->reserve + row * v->kept * hidden, *h = kept + (v->kept - 1) * hidden;
    REAL *d = (REAL *)v->slopes + row * gates, *own = v->own_slopes ? (REAL *)v->own_slopes + row * gates : NULL;
    REAL *dh = (REAL *)v->dh + n * hidden, *dc = v->dc ? (REAL *)v->dc + n * hidden : NULL;
    if (v->lengths && t >= v->lengths[n * v->lengths_step]) {
        memset(d, 0, (size_t)gates * sizeof(REAL));
        if (own) memset(own, 0, (size_t)gates * sizeof(REAL));
        return;
    }
    const REAL *dy = wk_rows_read(&v->dy, row, room);
    for (int64_t j = 0; j < hidden; j++) dh[j] += dy[j];
    if (v->kind == WK_RECURRENT_LSTM) {
        NAME(lstm_backward)(kept, NAME(values_before)(v, k, n, true), d, dh, dc, hidden);
    } else if (v->kind == WK_RECURRENT_GRU) {
        NAME(gru_backward)(kept, NAME(values_before)(v, k, n, false), d, own, dh, hidden);
        return;
    } else if (v->relu) {
        for (int64_t j = 0; j < hidden; j++) d[j] = h[j] > 0 ? dh[j] : 0;
    } else {
        for (int64_t j = 0; j < hidden; j++) d[j] = dh[j] * (1 - h[j] * h[j]);
    }
    memset(dh, 0, (size_t)hidden * sizeof(REAL));
}

/* dw_hh = Σ slopesᵀ h_before, one product over all steps but the first, which began from h0. */
static void NAME(weight_gradient)(const sequence *v, REAL *dw, const REAL *slopes) {
    int64_t gates = v->gates * v->hidden, wide = v->kept * v->hidden, later = (v->steps - 1) * v->batch;
    memset(dw, 0, (size_t)(gates * v->hidden) * sizeof(REAL));
    wk_gemm g = { .m = gates, .n = v->hidden, .c = dw, .c_row = v->hidden, .c_dtype = REAL_DTYPE, .accumulate = true };
    g.threads = v->product.threads;
    const REAL *first = slopes + step_of(v, 0) * v->batch * gates;
    g.a = (wk_gemm_operand){ first, 1, gates, REAL_DTYPE };
    g.b = (wk_gemm_operand){ v->h0, v->hidden, 1, REAL_DTYPE }, g.k = v->h0 ? v->batch : 0;
    (void)WK_GEMM(&g);
    const REAL *states = (const REAL *)v->reserve + (v->kept - 1) * v->hidden;
    g.a.data = v->reverse ? slopes : slopes + v->batch * gates;
    g.b = (wk_gemm_operand){ v->reverse ? states + v->batch * wide : states, wide, 1, REAL_DTYPE }, g.k = later;
    (void)WK_GEMM(&g);
}

static void NAME(backward)(const sequence *v) {
    int64_t gates = v->gates * v->hidden;
    const REAL *slopes = v->own_slopes ? v->own_slopes : v->slopes;
    for (int64_t k = v->steps - 1; k >= 0; k--) {
#pragma omp parallel for num_threads(v->team) schedule(static) if (v->team > 1)
        for (int64_t n = v->from; n < v->to; n++) NAME(backward_row)(v, k, n, (REAL *)room_of(v));
        wk_gemm g = v->product;
        g.m = v->to - v->from, g.n = v->hidden, g.k = gates;
        g.c = (REAL *)v->dh + v->from * v->hidden, g.c_row = v->hidden;
        g.a = (wk_gemm_operand){ slopes + (step_of(v, k) * v->batch + v->from) * gates, gates, 1, REAL_DTYPE };
        g.b = (wk_gemm_operand){ v->weight, v->hidden, 1, REAL_DTYPE };
        (void)WK_GEMM(&g);
    }
}

static void NAME(kept_gradients)(const sequence *v, REAL *dw, REAL *dbias) {
    int64_t gates = v->gates * v->hidden;
    const REAL *slopes = v->own_slopes ? v->own_slopes : v->slopes;
    NAME(weight_gradient)(v, dw, slopes);
    if (!dbias) return;
    memset(dbias, 0, (size_t)gates * sizeof(REAL));
    for (int64_t row = 0; row < v->steps * v->batch; row++)
        for (int64_t j = 0; j < gates; j++) dbias[j] += slopes[row * gates + j];
}
