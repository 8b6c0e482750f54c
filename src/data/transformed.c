/* transformed.c: pictures of a dataset, transformed. */
#include "data/dataset.h"

typedef struct transformed {
    wk_dataset base;
    wk_dataset *source;
    wk_transform **transform;
    wk_transforms list;
    wk_image_size size;
} transformed;

static wk_status fetch_at(const wk_dataset *self, wk_moment moment, const int64_t *indices, int64_t n, void *input,
                          void *target) {
    const transformed *d = (const transformed *)self;
    const int64_t values = self->input_dims.size[0] * self->input_dims.size[1] * self->input_dims.size[2];
    wk_image image = { 0 };
    wk_status status = WK_OK;
    for (int64_t i = 0; status == WK_OK && i < n; i++) {
        wk_draws draws = wk_draws_of(moment.seed, moment.epoch, indices[i]);
        status = d->source->class_->image(d->source, indices[i], &image);
        if (status != WK_OK) break;
        status = wk_transforms_apply(d->list, &image, &draws, d->size, (float *)input + i * values);
        if (status != WK_OK && image.name) wk_error_prefix("%s", image.name);
        ((int64_t *)target)[i] = wk_dataset_label(d->source, indices[i]);
        if (wk_failed()) status = wk_error_code();
    }
    wk_image_free(&image);
    return status;
}

static wk_status fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    return fetch_at(self, (wk_moment){ 0 }, indices, n, input, target);
}

static int64_t label_of(const wk_dataset *self, int64_t index) {
    return wk_dataset_label(((const transformed *)self)->source, index);
}

static void destroy(wk_dataset *self) {
    transformed *d = (transformed *)self;
    for (int i = 0; i < d->list.count; i++) wk_transform_destroy(d->transform[i]);
    wk_free(d->transform);
    wk_dataset_destroy(d->source);
}

static const wk_dataset_class transformed_class = { .name = "transformed",
                                                    .size = sizeof(transformed),
                                                    .fetch = fetch,
                                                    .destroy = destroy,
                                                    .fetch_at = fetch_at,
                                                    .label = label_of };

static wk_status set_up(transformed *d, wk_dataset *source, wk_transform *const *transforms, int count) {
    if (!source->class_->image || source->input_dims.rank != 3)
        return wk_fail(WK_INVALID, "dataset \"%s\" has no pictures to be transformed", source->class_->name);
    d->transform = wk_alloc((size_t)(count + 1) * sizeof(wk_transform *));
    if (!d->transform) return wk_error_code();
    for (int i = 0; i < count; i++) d->transform[i] = transforms[i];
    d->list = (wk_transforms){ d->transform, count };
    d->size = (wk_image_size){ source->input_dims.size[1], source->input_dims.size[2] };
    return wk_transforms_check(d->list, &d->size);
}

wk_dataset *wk_transformed_dataset(wk_dataset *source, wk_transform *const *transforms, int count) {
    transformed *d = wk_failed() ? NULL : (transformed *)wk_dataset_create(&transformed_class);
    if (d) {
        d->base = *source;
        d->base.class_ = &transformed_class;
        d->base.users = 1;
        d->base.weights = NULL;
        d->source = wk_dataset_keep(source);
    }
    if (!d || set_up(d, source, transforms, count) != WK_OK) {
        for (int i = 0; i < count && !(d && d->transform); i++) wk_transform_destroy(transforms[i]);
        wk_dataset_destroy((wk_dataset *)d);
        return NULL;
    }
    d->base.input_dims = WK_DIMS(source->input_dims.size[0], d->size.height, d->size.width);
    d->base.input_dtype = WK_F32;
    d->base.target_dims = (wk_dims){ 0 };
    d->base.target_dtype = WK_I64;
    return &d->base;
}
