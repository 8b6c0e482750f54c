/* lapack.c: decompositions of matrices by LAPACK (OpenBLAS's), in f32 and f64.
 *
 * The matrices of a batch are shared out to the team; each runs on one thread, so that the bits do not depend on the
 * team.  Signs that a decomposition leaves open are chosen by a rule, so that they do not depend on the library.
 */
#include "cpu/cpu.h"

#if WICK_LIBRARIES

#    include "cpu/scratch.h"

#    include <cblas.h>
#    include <limits.h>
#    include <math.h>
#    include <omp.h>
#    include <pthread.h>
#    include <string.h>

#    define DECLARE(type, p)                                                                                          \
        void p##potrf_(const char *, const int *, type *, const int *, int *);                                        \
        void p##gesv_(const int *, const int *, type *, const int *, int *, type *, const int *, int *);              \
        void p##getrf_(const int *, const int *, type *, const int *, int *, int *);                                  \
        void p##geqrf_(const int *, const int *, type *, const int *, type *, type *, const int *, int *);            \
        void p##orgqr_(const int *, const int *, const int *, type *, const int *, const type *, type *, const int *, \
                       int *);                                                                                        \
        void p##syevd_(const char *, const char *, const int *, type *, const int *, type *, type *, const int *,     \
                       int *, const int *, int *);                                                                    \
        void p##gesdd_(const char *, const int *, const int *, type *, const int *, type *, type *, const int *,      \
                       type *, const int *, type *, const int *, int *, int *);
DECLARE(float, s)
DECLARE(double, d)

typedef struct plan plan;
typedef int (*one_matrix)(const plan *p, int64_t index, void *work);
struct plan {
    const wk_call *call;
    int m, n; /* rows and columns of input 0; with solve, m is the columns of input 1 */
    int work_elements, whole_elements;
    int rank; /* of the batch */
    int64_t size[WK_MAX_RANK], count;
    size_t bytes; /* of work for one matrix */
    one_matrix run;
};

/* Where matrix `index` of the batch starts in a tensor whose batch axes broadcast. */
static int64_t batch_offset(const plan *p, const wk_tensor *t, int64_t index) {
    int64_t offset = 0;
    for (int axis = p->rank - 1; axis >= 0; axis--) {
        int own = axis - (p->rank - (t->rank - 2));
        if (own >= 0 && t->shape[own] != 1) offset += index % p->size[axis] * t->stride[own];
        index /= p->size[axis];
    }
    return offset;
}

#    define REAL      float
#    define NAME(x)   x##_f32
#    define LAPACK(x) s##x##_
#    define TRSM      cblas_strsm
#    include "cpu/lapack_body.h"
#    undef REAL
#    undef NAME
#    undef LAPACK
#    undef TRSM

#    define REAL      double
#    define NAME(x)   x##_f64
#    define LAPACK(x) d##x##_
#    define TRSM      cblas_dtrsm
#    include "cpu/lapack_body.h"
#    undef REAL
#    undef NAME
#    undef LAPACK
#    undef TRSM

/* Elsewhere Wick asks OpenBLAS only for products that stay on one thread anyway. */
static void use_one_thread(void) {
    openblas_set_num_threads(1);
}

static wk_status make_plan(const wk_call *call, plan *p, const wk_tensor *batch, int batch_rank) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, use_one_thread);
    const wk_tensor *a = call->in[0];
    int64_t rows = a->shape[a->rank - 2], columns = a->shape[a->rank - 1];
    if (rows > INT_MAX / 8 || columns > INT_MAX / 8 || rows * columns > INT_MAX)
        return wk_fail(WK_SHAPE, "%s: a matrix of %lld × %lld is too large for LAPACK", call->op->name, (long long)rows,
                       (long long)columns);
    *p = (plan){ .call = call, .m = (int)rows, .n = (int)columns, .rank = batch_rank, .count = 1 };
    for (int i = 0; i < batch_rank; i++) p->count *= p->size[i] = batch->shape[i];
    return WK_OK;
}

/* All matrices; info is that of the first that failed, `at` its number. */
static wk_status run_all(wk_kernel_ctx *ctx, plan *p, int64_t *at, int *info) {
    int team = p->count < 2 || ctx->threads < 2 ? 1 : ctx->threads;
    size_t each = (p->bytes + 63) / 64 * 64;
    char *work = wk__cpu_scratch(WK_SCRATCH_KERNEL, each * (size_t)team);
    *at = p->count;
    *info = 0;
    if (!work) return WK_NO_MEMORY;
#    pragma omp parallel for num_threads(team) schedule(static) if (team > 1)
    for (int64_t index = 0; index < p->count; index++) {
        int found = p->run(p, index, work + each * (size_t)(team > 1 ? omp_get_thread_num() : 0));
        if (found == 0) continue;
#    pragma omp critical(wk_lapack_info)
        if (index < *at) *at = index, *info = found;
    }
    return WK_OK;
}

