/* Pictures: files read as Pillow reads them, transforms as torchvision's. */
#include "data/mixed.h"
#include "support/allocator.h"
#include "support/golden.h"
#include "support/program.h"
#include "wick/data.h"

#include <math.h>
#include <string.h>
#include <zlib.h>

/* A picture of the golden file. */
static void take(wk_safetensors *file, const char *name, wk_image *image) {
    wk_tensor *t = golden_get(file, "%s", name);
    cr_assert_eq(wk_image_turn(image, wk_size(t, 0), wk_size(t, 1), wk_size(t, 2)), WK_OK);
    memcpy(image->pixels, wk_data(t), (size_t)(wk_size(t, 0) * wk_size(t, 1) * wk_size(t, 2)));
}

static void expect_equal(wk_safetensors *file, const wk_image *image, const char *name) {
    wk_tensor *wanted = golden_get(file, "%s", name);
    cr_assert_eq(image->height, wk_size(wanted, 0), "%s: %lld rows", name, (long long)image->height);
    cr_assert_eq(image->width, wk_size(wanted, 1), "%s: %lld columns", name, (long long)image->width);
    cr_assert_eq(image->channels, wk_size(wanted, 2), "%s", name);
    const unsigned char *a = image->pixels, *b = wk_data(wanted);
    for (int64_t i = 0; i < image->height * image->width * image->channels; i++)
        cr_assert_eq(a[i], b[i], "%s: value %lld is %d, expected %d", name, (long long)i, a[i], b[i]);
}

static wk_status apply(const char *op, wk_image *image) {
    const wk_image_outside fill = { WK_BORDER_FILL, 7 }, edge = { WK_BORDER_EDGE, 0 },
                           reflect = { WK_BORDER_REFLECT, 0 };
    double number = 0;
    if (strcmp(op, "resize_smaller") == 0) return wk_image_resize(image, 9, 13);
    if (strcmp(op, "resize_larger") == 0) return wk_image_resize(image, 41, 37);
    if (strcmp(op, "resize_tall") == 0) return wk_image_resize(image, 60, 7);
    if (strcmp(op, "resize_wide") == 0) return wk_image_resize(image, 7, 60);
    if (strcmp(op, "crop") == 0) return wk_image_crop(image, 3, 4, 9, 8, fill);
    if (strcmp(op, "pad_crop") == 0) return wk_image_crop(image, -3, -2, 20, 16, fill);
    if (strcmp(op, "pad_edge") == 0) return wk_image_crop(image, -3, -2, 20, 16, edge);
    if (strcmp(op, "pad_reflect") == 0) return wk_image_crop(image, -3, -2, 20, 16, reflect);
    if (strcmp(op, "horizontal") == 0) return wk_image_flip_horizontal(image);
    if (strcmp(op, "vertical") == 0) return wk_image_flip_vertical(image);
    if (sscanf(op, "rotate_%lf", &number) == 1) return wk_image_rotate(image, number, 9);
    if (sscanf(op, "brightness_%lf", &number) == 1) return wk_image_brightness(image, number);
    if (sscanf(op, "contrast_%lf", &number) == 1) return wk_image_contrast(image, number);
    if (sscanf(op, "saturation_%lf", &number) == 1) return wk_image_saturation(image, number);
    if (sscanf(op, "hue_%lf", &number) == 1) return wk_image_hue(image, number);
    wk_transform *t = NULL;
    if (strcmp(op, "resize_short") == 0) t = wk_transform_resize(12, 0);
    if (strcmp(op, "centre") == 0) t = wk_transform_centre_crop(10, 12);
    if (strcmp(op, "centre_larger") == 0) t = wk_transform_centre_crop(25, 12);
    if (!t && strcmp(op, "resized_crop") == 0) {
        wk_status status = wk_image_crop(image, 2, 3, 11, 10, fill);
        return status == WK_OK ? wk_image_resize(image, 8, 9) : status;
    }
    cr_assert_not_null(t, "%s is not known here", op);
    wk_status status = t->class_->pixels(t, image, NULL);
    wk_transform_destroy(t);
    return status;
}

