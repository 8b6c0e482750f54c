/* ddp.c: data-parallel training: gradients averaged over the ranks while backward runs.
 *
 * Gradients live in buckets (bucket.c): one block of memory each, in which every parameter's gradient is a view.  When
 * the last gradient of a bucket is complete the bucket is sent; buckets go out in order of their number whatever the
 * order in which they fill, for every rank must call the same collectives in the same order.  What is still empty when
 * backward ends (a parameter that was not used) is sent as zeros.  Behind its gradients a bucket has one number a
 * parameter: 1 where this rank used it.  Where their mean is 0 no rank did, and the gradient is empty again: weight
 * decay and momentum then leave the parameter alone, as they do with one rank (and as PyTorch's find_unused_parameters
 * does).
 *
 * With a half type to compress to, what goes out is the bucket's rounding, in memory of its own; with PowerSGD, thin
 * matrices (power.c).
 */
#define WK_NO_CALL_SITES
#include "dist/ddp.h"

#include "nn/nn.h"

#include <string.h>

/* ---- sending ---- */

/* The numbers behind a bucket on a device, in one copy there or back. */
static wk_status copy_marks(const wk__bucket *b, bool there) {
    const wk_tensor *whole = b->whole;
    if (!whole->device) return WK_OK;
    const size_t size = wk_dtype_size((wk_dtype)whole->dtype), bytes = (size_t)b->count * size;
    char *behind = (char *)whole->data + (size_t)b->used * size;
    return there ? wk__copy_bytes(behind, whole->device, b->marks->data, 0, bytes)
                 : wk__copy_bytes(b->marks->data, 0, behind, whole->device, bytes);
}

/* Outside of every graph and captured step: those who replay one come by here too. */
static wk_status convert(wk_tensor *to, wk_tensor *from, double factor) {
    wk_context *context = wk__context();
    const bool captured = context->mode & WK__MODE_CAPTURE, was = wk_no_grad_begin();
    if (captured) wk__capture_suspend(context, true);
    wk_scope scope = wk_scope_begin();
    wk_tensor *cast = wk_cast(from, (wk_dtype)to->dtype);
    if (factor != 1) cast = wk_affine(cast, (wk_affine_opts){ .scale = factor });
    wk_status status = cast ? wk__copy_bytes(to->data, to->device, cast->data, cast->device,
                                             (size_t)to->count * wk_dtype_size((wk_dtype)to->dtype))
                            : wk_error_code();
    wk_scope_end(scope);
    if (captured) wk__capture_suspend(context, false);
    wk_no_grad_end(was);
    return status;
}

/* Gradients are each rank's own from here on: post-local SGD. */
static bool is_local(const wk_ddp *d) {
    return d->opts.local_after > 0 && d->exchanges >= d->opts.local_after;
}

static bool in_power_rounds(const wk_ddp *d) {
    const int64_t start = d->opts.power_sgd.start_iter > 0 ? d->opts.power_sgd.start_iter : 1000;
    return d->opts.compress == WK_DDP_POWER_SGD && d->exchanges >= start;
}

static wk_status send(wk_ddp *d, wk__bucket *b) {
    if (in_power_rounds(d)) WK_TRY(wk__power_send(d, b));
    if (b->in_power) return WK_OK;
    WK_TRY(copy_marks(b, true));
    if (!b->half) return wk__group_all_reduce_in(d->group, d->layout.region, b->whole, WK_REDUCE_MEAN, &b->work);
    WK_TRY(convert(b->half, b->whole, 1.0 / wk_group_size(d->group))); /* before the sum: it might overflow */
    return wk_all_reduce(d->group, b->half, WK_REDUCE_SUM, &b->work);
}

static void send_full_buckets(wk_ddp *d) {
    while (d->next_to_send < d->layout.count) {
        wk__bucket *b = &d->layout.buckets[d->next_to_send];
        if (b->ready < b->count || send(d, b) != WK_OK) return;
        d->next_to_send++;
    }
}

static void set_element(const wk_tensor *flat, int64_t at, double value) {
    if (flat->dtype == WK_F64)
        ((double *)flat->data)[at] = value;
    else
        ((float *)flat->data)[at] = (float)value;
}

static double element(const wk_tensor *flat, int64_t at) {
    return flat->dtype == WK_F64 ? ((const double *)flat->data)[at] : (double)((const float *)flat->data)[at];
}

