/* runs_ranks.c: runs of several ranks, and on other devices. */
#include "train/support.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *threads_of_ranks = (char *)"OMP_NUM_THREADS=1";

/* mpirun over `ranks` ranks of `wick train -c CONFIG` and some more words. */
static program start_ranks(const char *ranks, char *const words[]) {
    static char *const start_with[] = { "mpirun", "--oversubscribe", "--bind-to", "none",       "--mca", "pml",
                                        "ob1",    "--mca",           "btl",       "self,vader", "-n" };
    enum { FIXED = sizeof start_with / sizeof start_with[0] };
    char *argv[40] = { NULL };
    memcpy(argv, start_with, sizeof start_with);
    char *const then[] = { (char *)(uintptr_t)ranks, WICK_PROGRAM, "train", "-c", run_file };
    memcpy(argv + FIXED, then, sizeof then);
    for (int i = 0; words[i]; i++) argv[FIXED + 5 + i] = words[i];
    char *environment[] = { "ASAN_OPTIONS=detect_leaks=0",
                            "OMPI_ALLOW_RUN_AS_ROOT=1",
                            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                            threads_of_ranks,
                            "WICK_DIST_TIMEOUT=20",
                            NULL };
    return start(run_folder, argv, environment);
}

static int train_ranks(const char *ranks, char **err, char *const words[]) {
    program p = start_ranks(ranks, words);
    int code = finish(&p, 60);
    *err = read_bytes(p.err, NULL);
    return code;
}

static void expect_once(const char *text, const char *part) {
    const char *found = strstr(text, part);
    cr_expect_not_null(found, "expected \"%s\" in:\n%s", part, text);
    if (found) cr_expect_null(strstr(found + 1, part), "more than once:\n%s", text);
}

/* Nobody says how many threads: all ranks together have no more than there are processors, and at least one each. */
Test(runs, ranks_share_the_processors) {
    static const char *const ranks[] = { "2", "3" };
    threads_of_ranks = (char *)"OMP_NUM_THREADS=";
    for (int i = 0; i < 2; i++) {
        char *err = NULL;
        cr_assert_eq(train_ranks(ranks[i], &err, (char *[]){ "--overwrite", "-o", "trainer.max_steps=2", NULL }), 0,
                     "%s", err);
        int count = 0, threads = 0, mine = 0, all = 0;
        const char *said = strstr(err, "evaluation items; "), *machine = strstr(err, "each rank may use ");
        cr_assert(said && machine, "%s", err);
        cr_assert_eq(sscanf(said, "evaluation items; %d ranks × %d thread", &count, &threads), 2, "%s", said);
        cr_assert_eq(sscanf(machine, "each rank may use %d of %d processors", &mine, &all), 2, "%s", machine);
        cr_expect_eq(threads, mine / count > 0 ? mine / count : 1, "%d ranks of %d threads on %d processors", count,
                     threads, mine);
        free(err);
    }
}

/* Three epochs on one rank, or two of them on one and the last on two: the same number of epochs. */
Test(runs, other_number_of_ranks_after_resume) {
    char *err = NULL;
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=2", "-o", "checkpoint.every_n_train_steps=7")));
    cr_assert_eq(train_ranks("2", &err, (char *[]){ "--resume", "-o", "trainer.max_epochs=3", NULL }), 0, "%s", err);
    cr_expect_not_null(strstr(err, "epoch 3/3"), "%s", err);
    cr_expect_null(strstr(err, "epoch 4/"), "%s", err);
    cr_expect_not_null(strstr(err, "resumed after step 40, in epoch 3"), "%s", err);
    free(err);
    char *csv = run_text("metrics.csv");
    cr_expect_not_null(strstr(csv, "\n50,3,"), "%s", csv);
    free(csv);
}

