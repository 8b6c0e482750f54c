/* fft.c: discrete Fourier transforms along an axis, of complex numbers as pairs and of real ones.
 *
 * Lines are brought together, some side by side, into buffers that fit the second-level cache, transformed there by
 * Stockham's passes (no reordering at the end), and written where they belong.  The groups do not depend on the number
 * of threads, nor does a line's result on the group that it is in.
 */
#include "cpu/fft_plan.h"
#include "cpu/scratch.h"
#include "cpu/simd/iterate.h"

#include <math.h>
#include <string.h>

enum { FFT_WIDTH = 16, FFT_GROUP = 4096 /* complex numbers of a group of lines, about */ };

/* Results of a butterfly are a distance apart that the compiler does not know: iterations still do not meet. */
#ifdef __clang__
#    define FFT_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#    define FFT_INDEPENDENT _Pragma("GCC ivdep")
#endif

typedef enum fft_kind { FFT_PAIRS, FFT_TO_HALF, FFT_FROM_HALF } fft_kind;

typedef struct fft_job {
    const wk_fft_plan *plan; /* of n, or of n / 2 where a real line is taken as pairs (halved) */
    fft_kind kind;
    bool inverse, halved;
    double scale, inner; /* of results; of the inner numbers of a half line */
    int64_t n;           /* of the line, in numbers */
    const char *x;
    char *out;
    int64_t x_step, x_pair, out_step, out_pair; /* elements */
    wk_walk others;                             /* the lines: out, x */
} fft_job;

/* The statement for each element j of each line i.  Lines that are far from one another are read and written some
 * elements at a time, so that a cache line is touched once. */
enum { FFT_BLOCK = 8 };
#define FFT_EACH(count, step, ...)                                                           \
    {                                                                                        \
        if ((step) > apart) {                                                                \
            for (int64_t j = 0; j < (count); j++)                                            \
                for (int64_t i = 0; i < width; i++) __VA_ARGS__                              \
        } else {                                                                             \
            for (int64_t from_j = 0, whole = (count); from_j < whole; from_j += FFT_BLOCK) { \
                const int64_t end = from_j + FFT_BLOCK < whole ? from_j + FFT_BLOCK : whole; \
                for (int64_t i = 0; i < width; i++)                                          \
                    for (int64_t j = from_j; j < end; j++) __VA_ARGS__                       \
            }                                                                                \
        }                                                                                    \
    }

#define T       float
#define NAME(x) x##_f32
#include "cpu/simd/spectral/fft_body.h"
#undef T
#undef NAME
#define T       double
#define NAME(x) x##_f64
#include "cpu/simd/spectral/fft_body.h"

static int64_t work_a_line(const wk_fft_plan *plan) {
    return plan->inner ? plan->n + 2 * plan->inner->n : 2 * plan->n;
}

/* Group `number` of the lines: up to `width` neighbours in a row of the walk. */
static void run_group(const fft_job *job, int64_t number, int64_t width, void *work) {
    const wk_walk *walk = &job->others;
    const int last = walk->rank - 1;
    const int64_t in_row = (walk->shape[last] + width - 1) / width, begin = number % in_row * width;
    const int64_t left = walk->shape[last] - begin, size = job->plan->f64 ? 8 : 4;
    int64_t row = number / in_row, to = begin * walk->stride[0][last], from = begin * walk->stride[1][last];
    for (int axis = last - 1; axis >= 0; axis--) {
        to += row % walk->shape[axis] * walk->stride[0][axis];
        from += row % walk->shape[axis] * walk->stride[1][axis];
        row /= walk->shape[axis];
    }
    (job->plan->f64 ? group_f64 : group_f32)(job, job->x + from * size, walk->stride[1][last], job->out + to * size,
                                             walk->stride[0][last], left < width ? left : width, work);
}

static wk_status run(const wk_kernel_ctx *ctx, const fft_job *job) {
    const int64_t size = job->plan->f64 ? 8 : 4, row = job->others.shape[job->others.rank - 1];
    const int64_t lines = wk_walk_count(&job->others), fits = FFT_GROUP * 4 / size / job->plan->n;
    const int64_t width = fits < 1 ? 1 : fits > FFT_WIDTH ? FFT_WIDTH : fits;
    const int64_t groups = lines / row * ((row + width - 1) / width), bytes = 2 * size * work_a_line(job->plan) * width;
    int team = wk_cpu_team(ctx, 4 * size * lines * job->plan->n);
    if (team > groups) team = (int)groups;
    char *work = wk__cpu_scratch(WK_SCRATCH_KERNEL, (size_t)(team * bytes));
    if (!work) return WK_NO_MEMORY;
#pragma omp parallel for num_threads(team) schedule(static) if (team > 1)
    for (int64_t number = 0; number < groups; number++)
        run_group(job, number, width, work + omp_get_thread_num() * bytes);
    return WK_OK;
}

static wk_status transform(wk_kernel_ctx *ctx, const wk_call *call, fft_kind kind) {
    const wk_fft_axis_attrs *attrs = call->attrs;
    const wk_tensor *x = call->in[0], *out = call->out[0], *real = kind == FFT_FROM_HALF ? out : x;
    if (!out->count) return WK_OK;
    const int rank = kind == FFT_TO_HALF ? x->rank : x->rank - 1;
    const int64_t n = real->shape[attrs->axis];
    fft_job job = { .kind = kind,
                    .inverse = attrs->inverse,
                    .halved = kind != FFT_PAIRS && n % 2 == 0,
                    .scale = attrs->scale == WK_FFT_BY_ROOT     ? 1 / sqrt((double)n)
                             : attrs->scale == WK_FFT_BY_LENGTH ? 1 / (double)n
                                                                : 1,
                    .inner = wk_optional_or(attrs->inner, 1),
                    .n = n,
                    .x = x->data,
                    .out = out->data,
                    .x_step = x->stride[attrs->axis],
                    .x_pair = kind == FFT_TO_HALF ? 0 : x->stride[x->rank - 1],
                    .out_step = out->stride[attrs->axis],
                    .out_pair = kind == FFT_FROM_HALF ? 0 : out->stride[out->rank - 1],
                    .others = wk_walk_besides(out, x, (int)attrs->axis, rank) };
    job.plan = wk__fft_plan(job.halved ? n / 2 : n, x->dtype == WK_F64, job.halved);
    return job.plan ? run(ctx, &job) : WK_NO_MEMORY;
}

static wk_status fft_axis(wk_kernel_ctx *ctx, const wk_call *call) {
    return transform(ctx, call, FFT_PAIRS);
}
static wk_status rfft_axis(wk_kernel_ctx *ctx, const wk_call *call) {
    return transform(ctx, call, FFT_TO_HALF);
}
static wk_status irfft_axis(wk_kernel_ctx *ctx, const wk_call *call) {
    return transform(ctx, call, FFT_FROM_HALF);
}

#define BOTH (WK_SET_OF(WK_F32) | WK_SET_OF(WK_F64))
WK_CPU_TABLE(fft) = {
    { "fft_axis", BOTH, fft_axis }, { "rfft_axis", BOTH, rfft_axis }, { "irfft_axis", BOTH, irfft_axis }, { 0 }
};
