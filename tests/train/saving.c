/* Checkpoints on their way to the disk: behind training's back, killed in the middle, and where there is no room. */
#include "support/program.h"
#include "train/support.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void set_up(void) {
    run_set_up("saving", 192);
}
TestSuite(saving, .init = set_up, .fini = run_tear_down);

static void write_run(const char *more) {
    char text[1500];
    (void)snprintf(text, sizeof text,
                   "seed: 5\nmodel: { name: mlp, args: { hidden: 64 } }\n"
                   "optimizer: { name: AdamW, args: { lr: 1e-3 } }\n"
                   "trainer: { max_epochs: 3, log_every_n_steps: 1 }\n"
                   "callbacks: [{ name: ModelCheckpoint, args: { save_top_k: 1, save_last: link, "
                   "every_n_train_steps: 5 } }]\n%s",
                   more);
    run_write(text);
}

/* Names below the run's directory, in order. */
static char *listing(void) {
    char command[700];
    (void)snprintf(command, sizeof command, "cd %s && find checkpoints $(ls -d ckpt 2>/dev/null) | sort", run_output);
    FILE *pipe = popen(command, "r");
    char *text = calloc(1, 4000);
    cr_assert(pipe && fread(text, 1, 3999, pipe) > 0);
    (void)pclose(pipe);
    return text;
}

Test(saving, in_the_background_leaves_the_same_files) {
    write_run("");
    free(run_succeeds(NULL));
    char *before = listing(), target[2][200];
    ssize_t size[2] = { readlink(run_path("ckpt/last.ckpt"), target[0], 200) };
    run_set_aside("plain");
    write_run("checkpoint: { async: true, every_n_train_steps: 1 }\n");
    free(run_succeeds(NULL));
    char *after = listing();
    cr_expect_str_eq(before, after);
    size[1] = readlink(run_path("ckpt/last.ckpt"), target[1], 200);
    cr_expect(size[0] > 0 && size[0] == size[1] && memcmp(target[0], target[1], (size_t)size[0]) == 0,
              "links to %.*s and %.*s", (int)size[0], target[0], (int)size[1], target[1]);
    run_same_checkpoint("plain", "checkpoints/last.safetensors");
    run_same_checkpoint("plain", "checkpoints/best.safetensors");
    run_same_checkpoint("plain", "ckpt/last.ckpt");
    run_same_checkpoint("plain", "ckpt/best_k_models.yaml");
    free(before);
    free(after);
}

/* Killed while files are written after every step; what is there is whole, and the rest of the run the same. */
Test(saving, killed_in_the_background_goes_on_with_the_same_bits) {
    write_run("checkpoint: { async: true, every_n_train_steps: 1 }\n");
    free(run_succeeds(NULL));
    run_set_aside("whole");
    char *argv[] = { WICK_PROGRAM, "train", "-c", run_file, NULL };
    program p = start(run_folder, argv, NULL);
    bool reached = wait_for_text(run_path("log.txt"), "epoch 1/3  train loss", 30);
    (void)kill(p.pid, SIGKILL);
    (void)finish(&p, 10);
    cr_assert(reached);
    char *err = run_succeeds(WORDS("--resume"));
    cr_expect_not_null(strstr(err, "resumed after step"), "%s", err);
    free(err);
    run_same_checkpoint("whole", "checkpoints/last.safetensors");
}

static int count(const char *text, const char *word) {
    int found = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++) found++;
    return found;
}

/* Files of more than 200 KB cannot be written, which is what checkpoints are. */
static int run_without_room(char **err) {
    char command[1200];
    (void)snprintf(command, sizeof command,
                   "trap '' XFSZ; ulimit -f 200; exec '%s' train -c '%s' --resume -o callbacks=null", WICK_PROGRAM,
                   run_file);
    char *argv[] = { "bash", "-c", command, NULL };
    return run_program(run_folder, argv, NULL, 200, err);
}

static void goes_on_without_room(const char *how) {
    char *err = NULL, kept[600], rows[2000];
    write_run(how);
    free(run_succeeds(WORDS("-o", "callbacks=null")));
    run_set_aside("whole");
    free(run_succeeds(WORDS("-o", "callbacks=null", "-o", "trainer.max_epochs=1")));
    (void)snprintf(kept, sizeof kept, "%s/kept", run_folder);
    size_t size;
    char *bytes = read_bytes(run_path("checkpoints/last.safetensors"), &size);
    write_bytes(kept, bytes, size);
    free(bytes);
    int code = run_without_room(&err);
    cr_expect_eq(code, 1, "%s", err);
    cr_expect_eq(count(err, "warning: "), 1, "%s", err);
    cr_expect_not_null(strstr(err, "cannot write: File too large: training goes on"), "%s", err);
    cr_expect_not_null(strstr(err, "epoch 3/3  train loss"), "training did not go on:\n%s", err);
    cr_expect_not_null(strstr(err, "; so the run ends without its last checkpoint"), "%s", err);
    free(err);
    cr_expect(same_bytes(kept, run_path("checkpoints/last.safetensors")), "the checkpoint from before has changed");
    char *csv = run_text("metrics.csv");
    cr_expect_not_null(strstr(csv, "\n36,3,"), "%s", csv);
    free(csv);
    char *names = listing();
    (void)snprintf(rows, sizeof rows, "%s", names);
    cr_expect_null(strstr(rows, ".tmp."), "%s", rows);
    free(names);
    err = run_succeeds(WORDS("--resume", "-o", "callbacks=null"));
    cr_expect_not_null(strstr(err, "resumed after step 12"), "%s", err);
    free(err);
}

Test(saving, goes_on_where_the_disk_is_full) {
    goes_on_without_room("");
    run_same_checkpoint("whole", "checkpoints/last.safetensors");
}

Test(saving, goes_on_where_the_disk_is_full_in_the_background) {
    goes_on_without_room("checkpoint: { async: true }\n");
    run_same_checkpoint("whole", "checkpoints/last.safetensors");
}

/* One folder cannot be written to; the run's own can. */
Test(saving, a_folder_that_is_none_does_not_end_the_run) {
    char more[900];
    (void)snprintf(more, sizeof more, "checkpoint: { monitor: val_loss, dirpath: %s/config.yaml/best }\n", run_folder);
    write_run(more);
    char *err = run_succeeds(WORDS("-o", "callbacks=null"));
    cr_expect_eq(count(err, "warning: "), 1, "%s", err);
    cr_expect_not_null(strstr(err, "cannot make the folder"), "%s", err);
    cr_expect_eq(access(run_path("checkpoints/last.safetensors"), F_OK), 0);
    free(err);
}
