/* pictures.c: data of pictures in a run's file: folders, transforms, classes by name, splits, weights, mixing. */
#include "train/support.h"

#include "io/png.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void set_up(void) {
    run_set_up("train_pictures", 96);
}
TestSuite(pictures, .init = set_up, .fini = run_tear_down);

/* PNGs of `count` sizes below FOLDER/pictures: dark ones, bright ones and gray ones. */
static void make_pictures(int count) {
    static const char *const classes[] = { "bright", "dark", "gray" };
    char path[600];
    (void)snprintf(path, sizeof path, "%s/pictures", run_folder);
    cr_assert_eq(mkdir(path, 0777), 0);
    for (int c = 0; c < 3; c++) {
        (void)snprintf(path, sizeof path, "%s/pictures/%s", run_folder, classes[c]);
        cr_assert_eq(mkdir(path, 0777), 0);
        for (int i = 0; i < count; i++) {
            unsigned char pixels[24 * 30 * 3];
            wk_text png = { 0 };
            for (size_t k = 0; k < sizeof pixels; k++)
                pixels[k] = (unsigned char)((c == 0 ? 200 : c == 1 ? 20 : 110) + (int)(k * 7 + (size_t)i * 13) % 40);
            cr_assert_eq(wk__png_encode(&png, pixels, 20 + i % 5, 18 + i % 7, 3), WK_OK);
            (void)snprintf(path, sizeof path, "%s/pictures/%s/%03d.png", run_folder, classes[c], i);
            write_bytes(path, png.data, png.size);
            wk_text_free(&png);
        }
    }
}

/* A run on those pictures, with args of the data. */
static void write_folder_run(int classes, const char *args, const char *rest) {
    char text[4000];
    (void)snprintf(
        text, sizeof text,
        "data: { name: image_folder, args: { root: %s/pictures, batch_size: 8, workers: 2, %s } }\noutput: %s\n"
        "model: { name: mlp, args: { in_features: 768, hidden: 16, classes: %d } }\noptimizer: { name: AdamW, args: { "
        "lr: 1e-2 } }\n%s",
        run_folder, args, run_output, classes, rest);
    run_write_all(text);
}

#define SIZED                                                                                                       \
    "transforms: [ { name: random_resized_crop, args: { size: 16, scale: [0.5, 1] } }, { name: horizontal_flip }, " \
    "{ name: normalise, args: { mean: 0.5, std: 0.5 } } ], "                                                        \
    "val_transforms: [ { name: resize, args: { size: 18 } }, { name: centre_crop, args: { size: 16 } }, "           \
    "{ name: normalise, args: { mean: 0.5, std: 0.5 } } ]"

static bool says(const char *text, const char *part) {
    return strstr(text, part) != NULL;
}

Test(pictures, a_folder_learns) {
    make_pictures(20);
    write_folder_run(3, "val_part: 0.2, " SIZED, "trainer: { max_epochs: 6 }\n");
    free(run_succeeds(NULL));
    char *metrics = run_text("metrics.csv"), *page = run_text("report.html"), *last = strrchr(metrics, ',');
    cr_expect(last && atof(last + 1) > 0.9, "%s", metrics);
    cr_expect(says(page, "bright"), "classes have their folders' names");
    free(metrics);
    free(page);
}

/* Two parts of a run draw what one run draws, whatever the number of threads. */
Test(pictures, transforms_resume_exactly) {
    static const char *const rest =
        "model: { name: mlp, args: { hidden: 8 } }\noptimizer: { name: SGD, args: { lr: 0.05 } }\n";
    char text[4000];
    for (int workers = 1; workers <= 3; workers += 2) {
        (void)snprintf(
            text, sizeof text,
            "data:\n  name: idx\n  args:\n    { root: %s, batch_size: 16, workers: %d, mean: 0.286, std: 0.353,\n"
            "      transforms: [ { name: random_crop, args: { size: 28, padding: 4 } }, { name: horizontal_flip },\n"
            "                    { name: random_erasing } ] }\noutput: %s\n%s",
            run_folder, workers, run_output, rest);
        run_write_all(text);
        if (workers == 1) {
            free(run_succeeds(WORDS("-o", "trainer.max_epochs=3")));
            run_set_aside("whole");
        } else {
            free(run_succeeds(WORDS("-o", "trainer.max_epochs=3", "-o", "trainer.max_steps=8")));
            free(run_succeeds(WORDS("-o", "trainer.max_epochs=3", "--resume")));
        }
    }
    run_same_checkpoint("whole", "checkpoints/last.safetensors");
}

