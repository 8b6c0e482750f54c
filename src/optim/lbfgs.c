/* lbfgs.c: L-BFGS with an optional strong Wolfe line search, as torch.optim.LBFGS does it, step for step.
 *
 * All parameters are seen as one vector of n elements.  Its arithmetic is done here in loops over that vector, in the
 * parameters' dtype; what it spends is small beside the closure's forward and backward.
 */
#define WK_NO_CALL_SITES
#include "optim/lbfgs.h"

#include "wick/ops.h"

#include <math.h>
#include <string.h>

/* ---- state ---- */

void wk__lbfgs_destroy(wk__lbfgs *l) {
    if (!l) return;
    for (int i = 0; i < WK__LBFGS_TENSORS; i++) wk_release(l->tensor[i]);
    wk_free(l);
}

static const char *const tensor_names[WK__LBFGS_TENSORS] = { "d",  "prev_flat_grad", "old_dirs", "old_stps",
                                                             "ro", "numbers" };

wk_named_tensors wk__lbfgs_state(wk__lbfgs *l) {
    return (wk_named_tensors){ l->tensor, tensor_names, WK__LBFGS_TENSORS };
}

wk_status wk__lbfgs_state_changed(wk_optim *o) {
    const wk__lbfgs *l = o->lbfgs;
    const double *numbers = l->tensor[WK__LBFGS_NUMBER]->data;
    double count = numbers[WK__LBFGS_COUNT], iterations = numbers[WK__LBFGS_ITERATIONS];
    bool fits = count >= 0 && count <= (double)l->opts.history_size && iterations >= 0 && iterations < 9e15
                && numbers[WK__LBFGS_CALLS] >= 0 && numbers[WK__LBFGS_CALLS] < 9e15;
    for (int i = 0; i < o->count && fits; i++) *(int64_t *)o->entry[i].step->data = (int64_t)numbers[WK__LBFGS_CALLS];
    if (fits) return WK_OK;
    return wk_fail(WK_FORMAT, "LBFGS: the stored numbers say %g pairs of %lld after %g iterations", count,
                   (long long)l->opts.history_size, iterations);
}

static wk__lbfgs *create_state(wk_dtype dtype, int64_t n, wk_lbfgs_opts opts) {
    wk__lbfgs *l = wk_alloc(sizeof *l);
    if (!l) return NULL;
    l->opts = opts;
    l->n = n;
    l->dtype = dtype;
    const wk_dims dims[WK__LBFGS_TENSORS] = { WK_DIMS(n),
                                              WK_DIMS(n),
                                              WK_DIMS(opts.history_size, n),
                                              WK_DIMS(opts.history_size, n),
                                              WK_DIMS(opts.history_size),
                                              WK_DIMS(WK__LBFGS_NUMBERS) };
    for (int i = 0; i < WK__LBFGS_TENSORS; i++) {
        l->tensor[i] = wk_kept_zeros(i < WK__LBFGS_RO ? dtype : WK_F64, dims[i]);
        if (l->tensor[i]) continue;
        wk__lbfgs_destroy(l);
        return NULL;
    }
    return l;
}

static const wk__optim_kind lbfgs_kind = { .state = { NULL } };

static wk_status check_parameters(wk_named_tensors parameters) {
    for (int i = 0; i < parameters.count; i++) {
        const wk_tensor *p = parameters.tensor[i];
        char text[160];
        if ((WK_F32_F64 >> p->dtype & 1) && p->dtype == parameters.tensor[0]->dtype) continue;
        return wk_fail(WK_DTYPE, "LBFGS: parameter \"%s\" is %s, expected all f32 or all f64", parameters.name[i],
                       wk_describe(p, text, sizeof text));
    }
    return WK_OK;
}

