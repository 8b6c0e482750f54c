/* bucket.c: where gradients lie: cut into buckets, in the order in which they are sent.
 *
 * At first that is the reverse order of registration, which is mostly the order in which backward completes them.
 * Where it is not, a bucket waits for one late gradient while others that are complete wait for it.  So the first
 * backward notes the order of arrival, and before anything is sent buckets are cut anew along that of rank 0 (as
 * PyTorch's Reducer does after its first backward).  Since nothing was sent in the old order, a run that is resumed has
 * the bits of one that was never interrupted: its first step has the new order too.
 */
#define WK_NO_CALL_SITES
#include "dist/ddp.h"

#include <string.h>

enum { ALIGNMENT = 64 };

static const wk_tensor *parameter_at(const wk_ddp *d, int place) {
    return d->slots[d->order[place]].parameter;
}

static size_t bytes_of(const wk_tensor *t) {
    return (size_t)t->count * wk_dtype_size((wk_dtype)t->dtype);
}

static size_t padded_bytes(const wk_tensor *t) {
    return (bytes_of(t) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* The last bucket can only be sent when backward has ended, so nothing hides it: all of it but the last gradients, up
 * to `limit` bytes, goes ahead.  (ResNet-18 between two hosts on a link that takes 0.3 steps: 0.69 of the exchange was
 * hidden, 0.81 is.) */
static void split_last(wk_ddp *d, size_t limit) {
    wk__layout *l = &d->layout;
    wk__bucket *last = &l->buckets[l->count - 1];
    const int end = last->first + last->count;
    size_t whole = 0, bytes = 0;
    for (int i = last->first; i < end; i++) whole += bytes_of(parameter_at(d, i));
    int from = end;
    while (from > last->first && bytes + bytes_of(parameter_at(d, from - 1)) <= limit)
        bytes += bytes_of(parameter_at(d, --from));
    if (whole < 2 * limit || from == end || from == last->first) return;
    last->count = from - last->first;
    last[1].first = from, last[1].count = end - from;
    for (int i = from; i < end; i++) d->slots[d->order[i]].bucket = l->count;
    l->count++;
}

/* Cut the list: a bucket closes when its gradients have reached the limit, or where the dtype changes.  Limits and what
 * counts are PyTorch's compute_bucket_assignment_by_size's. */
static void assign(wk_ddp *d) {
    const size_t first_limit = d->opts.first_bucket_bytes > 0 ? (size_t)d->opts.first_bucket_bytes : (size_t)1 << 20;
    const size_t limit = d->opts.bucket_bytes > 0 ? (size_t)d->opts.bucket_bytes : (size_t)25 << 20;
    wk__layout *l = &d->layout;
    size_t bytes = 0;
    for (int i = 0; i < d->count; i++) {
        const wk_tensor *p = parameter_at(d, i);
        if (i == 0 || bytes >= (l->count == 1 ? first_limit : limit) || p->dtype != parameter_at(d, i - 1)->dtype) {
            l->buckets[l->count++].first = i;
            bytes = 0;
        }
        d->slots[d->order[i]].place = i;
        d->slots[d->order[i]].bucket = l->count - 1;
        l->buckets[l->count - 1].count++;
        bytes += bytes_of(p);
    }
    if (l->count) split_last(d, first_limit);
}

/* How large the bucket is, with the numbers behind it. */
static size_t measure(const wk_ddp *d, wk__bucket *b) {
    size_t bytes = 0, size = wk_dtype_size((wk_dtype)parameter_at(d, b->first)->dtype);
    for (int i = b->first; i < b->first + b->count; i++) bytes += padded_bytes(parameter_at(d, i));
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
        d->layout.memory = wk__storage_of_memory(region->memory + region->bytes * (size_t)region->part, region->bytes,
                                                 release_region, region);
        if (d->layout.memory) {
            d->layout.region = region;
            return WK_OK;
        }
        status = wk_error_code();
    }
    release_region(region, NULL);
    return status;
}

/* The view takes the place of the gradient that the parameter has, once there are such views with its value. */
static wk_status place_gradient(const wk_ddp *d, wk_tensor *p, wk_tensor *view) {
    const bool was_empty = p->leaf->empty;
    const wk_tensor *former = d->started ? p->leaf->gradient : NULL;
    wk_status status = WK_OK;
    if (former) status = wk__copy_bytes(view->data, view->device, former->data, former->device, bytes_of(p));
    wk__leaf_place_gradient(p, view);
    p->leaf->empty = was_empty || !former;
    return status;
}

static wk_status lay_out(const wk_ddp *d, wk__bucket *b, size_t place) {
    const wk_tensor *one = parameter_at(d, b->first);
    const wk_dtype dtype = (wk_dtype)one->dtype;
    const int device = one->device, compress = d->opts.compress;
    const bool halves = compress == WK_DDP_FP16 || compress == WK_DDP_BF16;
    wk_dims dims = WK_DIMS(b->used + b->count);
    wk_storage *memory = d->layout.memory;
    b->whole = memory ? wk__kept_on(memory, place, dtype, dims) : wk__kept_zeros_on(device, dtype, dims);
    if (!b->whole) return wk_error_code();
    b->marks = device
                   ? wk_kept_zeros(dtype, WK_DIMS(b->count))
                   : wk__kept_on(b->whole->storage, (size_t)b->used * wk_dtype_size(dtype), dtype, WK_DIMS(b->count));
    if (halves) b->half = wk__kept_zeros_on(device, compress == WK_DDP_FP16 ? WK_F16 : WK_BF16, dims);
    if (!b->marks || (halves && !b->half)) return wk_error_code();
    size_t at = 0;
    for (int i = b->first; i < b->first + b->count; i++) {
        wk_tensor *p = d->slots[d->order[i]].parameter;
        wk_tensor *view = wk__kept_on(b->whole->storage, at, dtype, wk_dims_get(p));
        if (!view) return wk_error_code();
        WK_TRY(place_gradient(d, p, view));
        at += padded_bytes(p);
    }
    return WK_OK;
}

wk_status wk__layout_make(wk_ddp *d) {
    wk__layout *l = &d->layout;
    size_t bytes = 0, place = 0;
    *l = (wk__layout){ .buckets = wk_alloc((size_t)d->count * sizeof *l->buckets) };
    if (!l->buckets) return WK_NO_MEMORY;
    assign(d);
    for (int i = 0; i < l->count; i++) bytes += measure(d, &l->buckets[i]);
    if (!d->slots[0].parameter->device && d->opts.compress == WK_DDP_PLAIN) WK_TRY(share_memory(d, bytes));
    for (int i = 0; i < l->count; i++) {
        WK_TRY(lay_out(d, &l->buckets[i], place));
        place += measure(d, &l->buckets[i]);
    }
    return WK_OK;
}

void wk__layout_free(wk__layout *l) {
    for (int i = 0; i < l->count; i++) {
        (void)wk_work_wait(l->buckets[i].work);
        wk__power_free(l->buckets[i].power);
        wk_release(l->buckets[i].half);
        wk_release(l->buckets[i].marks);
        wk_release(l->buckets[i].whole);
    }
    wk__storage_drop(l->memory);
    wk_free(l->buckets);
    *l = (wk__layout){ 0 };
}

/* ---- the order of arrival ---- */

/* Rank 0's, into d->arrived; its first number is -1 where that rank had no batch. */
static wk_status agree(wk_ddp *d, bool had_batch) {
    wk_tensor *order = wk_kept_zeros(WK_I64, WK_DIMS(d->count));
    if (!order) return wk_error_code();
    int64_t *numbers = order->data;
    for (int i = 0; i < d->count; i++) numbers[i] = d->arrived[i];
    if (!had_batch) numbers[0] = -1;
    wk_status status = wk_broadcast(d->group, order, 0, NULL);
    for (int i = 0; i < d->count; i++) d->arrived[i] = (int)numbers[i];
    wk_release(order);
    return status;
}

wk_status wk__layout_settle(wk_ddp *d, bool had_batch) {
    WK_TRY(agree(d, had_batch));
    d->arrived_count = 0;
    if (d->arrived[0] < 0) return WK_OK;
    d->settled = true;
    if (memcmp(d->arrived, d->order, (size_t)d->count * sizeof *d->order) == 0) return WK_OK;
    memcpy(d->order, d->arrived, (size_t)d->count * sizeof *d->order);
    wk__layout former = d->layout;
    wk_status status = wk__layout_make(d);
    wk__layout_free(&former); /* views that still are of it keep its memory */
    return status;
}
