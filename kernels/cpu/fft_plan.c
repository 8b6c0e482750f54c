/* fft_plan.c: factors, roots of unity, and the cache that keeps them.
 *
 * Roots cost about 20 ns each, a transform about 1 ns an element and pass: so the last plans are kept, per thread, as
 * a hit then takes no lock.  Roots are computed in f64 from an angle in the first octant, so they are right to the last
 * bits for any length.
 */
#include "cpu/fft_plan.h"

#include "wick/base.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum { KEPT = 8, LARGEST_RADIX = 23 };

/* ---- tables ---- */

/* exp(−2πi k / n), 0 ≤ k < n */
static void root(int64_t k, int64_t n, double *re, double *im) {
    const int64_t quarter = 4 * k / n, rest = 4 * k % n; /* the angle is (quarter + rest / n) · π/2 */
    const bool upper = 2 * rest > n;
    const double angle = M_PI_2 * (double)(upper ? n - rest : rest) / (double)n;
    const double c = upper ? sin(angle) : cos(angle), s = upper ? cos(angle) : sin(angle);
    const double cosines[4] = { c, -s, -c, s }, sines[4] = { s, c, -s, -c };
    *re = cosines[quarter];
    *im = -sines[quarter];
}

static bool take(wk_fft_table *table, int64_t count, bool f64) {
    const size_t bytes = (size_t)count * (f64 ? sizeof(double) : sizeof(float));
    table->re = wk_alloc_data(bytes);
    table->im = wk_alloc_data(bytes);
    return table->re && table->im;
}

static void put(const wk_fft_table *table, int64_t i, bool f64, double re, double im) {
    if (f64) {
        ((double *)table->re)[i] = re;
        ((double *)table->im)[i] = im;
    } else {
        ((float *)table->re)[i] = (float)re;
        ((float *)table->im)[i] = (float)im;
    }
}

static void release(wk_fft_table *table) {
    wk_free(table->re);
    wk_free(table->im);
}

static void drop(wk_fft_plan *plan) {
    if (!plan) return;
    for (int i = 0; i < plan->passes; i++) {
        release(&plan->pass[i].twiddles);
        release(&plan->pass[i].roots);
    }
    release(&plan->chirp);
    release(&plan->filter);
    release(&plan->halves);
    drop(plan->inner);
    wk_free(plan);
}

/* ---- plans ---- */

static bool add_pass(wk_fft_plan *plan, int64_t radix, int64_t rest) {
    wk_fft_pass *pass = &plan->pass[plan->passes++];
    const int64_t length = radix * rest;
    double re, im;
    *pass = (wk_fft_pass){ .radix = radix, .rest = rest };
    if (!take(&pass->twiddles, (radix - 1) * rest, plan->f64)) return false;
    for (int64_t k = 1; k < radix; k++)
        for (int64_t p = 0; p < rest; p++) {
            root(k * p % length, length, &re, &im);
            put(&pass->twiddles, (k - 1) * rest + p, plan->f64, re, im);
        }
    if (radix <= 5) return true;
    if (!take(&pass->roots, radix, plan->f64)) return false;
    for (int64_t k = 0; k < radix; k++) {
        root(k, radix, &re, &im);
        put(&pass->roots, k, plan->f64, re, im);
    }
    return true;
}

/* Passes of small radices; what they leave of n. */
static int64_t factor(int64_t n, int64_t radices[], int *count) {
    static const int64_t tried[] = { 4, 2, 3, 5, 7, 11, 13, 17, 19, LARGEST_RADIX };
    *count = 0;
    for (size_t i = 0; i < sizeof tried / sizeof tried[0]; i++)
        for (; n % tried[i] == 0; n /= tried[i]) radices[(*count)++] = tried[i];
    return n;
}

static wk_fft_plan *create(int64_t n, bool f64);

/* x[k] chirp[k] is convolved with the conjugate chirp: a product of transforms of a power of two, the filter's taken
 * once, here, by its definition's symmetry: filter[k] = filter[m − k]. */
static bool add_chirp(wk_fft_plan *plan) {
    int64_t m = 1;
    while (m < 2 * plan->n - 1) m *= 2;
    plan->inner = create(m, plan->f64);
    return plan->inner && take(&plan->chirp, plan->n, plan->f64) && take(&plan->filter, m, plan->f64);
}

