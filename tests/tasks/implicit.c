/* implicit.c: LIIF as a run: its example, the YAML of LIIF's own trainer, the data that it learns from. */
#include "tasks/support.h"

#include "wick/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(implicit, .init = task_set_up, .fini = task_tear_down);

static bool is_png_of(const char *path, unsigned width, unsigned height) {
    size_t size = 0;
    char *bytes = read_bytes(path, &size);
    const unsigned char *b = (const unsigned char *)bytes;
    bool fits = size > 24 && memcmp(b, "\x89PNG\r\n\x1a\n", 8) == 0 && (unsigned)(b[18] << 8 | b[19]) == width
                && (unsigned)(b[22] << 8 | b[23]) == height;
    free(bytes);
    return fits;
}

#define SHORT                                                                                                          \
    "-o", "data.args.dataset.args.count=8", "-o", "data.args.dataset.args.val_count=2", "-o", "data.args.inp_size=12", \
        "-o", "data.args.dataset.args.image_size=48", "-o", "data.args.sample_q=64", "-o",                             \
        "model.args.encoder_spec.args.n_resblocks=1", "-o", "model.args.encoder_spec.args.n_feats=8"

/* The example, shortened: it learns, and draws a picture four times as fine. */
Test(implicit, the_example_learns_and_draws) {
    free(task_train(EXAMPLE("liif"), WORDS(SHORT, "-o", "data.args.repeat=16", "-o", "trainer.max_epochs=2", "-o",
                                           "wrapper.args.eval_bsize=10")));
    const double first = task_metric("val_psnr", true), last = task_metric("val_psnr", false);
    cr_expect_gt(first, 8, "%g", first);
    cr_expect_gt(last, first, "%g after %g", last, first);
    cr_expect(is_png_of(task_path("run/img/epoch-2.png"), 96, 48), "two pictures of 48 × 48, side by side");
}

/* Whole pictures in a validation of their own; the number of queries at a time changes nothing; other imnets. */
static void write_liif(const char *more) {
    FILE *f = fopen(task_path("liif.yaml"), "w");
    cr_assert_not_null(f);
    (void)fprintf(
        f,
        "seed: 2\n"
        "train_dataset:\n"
        "  dataset: { name: pictures, args: { count: 4, image_size: 32 } }\n"
        "  wrapper: { name: sr-implicit-downsampled, args: { inp_size: 8, scale_max: 4, augment: true, "
        "sample_q: 32, repeat: 4 } }\n"
        "  batch_size: 4\n"
        "val_dataset:\n"
        "  dataset: { name: pictures, args: { count: 2, first: 100, image_size: 32 } }\n"
        "  wrapper: { name: sr-implicit-downsampled, args: { scale_min: 4 } }\n"
        "  batch_size: 1\n"
        "data_norm: { inp: { sub: [0.5], div: [0.5] }, gt: { sub: [0.5, 0.4, 0.3], div: [0.5, 0.6, 0.7] } }\n"
        "model:\n"
        "  name: liif\n"
        "  args:\n"
        "    encoder_spec: { name: edsr-baseline, args: { no_upsampling: true, n_resblocks: 1, n_feats: 4 } }\n"
        "    imnet_spec: { name: mlp, args: { out_dim: 3, hidden_list: [8, 8] } }\n"
        "optimizer: { name: adam, args: { lr: 1.e-3 } }\n"
        "epoch_max: 2\nepoch_val: 1\nepoch_save: 1\n"
        "multi_step_lr: { milestones: [1], gamma: 0.5 }\n%s",
        more);
    (void)fclose(f);
}

Test(implicit, the_yaml_of_liifs_trainer) {
    write_liif("eval_type: div2k-4\neval_bsize: 100\n");
    free(task_train(task_path("liif.yaml"), NULL));
    const double psnr = task_metric("val_psnr", false), rate = task_metric("lr", false);
    cr_expect(isfinite(psnr) && psnr > 5, "%g", psnr);
    cr_expect_float_eq(rate, 5e-4, 1e-9, "%g", rate);
    free(task_train(task_path("liif.yaml"), WORDS("--overwrite", "-o", "eval_bsize=100000")));
    cr_expect_float_eq(task_metric("val_psnr", false), psnr, 1e-4);
}

Test(implicit, what_is_refused) {
    write_liif("");
    const char *file = task_path("liif.yaml");
    char output[600];
    (void)snprintf(output, sizeof output, "output=%s/refused", task_folder);
#define REFUSED(message, ...) \
    task_refused(1, message, WORDS("train", "-c", (char *)(uintptr_t)file, "-o", output, __VA_ARGS__))
    REFUSED("in_dim is 5, and has to be 40 here: it may be left out", "-o", "model.args.imnet_spec.args.in_dim=5");
    REFUSED("unknown model \"edsr-baselin\"; did you mean \"edsr-baseline\"?", "-o",
            "model.args.encoder_spec.name=edsr-baselin");
    REFUSED("unknown key \"n_blocks\"", "-o", "model.args.encoder_spec.args.n_blocks=4");
    REFUSED("encoder_spec: it gives", "-o",
            "model.args.encoder_spec={name: mlp, args: {in_dim: 192, hidden_list: [4]}}");
    REFUSED("expected (1, 1, 3), as many colours as the data has", "-o", "model.args.imnet_spec.args.out_dim=2");
    REFUSED("eval_type is \"div2k\", expected div2k-N or benchmark-N", "-o", "wrapper.args.eval_type=div2k");
    REFUSED("inp_size and sample_q must be set", "-o", "train_dataset.wrapper.args.inp_size=null");
    REFUSED("too small for parts of 9 at scale 4", "-o", "train_dataset.wrapper.args.inp_size=9");
    REFUSED("sample_q is 65, the smallest part has 64 pixels", "-o", "train_dataset.wrapper.args.sample_q=65");
    REFUSED("its items are no pictures", "-o",
            "train_dataset.dataset={name: csv, args: {file: " WICK_SOURCE_DIR
            "/examples/csv_regression/houses.csv, target: price, features: area}}");
#undef REFUSED
    task_refused(1, "needs pictures and queries",
                 WORDS("train", "-c", EXAMPLE("liif"), "-o", output, "-o", "data={name: pictures}"));
}
