/* fft_body.h: transforms of several lines side by side, for one type T (NAME(x) adds its name).
 *
 * A buffer holds the real parts of element 0 of all lines, then those of element 1, …; the imaginary parts lie in a
 * second one.  A pass with stride s takes s neighbouring numbers at once: s begins as the number of lines and grows by
 * the radix, so inner loops are long and contiguous, for one line (from the second pass on) as for many.
 */

typedef struct NAME(buffer) {
    T *re, *im;
} NAME(buffer);

/* ---- a[k] = Σ_j a[j] exp(−2πi j k / r) ---- */

__attribute__((always_inline)) static inline void NAME(dft2)(T re[], T im[]) {
    const T r = re[1], i = im[1];
    re[1] = re[0] - r, im[1] = im[0] - i;
    re[0] += r, im[0] += i;
}
__attribute__((always_inline)) static inline void NAME(dft3)(T re[], T im[]) {
    const T sine = (T)0.86602540378443864676;
    const T sr = re[1] + re[2], si = im[1] + im[2], dr = sine * (re[1] - re[2]), di = sine * (im[1] - im[2]);
    const T hr = re[0] - (T)0.5 * sr, hi = im[0] - (T)0.5 * si;
    re[0] += sr, im[0] += si;
    re[1] = hr + di, im[1] = hi - dr;
    re[2] = hr - di, im[2] = hi + dr;
}
__attribute__((always_inline)) static inline void NAME(dft4)(T re[], T im[]) {
    const T ar = re[0] + re[2], ai = im[0] + im[2], br = re[0] - re[2], bi = im[0] - im[2];
    const T cr = re[1] + re[3], ci = im[1] + im[3], dr = re[1] - re[3], di = im[1] - im[3];
    re[0] = ar + cr, im[0] = ai + ci;
    re[1] = br + di, im[1] = bi - dr;
    re[2] = ar - cr, im[2] = ai - ci;
    re[3] = br - di, im[3] = bi + dr;
}
__attribute__((always_inline)) static inline void NAME(dft5)(T re[], T im[]) {
    const T c1 = (T)0.30901699437494742410, c2 = (T)-0.80901699437494742410;
    const T s1 = (T)0.95105651629515357212, s2 = (T)0.58778525229247312917;
    const T ar = re[1] + re[4], ai = im[1] + im[4], br = re[1] - re[4], bi = im[1] - im[4];
    const T cr = re[2] + re[3], ci = im[2] + im[3], dr = re[2] - re[3], di = im[2] - im[3];
    const T er = re[0] + c1 * ar + c2 * cr, ei = im[0] + c1 * ai + c2 * ci;
    const T fr = re[0] + c2 * ar + c1 * cr, fi = im[0] + c2 * ai + c1 * ci;
    const T gr = s1 * br + s2 * dr, gi = s1 * bi + s2 * di, hr = s2 * br - s1 * dr, hi = s2 * bi - s1 * di;
    re[0] += ar + cr, im[0] += ai + ci;
    re[1] = er + gi, im[1] = ei - gr;
    re[4] = er - gi, im[4] = ei + gr;
    re[2] = fr + hi, im[2] = fi - hr;
    re[3] = fr - hi, im[3] = fi + hr;
}

/* ---- passes: to[s (r p + k) + q] = w^(k p) Σ_j from[s (p + m j) + q] exp(−2πi j k / r), p < m, q < s ---- */

/* Written out for each number, so that arrays become registers and the loops around are vectorised. */
#define TAKE(j)               \
    a[j] = x[at + (j)*s * m]; \
    b[j] = xi[at + (j)*s * m];
#define GIVE(k)                                                        \
    {                                                                  \
        const T c = w[((k)-1) * m + turn], d = wi[((k)-1) * m + turn]; \
        y[start + (k)*apart] = a[k] * c - b[k] * d;                    \
        yi[start + (k)*apart] = a[k] * d + b[k] * c;                   \
    }
