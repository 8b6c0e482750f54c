/* Training under `wick agent` and `-s local`: ranks that meet over TCP, restarts that resume, nodes that come and go.
 */
#include "support/program.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[400], output[500], id[64], data[500];

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("train-agent"));
    (void)snprintf(output, sizeof output, "output=%s/run", folder);
    (void)snprintf(data, sizeof data, "data.args.root=%s", folder);
    (void)snprintf(id, sizeof id, "train-%ld", (long)getpid());
    (void)setenv("WICK_STATE_DIR", folder, 1);
    (void)setenv("TMPDIR", folder, 1); /* an agent that is killed leaves its files */
    (void)setenv("WICK_CONFIG", "", 1);
    (void)setenv("TORCHXCONFIG", "", 1);
    (void)setenv("OMP_NUM_THREADS", "1", 1);
    make_idx_folder(folder, 320);
}

/* Processes that carry `first` and `second` in their environments. */
static int find(const char *first, const char *second, pid_t *found) {
    DIR *all = opendir("/proc");
    int count = 0;
    for (struct dirent *entry; all && (entry = readdir(all));) {
        char path[300], text[65536];
        bool has[2] = { false, false };
        (void)snprintf(path, sizeof path, "/proc/%.20s/environ", entry->d_name);
        FILE *file = strtol(entry->d_name, NULL, 10) > 0 ? fopen(path, "r") : NULL;
        size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
        if (file) (void)fclose(file);
        text[size] = '\0';
        for (const char *at = text; at < text + size; at += strlen(at) + 1) {
            has[0] = has[0] || strcmp(at, first) == 0;
            has[1] = has[1] || strcmp(at, second) == 0;
        }
        if (!has[0] || !has[1]) continue;
        count++;
        *found = (pid_t)strtol(entry->d_name, NULL, 10);
    }
    if (all) (void)closedir(all);
    return count;
}

/* Kill rank 1 of the run that carries `mark` once there is a checkpoint. */
static void kill_rank_1(const char *mark, const char *checkpoint) {
    pid_t pid = 0;
    int tries = 3000;
    while (find(mark, "RANK=1", &pid) == 0 && --tries) pause_seconds(0.005);
    cr_assert_gt(tries, 0, "no process with %s and RANK=1", mark);
    cr_assert(wait_for_text(checkpoint, "", 30), "no checkpoint");
    cr_assert_eq(kill(pid, SIGKILL), 0, "rank 1 had ended already");
}

static void tear_down(void) {
    char run[100];
    pid_t pid = 0;
    (void)snprintf(run, sizeof run, "TORCHELASTIC_RUN_ID=%s", id);
    for (int i = 0; i < 500 && find(run, run, &pid); i++) pause_seconds(0.02);
    cr_expect_eq(find(run, run, &pid), 0, "ranks are left: process %ld", (long)pid);
    remove_folder(folder);
}
TestSuite(training, .init = set_up, .fini = tear_down);

static char *below(const char *name) {
    static char path[4][700];
    static int turn;
    turn = (turn + 1) % 4;
    (void)snprintf(path[turn], sizeof path[turn], "%s/run/%s", folder, name);
    return path[turn];
}

/* Words of a command, ended by NULL. */
static int put(char **argv, int count, char *const words[]) {
    for (int i = 0; words[i]; i++) argv[count++] = words[i];
    argv[count] = NULL;
    return count;
}

/* wick train of the example, cut to what a test has time for. */
static int put_training(char **argv, int count, char *epochs) {
    return put(argv, count,
               (char *[]){ WICK_PROGRAM, "train", "-c", WICK_SOURCE_DIR "/examples/fashion_mnist/config.yaml", "-o",
                           data, "-o", output, "-o", "model={name: mlp, args: {hidden: 32}}", "-o",
                           "data.args.batch_size=16", "-o", "schedule.args.warmup_steps=5", "-o",
                           "checkpoint.every_n_train_steps=5", "-o", epochs, NULL });
}