wk_optim *wk_lbfgs(wk_named_tensors parameters, wk_lbfgs_opts opts) {
    if (wk_failed()) return NULL;
    if (opts.max_iter < 0 || opts.max_eval < 0 || opts.history_size < 0)
        return wk_fail_null(WK_INVALID, "LBFGS: max_iter %lld, max_eval %lld, history_size %lld: expected at least 1",
                            (long long)opts.max_iter, (long long)opts.max_eval, (long long)opts.history_size);
    if (check_parameters(parameters) != WK_OK) return NULL;
    if (opts.max_iter == 0) opts.max_iter = 20;
    if (opts.max_eval == 0) opts.max_eval = opts.max_iter * 5 / 4;
    if (opts.history_size == 0) opts.history_size = 100;
    wk__optim_plan plan = { .kind = &lbfgs_kind, .name = "LBFGS", .maximize = opts.maximize };
    plan.scalars[WK_STEP_LR] = opts.lr != 0 ? opts.lr : 1;
    wk_optim *o = wk__optim_create(&plan, parameters);
    if (!o) return NULL;
    int64_t n = 0;
    for (int i = 0; i < parameters.count; i++) n += parameters.tensor[i]->count;
    o->lbfgs = create_state(n ? (wk_dtype)parameters.tensor[0]->dtype : WK_F32, n, opts);
    if (o->lbfgs) return o;
    wk_optim_destroy(o);
    return NULL;
}

/* ---- vectors of the parameters' dtype: each loop once for float, once for double ---- */

#define BOTH(l, body)               \
    do {                            \
        if ((l)->dtype == WK_F64) { \
            typedef double T;       \
            body                    \
        } else {                    \
            typedef float T;        \
            body                    \
        }                           \
    } while (0)

double wk__vector_dot(const wk__lbfgs *l, const void *a_, const void *b_) {
    double sum = 0;
    BOTH(l, {
        const T *a = a_;
        const T *b = b_;
        for (int64_t i = 0; i < l->n; i++) sum += (double)a[i] * (double)b[i];
    });
    return sum;
}

/* y = scale · y + weight · x */
static void combine(const wk__lbfgs *l, double scale, void *y_, double weight, const void *x_) {
    BOTH(l, {
        T *y = y_;
        const T *x = x_;
        for (int64_t i = 0; i < l->n; i++) y[i] = (T)scale * y[i] + (T)weight * x[i];
    });
}

static double largest(const wk__lbfgs *l, const void *x_) {
    double most = 0;
    BOTH(l, {
        const T *x = x_;
        for (int64_t i = 0; i < l->n; i++) {
            double size = fabs((double)x[i]);
            if (size > most || isnan(size)) most = size;
        }
    });
    return most;
}

static double sum_of_sizes(const wk__lbfgs *l, const void *x_) {
    double sum = 0;
    BOTH(l, {
        const T *x = x_;
        for (int64_t i = 0; i < l->n; i++) sum += fabs((double)x[i]);
    });
    return sum;
}

static size_t bytes_of(const wk__lbfgs *l) {
    return (size_t)l->n * wk_dtype_size(l->dtype);
}

/* ---- parameters as one vector ---- */

static void for_parameters(wk_optim *o, void *vector, void (*visit)(wk_tensor *p, char *part, size_t bytes)) {
    char *part = vector;
    for (int i = 0; i < o->count; i++) {
        wk_tensor *p = o->entry[i].parameter;
        size_t bytes = (size_t)p->count * wk_dtype_size((wk_dtype)p->dtype);
        visit(p, part, bytes);
        part += bytes;
    }
}

static void take_parameter(wk_tensor *p, char *part, size_t bytes) {
    memcpy(part, p->data, bytes);
}
static void put_parameter(wk_tensor *p, char *part, size_t bytes) {
    memcpy(p->data, part, bytes);
    p->storage->version++;
    p->storage->changed_at = "wk_optim_step_closure";
}
static void take_gradient(wk_tensor *p, char *part, size_t bytes) {
    const wk_tensor *gradient = wk_gradient(p);
    if (gradient)
        memcpy(part, gradient->data, bytes);
    else
        memset(part, 0, bytes);
}

/* The loss where the parameters stand, and its gradient. */
static wk_status evaluate(wk__lbfgs_run *r, double *loss, void *gradient) {
    bool was = wk_no_grad_begin();
    wk__context()->mode &= ~(uint32_t)WK__MODE_NO_GRAD;
    wk_status status = r->closure(r->context, loss);
    if (status == WK_OK && wk_failed()) status = wk_error_code();
    if (was) (void)wk_no_grad_begin();
    WK_TRY(status);
    for_parameters(r->o, gradient, take_gradient);
    double factor = wk__optim_factor(r->o); /* of a clipping inside the closure */
    if (factor != 1) combine(r->l, factor, gradient, 0, gradient);
    wk__optim_reset_factor(r->o);
    if (!r->l->opts.maximize) return WK_OK;
    *loss = -*loss;
    combine(r->l, -1, gradient, 0, gradient);
    return WK_OK;
}