static void on_ready(void *context, wk_tensor *parameter) {
    wk__slot *s = context;
    wk_ddp *d = s->ddp;
    wk__bucket *b = &d->layout.buckets[s->bucket];
    if (d->no_sync || s->ready || is_local(d)) return;
    bool is_used = wk_gradient(parameter) != NULL;
    if (!is_used) {
        const wk_tensor *gradient = wk__leaf_gradient_for_writing(parameter);
        (void)wk__fill_dense(gradient, 0);
        wk__storage_changed(gradient->storage, NULL);
    }
    s->ready = true;
    s->used = is_used;
    if (!d->settled) { /* nothing is sent before it is known where it lies */
        d->arrived[d->arrived_count++] = (int)(s - d->slots);
        return;
    }
    set_element(b->marks, s->place - b->first, is_used);
    b->ready++;
    wk__group_advance(d->group);
    send_full_buckets(d);
}

/* ---- the end of a backward ---- */

/* Gradients that some rank has are there on all. */
static void take_marks(const wk_ddp *d, const wk__bucket *b) {
    for (int i = 0; i < b->count; i++)
        d->slots[d->order[b->first + i]].parameter->leaf->empty = element(b->marks, i) == 0;
}

/* The bucket has arrived, or its first sum. */
static wk_status take_in(wk_ddp *d, wk__bucket *b) {
    wk_work *work = b->work;
    b->work = NULL;
    WK_TRY(wk_work_wait(work));
    if (b->in_power) return wk__power_turn(d, b);
    if (b->half) WK_TRY(convert(b->whole, b->half, 1));
    WK_TRY(copy_marks(b, false));
    take_marks(d, b);
    return WK_OK;
}

/* And its second. */
static wk_status take_power(const wk_ddp *d, wk__bucket *b) {
    wk_work *work = b->work;
    b->work = NULL;
    b->in_power = false;
    WK_TRY(wk_work_wait(work));
    WK_TRY(wk__power_take(d, b));
    take_marks(d, b);
    return WK_OK;
}

static void begin_next(wk_ddp *d) {
    for (int i = 0; i < d->count; i++) d->slots[i].ready = false;
    for (int i = 0; i < d->layout.count; i++) d->layout.buckets[i].ready = 0;
    d->next_to_send = 0;
}

static void fail_all(const wk_ddp *d) {
    char reason[700];
    (void)snprintf(reason, sizeof reason, "its step failed: %s", wk_message());
    wk_group_abort(d->group, reason);
}

/* All gradients are there, and none was sent: agree on where they lie, and send them. */
static void send_all(wk_ddp *d, bool had_batch) {
    if (wk__layout_settle(d, had_batch) != WK_OK) {
        fail_all(d);
        return;
    }
    for (int i = 0; i < d->count; i++) {
        wk__bucket *b = &d->layout.buckets[d->slots[i].bucket];
        set_element(b->marks, d->slots[i].place - b->first, d->slots[i].used);
        b->ready++;
    }
    send_full_buckets(d);
}

static void on_backward_end(void *context, wk_status status) {
    wk_ddp *d = context;
    if (status != WK_OK) {
        fail_all(d);
        return;
    }
    if (d->no_sync) return;
    if (is_local(d)) {
        d->exchanges++;
        return;
    }
    const bool had_batch = d->arrived_count > 0;
    for (int i = 0; i < d->count; i++)
        if (!d->slots[i].ready) on_ready(&d->slots[i], d->slots[i].parameter);
    if (!d->settled) send_all(d, had_batch);
    double before = wk_now();
    wk_status arrived = WK_OK;
    for (int i = 0; i < d->layout.count; i++)
        if (d->layout.buckets[i].work && arrived == WK_OK) arrived = take_in(d, &d->layout.buckets[i]);
    for (int i = 0; i < d->layout.count; i++)
        if (d->layout.buckets[i].in_power && arrived == WK_OK) arrived = take_power(d, &d->layout.buckets[i]);
    d->exposed = wk_now() - before;
    d->exchanges++;
    begin_next(d);
}

/* ---- making ---- */

/* A number that differs where names, shapes or dtypes differ; each rank has a device of its own. */
static uint64_t signature(wk_named_tensors all) {
    uint64_t hash = 0;
    char number[24];
    for (int i = 0; i < all.count; i++) {
        const wk_tensor *t = all.tensor[i];
        hash = wk__hash(hash, all.name[i]);
        hash = wk__hash(hash, wk_dtype_name((wk_dtype)t->dtype));
        for (int axis = 0; axis < t->rank; axis++) {
            (void)snprintf(number, sizeof number, "%lld", (long long)t->shape[axis]);
            hash = wk__hash(hash, number);
        }
    }
    return hash;
}

static wk_status check_dtypes(wk_named_tensors parameters) {
    char text[160];
    for (int i = 0; i < parameters.count; i++)
        if (parameters.tensor[i]->dtype != WK_F32 && parameters.tensor[i]->dtype != WK_F64)
            return wk_fail(WK_DTYPE, "ddp: parameter \"%s\" is %s, expected f32 or f64", parameters.name[i],
                           wk_describe(parameters.tensor[i], text, sizeof text));
    return WK_OK;
}

