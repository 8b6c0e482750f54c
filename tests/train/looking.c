/* `wick runs` over directories as they are left: by this version, by earlier ones, by others, by accidents. */
#include "support/program.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[400];

static void put(const char *run, const char *name, const char *text) {
    char path[700];
    (void)snprintf(path, sizeof path, "%s/runs/%s", folder, run);
    (void)mkdir(path, 0755);
    (void)snprintf(path, sizeof path, "%s/runs/%s/%s", folder, run, name);
    write_bytes(path, text, strlen(text));
}

static void put_run(const char *run, const char *rate, const char *losses, const char *last_line) {
    char text[600];
    (void)snprintf(text, sizeof text,
                   "model: { name: mlp }\noptimizer: { name: AdamW, args: { lr: %s } }\ntrainer: { max_epochs: 3 }\n"
                   "output: runs/%s\n",
                   rate, run);
    put(run, "config.yaml", text);
    (void)snprintf(text, sizeof text, "step,epoch,train_loss,val_loss\n%s", losses);
    put(run, "metrics.csv", text);
    (void)snprintf(text, sizeof text, "model mlp: 7 parameters\n%s\n", last_line);
    put(run, "log.txt", text);
}

static void set_up(void) {
    char path[500];
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("runs_looking"));
    (void)snprintf(path, sizeof path, "%s/runs", folder);
    (void)mkdir(path, 0755);
    put_run("small", "1e-3", "5,1,2,1.5\n10,2,1,0.5\n15,3,0.9,0.75\n", "done in 0:12; run directory runs/small");
    put_run("large", "0.1", "5,1,3,2.5\n10,2,2.5,nan\n",
            "Terminated after step 10: the checkpoint is saved, --resume goes on from it");
    put("small", "events.out.tfevents.1700000000.host.1.0", "");
    cr_assert_eq(chdir(folder), 0); /* a process a test: runs/ is looked for here */
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(runs_looking, .init = set_up, .fini = tear_down);

/* `wick runs WORDS`, words between blanks. */
static int look(const char *words, char **out, char **err) {
    char line[800], *argv[40] = { WICK_PROGRAM, "runs" }, *save = NULL;
    int count = 2;
    (void)snprintf(line, sizeof line, "%s", words);
    for (char *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save)) argv[count++] = word;
    program p = start(folder, argv, NULL);
    int code = finish(&p, 30);
    *out = read_bytes(p.out, NULL);
    *err = read_bytes(p.err, NULL);
    return code;
}

/* The command ends with the code; what is expected stands in its output (or stderr), in this order. */
static void expect(int code, const char *words, bool in_err, const char *expected, ...) {
    char *out, *err;
    int got = look(words, &out, &err);
    cr_expect_eq(got, code, "%s: exit code %d: %s%s", words, got, out, err);
    const char *at = in_err ? err : out, *all = at;
    va_list list;
    va_start(list, expected);
    for (const char *word = expected; word && at; word = va_arg(list, const char *)) {
        at = strstr(at, word);
        cr_expect_not_null(at, "%s: expected \"%s\" in:\n%s", words, word, all);
    }
    va_end(list);
    free(out);
    free(err);
}

Test(runs_looking, lists_states_and_bests) {
    expect(0, "ls", false, "NAME ", "large  stopped  mlp", "2/3", "10", "val_loss 2.5", "small  done     mlp", "3/3",
           "15", "val_loss 0.5", "2023-11-14 22:13", NULL);
    expect(0, "ls", true, "runs/large lacks run.json", NULL);
    expect(0, "ls --sort best", false, "small ", "large ", NULL);
    expect(0, "ls --sort best --reverse", false, "large ", "small ", NULL);
    expect(0, "ls --metric train_loss --mode max", false, "train_loss 3.0000", "train_loss 2.0000", NULL);
    expect(0, "ls --where optimizer.args.lr=0.001 --json", false, "\"name\": \"small\"", "\"value\": 0.5", NULL);
    expect(0, "ls --state stopped,failed --json", false, "\"name\": \"large\"", NULL);
    expect(0, "ls --name s* --limit 1", false, "small ", NULL);
    expect(0, "ls --model vit --json", false, "[]", NULL);
    expect(0, "ls --model vit", true, "no runs below runs are like that", NULL);
}

