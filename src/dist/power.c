/* power.c: PowerSGD (Vogels et al. 2019, arXiv 1905.13727): gradients travel as products of two thin matrices.
 *
 * A gradient M (n, m) becomes P = M·Q, summed over the ranks and made orthonormal, and Q = Mᵀ·P, averaged; what all
 * take is P·Qᵀ.  What it leaves out is added to the next gradient (error feedback), and the next round begins with this
 * Q (warm start).  Steps and their order are PyTorch's powerSGD_hook: which gradients are worth it, how Q begins, when
 * the columns become orthonormal.
 *
 * A bucket goes in two sums: what is not compressed, the numbers that say what is used, and all P; then all Q.  The
 * second begins when backward has ended: it needs the first.
 */
#define WK_NO_CALL_SITES
#include "dist/ddp.h"

#include <math.h>
#include <string.h>

typedef struct matrix {
    wk_tensor *m, *p, *q, *error; /* (n, m) in the bucket; (n, r), (m, r) in what is sent; (n, m) or NULL */
} matrix;

typedef struct plain {
    wk_tensor *in, *out; /* (count) in the bucket, and in what is sent */
} plain;

struct wk__power {
    wk_tensor *first, *second; /* flat: what is sent in each of the two sums */
    wk_tensor *marks;          /* (count) in the first */
    matrix *matrices;
    plain *plains;
    int matrix_count, plain_count;
    bool begun; /* there is a Q of the round before */
};

/* ---- outside of every graph and captured step ---- */

typedef struct quiet {
    bool captured, was;
    wk_scope scope;
} quiet;

static quiet quiet_begin(void) {
    quiet q = { .captured = wk__context()->mode & WK__MODE_CAPTURE, .was = wk_no_grad_begin() };
    if (q.captured) wk__capture_suspend(wk__context(), true);
    q.scope = wk_scope_begin();
    return q;
}

static void quiet_end(quiet q) {
    wk_scope_end(q.scope);
    if (q.captured) wk__capture_suspend(wk__context(), false);
    wk_no_grad_end(q.was);
}

static size_t bytes_of(const wk_tensor *t) {
    return (size_t)t->count * wk_dtype_size((wk_dtype)t->dtype);
}

static wk_status put(wk_tensor *to, const wk_tensor *from) {
    return from ? wk__copy_bytes(to->data, to->device, from->data, from->device, bytes_of(to)) : wk_error_code();
}

/* ---- orthonormal columns ---- */

static double get(const wk_tensor *t, int64_t i) {
    return t->dtype == WK_F64 ? ((const double *)t->data)[i] : (double)((const float *)t->data)[i];
}

static void set(const wk_tensor *t, int64_t i, double value) {
    if (t->dtype == WK_F64)
        ((double *)t->data)[i] = value;
    else
        ((float *)t->data)[i] = (float)value;
}

/* Gram-Schmidt, which PyTorch takes for one and two columns.  A column of zeros stays one. */
static void gram_schmidt(const wk_tensor *t, double epsilon) {
    const int64_t n = t->shape[0], r = t->shape[1];
    for (int64_t c = 0; c < r; c++) {
        double norm = 0;
        for (int64_t i = 0; i < n; i++) norm += get(t, i * r + c) * get(t, i * r + c);
        norm = sqrt(norm) + epsilon;
        for (int64_t i = 0; i < n && norm > 0; i++) set(t, i * r + c, get(t, i * r + c) / norm);
        for (int64_t k = c + 1; k < r; k++) {
            double along = 0;
            for (int64_t i = 0; i < n; i++) along += get(t, i * r + c) * get(t, i * r + k);
            for (int64_t i = 0; i < n; i++) set(t, i * r + k, get(t, i * r + k) - along * get(t, i * r + c));
        }
    }
}

/* They are thin: a device's are brought here and back. */
static wk_status orthonormalise(wk_tensor *t, double epsilon) {
    quiet q = quiet_begin();
    wk_tensor *here = wk_to_device(t, WK_CPU), *rest = NULL;
    wk_status status = here ? WK_OK : wk_error_code();
    if (status == WK_OK && t->shape[1] > 2)
        status = wk_qr(here, &here, &rest);
    else if (status == WK_OK)
        gram_schmidt(here, epsilon);
    if (status == WK_OK && here != t) status = put(t, wk_contiguous(here));
    quiet_end(q);
    return status;
}

/* ---- making ---- */

static bool same_shape(const wk_tensor *a, const wk_tensor *b) {
    return a->shape[0] == b->shape[0] && a->shape[1] == b->shape[1];
}

