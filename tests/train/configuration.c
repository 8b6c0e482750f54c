/* configuration.c: a run's file: what it includes, the environment, other trainers' layouts, where values come from. */
#include "train/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* The made images, moved to a place below the test's folder, which is the working directory of its programs. */
static void make_mnist_at(const char *place) {
    char from[700], to[900], folder[800];
    static const char *const names[] = { "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                         "t10k-labels-idx1-ubyte" };
    (void)snprintf(folder, sizeof folder, "%s/%s", run_folder, place);
    cr_assert_eq(run_program(run_folder, WORDS("mkdir", "-p", folder), NULL, 10, NULL), 0);
    for (int i = 0; i < 4; i++) {
        (void)snprintf(from, sizeof from, "%s/%s", run_folder, names[i]);
        (void)snprintf(to, sizeof to, "%s/%s", folder, names[i]);
        cr_assert_eq(rename(from, to), 0);
    }
}

static void make_mnist(void) {
    make_mnist_at("MNIST/raw");
}

/* Where a run without a word of it goes. */
static void expect_output(const char *name) {
    (void)snprintf(run_output, sizeof run_output, "%s/save/%s", run_folder, name);
}

/* Their example, word for word: it trains from the folder that it names into the one that it does not. */
Test(configuration, the_lightning_example_word_for_word) {
    make_mnist_at("load/mnist/MNIST/raw");
    run_write_all(
        "data_module: {name: mnist-dm, args: {root_dir: ./load/mnist, batch_size: 32}}   # required\n"
        "train_wrapper:                                   # required\n"
        "  name: base\n"
        "  args:\n"
        "    model_spec: {name: resnet18, args: {num_classes: 10}}\n"
        "    loss_spec:  {name: mnist_ce}                 # args optional\n"
        "    optim_spec: {name: Adam, args: {lr: 1.e-4, betas: [0.9, 0.999]}}   # any torch.optim class name\n"
        "    scheduler_spec: {name: StepLR, args: {step_size: 30}}              # optional\n"
        "trainer_params: {max_epochs: 100, strategy: ddp, log_every_n_steps: 50}\n"
        "checkpoint: {every_n_epochs: 1}                  # optional; passed to ModelCheckpoint verbatim\n"
        "seed: 42\n");
    expect_output("_config");
    char *err = run_succeeds(WORDS("-o", "trainer_params.max_steps=2"));
    cr_expect_not_null(strstr(err, "model resnet18: 11175370 parameters; 88 training and 8 evaluation items"), "%s",
                       err);
    cr_expect_not_null(strstr(err, "layer1: Sequential"), "Lightning's Trainer shows the model's layers: %s", err);
    free(err);
    static const char *const files[] = { "config.yaml", "log.txt", "src/config.yaml", "ckpt/last.ckpt",
                                         "ckpt/epoch=0-step=2.ckpt" };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        cr_expect_eq(access(run_path(files[i]), F_OK), 0, "%s is missing", files[i]);
}

/* What Lightning does where a file says nothing of it; what it says counts. */
Test(configuration, lightning_files_have_lightning_defaults) {
    run_write_all("data_module: {name: mnist-dm, args: {root_dir: .}}\n"
                  "train_wrapper: {name: base, args: {model_spec: {name: mlp}, optim_spec: {name: SGD}}}\n");
    static char *const keys[] = { "trainer_params.max_epochs", "trainer_params.enable_model_summary",
                                  "checkpoint.save_last" };
    static const char *const values[] = { "max_epochs: 1000\n", "enable_model_summary: true\n", "save_last: true\n" };
    for (int i = 0; i < 3; i++) {
        char *text = config(WORDS("explain", keys[i], "-c", run_file), NULL);
        cr_expect_not_null(strstr(text, "  the default in files of this layout\n"), "%s", text);
        expect_part(text, values[i]);
    }
    expect_part(config(WORDS("explain", "output", "-c", run_file), NULL), "output: save/_config\n");
    expect_part(config(WORDS("explain", "output", "-c", run_file, "-o", "trainer_params.default_root_dir=/some"), NULL),
                "output: /some/save/_config\n");
    expect_part(config(WORDS("explain", "trainer_params.max_epochs", "-c", run_file, "-o",
                             "trainer_params={max_epochs: null, max_steps: 5}"),
                       NULL),
                "max_epochs: null\n");
}

/* Their other trainer's keys, all of them. */
#define PLAIN                                                                     \
    "train_dataset:\n"                                                            \
    "  dataset: {name: mnist-ds, args: {root_dir: ./load/mnist, train: true}}\n"  \
    "  batch_size: 32\n"                                                          \
    "  shuffle: true\n"                                                           \
    "val_dataset:\n"                                                              \
    "  dataset: {name: mnist-ds, args: {root_dir: ./load/mnist, train: false}}\n" \
    "  batch_size: 32\n"                                                          \
    "model: {name: mlp, args: {in_dim: 784, out_dim: 10, hidden_list: [16]}}\n"   \
    "optimizer: {name: SGD, args: {lr: 1.e-1, momentum: 0.9}}\n"                  \
    "scheduler: {name: StepLR, args: {step_size: 2}}\n"                           \
    "loss: {name: mnist_ce}\n"                                                    \
    "epoch_max: 4\n"                                                              \
    "epoch_val: 1\n"                                                              \
    "epoch_save: 1\n"

Test(configuration, the_plain_loops_keys_as_they_are) {
    make_mnist_at("load/mnist/MNIST/raw");
    run_write_all(PLAIN "run_step: false\nload_optimizer: false\nresume: null\n");
    expect_output("_config_short");
    char *err = run_succeeds(WORDS("--tag", "short", "-o", "epoch_max=1"));
    cr_expect_not_null(strstr(err, "96 training and 25 evaluation items"), "%s", err);
    cr_expect_not_null(strstr(err, "epoch 1/1"), "%s", err);
    free(err);
    cr_expect_eq(access(run_path("src/config.yaml"), F_OK), 0);
    cr_expect_eq(access(run_path("ckpt/epoch-1.pth"), F_OK), 0);
}

/* Their names, from which a run goes on; other callbacks of the file stay. */
Test(configuration, the_plain_loops_checkpoints) {
    make_mnist_at("load/mnist/MNIST/raw");
    run_write_all(PLAIN "callbacks: {name: LearningRateMonitor}\n");
    expect_output("_config");
    free(run_succeeds(WORDS("-o", "epoch_save=2")));
    cr_expect_neq(access(run_path("ckpt/epoch-1.pth"), F_OK), 0);
    cr_expect(same_bytes(run_path("ckpt/epoch-last.pth"), run_path("checkpoints/last.safetensors")));
    cr_expect(same_bytes(run_path("ckpt/epoch-best.pth"), run_path("checkpoints/best.safetensors")));
    char *csv = run_text("metrics.csv"), whole[700];
    cr_expect_not_null(strstr(csv, "lr-SGD"), "%s", csv);
    free(csv);
    (void)snprintf(whole, sizeof whole, "%s", run_path("ckpt/epoch-4.pth"));
    expect_output("second");
    free(run_succeeds(WORDS("--name", "second", "--resume", "save/_config/ckpt/epoch-2.pth", "-o",
                            "callbacks=[{name: LearningRateMonitor}]")));
    cr_expect(same_bytes(whole, run_path("ckpt/epoch-4.pth")));
    cr_expect(access(run_path("ckpt/epoch-3.pth"), F_OK) == 0 && access(run_path("ckpt/epoch-2.pth"), F_OK) != 0);
    free(run_succeeds(WORDS("--name", "third", "-o", "epoch_save=null", "-o", "callbacks=null", "-o",
                            "trainer.enable_checkpointing=false")));
    expect_output("third");
    cr_expect_neq(access(run_path("ckpt"), F_OK), 0);
    expect_part(config(WORDS("explain", "epoch_save", "-c", run_file), NULL), "epoch_save: 1\n  from the file");
}

/* `run_step` takes over where the run stood, `load_optimizer` the optimizer's state; with both, bit for bit. */
Test(configuration, a_run_that_begins_with_anothers_checkpoint) {
    make_mnist_at("load/mnist/MNIST/raw");
    run_write_all(PLAIN);
    static char half[] = "save/_config_half/checkpoints/last.safetensors";
    free(run_succeeds(WORDS("--name", "whole")));
    free(run_succeeds(WORDS("--tag", "half", "-o", "epoch_max=2")));
    static const struct {
        char *name, *steps, *optimizer;
        const char *says, *first_row, *last_epoch;
    } runs[] = {
        { "both", "run_step=true", "load_optimizer=true", "last.safetensors\n", "\n9,3,0.01", "epoch 3/4" },
        { "steps", "run_step=true", "load_optimizer=false", ": all but the optimizer\n", "\n9,3,0.01", "epoch 3/4" },
        { "state", "run_step=false", "load_optimizer=true", ": its weights and optimizer, from the first epoch on\n",
          "\n3,1,0.1,", "epoch 1/4" },
        { "weights", "run_step=false", "load_optimizer=false", ": its weights alone\n", "\n3,1,0.1,", "epoch 1/4" },
    };
    char whole[700], first[4][100];
    (void)snprintf(whole, sizeof whole, "%s/save/whole/checkpoints/last.safetensors", run_folder);
    for (int i = 0; i < 4; i++) {
        expect_output(runs[i].name);
        char *err =
            run_succeeds(WORDS("--name", runs[i].name, "--resume", half, "-o", runs[i].steps, "-o", runs[i].optimizer));
        const char *said = strstr(err, "resume from save/_config_half/checkpoints/last.safetensors");
        cr_expect(said && strstr(said, runs[i].says), "%s: %s", runs[i].name, err);
        cr_expect_not_null(strstr(err, runs[i].last_epoch), "%s: %s", runs[i].name, err);
        free(err);
        char *csv = run_text("metrics.csv"), *row = strstr(csv, runs[i].first_row);
        cr_assert_not_null(row, "%s: %s", runs[i].name, csv);
        (void)snprintf(first[i], sizeof first[i], "%.*s", (int)strcspn(row + 1, "\n"), row + 1);
        free(csv);
        cr_expect_eq(same_bytes(whole, run_path("checkpoints/last.safetensors")), i == 0, "%s", runs[i].name);
    }
    cr_expect_str_neq(first[0], first[1], "momentum makes another step");
    cr_expect_str_neq(first[2], first[3], "momentum makes another step");
}

/* The model is that of the checkpoint; the run's own earlier point may be named too. */
Test(configuration, what_a_checkpoint_knows_of_its_model) {
    make_mnist_at("load/mnist/MNIST/raw");
    run_write_all(PLAIN);
    free(run_succeeds(WORDS("--name", "whole")));
    expect_output("_config");
    free(run_succeeds(WORDS("-o", "epoch_max=2")));
    static char last[] = "save/_config/checkpoints/last.safetensors";
    char whole[700];
    (void)snprintf(whole, sizeof whole, "%s/save/whole/checkpoints/last.safetensors", run_folder);
    char *err = run_succeeds(WORDS("--resume", last, "-o", "model.args.hidden_list=[8]"));
    cr_expect_not_null(strstr(err, "resume: the model is that of save/_config/checkpoints/last.safetensors"), "%s",
                       err);
    free(err);
    cr_expect(same_bytes(whole, run_path("checkpoints/last.safetensors")), "it went on in its own folder");
    char *text = run_text("config.yaml");
    cr_expect(strstr(text, "- 16\n") && !strstr(text, "- 8\n"), "%s", text);
    free(text);
    run_refused("holds a run already", WORDS("--resume", last, "-o", "run_step=false"));
    run_refused("nowhere.ckpt", WORDS("--overwrite", "--resume", "nowhere.ckpt"));
    run_refused("load_path and resume both say what the weights are", WORDS("--resume", "last", "-o", "load_path=x"));
    free(run_succeeds(WORDS("--resume", "best", "-o", "epoch_max=6")));
}

/* The name of their README, and the folders that torchvision makes. */
Test(configuration, mnist_and_its_kin_by_one_name) {
    static const char *const places[] = { "load/a/FashionMNIST/raw", "load/b" };
    static char *const roots[] = { "data_module.args.root_dir=./load/a", "data_module.args.root_dir=./load/b" };
    run_write_all("data_module: {name: mnist, args: {root_dir: ., batch_size: 32}}\n"
                  "train_wrapper: {name: base, args: {model_spec: {name: mlp}, optim_spec: {name: SGD}}}\n"
                  "trainer_params: {max_steps: 1}\n");
    for (int i = 0; i < 2; i++) {
        make_mnist_at(places[i]);
        char *err = run_succeeds(WORDS("--overwrite", "-o", roots[i]));
        cr_expect_not_null(strstr(err, "88 training and 8 evaluation items"), "%s", err);
        free(err);
        err = run_succeeds(WORDS("--overwrite", "-o", roots[i], "-o", "data_module.args.train=false", "-o",
                                 "trainer_params.limit_val_batches=0"));
        cr_expect_not_null(strstr(err, "25 training and 0 evaluation items"), "%s", err);
        free(err);
        make_idx_folder(run_folder, 96);
    }
    run_refused("data \"mnist\": there is no train-images-idx3-ubyte, raw or .gz, in ./load/MNIST/raw, "
                "./load/FashionMNIST/raw or ./load: root_dir is the folder that holds MNIST/raw",
                WORDS("--overwrite", "-o", "data_module.args.root_dir=./load"));
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
