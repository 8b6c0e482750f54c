/* functions.c: `wick train` and `wick eval` as functions of a program: called again and again they end with a number,
 * and leave the process as it was. */
#include "train/support.h"
#include "wick/train.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void set_up(void) {
    run_set_up("train_functions", 64);
    run_write("seed: 7\nmodel: { name: mlp, args: { hidden: 8 } }\noptimizer: { name: SGD, args: { lr: 0.05 } }\n"
              "trainer: { max_epochs: 2 }\n");
    cr_assert(freopen("/dev/null", "w", stderr) && freopen("/dev/null", "w", stdout));
}
TestSuite(functions, .init = set_up, .fini = run_tear_down);

static int call(int (*command)(int argc, char **argv), char *const words[]) {
    char *argv[16];
    int argc = 0;
    for (; words[argc]; argc++) argv[argc] = words[argc];
    argv[argc] = NULL;
    return command(argc, argv);
}

static bool is_default(int number) {
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_DFL;
}

Test(functions, a_program_trains_twice) {
    cr_expect_eq(call(wk_train_main, WORDS("train", "-c", run_file)), 0);
    run_set_aside("first");
    cr_expect_eq(call(wk_train_main, WORDS("train", "-c", run_file)), 0);
    run_same_checkpoint("first", "checkpoints/last.safetensors");
    cr_expect_eq(call(wk_eval_main, WORDS("eval", run_output)), 0);
    cr_expect_eq(call(wk_train_main, WORDS("train", "-c", run_file)), 1, "there is a run already");
    cr_expect(!wk_failed(), "an error that was reported is not pending");
    cr_expect_eq(call(wk_train_main, WORDS("train", "-c", run_file, "-o", "model.name=mlq")), 1);
    cr_expect_eq(call(wk_train_main, WORDS("train")), 2);
    cr_expect_eq(call(wk_train_main, WORDS("train", "-c", run_file, "--overwrite")), 0, "after errors");
    run_same_checkpoint("first", "checkpoints/last.safetensors");
    cr_expect(is_default(SIGTERM) && is_default(SIGINT) && is_default(SIGALRM) && is_default(SIGPIPE));
}
