/* extension.c: a run made of a plug-in's parts, of specs in specs, and what --schema tells of them. */
#include "support/csv.h"
#include "train/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void set_up(void) {
    run_set_up("train_extension", 0);
}
TestSuite(extension, .init = set_up, .fini = run_tear_down);

/* The example's own file, with what a test adds. */
static void write_example(const char *more) {
    char text[2000];
    (void)snprintf(text, sizeof text,
                   "plugins: [ %s ]\nseed: 1\n"
                   "data: { name: rings, args: { points: 256, batch_size: 64 } }\n"
                   "wrapper: { name: confident, args: { loss_spec: { name: margin, args: { margin: 0.5 } } } }\n"
                   "model: { name: rings-net, args: { width: 16 } }\n"
                   "optimizer: { name: Adam, args: { lr: 0.02 } }\n"
                   "output: %s\n%s",
                   WICK_OWN_TRAINER, run_output, more);
    run_write_all(text);
}

/* Model, data, loss, wrapper and its own validation, from YAML. */
Test(extension, a_plug_in_trains) {
    write_example("trainer: { max_epochs: 20 }\n");
    free(run_succeeds(NULL));
    char *csv = run_text("metrics.csv");
    cr_expect_eq(strncmp(csv, "step,epoch,lr,train_loss,images_per_second,val_loss,val_accuracy,", 65), 0, "%s", csv);
    cr_expect_not_null(strstr(csv, ",val_right"), "%s", csv);
    cr_expect_not_null(strstr(csv, ",val_confidence"), "%s", csv);
    cr_expect_not_null(strstr(csv, ",margin"), "%s", csv);
    free(csv);
    char *argv[] = { WICK_PROGRAM, "eval", run_output, "--checkpoint", "last", NULL };
    program p = start(run_folder, argv, NULL);
    cr_expect_eq(finish(&p, 30), 0);
    char *out = read_bytes(p.out, NULL), *at = strstr(out, "right ");
    cr_assert_not_null(at, "%s", out);
    cr_expect_gt(strtod(at + 6, NULL), 0.9, "two rings are easy: %s", out);
    free(out);
}

/* Weights that lie in the plug-in's own file system. */
Test(extension, a_file_system_of_ones_own) {
    write_example("trainer: { max_epochs: 20 }\nfinal_path: weights.safetensors\n");
    free(run_succeeds(NULL));
    (void)setenv("SHELF", run_folder, 1);
    (void)setenv("TMPDIR", run_folder, 1);
    write_example("trainer: { max_steps: 1, num_sanity_val_steps: 0 }\nload_path: shelf://weights.safetensors\n");
    char *err = run_succeeds(WORDS("--overwrite", "-o", "optimizer.args.lr=1e-30"));
    const double right = csv_value(run_path("metrics.csv"), "val_right", false);
    cr_expect_gt(right, 0.9, "its weights had learned before: %g\n%s", right, err);
    free(err);
    run_refused("shelf://nothing.pt", WORDS("--overwrite", "-o", "load_path=shelf://nothing.pt"));
    run_refused("the scheme \"self\" is not known; did you mean \"shelf\"?",
                WORDS("--overwrite", "-o", "load_path=self://weights.safetensors"));
}

Test(extension, a_spec_within_a_spec) {
    write_example("trainer: { max_epochs: 1 }\n");
    char *err =
        run_succeeds(WORDS("-o", "model={name: bounded, args: {inner_spec: {name: rings-net, args: {width: 3}}}}"));
    cr_expect_not_null(strstr(err, "model bounded: 17 parameters"), "%s", err);
    free(err);
    run_refused("unknown model \"rings-ned\"; did you mean \"rings-net\"?",
                WORDS("--overwrite", "-o", "model={name: bounded, args: {inner_spec: {name: rings-ned}}}"));
    run_refused("model \"bounded\" needs the arg \"inner_spec\"", WORDS("--overwrite", "-o", "model={name: bounded}"));
    run_refused("width", WORDS("--overwrite", "-o",
                               "model={name: bounded, args: {inner_spec: {name: rings-net, args: {widht: 3}}}}"));
}

/* Just these hooks from here in the log, in this order. */
static void expect_hooks(const char *log, const char *const *order) {
    const char *at = log;
    for (size_t i = 0; order[i]; i++) {
        at = strstr(at, "hook ");
        cr_assert_not_null(at, "\"%s\" is missing (number %zu) in:\n%s", order[i], i, log);
        size_t size = strlen(order[i]);
        cr_expect(strncmp(at + 5, order[i], size) == 0 && at[5 + size] == '\n', "number %zu: expected %s, found %.30s",
                  i, order[i], at + 5);
        at += 5;
    }
    cr_expect_null(strstr(at, "hook "), "more hooks:\n%s", at);
}

#define VALIDATION                                                                                  \
    "validation_start", "validation_epoch_start", "validation_batch_start", "validation_batch_end", \
        "validation_epoch_end", "validation_end"
#define BATCH                                                                                              \
    "train_batch_start", "before_zero_grad", "before_backward", "after_backward", "before_optimizer_step", \
        "train_batch_end"

