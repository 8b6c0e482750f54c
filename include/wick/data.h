/* wick/data.h: datasets, samplers, loaders.
 *
 * A dataset answers how many items it has and copies any of them, as a batch, into memory it is given.  A sampler says
 * which items come in which order on which rank; a loader fetches batches ahead on threads of its own.  Neither the
 * number of threads nor the depth of the queue changes what comes out.
 */
#ifndef WICK_DATA_H
#define WICK_DATA_H

#include "wick/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_dataset wk_dataset;
typedef struct wk_dataset_class {
    const char *name;
    size_t size; /* of the struct that starts with a wk_dataset */
    /* Write n items, by index, as one batch.  Called from several threads at once.  Errors: recorded with wk_fail. */
    wk_status (*fetch)(const wk_dataset *dataset, const int64_t *indices /* (n) */, int64_t n, void *input,
                       void *target);
    void (*destroy)(wk_dataset *dataset);
} wk_dataset_class;
struct wk_dataset {
    const wk_dataset_class *class_;
    int64_t count;
    wk_dims input_dims, target_dims; /* of one item */
    wk_dtype input_dtype, target_dtype;
    int classes;                    /* targets are in [0, classes); 0: not a classification */
    const char *const *class_names; /* (classes), as long as the dataset; NULL: their numbers */
};
WK_API wk_dataset *wk_dataset_create(const wk_dataset_class *class_);
WK_API void wk_dataset_destroy(wk_dataset *dataset);

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

/* ---- sampler
 * ---------------------------------------------------------------------------------------------------------- */

/* torch.utils.data.DistributedSampler: a permutation from seed + epoch, filled up by its own beginning (or cut, with
 * drop_last) to a multiple of the ranks; rank r takes every ranks-th item from r on. */
typedef struct wk_sampler_opts {
    int64_t count;   /* items of the dataset */
    int rank, ranks; /* ranks 0 means 1 */
    bool shuffle, drop_last;
    uint64_t seed;
} wk_sampler_opts;
/* How many items each rank sees an epoch; -1 with an error pending when there are more ranks than items. */
WK_API int64_t wk_sampler_length(wk_sampler_opts opts);
/* The items of one epoch, in order. */
WK_API wk_status wk_sampler_fill(wk_sampler_opts opts, int64_t epoch, int64_t *indices /* (wk_sampler_length) */);

/* ---- loader
 * ------------------------------------------------------------------------------------------------------------- */

typedef struct wk_loader wk_loader;
typedef struct wk_loader_opts {
    int64_t batch_size;      /* 0 means 1 */
    wk_sampler_opts sampler; /* its count is filled in from the dataset */
    bool drop_last;          /* leave out a batch that is not full */
    int workers;             /* threads; 0 means 1 */
    int prefetch;            /* batches ready ahead; 0 means 2 for each worker */
} wk_loader_opts;
/* The dataset must outlive the loader. */
WK_API wk_loader *wk_loader_create(const wk_dataset *dataset, wk_loader_opts opts);
WK_API void wk_loader_destroy(wk_loader *loader);
WK_API int64_t wk_loader_batches(const wk_loader *loader); /* an epoch */
/* Start an epoch, at a batch of it (0 but when resuming). */
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