/* p = x + t · d */
static void move(wk__lbfgs_run *r, const void *x, double t) {
    memcpy(r->moved, x, bytes_of(r->l));
    combine(r->l, 1, r->moved, t, r->d);
    for_parameters(r->o, r->moved, put_parameter);
}

wk_status wk__lbfgs_try(wk__lbfgs_run *r, double t, wk__lbfgs_point *point) {
    move(r, r->x, t);
    point->t = t;
    WK_TRY(evaluate(r, &point->f, point->g));
    point->slope = wk__vector_dot(r->l, point->g, r->d);
    return WK_OK;
}

/* ---- the direction ---- */

static void *history(const wk__lbfgs *l, int which, int64_t i) {
    return (char *)l->tensor[which]->data + (size_t)i * bytes_of(l);
}

static void drop_oldest(wk__lbfgs *l, int64_t count) {
    double *ro = l->tensor[WK__LBFGS_RO]->data;
    size_t bytes = bytes_of(l) * (size_t)(count - 1);
    memmove(history(l, WK__LBFGS_DIRS, 0), history(l, WK__LBFGS_DIRS, 1), bytes);
    memmove(history(l, WK__LBFGS_STEPS, 0), history(l, WK__LBFGS_STEPS, 1), bytes);
    memmove(ro, ro + 1, sizeof *ro * (size_t)(count - 1));
}

/* Take the pair (y, s) of the last iteration into the memory, unless the curvature is not positive. */
static void remember(wk__lbfgs_run *r, double *numbers) {
    wk__lbfgs *l = r->l;
    void *y = r->y, *s = r->s;
    memcpy(y, r->g, bytes_of(l));
    combine(l, 1, y, -1, l->tensor[WK__LBFGS_PREVIOUS]->data);
    memset(s, 0, bytes_of(l));
    combine(l, 0, s, numbers[WK__LBFGS_T], r->d);
    double ys = wk__vector_dot(l, y, s);
    if (!(ys > 1e-10)) return;
    int64_t count = (int64_t)numbers[WK__LBFGS_COUNT];
    if (count == l->opts.history_size) drop_oldest(l, count--);
    memcpy(history(l, WK__LBFGS_DIRS, count), y, bytes_of(l));
    memcpy(history(l, WK__LBFGS_STEPS, count), s, bytes_of(l));
    ((double *)l->tensor[WK__LBFGS_RO]->data)[count] = 1 / ys;
    numbers[WK__LBFGS_COUNT] = (double)(count + 1);
    numbers[WK__LBFGS_H] = ys / wk__vector_dot(l, y, y);
}

/* d = −H · g by the two-loop recursion. */
static void find_direction(wk__lbfgs_run *r, double *numbers) {
    wk__lbfgs *l = r->l;
    combine(l, 0, r->d, -1, r->g);
    if (numbers[WK__LBFGS_ITERATIONS] == 1) {
        numbers[WK__LBFGS_COUNT] = 0;
        numbers[WK__LBFGS_H] = 1;
        return;
    }
    int64_t count = (int64_t)numbers[WK__LBFGS_COUNT];
    const double *ro = l->tensor[WK__LBFGS_RO]->data;
    for (int64_t i = count - 1; i >= 0; i--) {
        r->al[i] = wk__vector_dot(l, history(l, WK__LBFGS_STEPS, i), r->d) * ro[i];
        combine(l, 1, r->d, -r->al[i], history(l, WK__LBFGS_DIRS, i));
    }
    combine(l, numbers[WK__LBFGS_H], r->d, 0, r->d);
    for (int64_t i = 0; i < count; i++) {
        double be = wk__vector_dot(l, history(l, WK__LBFGS_DIRS, i), r->d) * ro[i];
        combine(l, 1, r->d, r->al[i] - be, history(l, WK__LBFGS_STEPS, i));
    }
}

/* ---- the step ---- */

static wk_status fixed_step(wk__lbfgs_run *r, double t, bool is_last, double *loss, int64_t *evaluations) {
    for_parameters(r->o, r->x, take_parameter);
    move(r, r->x, t);
    if (is_last) return WK_OK; /* nothing would look at it */
    *evaluations = 1;
    return evaluate(r, loss, r->g);
}