/* Mixing and weighted draws are no matter of threads either. */
Test(pictures, mixed_batches_are_those_of_any_number_of_threads) {
    make_pictures(8);
    write_folder_run(3, "val_part: 0.25, mixup: 0.2, cutmix: 1.0, oversample: true, " SIZED,
                     "trainer: { max_epochs: 2 }\n");
    free(run_succeeds(NULL));
    run_set_aside("whole");
    free(run_succeeds(WORDS("-o", "data.args.workers=3")));
    run_same_checkpoint("whole", "checkpoints/last.safetensors");
}

Test(pictures, classes_by_name) {
    make_pictures(12);
    write_folder_run(2, "val_part: 0.25, labels: { bright: light, gray: light }, class_weights: { dark: 2 }, " SIZED,
                     "trainer: { max_epochs: 4 }\n");
    free(run_succeeds(NULL));
    char *page = run_text("report.html");
    cr_expect(says(page, "light") && says(page, "dark") && !says(page, ">bright<"));
    free(page);
    write_folder_run(2, "val_part: 0.25, labels: { bright: null }, " SIZED, "trainer: { max_epochs: 1 }\n");
    free(run_succeeds(WORDS("--overwrite")));
}

Test(pictures, any_data_may_be_split_and_weighed) {
    char text[3000];
    (void)snprintf(
        text, sizeof text,
        "data:\n  name: items\n  args:\n    data: { name: idx, args: { root: %s, limit: 90 } }\n    val_part: 0.2\n"
        "    oversample: true\n    batch_size: 16\noutput: %s\nmodel: { name: mlp, args: { hidden: 8 } }\n"
        "optimizer: { name: SGD, args: { lr: 0.05 } }\n",
        run_folder, run_output);
    run_write_all(text);
    free(run_succeeds(NULL));
}

Test(pictures, what_is_refused) {
    make_pictures(4);
    write_folder_run(3, "val_part: 0.25, transforms: [ { name: random_corp } ]", "");
    run_refused("unknown transform \"random_corp\"; did you mean \"random_crop\"? (known: random_crop, ", NULL);
    write_folder_run(3, "val_part: 0.25, transforms: [ { name: random_crop, args: { size: 16, pading: 4 } } ]", "");
    run_refused("unknown key \"pading\" in the args of transform \"random_crop\"; did you mean \"padding\"?", NULL);
    write_folder_run(3, "val_part: 0.25, transforms: [ { name: normalise, args: { mean: 0, std: 1 } } ]", "");
    run_refused("transforms and val_transforms must both hold normalise, or neither", NULL);
    write_folder_run(3, "val_part: 0.25, transforms: { name: resize }", "");
    run_refused("transforms", NULL);
    write_folder_run(3, "val_part: 0.25, labels: { brigth: light }", "");
    run_refused("there is no class \"brigth\" among the 3 of the data; did you mean \"bright\"?", NULL);
    write_folder_run(3, "val_part: 0.01", "");
    run_refused("val_part 0.01 of 12 items leaves 12 to train on and 0 to evaluate on", NULL);
    write_folder_run(3, "oversample: true, class_weights: { dark: 2 }", "");
    run_refused("oversample and class_weights both say how often items are drawn", NULL);
    write_folder_run(
        3,
        "val_part: 0.25, transforms: [ { name: resize, args: { size: [16, 16] } }, { name: rotation, args: { "
        "degrees: [20, 10] } } ]",
        "");
    run_refused("rotation: degrees from 20 to 10", NULL);
}