Test(extension, hooks_come_in_the_documented_order) {
    static const char *const order[] = { "setup",
                                         "fit_start",
                                         "sanity_check_start",
                                         VALIDATION,
                                         "sanity_check_end",
                                         "train_start",
                                         "train_epoch_start",
                                         BATCH,
                                         BATCH,
                                         VALIDATION,
                                         "train_epoch_end",
                                         "save_checkpoint",
                                         "train_end",
                                         "fit_end",
                                         "teardown",
                                         NULL };
    write_example("trainer: { max_epochs: 1, max_steps: 2 }\ncallbacks: [ { name: Teller } ]\n");
    free(run_succeeds(NULL));
    char *log = run_text("log.txt");
    expect_hooks(log, order);
    free(log);
}

Test(extension, hooks_of_a_run_that_goes_on_and_of_one_that_fails) {
    static const char *const goes_on[] = {
        "setup",           "load_checkpoint", "fit_start", "train_start", "train_epoch_start", BATCH, VALIDATION,
        "train_epoch_end", "save_checkpoint", "train_end", "fit_end",     "teardown",          NULL
    };
    static const char *const fails[] = {
        "setup",     "fit_start", "train_start", "train_epoch_start", BATCH, "train_batch_start", "before_zero_grad",
        "exception", "teardown",  NULL
    };
    write_example("trainer: { max_epochs: 1, max_steps: 2 }\ncallbacks: [ { name: Teller } ]\n");
    free(run_succeeds(NULL));
    free(run_succeeds(WORDS("--resume", "-o", "trainer.max_steps=3")));
    char *log = run_text("log.txt"), *again = strstr(log, "hook setup");
    again = again ? strstr(again + 1, "hook setup") : NULL;
    cr_assert_not_null(again, "%s", log);
    expect_hooks(again, goes_on);
    free(log);
    char *err = NULL;
    cr_expect_eq(
        run_train(&err, WORDS("--overwrite", "-o", "optimizer.args.lr=1e38", "-o", "trainer.num_sanity_val_steps=0")),
        1);
    free(err);
    log = run_text("log.txt");
    expect_hooks(log, fails);
    const char *reason = strstr(log, "the loss is "), *told = strstr(log, "hook exception");
    cr_expect(reason && told && reason < told, "%s", log);
    free(log);
}

Test(extension, a_callback_stops_the_run) {
    write_example(
        "trainer: { max_epochs: 50 }\ncallbacks: [ { name: Teller, args: { tells: false, stop_after: 6 } } ]\n");
    char *err = run_succeeds(NULL);
    cr_expect_not_null(strstr(err, "stopped after step 6: the teller has told enough"), "%s", err);
    free(err);
    err = run_succeeds(WORDS("--overwrite", "-o", "trainer.min_steps=9"));
    cr_expect_not_null(strstr(err, "stopped after step 9: "), "%s", err);
    free(err);
}

Test(extension, plug_ins_that_cannot_be_used) {
    write_example("");
    run_refused("plugins: wk_plugin_open: ", WORDS("-o", "plugins=[/nowhere.so]"));
    run_refused("plugins", WORDS("-o", "plugins=[/lib/x86_64-linux-gnu/libm.so.6]"));
}

static char *schema(char *const words[]) {
    char *argv[10] = { WICK_PROGRAM, "train" };
    for (int i = 0; words[i]; i++) argv[2 + i] = words[i];
    program p = start(run_folder, argv, NULL);
    int code = finish(&p, 30);
    char *out = read_bytes(p.out, NULL), *err = read_bytes(p.err, NULL);
    cr_expect_eq(code, strstr(err, "wick: ") ? 1 : 0, "%s", err);
    if (!*err) {
        free(err);
        return out;
    }
    free(out);
    return err;
}

Test(extension, schema_tells_what_registration_knows) {
    char *text = schema(WORDS("--schema", "optimizer", "adamw"));
    cr_expect_str_eq(text, "optimizer:\n  AdamW:\n    lr: { type: number, default: 1e-3 }  # learning rate\n"
                           "    betas: { type: list, default: [0.9, 0.999] }  # or beta1 and beta2\n"
                           "    beta1: { type: number }\n    beta2: { type: number }\n"
                           "    eps: { type: number, default: 1e-8 }\n"
                           "    weight_decay: { type: number, default: 0.01 }\n"
                           "    amsgrad: { type: bool, default: false }\n");
    free(text);
    text = schema(WORDS("--schema", "model", "resnet18"));
    cr_expect_str_eq(text, "model:\n  resnet18:  # ResNet-18 for grey images\n"
                           "    num_classes: { type: int, default: 10 }\n    in_channels: { type: int, default: 1 }\n");
    free(text);
    text = schema(WORDS("--schema"));
    static const char *const parts[] = { "trainer:\n", "checkpoint:\n", "model:\n",        "data:\n",
                                         "loss:\n",    "optimizer:\n",  "schedule:\n",     "callback:\n",
                                         "logger:\n",  "wrapper:\n",    "  EarlyStopping:" };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) cr_expect(strstr(text, parts[i]), "%s", parts[i]);
    free(text);
    text = schema(WORDS("--schema", "modl"));
    cr_expect(strstr(text, "there is no kind \"modl\"; did you mean \"model\"?"), "%s", text);
    free(text);
    write_example("");
    text = schema(WORDS("-c", run_file, "--schema", "model", "rings-net"));
    cr_expect(strstr(text, "width: { type: int, default: 16 }"), "%s", text);
    free(text);
}