/* Equal shapes follow the first of their kind: that is the order in which PyTorch draws. */
static void gather_shapes(struct wk__power *w) {
    for (int i = 1; i < w->matrix_count; i++) {
        int place = i;
        for (int k = 0; k < i; k++)
            if (same_shape(w->matrices[k].m, w->matrices[i].m)) place = k + 1;
        const matrix moved = w->matrices[i];
        memmove(w->matrices + place + 1, w->matrices + place, (size_t)(i - place) * sizeof moved);
        w->matrices[place] = moved;
    }
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Views of the gradients in the bucket: matrices that are worth it, and the others. */
static wk_status sort_gradients(const wk_ddp *d, const wk__bucket *b, struct wk__power *w) {
    const wk_power_sgd_opts *o = &d->opts.power_sgd;
    const double rate = o->min_compression_rate > 0 ? o->min_compression_rate : 2;
    for (int i = b->first; i < b->first + b->count; i++) {
        const wk_tensor *g = d->slots[d->order[i]].parameter->leaf->gradient;
        const size_t at = (size_t)((const char *)g->data - (const char *)b->whole->data);
        const int64_t n = g->rank > 0 ? g->shape[0] : 1, m = n > 0 ? g->count / n : 0;
        const int64_t r = smaller(smaller(n, m), o->rank > 0 ? o->rank : 1);
        const bool compress = (double)(n * m) > (double)((n + m) * r) * rate;
        const wk_dims dims = compress ? WK_DIMS(n, m) : WK_DIMS(g->count);
        wk_tensor *view = wk__kept_on(b->whole->storage, at, (wk_dtype)g->dtype, dims);
        if (!view) return wk_error_code();
        if (compress)
            w->matrices[w->matrix_count++].m = view;
        else
            w->plains[w->plain_count++].in = view;
    }
    gather_shapes(w);
    return WK_OK;
}

static wk_status lay_out(const wk_ddp *d, const wk__bucket *b, struct wk__power *w) {
    const wk_dtype dtype = (wk_dtype)b->whole->dtype;
    const int64_t most = d->opts.power_sgd.rank > 0 ? d->opts.power_sgd.rank : 1;
    const size_t size = wk_dtype_size(dtype);
    int64_t first = b->count, second = 0, at = 0;
    for (int i = 0; i < w->plain_count; i++) first += w->plains[i].in->count;
    for (int i = 0; i < w->matrix_count; i++) {
        const wk_tensor *m = w->matrices[i].m;
        const int64_t r = smaller(smaller(m->shape[0], m->shape[1]), most);
        first += m->shape[0] * r;
        second += m->shape[1] * r;
    }
    w->first = wk__kept_zeros_on(b->whole->device, dtype, WK_DIMS(first));
    w->second = wk__kept_zeros_on(b->whole->device, dtype, WK_DIMS(second));
    if (!w->first || !w->second) return wk_error_code();
    for (int i = 0; i < w->plain_count; at += w->plains[i++].in->count)
        if (!(w->plains[i].out =
                  wk__kept_on(w->first->storage, (size_t)at * size, dtype, WK_DIMS(w->plains[i].in->count))))
            return wk_error_code();
    if (!(w->marks = wk__kept_on(w->first->storage, (size_t)at * size, dtype, WK_DIMS(b->count))))
        return wk_error_code();
    at += b->count;
    int64_t behind = 0;
    for (int i = 0; i < w->matrix_count; i++) {
        matrix *x = &w->matrices[i];
        const int64_t n = x->m->shape[0], m = x->m->shape[1], r = smaller(smaller(n, m), most);
        x->p = wk__kept_on(w->first->storage, (size_t)at * size, dtype, WK_DIMS(n, r));
        x->q = wk__kept_on(w->second->storage, (size_t)behind * size, dtype, WK_DIMS(m, r));
        if (!d->opts.power_sgd.no_error_feedback) {
            x->error = wk__kept_zeros_on(b->whole->device, dtype, WK_DIMS(n, m));
            if (!x->error) return wk_error_code();
        }
        if (!x->p || !x->q) return wk_error_code();
        at += n * r;
        behind += m * r;
    }
    return WK_OK;
}

static wk_status make(const wk_ddp *d, wk__bucket *b) {
    struct wk__power *w = wk_alloc(sizeof *w);
    if (!w) return WK_NO_MEMORY;
    b->power = w;
    w->matrices = wk_alloc((size_t)b->count * sizeof *w->matrices);
    w->plains = wk_alloc((size_t)b->count * sizeof *w->plains);
    if (!w->matrices || !w->plains) return WK_NO_MEMORY;
    WK_TRY(sort_gradients(d, b, w));
    return w->matrix_count ? lay_out(d, b, w) : WK_OK;
}

void wk__power_free(struct wk__power *w) {
    if (!w) return;
    for (int i = 0; i < w->matrix_count; i++) {
        wk_release(w->matrices[i].m);
        wk_release(w->matrices[i].p);
        wk_release(w->matrices[i].q);
        wk_release(w->matrices[i].error);
    }
    for (int i = 0; i < w->plain_count; i++) {
        wk_release(w->plains[i].in);
        wk_release(w->plains[i].out);
    }
    wk_release(w->marks);
    wk_release(w->first);
    wk_release(w->second);
    wk_free(w->matrices);
    wk_free(w->plains);
    wk_free(w);
}

/* ---- a round ---- */

/* numpy.random.RandomState(seed).randint(1_000_000_000), of which PyTorch seeds torch.randn. */
static uint64_t next_seed(wk_ddp *d) {
    uint32_t number = 0;
    do number = wk_random_u32(&d->power_seeds) & 0x3FFFFFFF;
    while (number > 999999999);
    return number;
}

static wk_status begin_with_noise(wk_ddp *d, const struct wk__power *w) {
    wk_generator noise;
    wk_status status = WK_OK;
    wk_generator_seed(&noise, next_seed(d));
    for (int i = 0; i < w->matrix_count && status == WK_OK; i++) {
        wk_tensor *q = w->matrices[i].q, *here = wk_kept_zeros((wk_dtype)q->dtype, wk_dims_get(q));
        if (!here) return wk_error_code();
        if (q->dtype == WK_F64)
            wk_random_normal_f64(&noise, here->data, here->count, 0, 1);
        else
            wk_random_normal_f32(&noise, here->data, here->count, 0, 1);
        status = put(q, here);
        wk_release(here);
    }
    return status;
}

static wk_status project(const wk_ddp *d, const matrix *x) {
    WK_TRY(orthonormalise(x->q, d->opts.power_sgd.orthogonalization_epsilon));
    quiet q = quiet_begin();
    wk_status status = x->error ? put(x->m, wk_add(x->m, x->error)) : WK_OK;
    if (status == WK_OK) status = put(x->p, wk_matmul(x->m, x->q));
    quiet_end(q);
    return status;
}

wk_status wk__power_send(wk_ddp *d, wk__bucket *b) {
    if (!b->power) WK_TRY(make(d, b));
    struct wk__power *w = b->power;
    if (!w->matrix_count) return WK_OK;
    if (!w->begun) WK_TRY(begin_with_noise(d, w));
    for (int i = 0; i < w->matrix_count; i++) WK_TRY(project(d, &w->matrices[i]));
    for (int i = 0; i < w->plain_count; i++) WK_TRY(put(w->plains[i].out, w->plains[i].in));
    WK_TRY(put(w->marks, b->marks));
    b->in_power = true;
    return wk_all_reduce(d->group, w->first, WK_REDUCE_SUM, &b->work);
}

wk_status wk__power_turn(wk_ddp *d, wk__bucket *b) {
    struct wk__power *w = b->power;
    const double share = 1.0 / wk_group_size(d->group);
    wk_status status = put(b->marks, w->marks);
    for (int i = 0; i < w->matrix_count && status == WK_OK; i++)
        status = orthonormalise(w->matrices[i].p, d->opts.power_sgd.orthogonalization_epsilon);
    quiet q = quiet_begin();
    for (int i = 0; i < w->plain_count && status == WK_OK; i++)
        status = put(w->plains[i].in, wk_scale(w->plains[i].out, share));
    for (int i = 0; i < w->matrix_count && status == WK_OK; i++) {
        const matrix *x = &w->matrices[i];
        status = put(x->q, wk_matmul(wk_transpose(x->m, 0, 1), x->p));
    }
    quiet_end(q);
    return status == WK_OK ? wk_all_reduce(d->group, w->second, WK_REDUCE_SUM, &b->work) : status;
}

wk_status wk__power_take(const wk_ddp *d, const wk__bucket *b) {
    struct wk__power *w = b->power;
    quiet q = quiet_begin();
    wk_status status = put(w->second, wk_scale(w->second, 1.0 / wk_group_size(d->group)));
    for (int i = 0; i < w->matrix_count && status == WK_OK; i++) {
        const matrix *x = &w->matrices[i];
        wk_tensor *product = wk_matmul(x->p, wk_transpose(x->q, 0, 1));
        if (x->error) status = put(x->error, wk_sub(x->m, product));
        if (status == WK_OK) status = put(x->m, product);
    }
    quiet_end(q);
    w->begun = !d->opts.power_sgd.no_warm_start;
    return status;
}
