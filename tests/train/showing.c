/* showing.c: what runs show in TensorBoard besides numbers, as TensorBoard of PyPI reads it. */
#include "support/brief.h"
#include "train/support.h"
#include "wick/data/image.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void set_up(void) {
    run_set_up("train_showing", 96);
}
TestSuite(showing, .init = set_up, .fini = run_tear_down);

#define READ   WICK_SOURCE_DIR "/tests/train/shown/read"
#define PYTHON WICK_BUILD_DIR "/tensorboard"

/* The words that a script prints of the run's directory. */
static void expect_read(const char *script, const char *expected) {
    if (tests_are_brief()) return;
    if (run_program(run_folder, (char *[]){ READ, "--install", PYTHON, NULL }, NULL, 300, NULL) != 0) {
        (void)fprintf(stderr, "\n*** SKIPPED: tensorboard of PyPI is not to be had\n");
        cr_skip_test("no tensorboard");
    }
    program p = start(run_folder, (char *[]){ READ, PYTHON, (char *)script, run_output, NULL }, NULL);
    const int code = finish(&p, 60);
    char *out = read_bytes(p.out, NULL), *err = read_bytes(p.err, NULL);
    cr_expect_eq(code, 0, "%s", err);
    cr_expect_str_eq(out, expected);
    free(out);
    free(err);
}