static program start_agent(char *const options[], char *epochs) {
    char *argv[60], *environment[] = { "ASAN_OPTIONS=detect_leaks=0", "WICK_DIST_TIMEOUT=20", NULL };
    int count = put(argv, 0, (char *[]){ WICK_PROGRAM, "agent", "--rdzv-id", id, NULL });
    count = put(argv, count, options);
    (void)put_training(argv, count, epochs);
    return start(folder, argv, environment);
}

static void expect_text(const char *path, const char *part) {
    char *text = read_bytes(path, NULL);
    cr_expect(text && strstr(text, part), "expected \"%s\" in %s:\n%s", part, path, text);
    free(text);
}

static void expect_end(program *p) {
    int code = finish(p, 100);
    char *err = read_bytes(p->err, NULL);
    cr_assert_eq(code, 0, "exit code %d\n%s", code, err);
    free(err);
}

/* The same run, with nothing in its way; its checkpoint is kept. */
static void train_undisturbed(char *epochs) {
    char to[600];
    program p = start_agent((char *[]){ "--nproc-per-node=2", NULL }, epochs);
    expect_end(&p);
    (void)snprintf(to, sizeof to, "%s/whole.safetensors", folder);
    cr_assert_eq(rename(below("checkpoints/last.safetensors"), to), 0);
    expect_text(below("log.txt"), "; 2 ranks × 1 thread");
    remove_folder(below(""));
}

static void expect_the_same_bytes(void) {
    char whole[600];
    (void)snprintf(whole, sizeof whole, "%s/whole.safetensors", folder);
    cr_expect(same_bytes(whole, below("checkpoints/last.safetensors")), "checkpoints differ");
}

/* A rank is killed: the agent starts both again, and they end with the bytes of a run that nobody disturbed. */
Test(training, killed_rank_under_an_agent_is_resumed) {
    char run[100];
    (void)snprintf(run, sizeof run, "TORCHELASTIC_RUN_ID=%s", id);
    train_undisturbed("trainer.max_epochs=100");
    program p = start_agent((char *[]){ "--nproc-per-node=2", "--max-restarts=1", NULL }, "trainer.max_epochs=100");
    kill_rank_1(run, below("checkpoints/last.safetensors"));
    expect_end(&p);
    expect_text(p.err, "wick agent: rank 1 (local rank 1) was killed by SIGKILL");
    expect_text(below("log.txt"), "resumed after step ");
    expect_text(below("log.txt"), "epoch 100/100");
    expect_the_same_bytes();
}