#ifndef REST_2
#    define REST_2(F) F(1)
#    define REST_3(F) REST_2(F) F(2)
#    define REST_4(F) REST_3(F) F(3)
#    define REST_5(F) REST_4(F) F(4)
#endif
/* Inputs from number `at` on, twiddles at `turn`, results from `start` on, `apart` from one another. */
#define BUTTERFLY(r, at_, turn_, start_, apart_)                                      \
    {                                                                                 \
        const int64_t at = (at_), turn = (turn_), start = (start_), apart = (apart_); \
        T a[r], b[r];                                                                 \
        TAKE(0) REST_##r(TAKE) NAME(dft##r)(a, b);                                    \
        y[start] = a[0], yi[start] = b[0];                                            \
        REST_##r(GIVE)                                                                \
    }
#define PASS(r)                                                                                                     \
    static void NAME(pass##r)(int64_t m, int64_t s, const T *restrict x, const T *restrict xi, const T *restrict w, \
                              const T *restrict wi, T *restrict y, T *restrict yi) {                                \
        if (s == 1) { FFT_INDEPENDENT for (int64_t p = 0; p < m; p++) BUTTERFLY(r, p, p, r *p, 1) return; }         \
        for (int64_t p = 0; p < m; p++) {                                                                           \
            FFT_INDEPENDENT for (int64_t q = 0; q < s; q++) BUTTERFLY(r, s *p + q, p, r * s * p + q, s)             \
        }                                                                                                           \
    }
PASS(2)
PASS(3)
PASS(4)
PASS(5)
#undef PASS
#undef BUTTERFLY
#undef TAKE
#undef GIVE

/* Any other radix, by its definition, some numbers side by side. */
static void NAME(pass_any)(const wk_fft_pass *pass, int64_t s, NAME(buffer) from, NAME(buffer) to) {
    const int64_t m = pass->rest, r = pass->radix;
    const T *root = pass->roots.re, *root_i = pass->roots.im, *w = pass->twiddles.re, *wi = pass->twiddles.im;
    for (int64_t p = 0; p < m; p++)
        for (int64_t q = 0; q < s; q += FFT_WIDTH)
            for (int64_t k = 0; k < r; k++) {
                const int64_t n = s - q < FFT_WIDTH ? s - q : FFT_WIDTH;
                const T c = k ? w[(k - 1) * m + p] : 1, d = k ? wi[(k - 1) * m + p] : 0;
                T sum[FFT_WIDTH] = { 0 }, sum_i[FFT_WIDTH] = { 0 };
                for (int64_t j = 0, turn = 0; j < r; j++, turn = turn + k < r ? turn + k : turn + k - r) {
                    const T *x = from.re + s * (p + m * j) + q, *xi = from.im + s * (p + m * j) + q;
                    for (int64_t i = 0; i < n; i++) {
                        sum[i] += x[i] * root[turn] - xi[i] * root_i[turn];
                        sum_i[i] += x[i] * root_i[turn] + xi[i] * root[turn];
                    }
                }
                T *y = to.re + s * (r * p + k) + q, *yi = to.im + s * (r * p + k) + q;
                for (int64_t i = 0; i < n; i++) {
                    y[i] = sum[i] * c - sum_i[i] * d;
                    yi[i] = sum[i] * d + sum_i[i] * c;
                }
            }
}

/* Transform `from`, with `to` to work in; gives the one of the two that holds the result. */
static NAME(buffer) NAME(passes)(const wk_fft_plan *plan, int64_t width, NAME(buffer) from, NAME(buffer) to) {
    for (int64_t i = 0, s = width; i < plan->passes; i++) {
        const wk_fft_pass *pass = &plan->pass[i];
#define RUN pass->rest, s, from.re, from.im, pass->twiddles.re, pass->twiddles.im, to.re, to.im
        switch (pass->radix) {
        case 2: NAME(pass2)(RUN); break;
        case 3: NAME(pass3)(RUN); break;
        case 4: NAME(pass4)(RUN); break;
        case 5: NAME(pass5)(RUN); break;
        default: NAME(pass_any)(pass, s, from, to); break;
        }
#undef RUN
        s *= pass->radix;
        const NAME(buffer) held = from;
        from = to;
        to = held;
    }
    return from;
}

