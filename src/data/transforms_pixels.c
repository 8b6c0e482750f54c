/* transforms_pixels.c: transforms of pictures' pixels: what is drawn; image/ does the work. */
#include "data/transform.h"

#include <math.h>
#include <string.h>

typedef struct sized {
    wk_transform base;
    wk_image_size size;
} sized;

static wk_image_size own_size(const wk_transform *self, wk_image_size size) {
    (void)size;
    return ((const sized *)self)->size;
}

/* A transform that ends with a size of its own; NULL where that is not possible. */
static void *create_sized(const wk_transform_class *class_, int64_t height, int64_t width) {
    if (wk_failed() || wk__transform_size(class_->name, height, width) != WK_OK) return NULL;
    sized *s = (sized *)wk_transform_create(class_);
    if (s) s->size = (wk_image_size){ height, width };
    return s;
}

/* ---- crops ---- */

typedef struct random_crop {
    sized base;
    wk_random_crop_opts opts;
} random_crop;

static wk_status random_crop_pixels(const wk_transform *self, wk_image *image, wk_draws *draws) {
    const wk_random_crop_opts *o = &((const random_crop *)self)->opts;
    const int64_t room_y = image->height + 2 * o->padding - o->height,
                  room_x = image->width + 2 * o->padding - o->width;
    if (room_y < 0 || room_x < 0)
        return wk_fail(
            WK_SHAPE,
            "random_crop: an image of %lld × %lld with a padding of %lld is smaller than the crop of %lld × %lld",
            (long long)image->height, (long long)image->width, (long long)o->padding, (long long)o->height,
            (long long)o->width);
    const int64_t top = wk_draw_below(draws, room_y + 1), left = wk_draw_below(draws, room_x + 1);
    return wk_image_crop(image, top - o->padding, left - o->padding, o->height, o->width, o->outside);
}

static const wk_transform_class random_crop_class = {
    .name = "random_crop", .size = sizeof(random_crop), .pixels = random_crop_pixels, .result = own_size
};

wk_transform *wk_transform_random_crop(wk_random_crop_opts opts) {
    if (!wk_failed() && (opts.padding < 0 || opts.padding > WK_IMAGE_MOST_SIDE))
        return wk_fail_null(WK_INVALID, "random_crop: a padding of %lld, expected 0 to %d", (long long)opts.padding,
                            WK_IMAGE_MOST_SIDE);
    random_crop *t = create_sized(&random_crop_class, opts.height, opts.width);
    if (t) t->opts = opts;
    return (wk_transform *)t;
}

/* Halves are rounded to even ones, as Python's round does; what is missing is split with the smaller half first. */
static int64_t middle(int64_t size, int64_t crop) {
    return crop > size ? -((crop - size) / 2) : (int64_t)rint((double)(size - crop) / 2);
}

static wk_status centre_crop_pixels(const wk_transform *self, wk_image *image, wk_draws *draws) {
    const wk_image_size size = ((const sized *)self)->size;
    (void)draws;
    return wk_image_crop(image, middle(image->height, size.height), middle(image->width, size.width), size.height,
                         size.width, (wk_image_outside){ WK_BORDER_FILL, 0 });
}

static const wk_transform_class centre_crop_class = {
    .name = "centre_crop", .size = sizeof(sized), .pixels = centre_crop_pixels, .result = own_size
};

wk_transform *wk_transform_centre_crop(int64_t height, int64_t width) {
    return create_sized(&centre_crop_class, height, width);
}

typedef struct resized_crop {
    sized base;
    wk__rectangle rectangle;
} resized_crop;

typedef struct box {
    int64_t top, left, height, width;
} box;

/* The whole picture, or as much of its middle as keeps the ratio of its sides within the limits. */
static box middle_box(const wk_image *image, const double ratio[2]) {
    const double own = (double)image->width / (double)image->height;
    box b = { .height = image->height, .width = image->width };
    if (own < ratio[0])
        b.height = (int64_t)rint((double)b.width / ratio[0]);
    else if (own > ratio[1])
        b.width = (int64_t)rint((double)b.height * ratio[1]);
    b.top = (image->height - b.height) / 2;
    b.left = (image->width - b.width) / 2;
    return b;
}

