/* images.c: the recipes of Fashion-MNIST, two steps each; the example of segmentation, shortened. */
#include "tasks/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(images, .init = task_set_up, .fini = task_tear_down);

static void two_steps(char *file) {
    make_idx_folder(task_folder, 24);
    char root[600];
    (void)snprintf(root, sizeof root, "data.args.root=%s", task_folder);
    free(task_train(file, WORDS("-o", root, "-o", "data.args.batch_size=8", "-o", "trainer.max_steps=2", "-o",
                                "trainer.limit_val_batches=1", "-o", "trainer.log_every_n_steps=1")));
    cr_expect(isfinite(task_metric("val_loss", false)));
}
#define RECIPE(name) WICK_SOURCE_DIR "/examples/fashion_mnist/" name ".yaml"
Test(images, recipe_mlp) {
    two_steps(RECIPE("mlp"));
}
Test(images, recipe_resnet18) {
    two_steps(RECIPE("resnet18"));
}
Test(images, recipe_vit) {
    two_steps(RECIPE("vit"));
}

Test(images, a_unet_finds_shapes) {
    free(task_train(EXAMPLE("segmentation"), WORDS("-o", "trainer.max_epochs=2", "-o", "data.args.noise=0")));
    cr_expect_gt(task_metric("val_iou", false), 0.45, "%g", task_metric("val_iou", false));
    cr_expect_gt(task_metric("val_pixel_accuracy", false), task_metric("val_iou", false));
    task_refused(1, "the model gives", WORDS("train", "-c", EXAMPLE("segmentation"), "-o", "model.args.classes=2"));
    task_refused(1, "wrapper \"segmentation\" needs images",
                 WORDS("train", "-c", EXAMPLE("segmentation"), "-o",
                       "data={name: csv, args: {file: " WICK_SOURCE_DIR
                       "/examples/csv_regression/houses.csv, target: price, "
                       "features: area}}"));
}