/* y[k] = x[k] w[k] for each of the lines, k < n. */
static void NAME(turn)(NAME(buffer) y, NAME(buffer) x, const wk_fft_table *table, int64_t n, int64_t width) {
    const T *w = table->re, *wi = table->im;
    for (int64_t k = 0; k < n; k++)
        for (int64_t q = k * width; q < (k + 1) * width; q++) {
            const T re = x.re[q] * w[k] - x.im[q] * wi[k], im = x.re[q] * wi[k] + x.im[q] * w[k];
            y.re[q] = re;
            y.im[q] = im;
        }
}

/* The same for any plan.  work: `wk_fft_work(plan)` complex numbers a line, the first n of them the input, real parts
 * and imaginary parts one after the other. */
static NAME(buffer) NAME(transform)(const wk_fft_plan *plan, int64_t width, T *work) {
    const int64_t n = plan->n * width;
    const NAME(buffer) x = { work, work + n };
    work += 2 * n;
    if (!plan->inner) return NAME(passes)(plan, width, x, (NAME(buffer)){ work, work + n });
    const int64_t m = plan->inner->n * width;
    const NAME(buffer) a = { work, work + m }, b = { work + 2 * m, work + 3 * m };
    NAME(turn)(a, x, &plan->chirp, plan->n, width);
    memset(a.re + n, 0, (size_t)(m - n) * sizeof(T));
    memset(a.im + n, 0, (size_t)(m - n) * sizeof(T));
    NAME(buffer) y = NAME(passes)(plan->inner, width, a, b);
    NAME(turn)(y, y, &plan->filter, plan->inner->n, width);
    const NAME(buffer) other = y.re == a.re ? b : a;
    /* Back: with real and imaginary parts exchanged. */
    y = NAME(passes)(plan->inner, width, (NAME(buffer)){ y.im, y.re }, (NAME(buffer)){ other.im, other.re });
    NAME(turn)(x, (NAME(buffer)){ y.im, y.re }, &plan->chirp, plan->n, width);
    return x;
}

/* ---- lines in and out: line i begins `apart` elements after line i − 1 ---- */

/* Complex numbers; backwards is forwards with real and imaginary parts exchanged. */
static void NAME(load_pairs)(const fft_job *job, const T *x, int64_t apart, NAME(buffer) to, int64_t width) {
    const int64_t step = job->x_step, pair = job->x_pair;
    T *restrict re = job->inverse ? to.im : to.re, *restrict im = job->inverse ? to.re : to.im;
    FFT_EACH(job->n, step, {
        re[j * width + i] = x[j * step + i * apart];
        im[j * width + i] = x[j * step + i * apart + pair];
    })
}
static void NAME(store_pairs)(const fft_job *job, T *restrict y, int64_t apart, NAME(buffer) from, int64_t width) {
    const int64_t step = job->out_step, pair = job->out_pair;
    const T *re = job->inverse ? from.im : from.re, *im = job->inverse ? from.re : from.im, scale = (T)job->scale;
    FFT_EACH(job->n, step, {
        y[j * step + i * apart] = scale * re[j * width + i];
        y[j * step + i * apart + pair] = scale * im[j * width + i];
    })
}

/* A real line of odd length is complex; one of even length is half as many complex numbers. */
static void NAME(load_real)(const fft_job *job, const T *x, int64_t apart, NAME(buffer) to, int64_t width) {
    const int64_t m = job->plan->n, odd = job->x_step, step = job->halved ? 2 * odd : odd;
    T *restrict re = to.re, *restrict im = to.im;
    if (job->halved)
        FFT_EACH(m, step, {
            re[j * width + i] = x[j * step + i * apart];
            im[j * width + i] = x[j * step + i * apart + odd];
        })
    else
        FFT_EACH(m, step, {
            re[j * width + i] = x[j * step + i * apart];
            im[j * width + i] = 0;
        })
}
static void NAME(store_real)(const fft_job *job, T *restrict y, int64_t apart, NAME(buffer) from, int64_t width) {
    const int64_t m = job->plan->n, odd = job->out_step, step = job->halved ? 2 * odd : odd;
    const T *re = from.im, *im = from.re, scale = (T)job->scale;
    if (job->halved)
        FFT_EACH(m, step, {
            y[j * step + i * apart] = scale * re[j * width + i];
            y[j * step + i * apart + odd] = scale * im[j * width + i];
        })
    else
        FFT_EACH(m, step, { y[j * step + i * apart] = scale * re[j * width + i]; })
}