/* Two nodes; one is lost, the other goes on alone from the last checkpoint; another comes, and they go on as two. */
Test(training, nodes_come_and_go) {
    char endpoint[64], run[100], *epochs = "trainer.max_epochs=200";
    (void)snprintf(endpoint, sizeof endpoint, "--rdzv-endpoint=127.0.0.1:%d", 20000 + (int)(getpid() % 10000));
    (void)snprintf(run, sizeof run, "TORCHELASTIC_RUN_ID=%s", id);
    char *stays[] = { "--nnodes=1:2", "--rdzv-conf=last_call_timeout=1,is_host=true", endpoint, NULL };
    char *comes[] = { "--nnodes=1:2", "--rdzv-conf=last_call_timeout=1,is_host=false", endpoint, NULL };
    program first = start_agent(stays, epochs), second = start_agent(comes, epochs);
    cr_assert(wait_for_text(below("log.txt"), "; 2 ranks × 1 thread", 30), "two did not meet");
    cr_assert(wait_for_text(below("checkpoints/last.safetensors"), "", 30), "no checkpoint");
    (void)kill(second.pid, SIGKILL); /* its guard: all that it started goes with it */
    (void)finish(&second, 10);
    cr_assert(wait_for_text(below("log.txt"), "; 1 rank × 1 thread", 30), "one did not go on");
    program third = start_agent(comes, epochs);
    expect_end(&first);
    expect_end(&third);
    char *log = read_bytes(below("log.txt"), NULL);
    const char *alone = strstr(log, "; 1 rank × 1 thread"), *resumed = strstr(log, "resumed after step ");
    cr_assert(alone && resumed && resumed > alone, "%s", log);
    const char *again = strstr(alone, "; 2 ranks × 1 thread");
    cr_assert_not_null(again, "%s", log);
    cr_expect_not_null(strstr(again, "resumed after step "), "%s", log);
    cr_expect_not_null(strstr(again, "epoch 200/200"), "%s", log);
    for (int epoch = 1; epoch <= 200; epoch++) { /* each once, whoever was there */
        char line[40];
        (void)snprintf(line, sizeof line, "epoch %d/200  train loss", epoch);
        const char *found = strstr(log, line);
        cr_expect_not_null(found, "%s is missing:\n%s", line, log);
    }
    free(log);
    char *argv[] = { WICK_PROGRAM, "eval", below(""), NULL };
    program eval = start(folder, argv, NULL);
    expect_end(&eval);
    char *out = read_bytes(eval.out, NULL), *at = strstr(out, "accuracy ");
    cr_assert_not_null(at, "%s", out);
    cr_expect_gt(strtod(at + 9, NULL), 0.9, "the made images are easy: %s", out);
    free(out);
}

/* Replicas of the scheduler `local` meet in the same way; max_retries starts them again, and they resume. */
Test(training, replicas_of_local_train_together_and_resume) {
    char app[700], *argv[60], text[4000];
    int size =
        snprintf(text, sizeof text,
                 "version: 1\nname: t\nroles:\n  - {name: trainer, num_replicas: 2, max_retries: 1, "
                 "env: {WICK_MARK: %s, OMP_NUM_THREADS: 1, ASAN_OPTIONS: detect_leaks=0}, entrypoint: %s, args: [",
                 id, WICK_PROGRAM);
    int count = put_training(argv, 0, "trainer.max_epochs=100");
    for (int i = 1; i < count; i++)
        size += snprintf(text + size, sizeof text - (size_t)size, "%s'%s'", i > 1 ? ", " : "", argv[i]);
    size += snprintf(text + size, sizeof text - (size_t)size, "]}\n");
    (void)snprintf(app, sizeof app, "%s/app.yaml", folder);
    write_bytes(app, text, (size_t)size);
    train_undisturbed("trainer.max_epochs=100");
    char mark[100], *run[] = { WICK_PROGRAM, "run", "-s", "local", "--wait", app, NULL };
    (void)snprintf(mark, sizeof mark, "WICK_MARK=%s", id);
    program p = start(folder, run, NULL);
    kill_rank_1(mark, below("checkpoints/last.safetensors"));
    expect_end(&p);
    expect_text(below("log.txt"), "; 2 ranks × 1 thread");
    expect_text(below("log.txt"), "resumed after step ");
    expect_the_same_bytes();
}

/* Ranks that cannot meet say so, each for itself, and nothing trains alone. */
Test(training, ranks_that_cannot_meet_do_not_train) {
    char *argv[60], *environment[] = { "RANK=1",        "WORLD_SIZE=2",        "MASTER_ADDR=127.0.0.1",
                                       "MASTER_PORT=9", "WICK_MEET_TIMEOUT=1", NULL };
    (void)put_training(argv, 0, "trainer.max_epochs=1");
    program p = start(folder, argv, environment);
    cr_expect_eq(finish(&p, 20), 1);
    expect_text(p.err,
                "wick: process group: rank 1 did not reach rank 0 at 127.0.0.1:9 within 1 s (WICK_MEET_TIMEOUT)");
    cr_expect_neq(access(below("log.txt"), F_OK), 0);
}