static wk_status check_replicas(wk_group *g, wk_named_tensors all) {
    int ranks = wk_group_size(g);
    wk_scope scope = wk_scope_begin();
    int64_t mine = (int64_t)signature(all);
    wk_device was = wk_device_use(WK_CPU);
    wk_tensor *in = wk_from_array(WK_I64, WK_DIMS(1), &mine), *out = wk_zeros(WK_I64, WK_DIMS(ranks));
    (void)wk_device_use(was);
    wk_status status = in && out ? wk_all_gather(g, in, out, NULL) : wk_error_code();
    for (int i = 0; status == WK_OK && i < ranks; i++)
        if (((const int64_t *)out->data)[i] != ((const int64_t *)out->data)[0])
            status = wk_fail(WK_INVALID,
                             "ddp: the model of rank %d has other parameters than that of rank 0: names, shapes and "
                             "dtypes must agree",
                             i);
    wk_scope_end(scope);
    return status;
}

static wk_status copy_from_first(wk_group *g, wk_named_tensors all) {
    for (int i = 0; i < all.count; i++) WK_TRY(wk_broadcast(g, all.tensor[i], 0, NULL));
    return WK_OK;
}

/* What is not ignored: state, and the parameters among it, last first. */
static wk_status choose(wk_ddp *d, wk_module *module, const char *ignored) {
    wk_named_tensors all = wk_state(module);
    d->all = ignored ? wk_named_matching(all, ignored, true) : wk_named_matching(all, "", false);
    if (!d->all.tensor) return wk_error_code();
    d->slots = wk_alloc(((size_t)d->all.count + 1) * sizeof *d->slots);
    d->order = wk_alloc(((size_t)d->all.count + 1) * sizeof *d->order);
    d->arrived = wk_alloc(((size_t)d->all.count + 1) * sizeof *d->arrived);
    if (!d->slots || !d->order || !d->arrived) return WK_NO_MEMORY;
    wk_named_tensors parameters = wk_named_matching(wk_parameters(module), ignored ? ignored : "", ignored != NULL);
    if (!parameters.tensor) return wk_error_code();
    for (int i = parameters.count - 1; i >= 0; i--) {
        d->order[d->count] = d->count;
        d->slots[d->count++] = (wk__slot){ .ddp = d, .parameter = parameters.tensor[i] };
    }
    wk_status status = check_dtypes(parameters);
    for (int i = 1; i < parameters.count && status == WK_OK; i++)
        if (parameters.tensor[i]->device != parameters.tensor[0]->device)
            status = wk_fail(WK_DEVICE, "ddp: \"%s\" is on %s and \"%s\" on %s; wk_module_to_device moves all",
                             parameters.name[i], wk_device_name(parameters.tensor[i]->device), parameters.name[0],
                             wk_device_name(parameters.tensor[0]->device));
    wk_named_free(parameters);
    if (status == WK_OK && d->count == 0)
        status = wk_fail(WK_INVALID,
                         ignored ? "ddp: every parameter is ignored by \"%s\""
                                 : "ddp: a group and a module with parameters are needed%s",
                         ignored ? ignored : "");
    return status;
}

static wk_status check_opts(const wk_ddp_opts *o) {
    const wk_power_sgd_opts *p = &o->power_sgd;
    if (o->compress < WK_DDP_PLAIN || o->compress > WK_DDP_POWER_SGD)
        return wk_fail(WK_INVALID, "ddp: compress is %d, expected one of wk_ddp_compression", o->compress);
    if (p->rank < 0 || p->start_iter < 0 || !(p->min_compression_rate >= 0) || !(p->orthogonalization_epsilon >= 0))
        return wk_fail(
            WK_INVALID,
            "ddp: power_sgd has rank %d, start_iter %lld, min_compression_rate %g, orthogonalization_epsilon "
            "%g: expected 0 or more",
            p->rank, (long long)p->start_iter, p->min_compression_rate, p->orthogonalization_epsilon);
    if (o->local_after < 0 || o->local_period < 0)
        return wk_fail(WK_INVALID, "ddp: local_after is %lld and local_period %lld, expected 0 or more",
                       (long long)o->local_after, (long long)o->local_period);
    return WK_OK;
}

