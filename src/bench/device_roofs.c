/* device_roofs.c: what a device does at best, measured with a row that reads and writes each element
 * once (neg) and with a product of matrices.
 *
 * Calls are put on the device's stream in batches, one wait a batch, so a figure is the device's time as long as that
 * is above what a launch costs the host.  Sizes grow only while a call stays short: an emulated device gives figures
 * too.
 */
#define WK_NO_CALL_SITES
#include "bench/bench.h"

#include "base/base.h"
#include "wick/device.h"
#include "wick/ops.h"

#include <math.h>

static const double LONG_CALL = 0.02, SECONDS = 0.01;

/* A call that is measured again and again, in a scope of its own. */
typedef struct probe {
    wk_device device;
    wk_tensor *a, *b;
    wk_tensor *(*call)(wk_tensor *a, wk_tensor *b);
} probe;

static wk_status run(const probe *p, int calls, double *seconds) {
    double start = wk_now();
    for (int i = 0; i < calls; i++) {
        wk_scope scope = wk_scope_begin();
        (void)p->call(p->a, p->b);
        wk_scope_end(scope);
    }
    WK_TRY(wk_device_synchronise(p->device));
    *seconds = (wk_now() - start) / calls;
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* Seconds of one call at best. */
static wk_status measure(const probe *p, double *least) {
    double seconds;
    WK_TRY(run(p, 1, &seconds)); /* plans are made, memory is taken */
    WK_TRY(run(p, 1, least));
    int calls = 1;
    for (double until = wk_now() + SECONDS; wk_now() < until; *least = fmin(*least, seconds)) {
        WK_TRY(run(p, calls, &seconds));
        if (calls * seconds < SECONDS / 10) calls *= 2;
    }
    return WK_OK;
}

static wk_tensor *copied(wk_tensor *a, wk_tensor *b) {
    (void)b;
    return wk_neg(a);
}

static wk_tensor *product(wk_tensor *a, wk_tensor *b) {
    return wk_matmul(a, b);
}

/* Bytes a second where `bytes` are touched, half of them written. */
static wk_status bandwidth(wk_device device, int64_t bytes, double *rate, bool *slow) {
    wk_scope scope = wk_scope_begin();
    double seconds = INFINITY;
    const probe p = { device, wk_zeros(WK_F32, WK_DIMS(bytes / 8)), NULL, copied };
    wk_status status = p.a ? measure(&p, &seconds) : wk_error_code();
    wk_scope_end(scope);
    *rate = (double)bytes / seconds;
    *slow = seconds > LONG_CALL;
    return status;
}

static wk_status measure_sizes(wk__roofs *r, wk_device device) {
    bool slow = false;
    for (int power = WK__ROOF_LEAST; power <= WK__ROOF_MOST; power++) {
        if (slow)
            r->rate[power] = r->rate[power - 1];
        else
            WK_TRY(bandwidth(device, (int64_t)1 << power, &r->rate[power], &slow));
    }
    /* Small sizes are bound by the launch, not by what holds the bytes: there the roof is that of larger ones. */
    for (int power = WK__ROOF_MOST; power > WK__ROOF_LEAST; power--)
        r->rate[power - 1] = fmax(r->rate[power - 1], r->rate[power]);
    r->level[0] = (wk__roof_level){ "L2", r->rate[24] };
    r->level[1] = (wk__roof_level){ "memory", r->rate[WK__ROOF_MOST] };
    return WK_OK;
}

/* Operations a second of the best square product. */
static wk_status peak(wk_device device, wk_dtype dtype, double *rate) {
    *rate = 0;
    double seconds = 0;
    for (int64_t n = 256; n <= 8192 && seconds < LONG_CALL / 10; n *= 2) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *a = wk_zeros(dtype, WK_DIMS(n, n));
        const probe p = { device, a, a, product };
        wk_status status = a ? measure(&p, &seconds) : wk_error_code();
        wk_scope_end(scope);
        WK_TRY(status);
        *rate = fmax(*rate, 2.0 * (double)n * (double)n * (double)n / seconds);
    }
    return WK_OK;
}

/* What a launch and the wait for it cost. */
static wk_status launch_cost(wk_device device, double *seconds) {
    *seconds = INFINITY;
    wk_scope scope = wk_scope_begin();
    const probe p = { device, wk_zeros(WK_F32, WK_DIMS(1)), NULL, copied };
    wk_status status = p.a ? WK_OK : wk_error_code();
    for (int i = 0; i < 50 && status == WK_OK; i++) {
        double one = INFINITY;
        status = run(&p, 1, &one);
        *seconds = fmin(*seconds, one);
    }
    wk_scope_end(scope);
    return status;
}

wk_status wk__roofs_measure_device(wk__roofs *roofs, wk_device device) {
    *roofs = (wk__roofs){ .threads = wk_threads() };
    wk_device was = wk_device_use(device);
    wk_status status = launch_cost(device, &roofs->fork_join);
    if (status == WK_OK) status = peak(device, WK_F32, &roofs->f32);
    if (status == WK_OK) status = peak(device, WK_F64, &roofs->f64);
    if (status == WK_OK) status = peak(device, WK_BF16, &roofs->bf16);
    if (status == WK_OK) status = measure_sizes(roofs, device);
    (void)wk_device_use(was);
    return status;
}
