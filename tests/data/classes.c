/* Datasets made of others: folders of pictures, parts, other classes, weights; what transforms leave alone. */
#include "io/png.h"
#include "support/golden.h"
#include "support/program.h"
#include "wick/data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- sampler ---- */

Test(sampler, weighted_draws_are_those_of_torch) {
    wk_scope scope = wk_scope_begin();
    wk_safetensors *file = golden_open("images.safetensors");
    wk_sampler_opts opts = { .count = 50, .shuffle = true, .weights = wk_data(golden_get(file, "weighted/weights")) };
    int64_t drawn[50], part[25];
    cr_assert_eq(wk_sampler_fill(opts, 0, drawn), WK_OK);
    cr_expect_arr_eq(drawn, wk_data(golden_get(file, "weighted/seed_0")), sizeof drawn);
    opts.seed = 5;
    cr_assert_eq(wk_sampler_fill(opts, 3, drawn), WK_OK);
    const int64_t *wanted = wk_data(golden_get(file, "weighted/seed_8"));
    cr_expect_arr_eq(drawn, wanted, sizeof drawn, "epoch 3 of seed 5 is that of seed 8");
    opts.ranks = 2;
    opts.rank = 1;
    cr_assert_eq(wk_sampler_fill(opts, 3, part), WK_OK);
    for (int i = 0; i < 25; i++) cr_expect_eq(part[i], wanted[2 * i + 1]);
    opts.shuffle = false;
    cr_expect_eq(wk_sampler_length(opts), -1);
    wk_clear_error();
    wk_safetensors_close(file);
    wk_scope_end(scope);
}

/* Every item once, block by block, in another order in each epoch; ranks share what one rank would see. */
Test(sampler, blocks_are_shuffled_without_a_list) {
    static const int64_t counts[] = { 1, 2, 7, 64, 65, 100, 1023 };
    int64_t all[1024], again[1024], one[1024];
    for (int k = 0; k < 7; k++)
        for (int64_t block = 1; block <= 128; block *= 4) {
            wk_sampler_opts opts = { .count = counts[k], .shuffle = true, .seed = 4, .block = block };
            bool seen[1024] = { false };
            cr_assert_eq(wk_sampler_fill(opts, 1, all), WK_OK);
            int64_t changes = 0;
            for (int64_t i = 0; i < counts[k]; i++) {
                cr_assert(all[i] >= 0 && all[i] < counts[k] && !seen[all[i]], "item %lld", (long long)all[i]);
                seen[all[i]] = true;
                changes += i > 0 && all[i] / block != all[i - 1] / block;
            }
            cr_expect_eq(changes, (counts[k] + block - 1) / block - 1, "a block is left once");
            cr_assert_eq(wk_sampler_range(opts, 1, counts[k] / 2, counts[k] - counts[k] / 2, one), WK_OK);
            cr_expect_arr_eq(one, all + counts[k] / 2, (size_t)(counts[k] - counts[k] / 2) * sizeof *one);
            cr_assert_eq(wk_sampler_fill(opts, 2, again), WK_OK);
            cr_expect(counts[k] < 64 || memcmp(all, again, (size_t)counts[k] * sizeof *all) != 0);
            if (counts[k] < 3) continue;
            opts.ranks = 3;
            for (opts.rank = 0; opts.rank < 3; opts.rank++) {
                cr_assert_eq(wk_sampler_fill(opts, 1, one), WK_OK);
                for (int64_t i = 0; i < wk_sampler_length(opts); i++)
                    cr_assert_eq(one[i], all[(i * 3 + opts.rank) % counts[k]]);
            }
        }
}

/* ---- folders ---- */

static void make_folder(const char *format, const char *root) {
    char path[600];
    (void)snprintf(path, sizeof path, format, root);
    cr_assert_eq(mkdir(path, 0777), 0, "%s", path);
}