#    define BY_TYPE(name) (call->in[0]->dtype == WK_F64 ? name##_f64 : name##_f32)
static size_t element(const wk_call *call) {
    return call->in[0]->dtype == WK_F64 ? 8 : 4;
}

static wk_status cholesky(wk_kernel_ctx *ctx, const wk_call *call) {
    plan p;
    int64_t at;
    int info;
    WK_TRY(make_plan(call, &p, call->in[0], call->in[0]->rank - 2));
    if (p.n == 0) return WK_OK; /* LAPACK takes no empty matrix */
    p.bytes = (size_t)p.n * (size_t)p.n * element(call);
    p.run = BY_TYPE(cholesky);
    WK_TRY(run_all(ctx, &p, &at, &info));
    if (info)
        return wk_fail(WK_INVALID,
                       "cholesky: matrix %lld is not positive definite: its leading minor of order %d is not",
                       (long long)at, info);
    return WK_OK;
}

static wk_status solve_with(wk_kernel_ctx *ctx, const wk_call *call, one_matrix run) {
    plan p;
    int64_t at;
    int info;
    WK_TRY(make_plan(call, &p, call->out[0], call->out[0]->rank - 2));
    p.m = (int)call->in[1]->shape[call->in[1]->rank - 1];
    if (p.n == 0 || p.m == 0) return WK_OK;
    p.bytes = ((size_t)p.n * (size_t)p.n + (size_t)p.n * (size_t)p.m) * element(call) + (size_t)p.n * sizeof(int);
    p.run = run;
    WK_TRY(run_all(ctx, &p, &at, &info));
    if (info) return wk_fail(WK_INVALID, "solve: matrix %lld is singular: pivot %d is zero", (long long)at, info);
    return WK_OK;
}
static wk_status solve(wk_kernel_ctx *ctx, const wk_call *call) {
    return solve_with(ctx, call, BY_TYPE(solve));
}
static wk_status solve_triangular(wk_kernel_ctx *ctx, const wk_call *call) {
    return solve_with(ctx, call, BY_TYPE(triangular));
}

/* Decompositions that want working memory of LAPACK. */
static wk_status decompose(wk_kernel_ctx *ctx, const wk_call *call, const char *what, one_matrix run,
                           int (*query)(plan *, const char *)) {
    plan p;
    int64_t at;
    int info;
    WK_TRY(make_plan(call, &p, call->in[0], call->in[0]->rank - 2));
    if (p.m == 0 || p.n == 0) return WK_OK;
    if (query(&p, what) != 0) return wk_fail(WK_INTERNAL, "%s: LAPACK tells no size of its memory", what);
    size_t m = (size_t)p.m, n = (size_t)p.n, k = m < n ? m : n;
    size_t elements = m * n + k * (m + n) + 2 * k + n + (size_t)p.work_elements;
    p.bytes = elements * element(call) + (size_t)p.whole_elements * sizeof(int) + 64;
    p.run = run;
    WK_TRY(run_all(ctx, &p, &at, &info));
    if (info)
        return wk_fail(WK_INVALID,
                       "%s: matrix %lld: the iteration does not converge, or the matrix holds infinities or NaN", what,
                       (long long)at);
    return WK_OK;
}
static wk_status qr(wk_kernel_ctx *ctx, const wk_call *call) {
    return decompose(ctx, call, "qr", BY_TYPE(qr), BY_TYPE(query));
}
static wk_status eigh(wk_kernel_ctx *ctx, const wk_call *call) {
    return decompose(ctx, call, "eigh", BY_TYPE(eigh), BY_TYPE(query));
}
static wk_status svd(wk_kernel_ctx *ctx, const wk_call *call) {
    return decompose(ctx, call, "svd", BY_TYPE(svd), BY_TYPE(query));
}

static wk_status slogdet(wk_kernel_ctx *ctx, const wk_call *call) {
    plan p;
    int64_t at;
    int info;
    WK_TRY(make_plan(call, &p, call->in[0], call->in[0]->rank - 2));
    p.bytes = (size_t)p.n * (size_t)p.n * element(call) + (size_t)p.n * sizeof(int);
    p.run = BY_TYPE(slogdet);
    return run_all(ctx, &p, &at, &info);
}

const wk_cpu_entry wk__cpu_library_lapack[] = {
    { "cholesky_symmetric", WK_F32_F64, cholesky },
    { "solve", WK_F32_F64, solve },
    { "solve_triangular", WK_F32_F64, solve_triangular },
    { "slogdet", WK_F32_F64, slogdet },
    { "qr", WK_F32_F64, qr },
    { "eigh_symmetric", WK_F32_F64, eigh },
    { "svd", WK_F32_F64, svd },
    { 0 },
};
#endif
