/* ddp.c: data-parallel training: gradients averaged over the ranks while backward runs.
 *
 * Gradients live in buckets: one block of memory each, in which every parameter's gradient is a view, filled in reverse
 * order of use.  When the last gradient of a bucket is complete the bucket is sent; buckets go out in order of their
 * number whatever the order in which they fill, for every rank must call the same collectives in the same order.  What
 * is still empty when backward ends (a parameter that was not used) is sent as zeros.  Behind its gradients a bucket
 * has one number a parameter: 1 where this rank used it.  Where their mean is 0 no rank did, and the gradient is empty
 * again: weight decay and momentum then leave the parameter alone, as they do with one rank (and as PyTorch's
 * find_unused_parameters does).
 *
 * With a half type to compress to, what goes out is the bucket's rounding, in memory of its own.
 */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"
#include "dist/group.h"
#include "tensor/tensor.h"
#include "wick/optim.h"

#include <string.h>

enum { ALIGNMENT = 64 };

typedef struct bucket {
    wk_tensor *whole; /* flat: gradients, each padded; then `count` numbers that say which are used */
    int64_t used;     /* the first of those, in elements */
    wk_tensor *marks; /* (count), on the CPU: those numbers, where they lie or as they are sent to a device */
    wk_tensor *half;  /* what is sent in place of `whole`; NULL: `whole` itself is */
    int first, count; /* of the parameters, in DDP's order */
    int ready;
    wk_work *work;
} bucket;

typedef struct slot {
    wk_ddp *ddp;
    wk_tensor *parameter;
    int bucket;
    bool ready;
    wk_hook hook; /* on the parameter */
} slot;

struct wk_ddp {
    wk_group *group;
    wk_named_tensors all; /* parameters and buffers, but for those that are ignored */
    slot *slots;          /* parameters in reverse order of registration */
    int count;
    bucket *buckets;
    int bucket_count, next_to_send;
    wk_storage *memory;      /* of the buckets, in a region; NULL: each has memory of its own */
    const wk_region *region; /* the storage's own */
    bool no_sync, started;
    double exposed;
    wk__backward_hook hook;
};

/* ---- sending ---- */