/* A PNG of one colour. */
static void make_png(const char *root, const char *name, int height, int width, unsigned char value) {
    char path[600];
    unsigned char pixels[4096];
    wk_text png = { 0 };
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    memset(pixels, value, sizeof pixels);
    cr_assert_eq(wk__png_encode(&png, pixels, height, width, 3), WK_OK);
    write_bytes(path, png.data, png.size);
    wk_text_free(&png);
}

/* Classes "ant", "bee" and, with capital letter first in the order of bytes, "Zebra". */
static const char *make_classes(void) {
    static char root[500];
    (void)snprintf(root, sizeof root, "%s", fresh_folder("pictures"));
    make_folder("%s/bee", root);
    make_folder("%s/ant", root);
    make_folder("%s/ant/a", root);
    make_folder("%s/ant/a-b", root);
    make_folder("%s/Zebra", root);
    make_png(root, "ant/z.png", 6, 8, 10);
    make_png(root, "ant/a/2.PNG", 6, 8, 30);
    make_png(root, "ant/a/1.png", 6, 8, 40);
    make_png(root, "ant/a-b/1.png", 6, 8, 20);
    make_folder("%s/ant/a/c", root);
    make_png(root, "ant/a/c/1.png", 6, 8, 35);
    make_png(root, "bee/1.png", 6, 8, 50);
    make_png(root, "Zebra/1.png", 6, 8, 60);
    char path[600];
    (void)snprintf(path, sizeof path, "%s/bee/notes.txt", root);
    write_bytes(path, "hum", 3);
    return root;
}

/* As torchvision lists them: Zebra, ant, bee; ant/z, ant/a/1, ant/a/2, ant/a-b/1, ant/a/c/1 behind it ('-' comes before
 * '/'). */
Test(image_folder, classes_and_files_in_torchvisions_order) {
    const char *root = make_classes();
    wk_dataset *d = wk_image_folder((wk_image_folder_opts){ .root = root });
    cr_assert_not_null(d, "%s", wk_message());
    static const int values[] = { 60, 10, 40, 30, 20, 35, 50 }, labels[] = { 0, 1, 1, 1, 1, 1, 2 };
    cr_assert_eq(d->count, 7);
    cr_assert_eq(d->classes, 3);
    cr_expect_str_eq(d->class_names[0], "Zebra");
    cr_expect_str_eq(d->class_names[2], "bee");
    cr_expect(d->input_dims.rank == 3 && d->input_dims.size[0] == 3 && d->input_dims.size[1] == 6);
    for (int64_t i = 0; i < 7; i++) {
        float input[3 * 6 * 8];
        int64_t label;
        cr_assert_eq(wk_dataset_fetch(d, (wk_moment){ 0 }, &i, 1, input, &label), WK_OK, "%s", wk_message());
        cr_expect_eq(label, labels[i]);
        cr_expect_eq(wk_dataset_label(d, i), labels[i]);
        cr_expect_eq(input[0], (float)values[i] / 255.0F, "item %lld", (long long)i);
    }
    wk_dataset_destroy(d);
    remove_folder(root);
}

static void expect_refused(wk_image_folder_opts opts, const char *expected) {
    cr_expect_null(wk_image_folder(opts));
    cr_expect_not_null(strstr(wk_message(), expected), "%s", wk_message());
    wk_clear_error();
}