static box draw_box(const wk_image *image, const wk__rectangle *r, wk_draws *draws) {
    for (int tries = 0; tries < 10; tries++) {
        double part, aspect;
        wk__rectangle_draw(r, (double)(image->height * image->width), draws, &part, &aspect);
        box b = { .width = (int64_t)rint(sqrt(part * aspect)), .height = (int64_t)rint(sqrt(part / aspect)) };
        if (b.width < 1 || b.height < 1 || b.width > image->width || b.height > image->height) continue;
        b.top = wk_draw_below(draws, image->height - b.height + 1);
        b.left = wk_draw_below(draws, image->width - b.width + 1);
        return b;
    }
    return middle_box(image, r->ratio);
}

static wk_status resized_crop_pixels(const wk_transform *self, wk_image *image, wk_draws *draws) {
    const resized_crop *t = (const resized_crop *)self;
    const box b = draw_box(image, &t->rectangle, draws);
    WK_TRY(wk_image_crop(image, b.top, b.left, b.height, b.width, (wk_image_outside){ WK_BORDER_FILL, 0 }));
    return wk_image_resize(image, t->base.size.height, t->base.size.width);
}

static const wk_transform_class resized_crop_class = {
    .name = "random_resized_crop", .size = sizeof(resized_crop), .pixels = resized_crop_pixels, .result = own_size
};

wk_transform *wk_transform_random_resized_crop(wk_random_resized_crop_opts opts) {
    static const char name[] = "random_resized_crop";
    if (wk_failed()) return NULL;
    if (opts.scale[0] == 0 && opts.scale[1] == 0) opts.scale[0] = 0.08, opts.scale[1] = 1;
    if (opts.ratio[0] == 0 && opts.ratio[1] == 0) opts.ratio[0] = 3.0 / 4, opts.ratio[1] = 4.0 / 3;
    if (wk__transform_range(name, "scale", opts.scale, 1e-9, 1) != WK_OK
        || wk__transform_range(name, "ratio", opts.ratio, 1e-3, 1e3) != WK_OK)
        return NULL;
    resized_crop *t = create_sized(&resized_crop_class, opts.height, opts.width);
    if (t) {
        memcpy(t->rectangle.scale, opts.scale, sizeof opts.scale);
        memcpy(t->rectangle.ratio, opts.ratio, sizeof opts.ratio);
    }
    return (wk_transform *)t;
}

/* ---- resize ---- */

/* The shorter side becomes `side`, the other keeps the ratio, rounded down. */
static wk_image_size by_shorter_side(int64_t side, wk_image_size size) {
    return size.height <= size.width ? (wk_image_size){ side, side * size.width / size.height }
                                     : (wk_image_size){ side * size.height / size.width, side };
}

static wk_image_size resized(const wk_transform *self, wk_image_size size) {
    const wk_image_size own = ((const sized *)self)->size;
    return own.width ? own : by_shorter_side(own.height, size);
}

static wk_status resize_pixels(const wk_transform *self, wk_image *image, wk_draws *draws) {
    const wk_image_size size = resized(self, (wk_image_size){ image->height, image->width });
    (void)draws;
    return wk_image_resize(image, size.height, size.width);
}

static const wk_transform_class resize_class = {
    .name = "resize", .size = sizeof(sized), .pixels = resize_pixels, .result = resized
};

wk_transform *wk_transform_resize(int64_t height, int64_t width) {
    sized *t = create_sized(&resize_class, height, width ? width : height);
    if (t) t->size.width = width;
    return (wk_transform *)t;
}

/* ---- flips and turns ---- */

typedef struct chance {
    wk_transform base;
    double p;
} chance;

static wk_status horizontal_pixels(const wk_transform *self, wk_image *image, wk_draws *draws) {
    return wk_draw_uniform(draws, 0, 1) < ((const chance *)self)->p ? wk_image_flip_horizontal(image) : WK_OK;
}

static wk_status vertical_pixels(const wk_transform *self, wk_image *image, wk_draws *draws) {
    return wk_draw_uniform(draws, 0, 1) < ((const chance *)self)->p ? wk_image_flip_vertical(image) : WK_OK;
}