/* The numbers behind a bucket on a device, in one copy there or back. */
static wk_status copy_marks(const bucket *b, bool there) {
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

static wk_status send(const wk_ddp *d, bucket *b) {
    WK_TRY(copy_marks(b, true));
    if (!b->half) return wk__group_all_reduce_in(d->group, d->region, b->whole, WK_REDUCE_MEAN, &b->work);
    WK_TRY(convert(b->half, b->whole, 1.0 / wk_group_size(d->group))); /* before the sum: it might overflow */
    return wk_all_reduce(d->group, b->half, WK_REDUCE_SUM, &b->work);
}

static void send_full_buckets(wk_ddp *d) {
    while (d->next_to_send < d->bucket_count) {
        bucket *b = &d->buckets[d->next_to_send];
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
    slot *s = context;
    wk_ddp *d = s->ddp;
    bucket *b = &d->buckets[s->bucket];
    if (d->no_sync || s->ready) return;
    bool is_used = wk_gradient(parameter) != NULL;
    if (!is_used) {
        const wk_tensor *gradient = wk__leaf_gradient_for_writing(parameter);
        (void)wk__fill_dense(gradient, 0);
        wk__storage_changed(gradient->storage, NULL);
    }
    set_element(b->marks, (s - d->slots) - b->first, is_used);
    s->ready = true;
    b->ready++;
    wk__group_advance(d->group);
    send_full_buckets(d);
}

/* ---- the end of a backward ---- */

/* The bucket has arrived: gradients that some rank has are there on all. */
static void take_in(const wk_ddp *d, const bucket *b) {
    if (b->half && convert(b->whole, b->half, 1) != WK_OK) return;
    if (copy_marks(b, false) != WK_OK) return;
    for (int i = 0; i < b->count; i++) d->slots[b->first + i].parameter->leaf->empty = element(b->marks, i) == 0;
}

static void begin_next(wk_ddp *d) {
    for (int i = 0; i < d->count; i++) d->slots[i].ready = false;
    for (int i = 0; i < d->bucket_count; i++) d->buckets[i].ready = 0;
    d->next_to_send = 0;
}

static void on_backward_end(void *context, wk_status status) {
    wk_ddp *d = context;
    if (status != WK_OK) {
        char reason[700];
        (void)snprintf(reason, sizeof reason, "its step failed: %s", wk_message());
        wk_group_abort(d->group, reason);
        return;
    }
    if (d->no_sync) return;
    for (int i = 0; i < d->count; i++)
        if (!d->slots[i].ready) on_ready(&d->slots[i], d->slots[i].parameter);
    double before = wk_now();
    for (int i = 0; i < d->bucket_count; i++) {
        bucket *b = &d->buckets[i];
        if (b->work && wk_work_wait(b->work) == WK_OK) take_in(d, b);
        b->work = NULL;
    }
    d->exposed = wk_now() - before;
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

static size_t padded_bytes(const wk_tensor *t) {
    size_t bytes = (size_t)t->count * wk_dtype_size((wk_dtype)t->dtype);
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Cut the reversed list into buckets: one closes when it has reached its limit, or where the dtype changes. */
static void assign(wk_ddp *d, wk_ddp_opts opts) {
    size_t first_limit = opts.first_bucket_bytes > 0 ? (size_t)opts.first_bucket_bytes : (size_t)1 << 20;
    size_t limit = opts.bucket_bytes > 0 ? (size_t)opts.bucket_bytes : (size_t)25 << 20, bytes = 0;
    for (int i = 0; i < d->count; i++) {
        bool opens = i == 0 || bytes >= (d->bucket_count == 1 ? first_limit : limit)
                     || d->slots[i].parameter->dtype != d->slots[i - 1].parameter->dtype;
        if (opens) {
            d->buckets[d->bucket_count++].first = i;
            bytes = 0;
        }
        d->slots[i].bucket = d->bucket_count - 1;
        d->buckets[d->bucket_count - 1].count++;
        bytes += padded_bytes(d->slots[i].parameter);
    }
}

/* How large the bucket is, with the numbers behind it. */
static size_t measure(bucket *b, const slot *slots) {
    size_t bytes = 0, size = wk_dtype_size((wk_dtype)slots[b->first].parameter->dtype);
    for (int i = b->first; i < b->first + b->count; i++) bytes += padded_bytes(slots[i].parameter);
    b->used = (int64_t)(bytes / size);
    bytes += (size_t)b->count * size;
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void release_region(void *region, void *memory) {
    (void)memory;
    wk__region_release(region);
    wk_free(region);
}

/* Memory in which the ranks of a host sum each other's buckets, where there can be any. */
static wk_status share_memory(wk_ddp *d, size_t bytes) {
    wk_region *region = wk_alloc(sizeof *region);
    if (!region) return WK_NO_MEMORY;
    wk_status status = wk__group_share(d->group, bytes, region);
    if (status == WK_OK && region->memory) {
        d->memory = wk__storage_of_memory(region->memory + region->bytes * (size_t)region->part, region->bytes,
                                          release_region, region);
        if (d->memory) {
            d->region = region;
            return WK_OK;
        }
        status = wk_error_code();
    }
    release_region(region, NULL);
    return status;
}

static wk_status lay_out(const wk_ddp *d, bucket *b, size_t place, int compress) {
    wk_dtype dtype = (wk_dtype)d->slots[b->first].parameter->dtype;
    wk_dims dims = WK_DIMS(b->used + b->count);
    const int device = d->slots[b->first].parameter->device;
    b->whole = d->memory ? wk__kept_on(d->memory, place, dtype, dims) : wk__kept_zeros_on(device, dtype, dims);
    if (!b->whole) return wk_error_code();
    b->marks = device
                   ? wk_kept_zeros(dtype, WK_DIMS(b->count))
                   : wk__kept_on(b->whole->storage, (size_t)b->used * wk_dtype_size(dtype), dtype, WK_DIMS(b->count));
    if (compress != WK_DDP_PLAIN) b->half = wk__kept_zeros_on(device, compress == WK_DDP_FP16 ? WK_F16 : WK_BF16, dims);
    if (!b->marks || (compress != WK_DDP_PLAIN && !b->half)) return wk_error_code();
    size_t at = 0;
    for (int i = b->first; i < b->first + b->count; i++) {
        wk_tensor *p = d->slots[i].parameter, *view = wk__kept_on(b->whole->storage, at, dtype, wk_dims_get(p));
        if (!view) return wk_error_code();
        wk__leaf_place_gradient(p, view);
        at += padded_bytes(p);
    }
    return WK_OK;
}

static wk_status make_buckets(wk_ddp *d, wk_ddp_opts opts) {
    size_t bytes = 0, place = 0;
    assign(d, opts);
    for (int i = 0; i < d->bucket_count; i++) bytes += measure(&d->buckets[i], d->slots);
    if (!d->slots[0].parameter->device && opts.compress == WK_DDP_PLAIN) WK_TRY(share_memory(d, bytes));
    for (int i = 0; i < d->bucket_count; i++) {
        WK_TRY(lay_out(d, &d->buckets[i], place, opts.compress));
        place += measure(&d->buckets[i], d->slots);
    }
    return WK_OK;
}

/* What is not ignored: state, and the parameters among it, last first. */
static wk_status choose(wk_ddp *d, wk_module *module, const char *ignored) {
    wk_named_tensors all = wk_state(module);
    d->all = ignored ? wk_named_matching(all, ignored, true) : wk_named_matching(all, "", false);
    if (!d->all.tensor) return wk_error_code();
    d->slots = wk_alloc(((size_t)d->all.count + 1) * sizeof *d->slots);
    d->buckets = wk_alloc(((size_t)d->all.count + 1) * sizeof *d->buckets);
    if (!d->slots || !d->buckets) return WK_NO_MEMORY;
    wk_named_tensors parameters = wk_named_matching(wk_parameters(module), ignored ? ignored : "", ignored != NULL);
    if (!parameters.tensor) return wk_error_code();
    for (int i = parameters.count - 1; i >= 0; i--)
        d->slots[d->count++] = (slot){ .ddp = d, .parameter = parameters.tensor[i] };
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

wk_ddp *wk_ddp_create(wk_group *group, wk_module *module, wk_ddp_opts opts) {
    if (wk_failed()) return NULL;
    if (!group || !module) return wk_fail_null(WK_INVALID, "ddp: a group and a module with parameters are needed");
    if (opts.compress < WK_DDP_PLAIN || opts.compress > WK_DDP_BF16)
        return wk_fail_null(WK_INVALID, "ddp: compress is %d, expected one of wk_ddp_compression", opts.compress);
    wk_ddp *d = wk_alloc(sizeof *d);
    if (!d) return NULL;
    d->group = group;
    wk_status status = choose(d, module, opts.ignored);
    if (status == WK_OK) status = check_replicas(group, d->all);
    if (status == WK_OK) status = copy_from_first(group, d->all);
    if (status == WK_OK) status = make_buckets(d, opts);
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
    for (int i = 0; d->buckets && i < d->bucket_count; i++) {
        (void)wk_work_wait(d->buckets[i].work);
        wk_release(d->buckets[i].half);
        wk_release(d->buckets[i].marks);
        wk_release(d->buckets[i].whole);
    }
    wk__storage_drop(d->memory);
    wk_named_free(d->all);
    wk_free(d->buckets);
    wk_free(d->slots);
    wk_free(d);
}

wk_status wk_ddp_broadcast_buffers(wk_ddp *d) {
    if (!d) return WK_OK;
    for (int i = 0; i < d->all.count; i++)
        if (!d->all.tensor[i]->leaf) WK_TRY(wk_broadcast(d->group, d->all.tensor[i], 0, NULL));
    return WK_OK;
}

wk_status wk_ddp_join(wk_ddp *d, bool has_batch, bool *goes_on) {
    double flag = has_batch;
    *goes_on = has_batch;
    if (wk_failed()) return WK_PENDING;
    if (!d) return WK_OK;
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

double wk_ddp_exposed_seconds(const wk_ddp *d) {
    return d ? d->exposed : 0;
}