Test(image_folder, what_cannot_be_read) {
    const char *root = make_classes();
    static const char *const names[] = { "Zebra", "ant", "bees" };
    char path[600];
    expect_refused((wk_image_folder_opts){ .root = "/nowhere/at/all" }, "/nowhere/at/all: this folder cannot be read");
    expect_refused((wk_image_folder_opts){ .root = root, .class_names = names, .classes = 3 },
                   "bee: a folder of a class that is not among the 3 known ones; did you mean \"bees\"?");
    (void)snprintf(path, sizeof path, "%s/bee", root);
    expect_refused((wk_image_folder_opts){ .root = path }, "no folders in it; expected one for each class");
    make_folder("%s/cat", root);
    expect_refused((wk_image_folder_opts){ .root = root }, "no picture (.png, .jpg, .jpeg) of the class \"cat\"");
    make_png(root, "cat/1.webp", 6, 8, 1);
    expect_refused((wk_image_folder_opts){ .root = root }, "cat/1.webp: PNG and JPEG are read, this is another format");
    (void)snprintf(path, sizeof path, "%s/cat/1.webp", root);
    cr_assert_eq(unlink(path), 0);
    make_png(root, "cat/1.png", 5, 8, 1);
    wk_dataset *d = wk_image_folder((wk_image_folder_opts){ .root = root });
    cr_assert_not_null(d);
    float input[3 * 6 * 8];
    int64_t label, other = 7;
    cr_expect_eq(wk_dataset_fetch(d, (wk_moment){ 0 }, &other, 1, input, &label), WK_SHAPE);
    cr_expect_not_null(strstr(wk_message(), "1.png: an image of 5 × 8 (height × width), others are of 6 × 8"), "%s",
                       wk_message());
    wk_clear_error();
    (void)snprintf(path, sizeof path, "%s/cat/1.png", root);
    write_bytes(path, "GIF89a..", 8);
    cr_expect_eq(wk_dataset_fetch(d, (wk_moment){ 0 }, &other, 1, input, &label), WK_FORMAT);
    cr_expect_not_null(strstr(wk_message(), "cat/1.png: neither a PNG nor a JPEG file (8 bytes)"), "%s", wk_message());
    wk_clear_error();
    wk_dataset_destroy(d);
    remove_folder(root);
}

/* ---- transformed ---- */

/* The same bytes from every number of threads, every order of batches and every rank; others in another epoch. */
Test(transformed, depends_on_seed_epoch_and_item_alone) {
    wk_transform *list[] = {
        wk_transform_random_crop((wk_random_crop_opts){ .height = 28, .width = 28, .padding = 4 }),
        wk_transform_horizontal_flip(0.5),
        wk_transform_rotation(-20, 20, 0),
        wk_transform_normalise((wk_normalise_opts){ 1, { 0.3 }, { 0.4 } }),
        wk_transform_random_erasing((wk_random_erasing_opts){ .p = WK_SET(0.5) }),
    };
    char folder[400], images[500], labels[500];
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("idx"));
    make_idx_folder(folder, 60);
    (void)snprintf(images, sizeof images, "%s/train-images-idx3-ubyte", folder);
    (void)snprintf(labels, sizeof labels, "%s/train-labels-idx1-ubyte", folder);
    wk_dataset *source = wk_idx_dataset((wk_idx_opts){ .images = images, .labels = labels });
    wk_dataset *d = wk_transformed_dataset(source, list, 5);
    cr_assert_not_null(d, "%s", wk_message());
    wk_dataset_destroy(source); /* it is kept */
    static float whole[60][784], other[784];
    for (int64_t i = 0; i < 60; i++) {
        int64_t label;
        cr_assert_eq(wk_dataset_fetch(d, (wk_moment){ 9, 2 }, &i, 1, whole[i], &label), WK_OK);
        cr_assert_eq(wk_dataset_fetch(d, (wk_moment){ 9, 3 }, &i, 1, other, &label), WK_OK);
        cr_expect_neq(memcmp(whole[i], other, sizeof other), 0, "another epoch, another look");
    }
    for (int workers = 1; workers <= 3; workers++)
        for (int rank = 0; rank < workers; rank++) {
            wk_loader_opts opts = { .batch_size = 7,
                                    .workers = workers,
                                    .sampler = { .shuffle = true, .seed = 9, .rank = rank, .ranks = workers } };
            wk_loader *loader = wk_loader_create(d, opts);
            int64_t order[60], place = 0;
            opts.sampler.count = 60;
            cr_assert_eq(wk_sampler_fill(opts.sampler, 2, order), WK_OK);
            cr_assert_eq(wk_loader_start(loader, 2, 0), WK_OK);
            wk_batch batch;
            while (wk_loader_next(loader, &batch))
                for (int64_t i = 0; i < batch.size; i++, place++)
                    cr_assert_arr_eq((const float *)wk_data(batch.input) + i * 784, whole[order[place]], sizeof other);
            cr_expect_eq(place, 60 / workers);
            wk_loader_destroy(loader);
        }
    wk_dataset_destroy(d);
    remove_folder(folder);
}

