/* wick/data.h: datasets, samplers, loaders; pictures and their transforms are in wick/data/.
 *
 * A dataset answers how many items it has and copies any of them, as a batch, into memory it is given.  A sampler says
 * which items come in which order on which rank; a loader fetches batches ahead on threads of its own.  Neither the
 * number of threads nor the depth of the queue changes what comes out.
 */
#ifndef WICK_DATA_H
#define WICK_DATA_H

#include "wick/data/image.h"
#include "wick/data/transform.h"
#include "wick/device.h"
#include "wick/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What random transforms are drawn from, beside an item's number. */
typedef struct wk_moment {
    uint64_t seed;
    int64_t epoch;
} wk_moment;

typedef struct wk_dataset wk_dataset;
typedef struct wk_dataset_class {
    const char *name;
    size_t size; /* of the struct that starts with a wk_dataset */
    /* Write n items, by index, as one batch.  Called from several threads at once.  Errors: recorded with wk_fail. */
    wk_status (*fetch)(const wk_dataset *dataset, const int64_t *indices /* (n) */, int64_t n, void *input,
                       void *target);
    void (*destroy)(wk_dataset *dataset);
    /* The rest is optional.  The same for items that look different from epoch to epoch: what a loader calls where it
     * is there. */
    wk_status (*fetch_at)(const wk_dataset *dataset, wk_moment moment, const int64_t *indices, int64_t n, void *input,
                          void *target);
    /* One item as the picture that its input is made of, and its class alone: for transforms, and for whoever counts
     * classes without reading all there is. */
    wk_status (*image)(const wk_dataset *dataset, int64_t index, wk_image *image);
    int64_t (*label)(const wk_dataset *dataset, int64_t index);
} wk_dataset_class;
struct wk_dataset {
    const wk_dataset_class *class_;
    int64_t count;
    wk_dims input_dims, target_dims; /* of one item */
    wk_dtype input_dtype, target_dtype;
    int classes;                    /* targets are in [0, classes); 0: not a classification */
    const char *const *class_names; /* (classes), as long as the dataset; NULL: their numbers */
    const double *weights;          /* (count), as long as the dataset: how often each item is drawn; NULL: once */
    int64_t block;                  /* so many neighbours are read together: loaders shuffle by blocks; 0: freely */
    int users;                      /* those who still have to call wk_dataset_destroy */
};
/* Zeroed, with one user. */
WK_API wk_dataset *wk_dataset_create(const wk_dataset_class *class_);
/* One user more, who calls wk_dataset_destroy too; gives the dataset.  By one thread at a time. */
WK_API wk_dataset *wk_dataset_keep(wk_dataset *dataset);
WK_API void wk_dataset_destroy(wk_dataset *dataset);
/* Its class_->fetch_at, or fetch. */
WK_API wk_status wk_dataset_fetch(const wk_dataset *dataset, wk_moment moment, const int64_t *indices, int64_t n,
                                  void *input, void *target);
/* The class of an item: class_->label, or what it fetches; -1 with an error pending. */
WK_API int64_t wk_dataset_label(const wk_dataset *dataset, int64_t index);

typedef struct wk_idx_opts {
    const char *images, *labels;    /* paths of IDX files, raw (mapped) or gzip */
    double mean, deviation;         /* inputs become (value / 255 − mean) / deviation; deviation 0 means 1 */
    int classes;                    /* 0 means 10; a label outside is an error naming its position */
    int64_t limit;                  /* use the first `limit` items; 0: all */
    const char *const *class_names; /* (classes), copied; NULL: they have numbers alone */
} wk_idx_opts;
/* Images (N, H, W) of u8 as f32 (1, H, W), labels as i64.  Errors: missing, truncated or foreign files, counts that
 * differ. */
WK_API wk_dataset *wk_idx_dataset(wk_idx_opts opts);

/* Items of two kept tensors, by their first axis; holds references. */
WK_API wk_dataset *wk_tensor_dataset(wk_tensor *inputs, wk_tensor *targets);

typedef struct wk_image_folder_opts {
    const char *root;
    int channels; /* 3, or 1 for gray; 0 means 3 */
    /* The classes by name, in the order of their numbers; a folder that is none of them is an error.  NULL: the folders
     * that are there, sorted. */
    const char *const *class_names;
    int classes; /* of class_names */
} wk_image_folder_opts;
/* Pictures below root/CLASS/, at any depth: torchvision's ImageFolder, with its classes (names in the order of their
 * bytes) and its order of files (by folder, then name).  Files that end with .png, .jpg or .jpeg, in any case, are read
 * when they are fetched; those of other formats of pictures (.webp, …) are an error, all else is passed over.  Inputs
 * are f32 (channels, height, width) in 0 … 1; all pictures must be of the first one's size, unless
 * wk_transformed_dataset makes them so.  Errors: no folder, no pictures, a class without one. */
WK_API wk_dataset *wk_image_folder(wk_image_folder_opts opts);

/* ---- datasets of other ones: each keeps the one it is made of ---- */

/* Some of the items (copied), in this order.  Errors: an index outside. */
WK_API wk_dataset *wk_part_dataset(wk_dataset *whole, const int64_t *items, int64_t count);
/* Classes by another number: of class c is now class[c] in [0, classes); items of -1 are left out.  `names` (classes)
 * are copied; NULL: none. */