Test(pictures, transforms_are_those_of_torchvision) {
    wk_scope scope = wk_scope_begin();
    wk_safetensors *file = golden_open("images.safetensors");
    wk_image image = { 0 };
    int cases = 0;
    for (int i = 0; i < wk_safetensors_count(file); i++) {
        const char *name = wk_safetensors_name(file, i), *op = strchr(name, '/') + 1;
        char source[64];
        (void)snprintf(source, sizeof source, "%.*s/source", (int)(op - name - 1), name);
        if (!wk_safetensors_has(file, source) || strcmp(op, "source") == 0 || strcmp(op, "normalised") == 0
            || strcmp(op, "erased") == 0)
            continue;
        take(file, source, &image);
        cr_assert_eq(apply(op, &image), WK_OK, "%s: %s", name, wk_message());
        expect_equal(file, &image, name);
        cases++;
    }
    cr_expect_gt(cases, 90);
    wk_image_free(&image);
    wk_safetensors_close(file);
    wk_scope_end(scope);
}

Test(pictures, values_are_those_of_torchvision) {
    wk_scope scope = wk_scope_begin();
    wk_safetensors *file = golden_open("images.safetensors");
    wk_image image = { 0 };
    take(file, "colour/source", &image);
    wk_transform *list[2] = {
        wk_transform_normalise((wk_normalise_opts){ 3, { 0.485, 0.456, 0.406 }, { 0.229, 0.224, 0.225 } }), NULL
    };
    wk_draws draws = wk_draws_of(0, 0, 0);
    float values[3 * 23 * 31];
    cr_assert_eq(wk_transforms_apply((wk_transforms){ list, 1 }, &image, &draws, (wk_image_size){ 23, 31 }, values),
                 WK_OK);
    cr_expect_arr_eq(values, wk_data(golden_get(file, "colour/normalised")), sizeof values);
    cr_expect_eq(wk_transforms_apply((wk_transforms){ list, 1 }, &image, &draws, (wk_image_size){ 9, 9 }, values),
                 WK_SHAPE);
    cr_expect_not_null(strstr(wk_message(), "an image of 23 × 31 (height × width), others are of 9 × 9"), "%s",
                       wk_message());
    wk_clear_error();
    /* Erasing wipes out one rectangle and nothing else. */
    list[1] = wk_transform_random_erasing((wk_random_erasing_opts){ .p = WK_SET(1), .value = 0.5 });
    for (int64_t item = 0; item < 40; item++) {
        float erased[3 * 23 * 31];
        int64_t top = 99, left = 99, bottom = -1, right = -1, count = 0;
        draws = wk_draws_of(1, 2, item);
        cr_assert_eq(wk_transforms_apply((wk_transforms){ list, 2 }, &image, &draws, (wk_image_size){ 23, 31 }, erased),
                     WK_OK);
        for (int64_t y = 0; y < 23; y++)
            for (int64_t x = 0; x < 31; x++) {
                const int64_t at = y * 31 + x;
                cr_assert(erased[at] == values[at] || erased[at] == 0.5f);
                if (erased[at] == values[at]) continue;
                top = y < top ? y : top, left = x < left ? x : left, bottom = y > bottom ? y : bottom;
                right = x > right ? x : right, count++;
            }
        cr_expect_eq(count, (bottom - top + 1) * (right - left + 1), "a rectangle");
        cr_expect(count > 0.01 * 23 * 31 && count < 0.4 * 23 * 31, "%lld pixels", (long long)count);
    }
    for (int i = 0; i < 2; i++) wk_transform_destroy(list[i]);
    wk_image_free(&image);
    wk_safetensors_close(file);
    wk_scope_end(scope);
}

#define FOLDER WICK_SOURCE_DIR "/tests/golden/images/"

Test(pictures, files_are_read_as_pillow_reads_them) {
    wk_scope scope = wk_scope_begin();
    wk_safetensors *file = golden_open("images.safetensors");
    wk_image image = { 0 };
    int files = 0;
    for (int i = 0; i < wk_safetensors_count(file); i++) {
        const char *name = wk_safetensors_name(file, i), *slash = strchr(name, '/');
        if (strncmp(name, "file", 4) != 0) continue;
        char path[500];
        (void)snprintf(path, sizeof path, FOLDER "%s", slash + 1);
        cr_assert_eq(wk_image_read(&image, path, name[4] == '_' ? 1 : 3), WK_OK, "%s", wk_message());
        expect_equal(file, &image, name);
        files++;
    }
    cr_expect_eq(files, 29);
    wk_image_free(&image);
    wk_safetensors_close(file);
    wk_scope_end(scope);
}

/* ---- files that are not what they say ---- */