/* Stopped after 14 of 20 batches of one rank: 7 of 10 for two. */
Test(runs, other_number_of_ranks_in_the_middle_of_an_epoch) {
    char *err = NULL;
    free(run_succeeds(WORDS("-o", "trainer.max_steps=14")));
    cr_assert_eq(train_ranks("2", &err, (char *[]){ "--resume", "-o", "trainer.max_epochs=1", NULL }), 0, "%s", err);
    cr_expect_not_null(strstr(err, "epoch 1/1  train loss"), "%s", err);
    free(err);
    char *csv = run_text("metrics.csv");
    cr_expect_not_null(strstr(csv, "\n17,1,"), "%s", csv);
    free(csv);
}

/* Batch normalisation: what the ranks evaluate together is what the checkpoint holds. */
Test(runs, ranks_evaluate_what_is_saved) {
    char *err = NULL,
         *words[] = { "-o", "model={name: cnn_bn}", "-o", "trainer.max_epochs=1", "-o", "data.args.limit=128", NULL };
    cr_assert_eq(train_ranks("2", &err, words), 0, "%s", err);
    free(err);
    char *argv[] = { WICK_PROGRAM, "eval", run_output, "--checkpoint", "last", NULL };
    program p = start(run_folder, argv, NULL);
    cr_expect_eq(finish(&p, 30), 0);
    char *out = read_bytes(p.out, NULL), *csv = run_text("metrics.csv"), *row = strstr(csv, "\n2,1,");
    cr_assert(row && strncmp(out, "loss ", 5) == 0, "%s%s", csv, out);
    for (int commas = 0; commas < 5; row++) commas += *row == ',';
    cr_expect_float_eq(strtod(row, NULL), strtod(out + 5, NULL), 1e-5, "%s%s", csv, out);
    free(out);
    free(csv);
}

Test(runs, ranks_that_do_not_agree) {
    char *err = NULL;
    char *words[] = { "-o", "seed=1", ":", "-n", "1", WICK_PROGRAM, "train", "-c", run_file, "-o", "seed=2", NULL };
    cr_expect_eq(train_ranks("1", &err, words), 1);
    expect_once(err, "wick: the configuration of rank 1 differs from that of rank 0");
    free(err);
    char *missing[] = { "-o", "seed=1", ":", "-n", "1", WICK_PROGRAM, "train", "-c", "/nowhere.yaml", NULL };
    cr_expect_eq(train_ranks("1", &err, missing), 1);
    expect_once(err, "wick: ");
    expect_once(err, "wick: /nowhere.yaml: No such file or directory");
    free(err);
    char *data[] = { "-o", "data.args.root=/nowhere", NULL };
    cr_expect_eq(train_ranks("3", &err, data), 1);
    expect_once(err, "wick: data \"idx\"");
    free(err);
}

/* The other rank is not left to wait for the watchdog. */
Test(runs, rank_0_that_cannot_save_ends_the_job) {
    program p = start_ranks(
        "2", (char *[]){ "-o", "trainer.max_epochs=100000", "-o", "checkpoint.every_n_train_steps=1", NULL });
    bool reached = wait_for_text(run_path("metrics.csv"), "\n5,1,", 30);
    run_set_aside("moved");
    int code = finish(&p, 15);
    char *err = read_bytes(p.err, NULL);
    cr_assert(reached, "%s", err);
    cr_expect_eq(code, 1, "exit code %d", code);
    expect_once(err, "wick: rank 0 of 2 ends the job: ");
    cr_expect_not_null(strstr(err, "last.safetensors"), "%s", err);
    cr_expect_not_null(strstr(err, "No such file or directory"), "%s", err);
    free(err);
}

Test(runs, more_ranks_than_data) {
    char *err = NULL;
    int code = train_ranks("3", &err, (char *[]){ "-o", "data.args.limit=2", NULL });
    cr_expect_eq(code, 1, "exit code %d", code);
    expect_once(err, "3 ranks but only 2 items");
    free(err);
}

/* ---- another device ---- */