/* By powers of two in f64, in place (Cooley and Tukey 1965): once for a plan. */
static void transform_plainly(double *x, double *y, int64_t m) {
    for (int64_t i = 1, j = 0; i < m; i++) {
        int64_t bit = m >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        const double re = x[j], im = y[j];
        if (i >= j) continue;
        x[j] = x[i], y[j] = y[i];
        x[i] = re, y[i] = im;
    }
    for (int64_t half = 1; half < m; half *= 2)
        for (int64_t k = 0; k < half; k++) {
            double c, s;
            root(k, 2 * half, &c, &s);
            for (int64_t i = k, other = k + half; i < m; i += 2 * half, other += 2 * half) {
                const double re = x[other] * c - y[other] * s, im = x[other] * s + y[other] * c;
                x[other] = x[i] - re, y[other] = y[i] - im;
                x[i] += re, y[i] += im;
            }
        }
}

static bool fill_chirp(wk_fft_plan *plan) {
    const int64_t n = plan->n, m = plan->inner->n;
    double *wave = wk_alloc((size_t)(2 * m) * sizeof *wave), re, im; /* zeroed: (m) re, (m) im */
    if (!wave) return false;
    for (int64_t k = 0; k < n; k++) {
        root(k * k % (2 * n), 2 * n, &re, &im); /* WK_FFT_LONGEST² is below 2^63 */
        put(&plan->chirp, k, plan->f64, re, im);
        wave[k] = wave[(m - k) % m] = re / (double)m;
        wave[m + k] = wave[m + (m - k) % m] = -im / (double)m;
    }
    transform_plainly(wave, wave + m, m);
    for (int64_t k = 0; k < m; k++) put(&plan->filter, k, plan->f64, wave[k], wave[m + k]);
    wk_free(wave);
    return true;
}

static wk_fft_plan *create(int64_t n, bool f64) {
    wk_fft_plan *plan = wk_alloc(sizeof *plan);
    if (!plan) return NULL;
    plan->n = n;
    plan->f64 = f64;
    int64_t radices[64], rest = n;
    int count;
    bool done = true;
    if (factor(n, radices, &count) == 1) {
        for (int i = 0; done && i < count; i++) done = add_pass(plan, radices[i], rest /= radices[i]);
    } else {
        done = done && add_chirp(plan) && fill_chirp(plan);
    }
    if (done) return plan;
    drop(plan);
    return NULL;
}

static bool add_halves(wk_fft_plan *plan) {
    if (plan->halves.re) return true;
    if (!take(&plan->halves, plan->n + 1, plan->f64)) {
        release(&plan->halves);
        plan->halves = (wk_fft_table){ NULL, NULL };
        return false;
    }
    for (int64_t k = 0; k <= plan->n; k++) {
        double re, im;
        root(k, 2 * plan->n, &re, &im);
        put(&plan->halves, k, plan->f64, re, im);
    }
    return true;
}

/* ---- the cache: the last used first ---- */

typedef struct cache {
    wk_fft_plan *plan[KEPT];
} cache;

static _Thread_local cache *of_thread;
static pthread_key_t at_exit;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void drop_cache(void *held) {
    cache *mine = held;
    for (int i = 0; i < KEPT; i++) drop(mine->plan[i]);
    wk_free(mine);
    of_thread = NULL;
}
static void prepare(void) {
    (void)pthread_key_create(&at_exit, drop_cache);
}

static void to_front(wk_fft_plan *plan, int from) {
    memmove(&of_thread->plan[1], &of_thread->plan[0], (size_t)from * sizeof(wk_fft_plan *));
    of_thread->plan[0] = plan;
}

const wk_fft_plan *wk__fft_plan(int64_t n, bool f64, bool halves) {
    if (!of_thread) {
        (void)pthread_once(&once, prepare);
        of_thread = wk_alloc(sizeof *of_thread);
        if (!of_thread) return NULL;
        (void)pthread_setspecific(at_exit, of_thread);
    }
    for (int i = 0; i < KEPT && of_thread->plan[i]; i++) {
        wk_fft_plan *plan = of_thread->plan[i];
        if (plan->n != n || plan->f64 != f64) continue;
        to_front(plan, i);
        return !halves || add_halves(plan) ? plan : NULL;
    }
    wk_fft_plan *fresh = create(n, f64);
    if (!fresh) return NULL;
    drop(of_thread->plan[KEPT - 1]);
    to_front(fresh, KEPT - 1);
    return !halves || add_halves(fresh) ? fresh : NULL;
}
