/* configuration.c: a run's file: what it includes, the environment, other trainers' layouts, where values come from. */
#include "train/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void set_up(void) {
    run_set_up("train_configuration", 96);
}
TestSuite(configuration, .init = set_up, .fini = run_tear_down);

static void write_beside(const char *name, const char *text) {
    char path[700];
    (void)snprintf(path, sizeof path, "%s/%s", run_folder, name);
    write_bytes(path, text, strlen(text));
}

/* `wick config WORDS…`: standard output, or what was reported. */
static char *config(char *const words[], char *const environment[]) {
    char *argv[24] = { WICK_PROGRAM, "config" };
    for (int i = 0; words[i]; i++) argv[2 + i] = words[i];
    program p = start(run_folder, argv, environment);
    int code = finish(&p, 30);
    char *out = read_bytes(p.out, NULL), *err = read_bytes(p.err, NULL);
    cr_expect_eq(code, *err ? 1 : 0, "exit code %d: %s", code, err);
    if (!*err) {
        free(err);
        return out;
    }
    free(out);
    return err;
}

static void expect_part(char *text, const char *part) {
    cr_expect(strstr(text, part), "expected \"%s\" in:\n%s", part, text);
    free(text);
}

static void write_included(void) {
    write_beside("base.yaml", "trainer: { max_epochs: 7, log_every_n_steps: 5 }\n"
                              "model: { name: cnn, args: { dropout: false } }\n"
                              "optimizer: { name: SGD, args: { lr: 1e-1, momentum: 0.9 } }\n");
    write_beside("deeper.yaml", "include: base.yaml\ntrainer: { max_epochs: 8 }\n");
    run_write("include: deeper.yaml\nmodel: { name: mlp, args: { hidden: \"${WIDTH:-24}\" } }\n"
              "optimizer: { args: { lr: 1e-2 } }\n");
}

Test(configuration, every_value_says_where_it_is_from) {
    write_included();
    char *none[] = { NULL }, *wide[] = { "WIDTH=40", NULL };
    expect_part(config(WORDS("explain", "trainer.max_epochs", "-c", run_file), none),
                "trainer.max_epochs: 8\n  from an included file: ");
    expect_part(config(WORDS("explain", "trainer.max_epochs", "-c", run_file), none), "/deeper.yaml:2:24\n");
    expect_part(config(WORDS("explain", "trainer.log_every_n_steps", "-c", run_file), none), "/base.yaml:1:");
    expect_part(config(WORDS("explain", "optimizer.args.lr", "-c", run_file), none),
                "optimizer.args.lr: 1e-2\n  from the file: ");
    expect_part(config(WORDS("explain", "optimizer.args.momentum", "-c", run_file), none), "momentum: 0.9\n");
    expect_part(config(WORDS("explain", "model.args.hidden", "-c", run_file), none),
                "model.args.hidden: 24\n  from the environment: ");
    expect_part(config(WORDS("explain", "model.args.hidden", "-c", run_file), wide),
                "model.args.hidden: 40\n  from the environment: ");
    expect_part(config(WORDS("explain", "trainer.max_epochs", "-c", run_file, "-o", "trainer.max_epochs=3"), none),
                "trainer.max_epochs: 3\n  from the command line: -o trainer.max_epochs=3\n");
    expect_part(config(WORDS("explain", "trainer.accumulate_grad_batches", "-c", run_file), none),
                "trainer.accumulate_grad_batches: 1\n  the default: batches for one optimizer step\n");
    expect_part(config(WORDS("explain", "optimizer.args.nesterov", "-c", run_file), none),
                "nesterov: false\n  the default");
    expect_part(config(WORDS("explain", "trainer.max_epoch", "-c", run_file), none), "did you mean \"max_epochs\"?");
}

/* A model of another name keeps nothing of the included one's args; order is that of the files. */
Test(configuration, included_files_are_joined) {
    write_included();
    char *text = config(WORDS("dump", "-c", run_file), NULL);
    const char *at = strstr(text, "trainer:"), *model = strstr(text, "model:"), *optimizer = strstr(text, "optimizer:");
    cr_expect(at && model && optimizer && at < model && model < optimizer, "%s", text);
    cr_expect_null(strstr(text, "dropout"), "%s", text);
    cr_expect_not_null(strstr(text, "momentum: 0.9"), "%s", text);
    free(text);
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=1")));
    char *kept = run_text("config.yaml");
    cr_expect_null(strstr(kept, "include"), "%s", kept);
    free(kept);
}

Test(configuration, includes_and_variables_that_are_not_there) {
    run_write("include: nowhere.yaml\n");
    run_refused("nowhere.yaml: No such file or directory", NULL);
    write_beside("again.yaml", "include: again.yaml\n");
    run_write("include: [ again.yaml ]\n");
    run_refused("files include each other 16 deep: does \"again.yaml\" include itself?", NULL);
    write_beside("base.yaml", "trainer:\n  max_epoch: 3\n");
    run_write("include: base.yaml\nmodel: { name: mlp }\noptimizer: { name: SGD }\n");
    run_refused("base.yaml:2:14: unknown key \"max_epoch\" in trainer", NULL);
    run_write("model: { name: mlp, args: { hidden: \"${WICK_NOT_SET}\" } }\n");
    run_refused(
        "${WICK_NOT_SET}: the environment has no variable WICK_NOT_SET; set it, or write ${WICK_NOT_SET:-otherwise}",
        NULL);
    run_write("model: { name: \"${not a name}\" }\n");
    run_refused("expected ${NAME} or ${NAME:-otherwise}", NULL);
}

