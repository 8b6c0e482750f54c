/* transforms.c: the transforms that come with Wick, by the names that a run's file gives them. */
#include "train/builtin.h"
#include "train/config.h"

#include <float.h>

/* One number for both sides, or height and width; the width stays 0 for one number where `one` is asked for. */
static bool read_size(const wk_config *args, bool one, int64_t size[2]) {
    const int count = wk_config_ints(args, "size", size, 2);
    if (!wk_failed() && count < 1)
        (void)wk_config_fail(args, "size", "size is empty, expected a number or [height, width]");
    if (count == 1) size[1] = one ? 0 : size[0];
    for (int i = 0; i < count && !wk_failed(); i++)
        if (size[i] < 1 || size[i] > WK_IMAGE_MOST_SIDE)
            (void)wk_config_fail(args, "size", "size is %lld, expected 1 to %d", (long long)size[i],
                                 WK_IMAGE_MOST_SIDE);
    return !wk_failed();
}

/* Two numbers, or none. */
static void read_range(const wk_config *args, const char *key, double range[2]) {
    const int count = wk_config_doubles(args, key, range, 2);
    if (count == 1) (void)wk_config_fail(args, key, "%s is one number, expected [least, most]", key);
}

static unsigned char read_fill(const wk_config *args) {
    return (unsigned char)wk_config_int(args, "fill", 0, 255, 0);
}

static wk_transform *build_random_crop(const wk_config *args) {
    static const char *const borders[] = { "constant", "edge", "reflect", NULL };
    int64_t size[2] = { 0 };
    if (!read_size(args, false, size)) return NULL;
    const wk_random_crop_opts opts = {
        .height = size[0],
        .width = size[1],
        .padding = wk_config_int(args, "padding", 0, WK_IMAGE_MOST_SIDE, 0),
        .outside = { (wk_image_border)wk_config_choice(args, "padding_mode", borders, 0), read_fill(args) },
    };
    return wk_transform_random_crop(opts);
}

static wk_transform *build_centre_crop(const wk_config *args) {
    int64_t size[2] = { 0 };
    return read_size(args, false, size) ? wk_transform_centre_crop(size[0], size[1]) : NULL;
}

static wk_transform *build_random_resized_crop(const wk_config *args) {
    wk_random_resized_crop_opts opts = { 0 };
    int64_t size[2] = { 0 };
    if (!read_size(args, false, size)) return NULL;
    opts.height = size[0];
    opts.width = size[1];
    read_range(args, "scale", opts.scale);
    read_range(args, "ratio", opts.ratio);
    return wk_transform_random_resized_crop(opts);
}

static wk_transform *build_resize(const wk_config *args) {
    int64_t size[2] = { 0 };
    return read_size(args, true, size) ? wk_transform_resize(size[0], size[1]) : NULL;
}

static wk_transform *build_horizontal_flip(const wk_config *args) {
    return wk_transform_horizontal_flip(wk_config_double(args, "p", 0, 1, 0.5));
}

static wk_transform *build_vertical_flip(const wk_config *args) {
    return wk_transform_vertical_flip(wk_config_double(args, "p", 0, 1, 0.5));
}

static wk_transform *build_rotation(const wk_config *args) {
    double degrees[2] = { 0 };
    if (wk_config_doubles(args, "degrees", degrees, 2) == 1) {
        degrees[1] = degrees[0];
        degrees[0] = -degrees[1];
    }
    return wk_transform_rotation(degrees[0], degrees[1], read_fill(args));
}

static wk_transform *build_colour_jitter(const wk_config *args) {
    const wk_colour_jitter_opts opts = { .brightness = wk_config_double(args, "brightness", 0, 1e3, 0),
                                         .contrast = wk_config_double(args, "contrast", 0, 1e3, 0),
                                         .saturation = wk_config_double(args, "saturation", 0, 1e3, 0),
                                         .hue = wk_config_double(args, "hue", 0, 0.5, 0) };
    return wk_transform_colour_jitter(opts);
}