/* Every row once, in order, over a new start and a resume. */
Test(showing, rows_of_metrics, .timeout = 400) {
    run_write("seed: 7\n"
              "model: { name: mlp, args: { hidden: 8 } }\n"
              "optimizer: { name: AdamW, args: { lr: 1e-3 } }\n"
              "trainer: { log_every_n_steps: 3 }\n");
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=1")));
    pause_seconds(1.1); /* the file's name holds the second */
    free(run_succeeds(WORDS("--overwrite", "-o", "trainer.max_steps=7")));
    pause_seconds(1.1);
    cr_assert_eq(truncate(run_path("metrics.csv"), 0), 0);
    free(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=2")));
    expect_read("rows", "[3, 6, 9, 12] [6, 7, 12]\n");
}

/* A curve a validation, and a layout. */
Test(showing, curves_and_layouts, .timeout = 400) {
    char text[1500];
    (void)snprintf(text, sizeof text,
                   "plugins: [ %s ]\nseed: 1\n"
                   "data: { name: rings, args: { points: 256, batch_size: 64 } }\n"
                   "wrapper: { name: confident, args: { loss_spec: { name: margin, args: { margin: 0.5 } } } }\n"
                   "model: { name: rings-net, args: { width: 16 } }\n"
                   "optimizer: { name: Adam, args: { lr: 0.02 } }\n"
                   "trainer: { max_epochs: 2 }\noutput: %s\n",
                   WICK_OWN_TRAINER, run_output);
    run_write_all(text);
    free(run_succeeds(NULL));
    expect_read("curves", "11 [(6, 11), (6, 11), (6, 11)]\n{64.0} 1.0 True True\n{64.0} 1.0 True True\n"
                          "{64.0} 1.0 True True\n"
                          "[('rings', [('losses', ['.*loss']), ('certainty', ['val_.*'])])]\n");
}

/* Pictures are files too, for those who look without TensorBoard. */
Test(showing, pictures_as_files) {
    char text[1000];
    (void)snprintf(text, sizeof text,
                   "plugins: [ %s ]\nseed: 7\n"
                   "model: { name: mlp, args: { in_features: 784, hidden: 8, classes: 10 } }\n"
                   "optimizer: { name: SGD, args: { lr: 0.1 } }\ncallbacks: { name: Shown }\n"
                   "trainer: { max_epochs: 2, limit_train_batches: 3, limit_val_batches: 0 }\n",
                   WICK_SHOWN);
    run_write(text);
    free(run_succeeds(NULL));
    cr_expect_eq(access(run_path("img/two%2frows-3.png"), R_OK), 0);
    static const unsigned char expected[] = { 0, 128, 255, 0, 255, 64 };
    wk_image picture = { 0 };
    cr_assert_eq(wk_image_read(&picture, run_path("img/two%2frows-6.png"), 1), WK_OK, "%s", wk_message());
    cr_expect(picture.height == 2 && picture.width == 3 && picture.channels == 1);
    cr_expect_arr_eq(picture.pixels, expected, sizeof expected);
    wk_image_free(&picture);
    cr_assert_eq(run_program(run_folder, (char *[]){ "rm", "-r", (char *)run_path("img"), NULL }, NULL, 20, NULL), 0);
    free(run_succeeds(WORDS("--overwrite", "-o", "trainer.fast_dev_run=true")));
    cr_expect_neq(access(run_path("img"), F_OK), 0, "nothing is saved");
}

/* The second time over the same step, as of a resumed run, names no file twice. */
Test(showing, graphs_sound_meshes_and_points, .timeout = 400) {
    char text[1000];
    (void)snprintf(text, sizeof text,
                   "plugins: [ %s ]\nseed: 7\n"
                   "model: { name: mlp, args: { in_features: 784, hidden: 8, classes: 10 } }\n"
                   "optimizer: { name: SGD, args: { lr: 0.1 } }\n"
                   "callbacks: [ { name: GraphLogger }, { name: Shown }, { name: Shown } ]\n"
                   "trainer: { max_epochs: 1, max_steps: 2, limit_val_batches: 0, log_every_n_steps: 1 }\n",
                   WICK_SHOWN);
    run_write(text);
    char *err = run_succeeds(NULL);
    static const char *const refused[] = {
        "wk_trainer_log_audio: expected samples (frames) or (channels, frames)",
        "wk_trainer_log_audio: rate is 0, expected samples a second",
        "wk_trainer_log_mesh: points are (4, 2) f32, expected (batch, N, 3)",
        "wk_trainer_log_mesh: faces are (4, 2) f32, expected (batch, M, 3) beside points (batch, N, 3)",
        "wk_trainer_log_embedding: expected points (N, dimensions)",
        "wk_trainer_log_embedding: \"..\" cannot be the name of a folder",
        "wk_trainer_log_embedding: expected pictures (N, C, H, W) of 1, 3 or 4 channels",
        "wk_graph: output 0, (4) f32, is not the result of an operation that wants a gradient",
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        cr_expect(strstr(err, refused[i]), "expected \"%s\" in\n%s", refused[i], err);
    free(err);
    char *page = run_text("report.html");
    cr_expect(strstr(page, "number_39"), "a chart each");
    free(page);
    expect_read("media", "400 2 8000 400 (0, 32767, 1635, 32767) 16383\n"
                         "shape [1, 5, 3] 6 {\"camera\": {\"fov\": 75}} [3.0, 4.0, 5.0]\n"
                         "shape [1, 2, 3] 6 {\"camera\": {\"fov\": 75}} [2.0, 3.0, 4.0]\n"
                         "True True\n"
                         "1/linear ['1/weight', '1/bias'] [16, 8]\n"
                         "3/linear ['3/weight', '3/bias'] [16, 10]\n"
                         "the \"words\"/all:00002 00002/the %22words%22%2fall/tensors.tsv "
                         "00002/the %22words%22%2fall/metadata.tsv 00002/the %22words%22%2fall/sprite.png [6, 4]\n"
                         "plain:00002 00002/plain/tensors.tsv   []\n"
                         "3\t4\t5 ['a', 'b c', 'd', 'e', 'f', '']\n"
                         "(18, 12)\n");
}

/* What a callback shows of its own, and the file's values on the page of hyperparameters. */
Test(showing, words_histograms_images_and_hyperparameters, .timeout = 400) {
    char text[1000];
    (void)snprintf(text, sizeof text,
                   "plugins: [ %s ]\nseed: 7\n"
                   "model: { name: mlp, args: { hidden: 8 } }\noptimizer: { name: SGD, args: { lr: 0.25 } }\n"
                   "callbacks: [ { name: Told } ]\nlogger: { name: tensorboard }\ncheckpoint: { async: true }\n"
                   "trainer: { max_epochs: 2, log_every_n_steps: 3 }\n",
                   WICK_SHOWN);
    run_write(text);
    free(run_succeeds(NULL));
    expect_read("words", "text [(6, '**one** | two\\nthree é'), (12, '**one** | two\\nthree é')]\n"
                         "6 -3.0 4.0 8.0 4.0 44.0 [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]\n"
                         "12 -3.0 4.0 8.0 4.0 44.0 [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]\n"
                         "gray 3 2 L [0, 51, 102, 153, 204, 255]\n"
                         "red 2 1 RGB [(0, 102, 204), (51, 153, 255)]\n"
                         "7.0 0.25 mlp True\n['hp_metric'] True\n1\nTrue 2 -1.0\n");
}