static void make_mnist(void) {
    char from[700], to[700];
    (void)snprintf(to, sizeof to, "%s/MNIST", run_folder);
    (void)mkdir(to, 0700);
    (void)snprintf(to, sizeof to, "%s/MNIST/raw", run_folder);
    (void)mkdir(to, 0700);
    static const char *const names[] = { "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                         "t10k-labels-idx1-ubyte" };
    for (int i = 0; i < 4; i++) {
        (void)snprintf(from, sizeof from, "%s/%s", run_folder, names[i]);
        (void)snprintf(to, sizeof to, "%s/MNIST/raw/%s", run_folder, names[i]);
        cr_assert_eq(rename(from, to), 0);
    }
}

/* The layout of their trainer on Lightning, as it is. */
Test(configuration, liif_style_file_with_modules) {
    make_mnist();
    char text[2000];
    (void)snprintf(text, sizeof text,
                   "data_module:\n  name: mnist-dm\n  args:\n    root_dir: %s\n    batch_size: 32\n"
                   "train_wrapper:\n  name: base\n  args:\n"
                   "    model_spec:\n      name: mlp\n      args: {in_dim: 784, out_dim: 10, hidden_list: [32, 16]}\n"
                   "    loss_spec:\n      name: mnist_ce\n"
                   "    optim_spec:\n      name: Adam\n      args:\n        lr: 1e-4\n        betas: [0.9, 0.999]\n"
                   "    scheduler_spec:\n      name: StepLR\n      args:\n        step_size: 30\n"
                   "trainer_params:\n  max_epochs: 2\n  strategy: ddp\n  log_every_n_steps: 50\n"
                   "checkpoint:\n  every_n_epochs: 1\nseed: 42\noutput: %s\n",
                   run_folder, run_output);
    run_write_all(text);
    char *err = run_succeeds(NULL);
    cr_expect_not_null(strstr(err, "model mlp: 25818 parameters; 88 training and 8 evaluation items"), "%s", err);
    cr_expect_not_null(strstr(err, "epoch 2/2"), "%s", err);
    free(err);
    char *kept = run_text("config.yaml");
    cr_expect_eq(strncmp(kept, "data_module:", 12), 0, "the keys stay as they were: %s", kept);
    free(kept);
    expect_part(config(WORDS("explain", "trainer_params.max_epochs", "-c", run_file), NULL),
                "trainer_params.max_epochs: 2\n  from the file");
}

/* The layout of their plain loop. */
Test(configuration, liif_style_file_with_datasets) {
    make_mnist();
    char text[2000];
    (void)snprintf(
        text, sizeof text,
        "train_dataset:\n  dataset:\n    name: mnist-ds\n    args: {root_dir: %s, train: true}\n"
        "  batch_size: 32\n  shuffle: true\n"
        "val_dataset:\n  dataset:\n    name: mnist-ds\n    args: {root_dir: %s, train: false}\n"
        "  batch_size: 32\n"
        "model:\n  name: mlp\n  args: {in_dim: 784, out_dim: 10, hidden_list: [16]}\n"
        "optimizer:\n  name: SGD\n  args: {lr: 1.e-2}\n"
        "scheduler:\n  name: LambdaLR\n  args:\n    lr_lambda: {name: warmup_lr, args: {start: 0.1, total_iters: 3}}\n"
        "loss:\n  name: mnist_ce\nepoch_max: 2\nepoch_val: 1\nepoch_save: 2\noutput: %s\n",
        run_folder, run_folder, run_output);
    run_write_all(text);
    char *err = run_succeeds(NULL);
    cr_expect_not_null(strstr(err, "96 training and 25 evaluation items"), "%s", err);
    free(err);
    char *csv = run_text("metrics.csv");
    cr_expect_not_null(strstr(csv, "\n3,1,0.001,"), "start 0.1 of 0.01: %s", csv);
    cr_expect_not_null(strstr(csv, "\n6,2,0.0055,"), "half way: %s", csv);
    free(csv);
    run_refused("load_optimizer: false is not possible", WORDS("--overwrite", "-o", "load_optimizer=false"));
}

Test(configuration, name_and_tag_choose_the_directory) {
    run_write("model: { name: mlp }\noptimizer: { name: SGD }\ntrainer: { max_steps: 1 }\n");
    char script[1200], path[700];
    (void)snprintf(script, sizeof script, "cd %s && exec %s train -c config.yaml --name first --tag a", run_folder,
                   WICK_PROGRAM);
    cr_assert_eq(run_program(run_folder, WORDS("bash", "-c", script), NULL, 30, NULL), 0);
    (void)snprintf(path, sizeof path, "%s/save/first_a/config.yaml", run_folder);
    char *text = read_bytes(path, NULL);
    cr_expect_not_null(text);
    free(text);
}