WK_API wk_dataset *wk_relabelled_dataset(wk_dataset *source, const int64_t *class_of /* (source's classes) */,
                                         int classes, const char *const *names);
/* Inputs are the source's pictures (class_->image), transformed: f32 (channels, height, width).  Takes over the
 * transforms, also when it fails.  Errors: WK_INVALID: a source without pictures, a list in a wrong order; while
 * fetching WK_SHAPE: a picture that does not become of the size that the first one would. */
WK_API wk_dataset *wk_transformed_dataset(wk_dataset *source, wk_transform *const *transforms, int count);
typedef struct wk_mix_opts {
    double mixup, cutmix; /* alpha of the beta distribution that shares are drawn from; 0: never */
} wk_mix_opts;
/* Each batch is mixed with itself, turned by one item: mixup (Zhang et al. 2017) adds pictures, share + (1 - share);
 * cutmix (Yun et al. 2019) puts a rectangle of the one into the other.  With both, chance decides for each batch.
 * Targets become f32 (classes), the shares of the classes: losses of probabilities take them.  Drawn from seed, epoch
 * and the first item's number.  As torchvision.transforms.v2.MixUp and CutMix.  Errors: inputs that are not f32 (C, H,
 * W), targets that are no classes. */
WK_API wk_dataset *wk_mixed_dataset(wk_dataset *source, wk_mix_opts opts);

/* Split items into those to train on and, behind them, *kept ones to evaluate on: in each half in their order.
 * `stratify`: each class gives its share of `part` (largest remainders are filled up, so that *kept is that of all),
 * but keeps one item to train on.  Equal seeds split alike.  Free with wk_free.  Errors: part outside of [0, 1). */
WK_API int64_t *wk_split_items(const wk_dataset *dataset, double part, bool stratify, uint64_t seed, int64_t *kept);
/* Weights with which each class is drawn equally often: 1 / (items of the class) for each item; with `of_class`
 * (classes), that number instead.  They become the dataset's `weights`. */
WK_API wk_status wk_dataset_balance(wk_dataset *dataset, const double *of_class);

/* ---- sampler
 * ---------------------------------------------------------------------------------------------------------- */

/* torch.utils.data.DistributedSampler: a permutation from seed + epoch, filled up by its own beginning (or cut, with
 * drop_last) to a multiple of the ranks; rank r takes every ranks-th item from r on. */
typedef struct wk_sampler_opts {
    int64_t count;   /* items of the dataset */
    int rank, ranks; /* ranks 0 means 1 */
    bool shuffle, drop_last;
    uint64_t seed;
    /* Draw with these chances, items again and again, instead of each once: torch.utils.data.WeightedRandomSampler's
     * draws of as many as there are items, for a generator seeded with seed + epoch; ranks take them in turn. */
    const double *weights; /* (count); NULL: none; needs `shuffle` */
    /* Shuffle for files that are larger than memory: blocks of so many neighbours come in an order of chance, and items
     * within each block; the order needs no memory.  0: all at once.  Not with `weights`. */
    int64_t block;
} wk_sampler_opts;
/* How many items each rank sees an epoch; -1 with an error pending when there are more ranks than items. */
WK_API int64_t wk_sampler_length(wk_sampler_opts opts);
/* The items of one epoch, in order. */
WK_API wk_status wk_sampler_fill(wk_sampler_opts opts, int64_t epoch, int64_t *indices /* (wk_sampler_length) */);
/* Some of them, with `block` or without `shuffle`: those from `first` on. */
WK_API wk_status wk_sampler_range(wk_sampler_opts opts, int64_t epoch, int64_t first, int64_t n,
                                  int64_t *indices /* (n) */);

/* ---- loader
 * ------------------------------------------------------------------------------------------------------------- */

typedef struct wk_loader wk_loader;
typedef struct wk_loader_opts {
    int64_t batch_size;      /* 0 means 1 */
    wk_sampler_opts sampler; /* its count is filled in from the dataset, where it shuffles its weights and block too */
    bool drop_last;          /* leave out a batch that is not full */
    int workers;             /* threads; 0 means 1 */
    int prefetch;            /* batches ready ahead; 0 means 2 for each worker */
    wk_device device;        /* what batches are copied to: they lie in memory that it reads while the host goes on */
} wk_loader_opts;
/* The dataset must outlive the loader. */
WK_API wk_loader *wk_loader_create(const wk_dataset *dataset, wk_loader_opts opts);
WK_API void wk_loader_destroy(wk_loader *loader);
WK_API int64_t wk_loader_batches(const wk_loader *loader); /* an epoch */
/* Start an epoch, at a batch of it (0 but when resuming).  With a `device` other than the CPU, what was copied from the
 * last batch must be over before wk_loader_start and wk_loader_next: read a value that comes of it, or wait with
 * wk_device_synchronise. */
WK_API wk_status wk_loader_start(wk_loader *loader, int64_t epoch, int64_t first_batch);

typedef struct wk_batch {
    wk_tensor *input, *target; /* kept by the loader; valid until the next wk_loader_next */
    int64_t index;             /* of the batch in its epoch */
    int64_t size;              /* items */
} wk_batch;
/* False at the end of the epoch, and with an error pending when fetching failed. */
WK_API bool wk_loader_next(wk_loader *loader, wk_batch *batch);

#ifdef __cplusplus
}
#endif
#endif