Test(runs_looking, tells_what_runs_and_what_was_killed) {
    char path[500], host[256] = "", record[600];
    put("large", "log.txt", "epoch 1/3  train loss 2.5\n");
    expect(0, "show runs/large", false, "state        failed", "it ended without a word", NULL);
    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(record, sizeof record,
                   "{\"state\": \"running\", \"host\": \"%s\", \"started\": 1700000000.5, \"steps\": 0, \"epochs\": 0}",
                   host);
    put("large", "run.json", record);
    expect(0, "show runs/large", false, "state        failed", "killed, or the machine went down", NULL);
    (void)snprintf(path, sizeof path, "%s/runs/large", folder);
    int lock = open(path, O_RDONLY | O_DIRECTORY);
    cr_assert_eq(flock(lock, LOCK_EX), 0);
    expect(0, "show runs/large", false, "state        running", "epochs       2 of 3", "steps        10", NULL);
    (void)close(lock);
    put("large", "run.json", "{\"state\": \"running\", \"host\": \"elsewhere.invalid\"}");
    expect(0, "show runs/large --json", false, "\"state\": \"running\"", NULL);
}

Test(runs_looking, says_what_a_foreign_folder_lacks) {
    put("version_0", "metrics.csv", "epoch,loss,step\r\n0,,4\r\n0,0.5,9\r\n");
    put("version_0", "hparams.yaml", "width: 16\n");
    put("bare", "metrics.jsonl",
        "{\"step\": 5, \"epoch\": 1, \"train_loss\": 0.5}\n{\"step\": 9, \"epoch\": 2, \"f1\": null, \"train_loss\": "
        "0.25}\n{\"st");
    expect(0, "ls", false, "bare", "unknown", "-", "train_loss 0.25", "version_0", "unknown", "loss 0.5", NULL);
    expect(0, "ls", true, "runs/bare lacks config.yaml, log.txt, run.json: what these would tell is \"-\"",
           "runs/version_0 lacks log.txt, run.json", NULL);
    expect(1, "show runs", true,
           "runs: not the directory of a run: it has none of run.json, metrics.csv, metrics.jsonl and log.txt", NULL);
    expect(1, "show nowhere", true, "nowhere: there is no such directory", NULL);
    expect(1, "ls nowhere", true, "nowhere: No such file or directory; expected a directory with those of runs", NULL);
    expect(0, "report runs/bare", false, "runs/bare/report.html", NULL);
    char *page = NULL, path[600];
    (void)snprintf(path, sizeof path, "%s/runs/bare/report.html", folder);
    page = read_bytes(path, NULL);
    cr_expect_not_null(strstr(page, "The directory lacks config.yaml, log.txt, run.json"), "%s", page);
    free(page);
}

Test(runs_looking, damaged_files_are_named_and_do_not_hide_the_others) {
    put("large", "metrics.csv", "step,epoch,train_loss,val_loss\n5,1,2\n");
    expect(0, "ls", false, "small  done", NULL);
    expect(0, "ls", true, "left out: runs/large/metrics.csv: line 2 does not have the 4 cells of the first one", NULL);
    put("large", "metrics.csv", "step,epoch,train_loss,val_loss\n5,1,two,1\n");
    expect(1, "show runs/large", true, "runs/large/metrics.csv: line 2: \"two\" is no number", NULL);
    put("large", "metrics.csv", "");
    expect(1, "show runs/large", true, "metrics.csv: the file is empty, expected a line of names", NULL);
    put_run("large", "0.1", "", "done in 0:00");
    put("large", "run.json", "[1]");
    expect(1, "show runs/large", true, "runs/large/run.json: line 1: expected an object", NULL);
}

Test(runs_looking, compares_settings_and_results) {
    char *out, *err;
    expect(0, "compare runs/small runs/large", false, "RUN ", "small", "large", "state ", "done ", "stopped", "SETTING",
           "optimizer.args.lr ", "1e-3", "0.1", "LAST VALUE", "train_loss ", "0.9000", "2.5000", "val_loss ", "0.7500",
           "2.5000", NULL);
    cr_assert_eq(look("compare runs/small runs/large", &out, &err), 0);
    cr_expect_null(strstr(out, "model.name"), "what is equal is left out: %s", out);
    cr_expect_null(strstr(out, "output"), "%s", out);
    free(out);
    free(err);
    expect(0, "compare runs/small runs/large --all --metric train_loss", false, "model.name ", "mlp", "mlp",
           "train_loss ", NULL);
    expect(0, "compare runs/small runs/small", false, "no setting differs", NULL);
    expect(1, "compare runs/small runs/large --metric f1", true, "no run has logged \"f1\"", NULL);
    expect(2, "compare runs/small", true, "compare takes two directories of runs, or more", NULL);
}