static void refuse(wk_image *image, const char *bytes, size_t size, const char *expected) {
    char *exact = malloc(size ? size : 1); /* so that a sanitizer sees a read past the end */
    memcpy(exact, bytes, size);
    cr_expect_eq(wk_image_decode(image, exact, size, "f", 3), WK_FORMAT, "%zu bytes", size);
    cr_expect_not_null(strstr(wk_message(), expected), "%s", wk_message());
    cr_expect_eq(strncmp(wk_message(), "f: ", 3), 0, "%s", wk_message());
    wk_clear_error();
    free(exact);
}

Test(pictures, truncated_files) {
    static const char *const names[] = { "rgb.png", "interlaced.png", "colour.jpg", "progressive.jpg" };
    wk_image image = { 0 };
    for (int i = 0; i < 4; i++) {
        char path[500];
        (void)snprintf(path, sizeof path, FOLDER "%s", names[i]);
        size_t size = 0;
        char *bytes = read_bytes(path, &size);
        cr_assert_not_null(bytes);
        cr_assert_eq(wk_image_decode(&image, bytes, size, path, 3), WK_OK);
        for (size_t cut = 8; cut + 4 < size; cut += 7) refuse(&image, bytes, cut, "this");
        refuse(&image, bytes, 2, "neither a PNG nor a JPEG file (2 bytes)");
        free(bytes);
    }
    wk_image_free(&image);
}

static void put(unsigned char *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* Headers that promise more than there may be: refused before memory is taken. */
Test(pictures, bombs) {
    wk_image image = { 0 };
    size_t size = 0;
    char *png = read_bytes(FOLDER "rgb.png", &size);
    put((unsigned char *)png + 16, 60000);
    put((unsigned char *)png + 20, 60000);
    put((unsigned char *)png + 29, (uint32_t)crc32(0, (const Bytef *)png + 12, 17));
    refuse(&image, png, size,
           "an image of 60000 × 60000 (height × width), expected sides of 1 to 65535 and at most 134217728 pixels");
    put((unsigned char *)png + 16, 2000000000);
    put((unsigned char *)png + 29, (uint32_t)crc32(0, (const Bytef *)png + 12, 17));
    refuse(&image, png, size, "this PNG cannot be read");
    free(png);
    char *jpeg = read_bytes(FOLDER "colour.jpg", &size);
    size_t at = 2;
    while (at + 9 < size && ((unsigned char)jpeg[at + 1] & 0xfe) != 0xc0) /* to the frame */
        at += 2 + ((size_t)(unsigned char)jpeg[at + 2] << 8 | (unsigned char)jpeg[at + 3]);
    memset(jpeg + at + 5, 0xf0, 4);
    refuse(&image, jpeg, size, "an image of 61680 × 61680 (height × width)");
    cr_expect_null(image.pixels);
    free(jpeg);
    wk_image_free(&image);
}

/* Each request for memory fails once: a message, and nothing is left behind. */
Test(pictures, without_memory) {
    static const char *const names[] = { "interlaced.png", "progressive.jpg", "cmyk.jpg", "gray.png" };
    allocator_watch();
    for (int i = 0; i < 4; i++) {
        char path[500];
        (void)snprintf(path, sizeof path, FOLDER "%s", names[i]);
        for (long k = 1;; k++) {
            wk_image image = { 0 };
            allocator_fail_at(k);
            wk_status status = wk_image_read(&image, path, 3);
            if (status == WK_OK) status = wk_image_resize(&image, 9, 40);
            if (status == WK_OK) status = wk_image_rotate(&image, 30, 0);
            const bool failed = allocator_has_failed();
            allocator_fail_at(0);
            cr_assert_eq(status, failed ? WK_NO_MEMORY : WK_OK, "request %ld: %s", k, wk_message());
            wk_clear_error();
            wk_image_free(&image);
            cr_assert_eq(allocator_held(), 0, "request %ld", k);
            if (!failed) break;
        }
    }
}

/* ---- chance ---- */

/* What is drawn depends on seed, epoch and item, and is spread as it should be. */
Test(draws, are_a_function_of_seed_epoch_and_item) {
    double first[3] = { 0 }, sum = 0;
    for (int64_t item = 0; item < 3; item++) {
        wk_draws draws = wk_draws_of(7, 1, item), again = wk_draws_of(7, 1, item);
        for (int i = 0; i < 1000; i++) {
            const double value = wk_draw_uniform(&draws, 0, 1);
            cr_assert_eq(value, wk_draw_uniform(&again, 0, 1));
            cr_assert(value >= 0 && value < 1);
            sum += value;
            if (i == 0) first[item] = value;
        }
    }
    cr_expect_float_eq(sum / 3000, 0.5, 0.03);
    cr_expect_neq(first[0], first[1]);
    cr_expect_neq(first[1], first[2]);
    wk_draws other_epoch = wk_draws_of(7, 2, 0), other_seed = wk_draws_of(8, 1, 0);
    cr_expect_neq(wk_draw_uniform(&other_epoch, 0, 1), first[0]);
    cr_expect_neq(wk_draw_uniform(&other_seed, 0, 1), first[0]);
}

/* A picture whose pixels tell their place, cut at random: all places come, and nothing but whole parts. */
Test(draws, crops_reach_every_place) {
    wk_transform *crop = wk_transform_random_crop((wk_random_crop_opts){ .height = 5, .width = 4, .padding = 1 });
    wk_image image = { 0 };
    int seen[4][3] = { 0 };
    for (int64_t item = 0; item < 500; item++) {
        wk_draws draws = wk_draws_of(0, 0, item);
        cr_assert_eq(wk_image_turn(&image, 6, 4, 1), WK_OK);
        for (int i = 0; i < 24; i++) image.pixels[i] = (unsigned char)(i + 1);
        cr_assert_eq(crop->class_->pixels(crop, &image, &draws), WK_OK);
        const int middle = image.pixels[2 * 4 + 2] - 1, top = middle / 4 - 2, left = middle % 4 - 2;
        cr_assert(top >= -1 && top <= 2 && left >= -1 && left <= 1, "(%d, %d)", top, left);
        seen[top + 1][left + 1]++;
    }
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 3; x++)
            cr_expect(seen[y][x] > 15 && seen[y][x] < 80, "(%d, %d): %d times", y, x, seen[y][x]);
    wk_image_free(&image);
    wk_transform_destroy(crop);
}