wk_ddp *wk_ddp_create(wk_group *group, wk_module *module, wk_ddp_opts opts) {
    if (wk_failed()) return NULL;
    if (!group || !module) return wk_fail_null(WK_INVALID, "ddp: a group and a module with parameters are needed");
    if (check_opts(&opts) != WK_OK) return NULL;
    wk_ddp *d = wk_alloc(sizeof *d);
    if (!d) return NULL;
    d->group = group;
    d->module = module;
    d->opts = opts;
    wk_generator_seed(&d->power_seeds, opts.power_sgd.random_seed);
    d->settled = opts.keep_order || wk_group_size(group) == 1;
    wk_status status = choose(d, module, opts.ignored);
    if (status == WK_OK) status = check_replicas(group, d->all);
    if (status == WK_OK) status = copy_from_first(group, d->all);
    if (status == WK_OK) status = wk__layout_make(d);
    for (int i = 0; status == WK_OK && i < d->count; i++)
        if (!(d->slots[i].hook = wk_on_gradient_ready(d->slots[i].parameter, on_ready, &d->slots[i])))
            status = wk_error_code();
    if (status != WK_OK) {
        wk_ddp_destroy(d);
        return NULL;
    }
    d->hook = (wk__backward_hook){ .ended = on_backward_end, .argument = d };
    wk__backward_hook_add(&d->hook);
    d->started = true;
    return d;
}

void wk_ddp_destroy(wk_ddp *d) {
    if (!d) return;
    if (d->started) wk__backward_hook_remove(&d->hook);
    for (int i = 0; d->slots && i < d->count; i++) wk_unhook(d->slots[i].parameter, d->slots[i].hook);
    wk__layout_free(&d->layout);
    wk_named_free(d->all);
    wk_free(d->arrived);
    wk_free(d->order);
    wk_free(d->slots);
    wk_free(d);
}

wk_status wk_ddp_broadcast_buffers(wk_ddp *d) {
    if (!d) return WK_OK;
    for (int i = 0; i < d->all.count; i++)
        if (!d->all.tensor[i]->leaf) WK_TRY(wk_broadcast(d->group, d->all.tensor[i], 0, NULL));
    return WK_OK;
}

static void look_for_shared_statistics(void *context, wk_module *module) {
    bool *found = context;
    *found = *found || wk__batch_norm_is_replaced(module);
}

wk_status wk_ddp_join(wk_ddp *d, bool has_batch, bool *goes_on) {
    double flag = has_batch;
    *goes_on = has_batch;
    if (wk_failed()) return WK_PENDING;
    if (!d) return WK_OK;
    bool shares = false;
    wk__module_visit(d->module, look_for_shared_statistics, &shares);
    if (shares)
        return wk_fail(WK_UNSUPPORTED,
                       "ddp: ranks that end early cannot go on in the others' batch normalisation over all ranks: "
                       "wk_sync_batch_norm(module, NULL) first, or equal numbers of batches");
    wk_scope scope = wk_scope_begin();
    wk_device was = wk_device_use(WK_CPU);
    wk_tensor *any = wk_from_array(WK_F64, WK_DIMS(1), &flag);
    (void)wk_device_use(was);
    wk_status status = any ? wk_all_reduce(d->group, any, WK_REDUCE_MAX, NULL) : wk_error_code();
    if (status == WK_OK) *goes_on = *(const double *)any->data > 0;
    wk_scope_end(scope);
    if (status == WK_OK && *goes_on && !has_batch) on_backward_end(d, WK_OK); /* sends what is there: mostly nothing */
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}

void wk_ddp_no_sync(wk_ddp *d, bool no_sync) {
    if (d) d->no_sync = no_sync;
}

/* PyTorch's PeriodicModelAverager: the first time after the warm-up's last step, then each `local_period` steps. */
wk_status wk_ddp_stepped(wk_ddp *d) {
    if (wk_failed()) return WK_PENDING;
    if (!d || d->opts.local_after == 0) return WK_OK;
    const int64_t period = d->opts.local_period > 0 ? d->opts.local_period : 4,
                  local = d->steps++ - d->opts.local_after;
    if (local < 0 || local % period != 0) return WK_OK;
    wk_work **works = wk_alloc((size_t)d->count * sizeof *works);
    wk_status status = works ? WK_OK : wk_error_code();
    for (int i = 0; i < d->count && status == WK_OK; i++)
        status = wk_all_reduce(d->group, d->slots[i].parameter, WK_REDUCE_MEAN, &works[i]);
    for (int i = 0; works && i < d->count; i++) {
        const wk_status one = wk_work_wait(works[i]);
        if (status == WK_OK) status = one;
    }
    wk_free(works);
    return status;
}

int wk_ddp_bucket(const wk_ddp *d, const wk_tensor *parameter) {
    for (int i = 0; d && i < d->count; i++)
        if (d->slots[i].parameter == parameter) return d->slots[i].bucket;
    return -1;
}

double wk_ddp_exposed_seconds(const wk_ddp *d) {
    return d ? d->exposed : 0;
}