/* Training losses of the five steps in metrics.csv. */
static int read_losses(const char *path, double losses[5]) {
    FILE *file = fopen(path, "r");
    char line[300];
    int count = 0;
    cr_assert_not_null(file, "%s", path);
    while (fgets(line, sizeof line, file))
        if (count < 5 && sscanf(line, "%*[^,],%*[^,],%*[^,],%lf", &losses[count]) == 1) count++;
    (void)fclose(file);
    return count;
}

static void run_five_steps(const char *device, const char *precision, double losses[5]) {
    char *err = NULL, named[64], precise[64];
    (void)snprintf(named, sizeof named, "device=%s", device);
    (void)snprintf(precise, sizeof precise, "trainer.precision=%s", precision);
    char *argv[] = { WICK_PROGRAM,  "train",
                     "-c",          run_file,
                     "-o",          named,
                     "-o",          precise,
                     "-o",          "trainer.max_steps=5",
                     "-o",          "trainer.log_every_n_steps=1",
                     "--overwrite", NULL };
    cr_assert_eq(run_program(run_folder, argv, NULL, 200, &err), 0, "%s", err);
    cr_expect((strstr(err, "training on cudaemu:0: ") != NULL) == (strcmp(device, "cpu") != 0), "%s", err);
    free(err);
    cr_assert_eq(read_losses(run_path("metrics.csv"), losses), 5);
}

Test(runs, the_emulated_device_gives_the_losses_of_the_cpu) {
    double here[5], there[5];
    run_five_steps("cpu", "32", here);
    run_five_steps("cudaemu", "32", there);
    for (int i = 0; i < 5; i++) cr_expect_float_eq(there[i], here[i], 1e-4, "step %d: %g, %g", i, there[i], here[i]);
    char *err = NULL; /* what a device has saved goes on anywhere */
    cr_assert_eq(run_train(&err, WORDS("--resume", "-o", "trainer.max_steps=8")), 0, "%s", err);
    cr_expect_not_null(strstr(err, "resumed after step 5"), "%s", err);
    free(err);
}

/* Products are rounded to halves after sums in another order: losses are as near as halves are. */
Test(runs, the_emulated_device_trains_in_mixed_precision) {
    static const char *const kinds[] = { "bf16-mixed", "16-mixed" };
    double full[5], here[5], there[5];
    run_five_steps("cudaemu", "32", full);
    for (int k = 0; k < 2; k++) {
        int other = 0;
        run_five_steps("cpu", kinds[k], here);
        run_five_steps("cudaemu", kinds[k], there);
        for (int i = 0; i < 5; i++) {
            cr_expect_float_eq(there[i], here[i], 2e-3, "%s, step %d: %g, %g", kinds[k], i, there[i], here[i]);
            other += there[i] != full[i];
        }
        cr_expect_gt(other, 0, "%s changes nothing on the device", kinds[k]);
    }
}

/* NCCL between two ranks with a device each, which the emulator carries through shared memory. */
Test(runs, ranks_on_devices_of_their_own_give_the_losses_of_the_cpu) {
    double here[5], there[5];
    for (int emulated = 0; emulated < 2; emulated++) {
        char *err = NULL;
        (void)setenv("WICK_CUDAEMU_DEVICES", "2", 1);
        char *words[] = { "-o",          emulated ? "device=cudaemu" : "device=cpu",
                          "-o",          "trainer.max_steps=5",
                          "-o",          "trainer.log_every_n_steps=1",
                          "--overwrite", NULL };
        cr_assert_eq(train_ranks("2", &err, words), 0, "%s", err);
        if (emulated) cr_expect_not_null(strstr(err, "training on cudaemu:0: "), "%s", err);
        free(err);
        cr_assert_eq(read_losses(run_path("metrics.csv"), emulated ? there : here), 5);
    }
    for (int i = 0; i < 5; i++) cr_expect_float_eq(there[i], here[i], 1e-4, "step %d: %g, %g", i, there[i], here[i]);
}
