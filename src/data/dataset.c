/* dataset.c: datasets in general, and the one over two tensors. */
#include "data/dataset.h"

#include <string.h>

wk_dataset *wk_dataset_create(const wk_dataset_class *class_) {
    wk_dataset *dataset = wk_alloc(class_->size < sizeof *dataset ? sizeof *dataset : class_->size);
    if (dataset) {
        dataset->class_ = class_;
        dataset->users = 1;
    }
    return dataset;
}

wk_dataset *wk_dataset_keep(wk_dataset *dataset) {
    dataset->users++;
    return dataset;
}

void wk_dataset_destroy(wk_dataset *dataset) {
    if (!dataset || --dataset->users > 0) return;
    if (dataset->class_->destroy) dataset->class_->destroy(dataset);
    wk__dataset_forget_weights(dataset);
    wk_free(dataset);
}

wk_status wk_dataset_fetch(const wk_dataset *dataset, wk_moment moment, const int64_t *indices, int64_t n, void *input,
                           void *target) {
    if (dataset->class_->fetch_at) return dataset->class_->fetch_at(dataset, moment, indices, n, input, target);
    return dataset->class_->fetch(dataset, indices, n, input, target);
}

size_t wk__item_bytes(wk_dtype dtype, wk_dims dims) {
    size_t bytes = wk_dtype_size(dtype);
    for (int i = 0; i < dims.rank; i++) bytes *= (size_t)dims.size[i];
    return bytes;
}

int64_t wk_dataset_label(const wk_dataset *dataset, int64_t index) {
    if (dataset->class_->label) return dataset->class_->label(dataset, index);
    int64_t label = -1;
    if (dataset->classes < 1 || dataset->target_dims.rank != 0 || dataset->target_dtype != WK_I64) {
        (void)wk_fail(WK_INVALID, "dataset \"%s\": its targets are no classes", dataset->class_->name);
        return -1;
    }
    void *input = wk_alloc(wk__item_bytes(dataset->input_dtype, dataset->input_dims));
    if (input && dataset->class_->fetch(dataset, &index, 1, input, &label) != WK_OK) label = -1;
    wk_free(input);
    return label;
}

typedef struct tensor_dataset {
    wk_dataset base;
    wk_tensor *inputs, *targets;
    size_t input_bytes, target_bytes; /* of one item */
} tensor_dataset;

static void gather(const wk_tensor *source, const int64_t *indices, int64_t n, size_t bytes, void *target) {
    const char *data = wk_data((wk_tensor *)(uintptr_t)source);
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)target + (size_t)i * bytes, data + (size_t)indices[i] * bytes, bytes);
}

static wk_status tensor_fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    const tensor_dataset *d = (const tensor_dataset *)self;
    gather(d->inputs, indices, n, d->input_bytes, input);
    gather(d->targets, indices, n, d->target_bytes, target);
    return WK_OK;
}

static void tensor_destroy(wk_dataset *self) {
    wk_release(((tensor_dataset *)self)->inputs);
    wk_release(((tensor_dataset *)self)->targets);
}

static int64_t tensor_label(const wk_dataset *self, int64_t index) {
    const tensor_dataset *d = (const tensor_dataset *)self;
    if (self->target_dims.rank == 0 && self->target_dtype == WK_I64)
        return ((const int64_t *)wk_data((wk_tensor *)(uintptr_t)d->targets))[index];
    (void)wk_fail(WK_INVALID, "tensor dataset: its targets are no classes");
    return -1;
}

static const wk_dataset_class tensor_class = { .name = "tensors",
                                               .size = sizeof(tensor_dataset),
                                               .fetch = tensor_fetch,
                                               .destroy = tensor_destroy,
                                               .label = tensor_label };

static wk_dims item_dims(const wk_tensor *tensor, size_t *bytes) {
    wk_dims all = wk_dims_get(tensor), one = { .rank = all.rank - 1 };
    *bytes = wk_dtype_size(wk_dtype_get(tensor));
    for (int i = 0; i < one.rank; i++) {
        one.size[i] = all.size[i + 1];
        *bytes *= (size_t)one.size[i];
    }
    return one;
}

wk_dataset *wk_tensor_dataset(wk_tensor *inputs, wk_tensor *targets) {
    if (wk_failed()) return NULL;
    if (wk_rank(inputs) < 1 || wk_rank(targets) < 1 || wk_size(inputs, 0) != wk_size(targets, 0))
        return wk_fail_null(WK_SHAPE, "tensor dataset: %lld inputs for %lld targets", (long long)wk_size(inputs, 0),
                            (long long)wk_size(targets, 0));
    if (!wk_is_contiguous(inputs) || !wk_is_contiguous(targets))
        return wk_fail_null(WK_INVALID, "tensor dataset: both tensors must be row major; use wk_contiguous");
    tensor_dataset *d = (tensor_dataset *)wk_dataset_create(&tensor_class);
    if (!d) return NULL;
    d->inputs = wk_keep(inputs);
    d->targets = wk_keep(targets);
    d->base.count = wk_size(inputs, 0);
    d->base.input_dims = item_dims(inputs, &d->input_bytes);
    d->base.target_dims = item_dims(targets, &d->target_bytes);
    d->base.input_dtype = wk_dtype_get(inputs);
    d->base.target_dtype = wk_dtype_get(targets);
    if (wk_failed()) {
        wk_dataset_destroy(&d->base);
        return NULL;
    }
    return &d->base;
}