Test(runs_looking, draws_curves) {
    char path[500], *svg;
    expect(0, "plot runs/small runs/large --metric loss --log --x epoch -o ab.svg --json", false,
           "\"file\": \"ab.svg\"", "\"title\": \"loss\"", "small: train_loss", "\"points\": 3", "large: val_loss",
           "\"points\": 1", NULL);
    (void)snprintf(path, sizeof path, "%s/ab.svg", folder);
    svg = read_bytes(path, NULL);
    cr_expect_not_null(strstr(svg, ">small: train_loss</text>"), "%s", svg);
    cr_expect_not_null(strstr(svg, ">epoch</text>"));
    cr_expect_not_null(strstr(svg, "stroke-dasharray"));
    free(svg);
    expect(0, "plot runs/small -o one.png", false, "one.png", NULL);
    (void)snprintf(path, sizeof path, "%s/one.png", folder);
    svg = read_bytes(path, NULL);
    cr_expect_eq(memcmp(svg, "\x89PNG\r\n\x1a\n", 8), 0);
    free(svg);
    expect(1, "plot runs/small --metric f1", true, "no run has logged \"f1\"; small has train_loss, val_loss", NULL);
    expect(1, "plot runs/small -o a.gif", true, "-o is \"a.gif\", expected NAME.svg or NAME.png", NULL);
    expect(1, "plot runs/small -o /nowhere/a.svg", true, "/nowhere/a.svg: No such file or directory", NULL);
    put_run("large", "0.1", "", "done in 0:00");
    expect(1, "plot runs/large", true, "large has logged no numbers to draw", NULL);
}

Test(runs_looking, long_runs_have_pictures_of_ordinary_size) {
    enum { ROWS = 20000 };
    static char rows[ROWS * 40];
    size_t size = (size_t)snprintf(rows, sizeof rows, "step,epoch,train_loss\n");
    for (int i = 0; i < ROWS; i++)
        size += (size_t)snprintf(rows + size, sizeof rows - size, "%d,1,%g\n", i, i == 12345 ? 77.0 : 1.0 + i % 3);
    put("large", "metrics.csv", rows);
    expect(0, "plot runs/large -o long.svg --json", false, "\"points\": 20000", NULL);
    char path[500], *svg;
    (void)snprintf(path, sizeof path, "%s/long.svg", folder);
    svg = read_bytes(path, NULL);
    cr_expect_lt(strlen(svg), 60000);
    cr_expect_not_null(strstr(svg, ">70</text>"), "the outlier is on the axis: %.600s", svg);
    free(svg);
}

Test(runs_looking, refuses_what_makes_no_sense) {
    static const struct {
        const char *words, *message;
    } cases[] = {
        { "", "wick runs: ls, show, compare, plot or report is missing" },
        { "list", "what can be done is ls, show, compare, plot or report, not \"list\"" },
        { "ls --sort age", "--sort takes name, state, model, epochs, steps, best, seconds or started, not \"age\"" },
        { "ls --state dead", "--state takes done, stopped, running, failed or unknown, not \"dead\"" },
        { "ls --where lr", "--where takes KEY=VALUE, not \"lr\"" },
        { "ls --mode big", "--mode takes min or max, not \"big\"" },
        { "ls --limit x", "--limit takes a number, not \"x\"" },
        { "ls --limit", "a value is missing after \"--limit\"" },
        { "show", "show takes the directory of a run" },
        { "plot", "plot takes directories of runs" },
        { "plot runs/small --x time", "--x takes step or epoch, not \"time\"" },
        { "report", "report takes directories of runs" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect(2, cases[i].words, true, cases[i].message, NULL);
    expect(0, "--help", false, "usage: wick runs ls [DIRECTORY]", NULL);
}
