/* part.c: some items of a dataset, in another order or with other classes. */
#include "data/dataset.h"

#include <string.h>

typedef struct part {
    wk_dataset base;
    wk_dataset *whole;
    int64_t *item;     /* (count) */
    int64_t *class_of; /* of the whole's classes; NULL: they stay */
} part;

enum { AT_ONCE = 256 };

static wk_status part_fetch_at(const wk_dataset *self, wk_moment moment, const int64_t *indices, int64_t n, void *input,
                               void *target) {
    const part *p = (const part *)self;
    int64_t mapped[AT_ONCE];
    const size_t in = wk__item_bytes(self->input_dtype, self->input_dims),
                 out = wk__item_bytes(self->target_dtype, self->target_dims);
    for (int64_t done = 0; done < n; done += AT_ONCE) {
        const int64_t now = n - done < AT_ONCE ? n - done : AT_ONCE;
        int64_t *label = (int64_t *)(void *)((char *)target + (size_t)done * out);
        for (int64_t i = 0; i < now; i++) mapped[i] = p->item[indices[done + i]];
        WK_TRY(wk_dataset_fetch(p->whole, moment, mapped, now, (char *)input + (size_t)done * in, label));
        for (int64_t i = 0; p->class_of && i < now; i++) label[i] = p->class_of[label[i]];
    }
    return WK_OK;
}

static wk_status part_fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    return part_fetch_at(self, (wk_moment){ 0 }, indices, n, input, target);
}

static wk_status part_image(const wk_dataset *self, int64_t index, wk_image *image) {
    const part *p = (const part *)self;
    if (p->whole->class_->image) return p->whole->class_->image(p->whole, p->item[index], image);
    return wk_fail(WK_INVALID, "dataset \"%s\" has no pictures", p->whole->class_->name);
}

static int64_t part_label(const wk_dataset *self, int64_t index) {
    const part *p = (const part *)self;
    const int64_t label = wk_dataset_label(p->whole, p->item[index]);
    return p->class_of && label >= 0 ? p->class_of[label] : label;
}

static void part_destroy(wk_dataset *self) {
    part *p = (part *)self;
    if (p->class_of) wk__class_names_free(self);
    wk_free(p->item);
    wk_free(p->class_of);
    wk_dataset_destroy(p->whole);
}

#define PART_CLASS(image_function)                                                                                     \
    {                                                                                                                  \
        .name = "part", .size = sizeof(part), .fetch = part_fetch, .destroy = part_destroy, .fetch_at = part_fetch_at, \
        .image = (image_function), .label = part_label                                                                 \
    }
static const wk_dataset_class part_class = PART_CLASS(NULL), picture_part_class = PART_CLASS(part_image);

static part *create(wk_dataset *whole, int64_t count) {
    const wk_dataset_class *class_ = whole->class_->image ? &picture_part_class : &part_class;
    part *p = (part *)wk_dataset_create(class_);
    if (!p) return NULL;
    p->base = *whole;
    p->base.class_ = class_;
    p->base.count = count;
    p->base.weights = NULL;
    p->base.users = 1;
    p->whole = wk_dataset_keep(whole);
    p->item = wk_alloc_data((size_t)count * sizeof *p->item);
    if (p->item) return p;
    wk_dataset_destroy(&p->base);
    return NULL;
}

wk_dataset *wk_part_dataset(wk_dataset *whole, const int64_t *items, int64_t count) {
    if (wk_failed()) return NULL;
    for (int64_t i = 0; i < count; i++)
        if (items[i] < 0 || items[i] >= whole->count)
            return wk_fail_null(WK_INVALID, "part of a dataset: item %lld, expected 0 to %lld", (long long)items[i],
                                (long long)whole->count - 1);
    part *p = create(whole, count);
    if (p) memcpy(p->item, items, (size_t)count * sizeof *items);
    return (wk_dataset *)p;
}

static wk_status check_classes(const wk_dataset *source, const int64_t *class_of, int classes) {
    if (source->classes < 1 || source->target_dims.rank != 0 || source->target_dtype != WK_I64)
        return wk_fail(WK_INVALID, "dataset \"%s\" has no classes to be renamed", source->class_->name);
    for (int c = 0; c < source->classes; c++)
        if (class_of[c] < -1 || class_of[c] >= classes)
            return wk_fail(WK_INVALID, "class %d becomes %lld, expected -1 to %d", c, (long long)class_of[c],
                           classes - 1);
    return WK_OK;
}

wk_dataset *wk_relabelled_dataset(wk_dataset *source, const int64_t *class_of, int classes, const char *const *names) {
    if (wk_failed() || check_classes(source, class_of, classes) != WK_OK) return NULL;
    const size_t size = (size_t)source->classes * sizeof *class_of;
    part *p = create(source, source->count);
    if (!p) return NULL;
    p->base.classes = classes;
    p->base.class_names = NULL;
    p->base.count = 0;
    p->class_of = wk_alloc(size);
    if (p->class_of && wk__class_names_keep(&p->base, names) == WK_OK) {
        memcpy(p->class_of, class_of, size);
        for (int64_t i = 0; i < source->count; i++) {
            const int64_t label = wk_dataset_label(source, i);
            if (label < 0 || label >= source->classes) break;
            if (class_of[label] >= 0) p->item[p->base.count++] = i;
        }
    }
    if (!wk_failed() && p->base.count == 0) (void)wk_fail(WK_INVALID, "no item is of a class that is kept");
    if (!wk_failed()) return &p->base;
    wk_dataset_destroy(&p->base);
    return NULL;
}