static wk_transform *build_normalise(const wk_config *args) {
    wk_normalise_opts opts = { 0 };
    opts.channels = wk_config_doubles(args, "mean", opts.mean, WK_TRANSFORM_CHANNELS);
    const int deviations = wk_config_doubles(args, "std", opts.deviation, WK_TRANSFORM_CHANNELS);
    if (!wk_failed() && deviations != opts.channels)
        (void)wk_config_fail(args, "std", "std has %d numbers, mean %d", deviations, opts.channels);
    return wk_transform_normalise(opts);
}

static wk_transform *build_random_erasing(const wk_config *args) {
    wk_random_erasing_opts opts = { .p = WK_SET(wk_config_double(args, "p", 0, 1, 0.5)),
                                    .value = wk_config_double(args, "value", -FLT_MAX, FLT_MAX, 0) };
    read_range(args, "scale", opts.scale);
    read_range(args, "ratio", opts.ratio);
    return wk_transform_random_erasing(opts);
}

#define END \
    { NULL, WK_ARG_INT, NULL, NULL }
#define SIZE \
    { "size", WK_ARG_LIST, NULL, "a number, or [height, width]" }
static const wk_arg random_crop_args[] = { SIZE,
                                           { "padding", WK_ARG_INT, "0", "pixels on all sides, before it is cut" },
                                           { "padding_mode", WK_ARG_TEXT, "constant", "constant, edge, reflect" },
                                           { "fill", WK_ARG_INT, "0", "of constant, 0 to 255" },
                                           END };
static const wk_arg centre_crop_args[] = { SIZE, END };
static const wk_arg random_resized_crop_args[] = { SIZE,
                                                   { "scale", WK_ARG_LIST, "[0.08, 1]", "part of the area" },
                                                   { "ratio", WK_ARG_LIST, "[0.75, 1.3333]", "width by height" },
                                                   END };
static const wk_arg resize_args[] = {
    { "size", WK_ARG_LIST, NULL, "a number for the shorter side, or [height, width]" }, END
};
static const wk_arg flip_args[] = { { "p", WK_ARG_NUMBER, "0.5", "how often" }, END };
static const wk_arg rotation_args[] = { { "degrees", WK_ARG_LIST, NULL, "[from, to], or one number for both ways" },
                                        { "fill", WK_ARG_INT, "0", "of the corners, 0 to 255" },
                                        END };
static const wk_arg colour_jitter_args[] = { { "brightness", WK_ARG_NUMBER, "0", "factors within 1 ± this" },
                                             { "contrast", WK_ARG_NUMBER, "0", NULL },
                                             { "saturation", WK_ARG_NUMBER, "0", NULL },
                                             { "hue", WK_ARG_NUMBER, "0", "turns within ± this, at most 0.5" },
                                             END };
static const wk_arg normalise_args[] = { { "mean", WK_ARG_LIST, NULL,
                                           "of values in 0 to 1, one number or one a channel" },
                                         { "std", WK_ARG_LIST, NULL, NULL },
                                         END };
static const wk_arg random_erasing_args[] = { { "p", WK_ARG_NUMBER, "0.5", "how often" },
                                              { "scale", WK_ARG_LIST, "[0.02, 0.33]", "part of the area" },
                                              { "ratio", WK_ARG_LIST, "[0.3, 3.3]", "height by width" },
                                              { "value", WK_ARG_NUMBER, "0", "what takes its place" },
                                              END };
const wk_transform_entry wk__builtin_transforms[] = {
    { { "random_crop", "a part of chance, of a padded picture", random_crop_args }, build_random_crop },
    { { "centre_crop", "the middle", centre_crop_args }, build_centre_crop },
    { { "random_resized_crop", "a part of chance, resized", random_resized_crop_args }, build_random_resized_crop },
    { { "resize", "bilinear, with antialiasing", resize_args }, build_resize },
    { { "horizontal_flip", "left to right", flip_args }, build_horizontal_flip },
    { { "vertical_flip", "upside down", flip_args }, build_vertical_flip },
    { { "rotation", "by an angle of chance", rotation_args }, build_rotation },
    { { "colour_jitter", "brightness, contrast, saturation, hue, in an order of chance", colour_jitter_args },
      build_colour_jitter },
    { { "normalise", "(value - mean) / std", normalise_args }, build_normalise },
    { { "random_erasing", "a rectangle of chance is wiped out", random_erasing_args }, build_random_erasing },
    { { NULL, NULL, NULL }, NULL },
};