static const wk_transform_class horizontal_class = { .name = "horizontal_flip",
                                                     .size = sizeof(chance),
                                                     .pixels = horizontal_pixels },
                                vertical_class = { .name = "vertical_flip",
                                                   .size = sizeof(chance),
                                                   .pixels = vertical_pixels };

static wk_transform *create_chance(const wk_transform_class *class_, double p) {
    if (wk_failed() || wk__transform_chance(class_->name, p) != WK_OK) return NULL;
    chance *t = (chance *)wk_transform_create(class_);
    if (t) t->p = p;
    return (wk_transform *)t;
}

wk_transform *wk_transform_horizontal_flip(double p) {
    return create_chance(&horizontal_class, p);
}

wk_transform *wk_transform_vertical_flip(double p) {
    return create_chance(&vertical_class, p);
}

typedef struct rotation {
    wk_transform base;
    double degrees[2];
    unsigned char fill;
} rotation;

static wk_status rotation_pixels(const wk_transform *self, wk_image *image, wk_draws *draws) {
    const rotation *t = (const rotation *)self;
    return wk_image_rotate(image, wk_draw_uniform(draws, t->degrees[0], t->degrees[1]), t->fill);
}

static const wk_transform_class rotation_class = { .name = "rotation",
                                                   .size = sizeof(rotation),
                                                   .pixels = rotation_pixels };

wk_transform *wk_transform_rotation(double from, double to, unsigned char fill) {
    const double degrees[2] = { from, to };
    if (wk_failed() || wk__transform_range("rotation", "degrees", degrees, -360, 360) != WK_OK) return NULL;
    rotation *t = (rotation *)wk_transform_create(&rotation_class);
    if (t) t->degrees[0] = from, t->degrees[1] = to, t->fill = fill;
    return (wk_transform *)t;
}

/* ---- colours ---- */

typedef struct jitter {
    wk_transform base;
    wk_colour_jitter_opts opts;
} jitter;

static double draw_factor(wk_draws *draws, double width) {
    return wk_draw_uniform(draws, width > 1 ? 0 : 1 - width, 1 + width);
}

static wk_status jitter_pixels(const wk_transform *self, wk_image *image, wk_draws *draws) {
    const wk_colour_jitter_opts *o = &((const jitter *)self)->opts;
    int order[4] = { 0, 1, 2, 3 };
    for (int i = 0; i < 3; i++) {
        const int other = i + (int)wk_draw_below(draws, 4 - i), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    /* All are drawn, so that switching one off changes no other. */
    const double brightness = draw_factor(draws, o->brightness), contrast = draw_factor(draws, o->contrast),
                 saturation = draw_factor(draws, o->saturation), hue = wk_draw_uniform(draws, -o->hue, o->hue);
    for (int i = 0; i < 4; i++) {
        if (order[i] == 0 && o->brightness > 0) WK_TRY(wk_image_brightness(image, brightness));
        if (order[i] == 1 && o->contrast > 0) WK_TRY(wk_image_contrast(image, contrast));
        if (order[i] == 2 && o->saturation > 0) WK_TRY(wk_image_saturation(image, saturation));
        if (order[i] == 3 && o->hue > 0) WK_TRY(wk_image_hue(image, hue));
    }
    return WK_OK;
}

static const wk_transform_class jitter_class = { .name = "colour_jitter",
                                                 .size = sizeof(jitter),
                                                 .pixels = jitter_pixels };

wk_transform *wk_transform_colour_jitter(wk_colour_jitter_opts opts) {
    const double factors[3] = { opts.brightness, opts.contrast, opts.saturation };
    if (wk_failed()) return NULL;
    for (int i = 0; i < 3; i++)
        if (!(factors[i] >= 0 && isfinite(factors[i])))
            return wk_fail_null(WK_INVALID, "colour_jitter: a factor of %g, expected at least 0", factors[i]);
    if (!(opts.hue >= 0 && opts.hue <= 0.5))
        return wk_fail_null(WK_INVALID, "colour_jitter: hue is %g, expected 0 to 0.5", opts.hue);
    jitter *t = (jitter *)wk_transform_create(&jitter_class);
    if (t) t->opts = opts;
    return (wk_transform *)t;
}