/* The transform Z of half as many complex numbers gives that of the even elements, E = (Z[j] + Z*[m − j]) / 2, and of
 * the odd ones, O = (Z[j] − Z*[m − j]) / 2i; together X[j] = E + O exp(−πi j / m).  Z[m] is Z[0]. */
static void NAME(store_half)(const fft_job *job, T *restrict y, int64_t apart, NAME(buffer) from, int64_t width) {
    const int64_t m = job->plan->n, step = job->out_step, pair = job->out_pair;
    const T edge = (T)job->scale, inner = (T)(job->scale * job->inner), *h = job->plan->halves.re,
            *hi = job->plan->halves.im;
    const T *re = from.re, *im = from.im;
    if (!job->halved)
        FFT_EACH(job->n / 2 + 1, step, {
            const T scale = j ? inner : edge;
            y[j * step + i * apart] = scale * re[j * width + i];
            y[j * step + i * apart + pair] = scale * im[j * width + i];
        })
    else
        FFT_EACH(m + 1, step, {
            const int64_t a = (j < m ? j : 0) * width + i, b = (j ? m - j : 0) * width + i;
            const T half = (T)0.5 * (j && j < m ? inner : edge);
            const T even = re[a] + re[b], even_im = im[a] - im[b], odd = im[a] + im[b], odd_im = re[b] - re[a];
            y[j * step + i * apart] = half * (even + odd * h[j] - odd_im * hi[j]);
            y[j * step + i * apart + pair] = half * (even_im + odd * hi[j] + odd_im * h[j]);
        })
}
/* The reverse, for the way back: real and imaginary parts exchanged again.  Imaginary parts that a real line cannot
 * have are passed over. */
static void NAME(load_half)(const fft_job *job, const T *x, int64_t apart, NAME(buffer) to, int64_t width) {
    const int64_t m = job->plan->n, step = job->x_step, pair = job->x_pair;
    const T *h = job->plan->halves.re, *hi = job->plan->halves.im, inner = (T)job->inner;
    T *restrict re = to.im, *restrict im = to.re;
    if (job->halved)
        FFT_EACH(m, step, {
            const T *a = x + j * step + i * apart, *b = x + (m - j) * step + i * apart;
            const T factor = j ? inner : 1, there = j ? inner : 0;
            const T dr = factor * (a[0] - b[0]), di = there * (a[pair] + b[pair]);
            re[j * width + i] = factor * (a[0] + b[0]) + hi[j] * dr - h[j] * di;
            im[j * width + i] = there * (a[pair] - b[pair]) + hi[j] * di + h[j] * dr;
        })
    else
        FFT_EACH(job->n / 2 + 1, step, {
            const T *a = x + j * step + i * apart, b = j ? inner * a[pair] : 0;
            const int64_t here = j * width + i, mirrored = (j ? m - j : 0) * width + i;
            re[here] = re[mirrored] = (j ? inner : 1) * a[0];
            im[mirrored] = -b;
            im[here] = b;
        })
}

static void NAME(group)(const fft_job *job, const char *first, int64_t x_apart, char *to, int64_t out_apart,
                        int64_t width, void *work) {
    const T *x = (const T *)(const void *)first;
    T *y = (T *)(void *)to;
    const NAME(buffer) in = { work, (T *)work + job->plan->n * width };
    switch (job->kind) {
    case FFT_PAIRS: NAME(load_pairs)(job, x, x_apart, in, width); break;
    case FFT_TO_HALF: NAME(load_real)(job, x, x_apart, in, width); break;
    case FFT_FROM_HALF: NAME(load_half)(job, x, x_apart, in, width); break;
    }
    const NAME(buffer) out = NAME(transform)(job->plan, width, work);
    switch (job->kind) {
    case FFT_PAIRS: NAME(store_pairs)(job, y, out_apart, out, width); break;
    case FFT_TO_HALF: NAME(store_half)(job, y, out_apart, out, width); break;
    case FFT_FROM_HALF: NAME(store_real)(job, y, out_apart, out, width); break;
    }
}