Test(draws, resized_crops_keep_their_limits) {
    wk_transform *crop = wk_transform_random_resized_crop((wk_random_resized_crop_opts){ .height = 8, .width = 8 });
    wk_image image = { 0 };
    for (int64_t item = 0; item < 100; item++) {
        wk_draws draws = wk_draws_of(0, 0, item);
        const int64_t height = item < 50 ? 40 : 3, width = item < 50 ? 50 : 200; /* the latter never fits: the middle */
        cr_assert_eq(wk_image_turn(&image, height, width, 3), WK_OK);
        memset(image.pixels, (int)item, (size_t)(height * width * 3));
        cr_assert_eq(crop->class_->pixels(crop, &image, &draws), WK_OK);
        cr_assert(image.height == 8 && image.width == 8);
        for (int i = 0; i < 192; i++) cr_assert_eq(image.pixels[i], item);
    }
    wk_image_free(&image);
    wk_transform_destroy(crop);
}

Test(pictures, what_makes_no_sense) {
    static const char *const messages[] = {
        "random_crop: a size of 0 × 4 (height × width), expected sides of 1 to 65535",
        "horizontal_flip: p is 1.5, expected 0 to 1",
        "random_resized_crop: scale from 0.5 to 2, expected a range within 1e-09 to 1",
        "colour_jitter: hue is 0.7, expected 0 to 0.5",
        "normalise: mean 0 and deviation 0, expected finite ones, the latter more than 0",
    };
    for (int i = 0; i < 5; i++) {
        wk_transform *t =
            i == 0   ? wk_transform_random_crop((wk_random_crop_opts){ .width = 4 })
            : i == 1 ? wk_transform_horizontal_flip(1.5)
            : i == 2 ? wk_transform_random_resized_crop((wk_random_resized_crop_opts){ 4, 4, { 0.5, 2 }, { 1, 1 } })
            : i == 3 ? wk_transform_colour_jitter((wk_colour_jitter_opts){ .hue = 0.7 })
                     : wk_transform_normalise((wk_normalise_opts){ .channels = 1 });
        cr_expect_null(t);
        cr_expect_str_eq(wk_message(), messages[i]);
        wk_clear_error();
    }
    wk_image image = { 0 };
    cr_assert_eq(wk_image_turn(&image, 4, 5, 1), WK_OK);
    cr_expect_eq(wk_image_crop(&image, -4, 0, 4, 5, (wk_image_outside){ WK_BORDER_REFLECT, 0 }), WK_INVALID);
    wk_clear_error();
    cr_expect_eq(wk_image_resize(&image, 0, 5), WK_INVALID);
    wk_clear_error();
    cr_expect_eq(wk_image_turn(&image, 40000, 40000, 3), WK_INVALID);
    wk_clear_error();
    wk_image_free(&image);
}

