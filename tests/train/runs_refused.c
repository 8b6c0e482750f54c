/* runs_refused.c: what `wick train` says when something is wrong. */
#include "train/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Test(runs, unknown_names_and_keys) {
    run_refused("unknown model \"ccn\"; did you mean \"cnn\"? (known: mlp, cnn, cnn_bn, lenet, "
                "vgg, resnet, resnet18, mobilenet_v2, convnext, vit, gpt2, char_lstm, bert, pretrained, unet, "
                "edsr-baseline, liif)",
                WORDS("-o", "model.name=ccn"));
    run_refused("unknown optimizer \"AdamX\"", WORDS("-o", "optimizer.name=AdamX"));
    run_refused("unknown data \"idz\"; did you mean \"idx\"?", WORDS("-o", "data.name=idz"));
    run_refused("unknown key \"hiden\" in the args of model \"mlp\"; did you mean \"hidden\"?",
                WORDS("-o", "model.args.hiden=3"));
    run_refused("unknown key \"max_epoch\" in trainer; did you mean \"max_epochs\"?",
                WORDS("-o", "trainer.max_epoch=3"));
}

Test(runs, numbers_that_make_no_sense) {
    run_refused("lr is nan, expected a finite number", WORDS("-o", "optimizer.args.lr=.nan"));
    run_refused("lr is inf, expected a finite number", WORDS("-o", "optimizer.args.lr=.inf"));
    run_refused("lr is 0, expected more than 0", WORDS("-o", "optimizer.args.lr=0"));
    run_refused("eps is 0, expected more than 0", WORDS("-o", "optimizer.args.eps=0"));
    run_refused("std is 0, expected more than 0", WORDS("-o", "data.args.std=0"));
    run_refused("seed must be an integer of at least 0", WORDS("-o", "seed=99999999999999999999"));
    run_refused("output is empty, expected a directory", WORDS("-o", "output=\"\""));
}

Test(runs, output_that_cannot_be) {
    write_bytes(run_output, "x", 1);
    run_refused("run: cannot make the folder: a file is in its place", NULL);
    cr_assert_eq(unlink(run_output), 0);
    run_refused("/proc/run: cannot make the folder", WORDS("-o", "output=/proc/run"));
}

Test(runs, wrong_types_and_sizes) {
    run_refused("hidden", WORDS("-o", "model.args.hidden=-4"));
    run_refused("batch_size", WORDS("-o", "data.args.batch_size=many"));
    run_refused("max_epochs", WORDS("-o", "trainer.max_epochs=0"));
    run_refused("lr", WORDS("-o", "optimizer.args.lr=fast"));
    run_refused("model \"mlp\" gives 7 scores for an item, the data has 10 classes",
                WORDS("-o", "model.args.classes=7"));
    run_refused("has 784 features, weight (32, 100) f32 takes 100", WORDS("-o", "model.args.in_features=100"));
}

Test(runs, data_that_is_missing_truncated_or_foreign) {
    char path[600], path2[600];
    size_t size;
    run_refused("/nowhere/train-images-idx3-ubyte.gz: cannot open", WORDS("-o", "data.args.root=/nowhere"));
    (void)snprintf(path, sizeof path, "%s/train-images-idx3-ubyte", run_folder);
    char *bytes = read_bytes(path, &size);
    write_bytes(path, bytes, size - 100);
    run_refused("the IDX header promises 501760 bytes of data, there are 501660 (truncated)", NULL);
    bytes[2] = 0x0d;
    write_bytes(path, bytes, size);
    run_refused("IDX of type 0x0d, only unsigned bytes (0x08) are read", NULL);
    write_bytes(path, "not an IDX file at all", 22);
    run_refused("not an IDX file", NULL);
    bytes[2] = 8;
    write_bytes(path, bytes, size);
    free(bytes);
    (void)snprintf(path2, sizeof path2, "%s/train-labels-idx1-ubyte", run_folder);
    bytes = read_bytes(path2, &size);
    bytes[8 + 5] = 77;
    write_bytes(path2, bytes, size);
    run_refused("label 5 is 77, expected 0 to 9", NULL);
    free(bytes);
}

Test(runs, a_second_run_in_the_same_directory_needs_a_word) {
    char *err = NULL;
    cr_assert_eq(run_train(&err, WORDS("-o", "trainer.max_epochs=1")), 0, "%s", err);
    free(err);
    run_refused("holds a run already: pass --resume to go on with it, --overwrite to start anew", NULL);
    cr_assert_eq(run_train(&err, WORDS("--overwrite", "-o", "trainer.max_epochs=1")), 0, "%s", err);
    free(err);
}

Test(runs, checkpoints_that_do_not_fit) {
    char *err = NULL, kept[700];
    size_t size;
    cr_assert_eq(run_train(&err, WORDS("-o", "trainer.max_epochs=1")), 0, "%s", err);
    free(err);
    (void)snprintf(kept, sizeof kept, "%s", run_path("checkpoints/last.safetensors"));
    char *bytes = read_bytes(kept, &size);
    run_refused("3 of another shape: 1.weight ((32, 784) f32 in the file, (16, 784) f32 in the model), 1.bias",
                WORDS("--resume", "-o", "model.args.hidden=16"));
    run_refused(" missing: ", WORDS("--resume", "-o", "model.name=cnn", "-o", "model.args=null"));
    write_bytes(kept, bytes, size / 2);
    run_refused("the data is cut short", WORDS("--resume"));
    write_bytes(kept, bytes, 60);
    run_refused("the header is cut short", WORDS("--resume"));
    char *at = memmem(bytes, size, "\"F32\"", 5);
    cr_assert_not_null(at);
    for (char *each = bytes; (each = memmem(each, size - (size_t)(each - bytes), "\"F32\"", 5)); each++)
        memcpy(each, "\"I32\"", 5);
    write_bytes(kept, bytes, size);
    run_refused("it belongs to another model", WORDS("--resume"));
    free(bytes);
}

Test(runs, usage) {
    char *argv[] = { WICK_PROGRAM, "train", "--frobnicate", NULL }, *err = NULL;
    cr_expect_eq(run_program(run_folder, argv, NULL, 10, &err), 2);
    cr_expect_not_null(strstr(err, "cannot make sense of --frobnicate"), "%s", err);
    cr_expect_not_null(strstr(err, "example: wick train"), "%s", err);
    free(err);
    char *lacking[] = { WICK_PROGRAM, "train", "-c", NULL };
    cr_expect_eq(run_program(run_folder, lacking, NULL, 10, &err), 2);
    cr_expect_not_null(strstr(err, "wick: train: -c needs a FILE after it"), "%s", err);
    free(err);
    char *eval[] = { WICK_PROGRAM, "eval", "/nowhere", NULL };
    cr_expect_eq(run_program(run_folder, eval, NULL, 10, &err), 1);
    cr_expect_not_null(strstr(err, "wick: /nowhere/config.yaml: No such file or directory"), "%s", err);
    free(err);
}

Test(runs, a_device_that_is_not_there) {
    run_refused("device: there is no device \"gpu\"; expected cpu, cuda, cuda:N, cudaemu or cudaemu:N",
                WORDS("-o", "device=gpu"));
    run_refused("device: there is no device \"cudaemu:5\": cudaemu has 1 device, numbered from 0",
                WORDS("-o", "device=cudaemu:5"));
}