static wk_status searched_step(wk__lbfgs_run *r, double *t, double slope, int64_t most, double *loss,
                               int64_t *evaluations) {
    for_parameters(r->o, r->x, take_parameter);
    wk__lbfgs_point found = { .f = *loss, .slope = slope, .t = *t, .g = r->g };
    wk_status status = wk__strong_wolfe(r, &found, most, evaluations);
    *t = found.t;
    *loss = found.f;
    if (status != WK_OK) { /* the closure failed: nothing has moved */
        for_parameters(r->o, r->x, put_parameter);
        return status;
    }
    move(r, r->x, *t);
    return WK_OK;
}

static wk_status iterate(wk__lbfgs_run *r, double *loss) {
    wk__lbfgs *l = r->l;
    double *numbers = l->tensor[WK__LBFGS_NUMBER]->data;
    double lr = wk__scalars(&r->o->group[0])[WK_STEP_LR];
    double grad_tolerance = wk_optional_or(l->opts.tolerance_grad, 1e-7);
    double change_tolerance = wk_optional_or(l->opts.tolerance_change, 1e-9);
    int64_t evaluations = 1;
    for (int64_t iteration = 1; iteration <= l->opts.max_iter; iteration++) {
        if (numbers[WK__LBFGS_ITERATIONS]++ > 0) remember(r, numbers);
        find_direction(r, numbers);
        memcpy(l->tensor[WK__LBFGS_PREVIOUS]->data, r->g, bytes_of(l));
        double before = *loss, t = lr, slope = wk__vector_dot(l, r->g, r->d);
        if (numbers[WK__LBFGS_ITERATIONS] == 1) t = fmin(1, 1 / sum_of_sizes(l, r->g)) * lr;
        numbers[WK__LBFGS_T] = t;
        if (slope > -change_tolerance) return WK_OK;
        int64_t spent = 0;
        wk_status status = l->opts.strong_wolfe
                               ? searched_step(r, &t, slope, l->opts.max_eval - evaluations, loss, &spent)
                               : fixed_step(r, t, iteration == l->opts.max_iter, loss, &spent);
        numbers[WK__LBFGS_T] = t;
        numbers[WK__LBFGS_EVALUATIONS] += (double)spent;
        WK_TRY(status);
        evaluations += spent;
        bool done = evaluations >= l->opts.max_eval || largest(l, r->g) <= grad_tolerance
                    || largest(l, r->d) * fabs(t) <= change_tolerance || fabs(*loss - before) < change_tolerance;
        if (done) return WK_OK;
    }
    return WK_OK;
}

wk_status wk__lbfgs_step(wk_optim *o, wk_closure closure, void *context, double *loss) {
    wk__lbfgs *l = o->lbfgs;
    for (int i = 0; i < o->count; i++)
        if (o->entry[i].parameter->device)
            return wk_fail(WK_UNSUPPORTED, "%s: \"%s\" is on %s; L-BFGS works on one vector of the CPU", o->plan.name,
                           o->entry[i].name, wk_device_name(o->entry[i].parameter->device));
    size_t bytes = (bytes_of(l) + 63) / 64 * 64;
    char *memory = wk_alloc_data(WK__LBFGS_VECTORS * bytes + (size_t)l->opts.history_size * sizeof(double) + 64);
    if (!memory) return wk_error_code();
    wk__lbfgs_run r = { .o = o, .l = l, .closure = closure, .context = context, .d = l->tensor[WK__LBFGS_D]->data };
    void **vectors[] = { &r.g, &r.x, &r.moved, &r.y, &r.s, &r.spare[0], &r.spare[1], &r.spare[2], &r.spare[3] };
    for (size_t i = 0; i < WK__LBFGS_VECTORS; i++) *vectors[i] = memory + i * bytes;
    r.al = (double *)(void *)(memory + WK__LBFGS_VECTORS * bytes);
    double *numbers = l->tensor[WK__LBFGS_NUMBER]->data, value = 0;
    wk_status status = evaluate(&r, &value, r.g);
    *loss = l->opts.maximize ? -value : value;
    if (status == WK_OK) {
        numbers[WK__LBFGS_EVALUATIONS]++;
        if (l->n > 0 && !(largest(l, r.g) <= wk_optional_or(l->opts.tolerance_grad, 1e-7)))
            status = iterate(&r, &value);
        if (status == WK_OK) numbers[WK__LBFGS_CALLS]++;
        (void)wk__lbfgs_state_changed(o);
    }
    wk_free(memory);
    return status;
}