/* ---- mixing ---- */

Test(mixing, equals_torchvision_for_a_share) {
    wk_scope scope = wk_scope_begin();
    wk_safetensors *file = golden_open("images.safetensors");
    const wk_dims dims = WK_DIMS(2, 6, 5);
    const int64_t *label = wk_data(golden_get(file, "mix/labels"));
    const float *images = wk_data(golden_get(file, "mix/images"));
    float batch[4 * 60], targets[12];
    const double share = *(const double *)wk_data(golden_get(file, "mixup/share"));
    memcpy(batch, images, sizeof batch);
    wk__mix_add(batch, images + 180, 4, dims, share);
    wk__mix_targets(targets, label, 4, 3, share);
    cr_expect_arr_eq(batch, wk_data(golden_get(file, "mixup/images")), sizeof batch);
    cr_expect_arr_eq(targets, wk_data(golden_get(file, "mixup/targets")), sizeof targets);
    const int64_t *corner = wk_data(golden_get(file, "cutmix/box")),
                  box[4] = { corner[1], corner[0], corner[3], corner[2] };
    memcpy(batch, images, sizeof batch);
    wk__mix_paste(batch, images + 180, 4, dims, box);
    wk__mix_targets(targets, label, 4, 3, 1 - (double)((box[2] - box[0]) * (box[3] - box[1])) / 30);
    cr_expect_arr_eq(batch, wk_data(golden_get(file, "cutmix/images")), sizeof batch);
    cr_expect_arr_eq(targets, wk_data(golden_get(file, "cutmix/targets")), sizeof targets);
    wk_safetensors_close(file);
    wk_scope_end(scope);
}

/* Two pictures, of zeros and of ones, mixed in many epochs: the mean share of the own class, and how often it is nearly
 * whole, as the beta distribution has it. */
static double mean_of(double alpha, bool cuts, int64_t *whole) {
    enum { EPOCHS = 600, SIDE = 16 };
    wk_scope scope = wk_scope_begin();
    wk_tensor *images = wk_zeros(WK_F32, WK_DIMS(2, 1, SIDE, SIDE)), *labels = wk_arange(2);
    for (int i = 0; i < SIDE * SIDE; i++) ((float *)wk_data(images))[SIDE * SIDE + i] = 1;
    wk_dataset *source = wk_tensor_dataset(images, labels);
    source->classes = 2;
    wk_dataset *mixed = wk_mixed_dataset(source, (wk_mix_opts){ cuts ? 0 : alpha, cuts ? alpha : 0 });
    cr_assert_not_null(mixed, "%s", wk_message());
    double sum = 0;
    *whole = 0;
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++) {
        float input[2 * SIDE * SIDE], target[4];
        static const int64_t items[2] = { 0, 1 };
        cr_assert_eq(wk_dataset_fetch(mixed, (wk_moment){ 3, epoch }, items, 2, input, target), WK_OK);
        double shown = 0;
        for (int i = 0; i < SIDE * SIDE; i++) shown += input[i];
        cr_assert_float_eq(target[0] + target[1], 1, 1e-6);
        cr_assert_float_eq(shown / (SIDE * SIDE), target[1], 1e-5, "the target tells what is to be seen");
        sum += target[0];
        *whole += target[0] > 0.9f;
    }
    wk_dataset_destroy(source);
    wk_dataset_destroy(mixed);
    wk_scope_end(scope);
    return sum / EPOCHS;
}

Test(mixing, shares_are_of_the_beta_distribution) {
    int64_t whole;
    cr_expect_float_eq(mean_of(1, false, &whole), 0.5, 0.05);
    cr_expect(whole > 35 && whole < 90, "a tenth of uniform shares is above 0.9: %lld of 600", (long long)whole);
    cr_expect_float_eq(mean_of(0.2, false, &whole), 0.5, 0.07);
    cr_expect(whole > 190 && whole < 280, "P(Beta(0.2, 0.2) > 0.9) = 0.39: %lld of 600", (long long)whole);
    cr_expect_float_eq(mean_of(1, true, &whole), 0.6, 0.2);
}