Test(transformed, lists_in_a_wrong_order) {
    const char *root = make_classes();
    wk_dataset *source = wk_image_folder((wk_image_folder_opts){ .root = root });
    wk_transform *list[] = { wk_transform_normalise((wk_normalise_opts){ 1, { 0 }, { 1 } }),
                             wk_transform_vertical_flip(0.5) };
    cr_expect_null(wk_transformed_dataset(source, list, 2));
    cr_expect_str_eq(wk_message(),
                     "transform \"vertical_flip\" works on pixels: it must stand before \"normalise\", which "
                     "works on values");
    wk_clear_error();
    wk_transform *large[] = { wk_transform_random_crop((wk_random_crop_opts){ .height = 7, .width = 7 }) };
    wk_dataset *d = wk_transformed_dataset(source, large, 1);
    cr_assert_not_null(d);
    float input[3 * 49];
    int64_t label, item = 0;
    cr_expect_eq(wk_dataset_fetch(d, (wk_moment){ 0 }, &item, 1, input, &label), WK_SHAPE);
    cr_expect_str_eq(wk_message(),
                     "1.png: random_crop: an image of 6 × 8 with a padding of 0 is smaller than the crop of 7 × 7");
    wk_clear_error();
    wk_dataset_destroy(d);
    wk_dataset_destroy(source);
    remove_folder(root);
}

/* ---- parts, classes, weights ---- */

/* `count` items, of class 0 nine of ten, of 1 and 2 the rest. */
static wk_dataset *uneven(int64_t count) {
    wk_tensor *input = wk_kept_zeros(WK_F32, WK_DIMS(count, 1)), *label = wk_kept_zeros(WK_I64, WK_DIMS(count));
    for (int64_t i = 0; i < count; i++) {
        ((float *)wk_data(input))[i] = (float)i;
        ((int64_t *)wk_data(label))[i] = i % 10 < 9 ? 0 : 1 + i % 20 / 10;
    }
    wk_dataset *d = wk_tensor_dataset(input, label);
    d->classes = 3;
    wk_release(input);
    wk_release(label);
    return d;
}

Test(items, splits_are_stratified) {
    wk_dataset *d = uneven(200);
    for (int stratify = 0; stratify < 2; stratify++) {
        int64_t kept, again, of[3] = { 0 };
        int64_t *order = wk_split_items(d, 0.2, stratify, 3, &kept),
                *same = wk_split_items(d, 0.2, stratify, 3, &again);
        cr_assert_eq(kept, 40);
        cr_expect_arr_eq(order, same, 200 * sizeof *order);
        bool seen[200] = { false };
        for (int i = 0; i < 200; i++) {
            cr_assert(!seen[order[i]]);
            seen[order[i]] = true;
            cr_expect(i == 0 || i == 160 || order[i] > order[i - 1], "each half in order");
            if (i >= 160) of[wk_dataset_label(d, order[i])]++;
        }
        cr_expect(!stratify || (of[0] == 36 && of[1] == 2 && of[2] == 2), "%lld, %lld, %lld", (long long)of[0],
                  (long long)of[1], (long long)of[2]);
        wk_free(order);
        wk_free(same);
    }
    /* 0.13 of 180, 10, 10: 23.4, 1.3, 1.3; the 26th is of the class that lost most. */
    int64_t kept, of[3] = { 0 };
    int64_t *order = wk_split_items(d, 0.13, true, 3, &kept);
    cr_assert_eq(kept, 26);
    for (int i = 174; i < 200; i++) of[wk_dataset_label(d, order[i])]++;
    cr_expect(of[0] == 24 && of[1] == 1 && of[2] == 1);
    wk_free(order);
    cr_expect_null(wk_split_items(d, 1, true, 3, &kept));
    wk_clear_error();
    wk_dataset_destroy(d);
}

