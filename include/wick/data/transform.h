/* wick/data/transform.h: what is done to pictures on their way into a batch.
 *
 * A list of transforms is applied in order.  First come those of pixels (8 bits; see wick/data/image.h), then values
 * are made of them (value / 255, channels first, f32), then those of values: `normalise`, `random_erasing`.  What a
 * random one draws is a function of the run's seed, the epoch and the number of the item: never of threads, order or
 * ranks.  (So an item that a sampler draws twice in an epoch looks the same both times.)  Distributions are
 * torchvision's, and for equal parameters pixels are; the numbers drawn are not, for its are those of a stream in
 * order.
 */
#ifndef WICK_DATA_TRANSFORM_H
#define WICK_DATA_TRANSFORM_H

#include "wick/data/image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers of one item, one after the other (Philox; key: the seed, counter: epoch and item). */
typedef struct wk_draws {
    uint32_t key[2], counter[4], word[4];
    int left;
} wk_draws;
WK_API wk_draws wk_draws_of(uint64_t seed, int64_t epoch, int64_t item);
WK_API double wk_draw_uniform(wk_draws *draws, double from, double to);
/* A whole number in [0, count). */
WK_API int64_t wk_draw_below(wk_draws *draws, int64_t count);

/* The size of pictures behind a transform. */
typedef struct wk_image_size {
    int64_t height, width;
} wk_image_size;

typedef struct wk_transform wk_transform;
typedef struct wk_transform_class {
    const char *name;
    size_t size; /* of the struct that starts with a wk_transform */
    /* One of the two.  Called from several threads at once. */
    wk_status (*pixels)(const wk_transform *self, wk_image *image, wk_draws *draws);
    wk_status (*values)(const wk_transform *self, float *values /* (channels, height, width) */, int64_t channels,
                        int64_t height, int64_t width, wk_draws *draws);
    /* Optional: what it makes of a size; NULL: it keeps it. */
    wk_image_size (*result)(const wk_transform *self, wk_image_size size);
    void (*destroy)(wk_transform *self);
} wk_transform_class;
struct wk_transform {
    const wk_transform_class *class_;
};
WK_API wk_transform *wk_transform_create(const wk_transform_class *class_);
WK_API void wk_transform_destroy(wk_transform *transform);

/* ---- those that are there: NULL with WK_INVALID pending for options that make no sense ---- */

enum { WK_TRANSFORM_CHANNELS = 3 };
typedef struct wk_normalise_opts {
    int channels;                            /* of the next two; 1: the same for all */
    double mean[WK_TRANSFORM_CHANNELS];      /* of values in 0 … 1 */
    double deviation[WK_TRANSFORM_CHANNELS]; /* more than 0 */
} wk_normalise_opts;
WK_API wk_transform *wk_transform_normalise(wk_normalise_opts opts);

typedef struct wk_random_crop_opts {
    int64_t height, width, padding; /* on all sides, before it is cut */
    wk_image_outside outside;       /* what padding looks like */
} wk_random_crop_opts;
/* Errors while fetching: a picture with its padding is smaller than the crop. */
WK_API wk_transform *wk_transform_random_crop(wk_random_crop_opts opts);
/* The middle; smaller pictures get a black border. */
WK_API wk_transform *wk_transform_centre_crop(int64_t height, int64_t width);
typedef struct wk_random_resized_crop_opts {
    int64_t height, width;
    double scale[2]; /* part of the area; 0, 0 means 0.08, 1 */
    double ratio[2]; /* width by height; 0, 0 means 3/4, 4/3 */
} wk_random_resized_crop_opts;
WK_API wk_transform *wk_transform_random_resized_crop(wk_random_resized_crop_opts opts);
/* Width 0: `height` is what the shorter side becomes. */
WK_API wk_transform *wk_transform_resize(int64_t height, int64_t width);
WK_API wk_transform *wk_transform_horizontal_flip(double p);
WK_API wk_transform *wk_transform_vertical_flip(double p);
/* Turned by an angle in [from, to] degrees. */
WK_API wk_transform *wk_transform_rotation(double from, double to, unsigned char fill);
typedef struct wk_colour_jitter_opts {
    double brightness, contrast, saturation; /* factors in [max(0, 1 - x), 1 + x] */
    double hue;                              /* a turn in [-x, x], at most 0.5 */
} wk_colour_jitter_opts;
/* The four in an order of chance. */
WK_API wk_transform *wk_transform_colour_jitter(wk_colour_jitter_opts opts);
typedef struct wk_random_erasing_opts {
    wk_optional p;   /* default 0.5 */
    double scale[2]; /* part of the area; 0, 0 means 0.02, 0.33 */
    double ratio[2]; /* height by width; 0, 0 means 0.3, 3.3 */
    double value;    /* in all channels, where it stands in the list */
} wk_random_erasing_opts;
WK_API wk_transform *wk_transform_random_erasing(wk_random_erasing_opts opts);

/* A list, applied. */
typedef struct wk_transforms {
    wk_transform *const *of;
    int count;
} wk_transforms;
/* Whether pixels come before values; the size that remains of `size`.  Errors: WK_INVALID naming the transform. */
WK_API wk_status wk_transforms_check(wk_transforms list, wk_image_size *size);
/* Values (channels, height, width) of a picture, which changes.  Errors: WK_SHAPE: it did not become of `size`. */
WK_API wk_status wk_transforms_apply(wk_transforms list, wk_image *image, wk_draws *draws, wk_image_size size,
                                     float *values);

#ifdef __cplusplus
}
#endif
#endif