Test(items, parts_and_other_classes) {
    static const int64_t items[] = { 19, 9, 3 }, merged[] = { 1, 0, 0 }, without[] = { -1, 0, 1 },
                         wrong[] = { 0, 1, 2 };
    static const char *const names[] = { "rare", "usual" };
    wk_dataset *d = uneven(40), *part = wk_part_dataset(d, items, 3);
    wk_dataset *two = wk_relabelled_dataset(part, merged, 2, names), *few = wk_relabelled_dataset(d, without, 2, NULL);
    wk_dataset_destroy(d);
    wk_dataset_destroy(part);
    static const int64_t all[] = { 0, 1, 2 };
    float input[4];
    int64_t label[4];
    cr_assert_eq(wk_dataset_fetch(two, (wk_moment){ 0 }, all, 3, input, label), WK_OK);
    cr_expect(input[0] == 19 && input[1] == 9 && input[2] == 3);
    cr_expect(label[0] == 0 && label[1] == 0 && label[2] == 1);
    cr_expect_str_eq(two->class_names[1], "usual");
    cr_assert_eq(few->count, 4, "classes 1 and 2");
    cr_assert_eq(wk_dataset_fetch(few, (wk_moment){ 0 }, all, 3, input, label), WK_OK);
    cr_expect(input[0] == 9 && label[0] == 0 && input[1] == 19 && label[1] == 1);
    cr_expect_eq(wk_dataset_label(few, 1), 1);
    cr_expect_null(wk_relabelled_dataset(few, wrong, 1, NULL));
    cr_expect_str_eq(wk_message(), "class 1 becomes 1, expected -1 to 0");
    wk_clear_error();
    cr_expect_null(wk_part_dataset(few, (const int64_t[]){ 4 }, 1));
    wk_clear_error();
    wk_dataset_destroy(two);
    wk_dataset_destroy(few);
}

Test(items, classes_come_equally_often) {
    wk_dataset *d = uneven(3000);
    cr_assert_eq(wk_dataset_balance(d, NULL), WK_OK);
    cr_expect_float_eq(d->weights[0], 1 / 2700.0, 1e-12);
    wk_loader *loader = wk_loader_create(d, (wk_loader_opts){ .batch_size = 100, .sampler = { .shuffle = true } });
    int64_t of[3] = { 0 };
    wk_batch batch;
    cr_assert_eq(wk_loader_start(loader, 0, 0), WK_OK);
    while (wk_loader_next(loader, &batch))
        for (int64_t i = 0; i < batch.size; i++) of[((const int64_t *)wk_data(batch.target))[i]]++;
    for (int c = 0; c < 3; c++) cr_expect(of[c] > 880 && of[c] < 1120, "class %d: %lld of 3000", c, (long long)of[c]);
    wk_loader_destroy(loader);
    cr_assert_eq(wk_dataset_balance(d, (const double[]){ 0, 1, 0 }), WK_OK);
    loader = wk_loader_create(d, (wk_loader_opts){ .batch_size = 100, .sampler = { .shuffle = true } });
    cr_assert_eq(wk_loader_start(loader, 0, 0), WK_OK);
    while (wk_loader_next(loader, &batch))
        for (int64_t i = 0; i < batch.size; i++) cr_assert_eq(((const int64_t *)wk_data(batch.target))[i], 1);
    wk_loader_destroy(loader);
    cr_expect_eq(wk_dataset_balance(d, (const double[]){ 0, 0, 0 }), WK_INVALID);
    wk_clear_error();
    wk_dataset_destroy(d);
}
