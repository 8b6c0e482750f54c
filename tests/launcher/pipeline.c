/* Pipelines: the graph, its run on this machine and on Slurm, going on after a crash, and what is written for others.
 */
#include "launcher/slurm_cluster.h"
#include "launcher/pipeline/pipeline.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(pipeline, .init = state_begin, .fini = state_end, .timeout = 120);

static const char graph[] =
    "version: 1\nname: fan\nparameters: {sizes: [small, large], word: hi}\nstages:\n"
    "  - name: data\n    outputs: {set: ~}\n    cache: true\n    app: &sh\n      roles:\n"
    "        - {name: r, image: \"i:1\", entrypoint: sh, args: [-c, 'echo made >>\"${{out.set}}\"; echo x >>\"$0\"', "
    "\"${env:MARK,/dev/null}\"]}\n"
    "  - name: train\n    after: data\n    each: ${{sizes}}\n    outputs: {model: ~}\n    app:\n      roles:\n"
    "        - {name: r, image: \"i:1\", entrypoint: sh, resource: {cpu: 2, memMB: 500, gpu: 1}, args: [-c, 'cat "
    "\"$1\" >\"$WICK_OUTPUT_MODEL\"; "
    "echo \"$2 $WICK_STAGE\" >>\"$WICK_OUTPUT_MODEL\"', x, \"${{data.set}}\", \"${{each}} ${{word}}\"]}\n"
    "  - name: tell\n    after: [train, data]\n    when: always\n    retries: 1\n    app:\n      roles:\n"
    "        - {name: r, image: \"i:1\", entrypoint: cat, args: [\"${{train.model}}\"]}\n";

/* The id on stdout of a run, which must have ended with that code. */
static const char *id_of(outcome *o, int code) {
    cr_assert_eq(o->code, code, "%d: %s", o->code, o->err);
    o->out[strcspn(o->out, "\n")] = '\0';
    return o->out;
}

static char *file_of(const char *id, const char *rest) {
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/pipelines/%s/%s", state_dir(), id, rest);
    FILE *file = fopen(path, "r");
    char *text = wk_alloc(65536);
    text[file ? fread(text, 1, 65535, file) : 0] = '\0';
    if (file) (void)fclose(file);
    return text;
}

Test(pipeline, fan_out_artifacts_and_cache) {
    char mark[PATH_MAX];
    (void)snprintf(mark, sizeof mark, "%s/mark", state_dir());
    (void)setenv("MARK", mark, 1);
    const char *file = write_file("fan.yaml", graph);
    for (int turn = 0; turn < 2; turn++) {
        outcome o = WICK("pipeline", "run", file, "-p", turn ? "word=ho" : "word=hi", "--jobs", "2");
        const char *id = id_of(&o, 0);
        assert_contains(o.err,
                        turn ? "wick: stage data: CACHED\n" : "wick: stage data: RUNNING local://wick/fan-data-");
        char *model = file_of(id, "train-1/model");
        cr_expect_str_eq(model, turn ? "made\nlarge ho train-1\n" : "made\nlarge hi train-1\n");
        wk_free(model);
        outcome shown = WICK("pipeline", "status", id);
        assert_contains(shown.out, turn ? "fan\n└─ data  CACHED\n" : "fan\n└─ data  SUCCEEDED");
        assert_contains(shown.out, "   ├─ train-0  SUCCEEDED  local://wick/");
        assert_contains(shown.out, "   └─ tell (always) <- train-0, train-1, data  SUCCEEDED");
        forget(&shown);
        shown = WICK("pipeline", "status", id, "--json");
        assert_contains(shown.out, "\"name\": \"train-1\"");
        forget(&shown);
        forget(&o);
    }
    FILE *made = fopen(mark, "r");
    char line[16];
    int runs = 0;
    while (made && fgets(line, sizeof line, made)) runs++;
    if (made) (void)fclose(made);
    cr_expect_eq(runs, 1, "the cached stage ran %d times", runs);
}

Test(pipeline, outcomes_and_retries) {
    char mark[PATH_MAX];
    char text[2 * PATH_MAX + 1024];
    (void)snprintf(mark, sizeof mark, "%s/once", state_dir());
    (void)snprintf(
        text, sizeof text,
        "version: 1\nname: out\nstages:\n"
        "  - {name: flaky, retries: 1, run: utils.sh, arguments: [\"--\", \"test -e %s || { touch %s; exit 3; }\"]}\n"
        "  - {name: bad, after: flaky, run: utils.sh, arguments: [\"--\", exit 4]}\n"
        "  - {name: never, after: bad, run: utils.echo}\n"
        "  - {name: rescue, after: bad, when: failure, run: utils.echo}\n"
        "  - {name: quiet, after: flaky, when: failure, run: utils.echo}\n"
        "  - {name: last, after: [never, rescue], when: always, run: utils.echo}\n",
        mark, mark);
    outcome o = WICK("pipeline", "run", write_file("p.yaml", text));
    (void)id_of(&o, 1);
    assert_contains(o.err, "wick: stage flaky: WAITING (once more)\n");
    assert_contains(o.err, "wick: stage flaky: SUCCEEDED\n");
    assert_contains(o.err, "wick: stage bad: FAILED local://wick/");
    assert_contains(o.err, "wick: stage never: SKIPPED\n");
    assert_contains(o.err, "wick: stage rescue: SUCCEEDED\n");
    assert_contains(o.err, "wick: stage quiet: SKIPPED\n");
    assert_contains(o.err, "wick: stage last: SUCCEEDED\n");
    assert_contains(o.err, ": stage bad failed (local://wick/");
    forget(&o);
    o = WICK("pipeline", "run",
             write_file("q.yaml", "version: 1\nname: fast\nfail_fast: true\nstages:\n"
                                  "  - {name: long, run: utils.sh, arguments: [\"--\", sleep 60]}\n"
                                  "  - {name: bad, run: utils.sh, arguments: [\"--\", exit 4]}\n"));
    (void)id_of(&o, 1);
    cr_expect_lt(o.seconds, 20);
    assert_contains(o.err, "wick: stage long: FAILED");
    forget(&o);
}

/* The example, shortened: images are unpacked, trained on, and what came out is evaluated. */
Test(pipeline, prepares_trains_and_evaluates) {
    outcome engine = WICK("eval", "--help");
    const bool has_engine = engine.code == 0;
    forget(&engine);
    if (!has_engine) cr_skip_test("built without the engine");
    if (tests_are_brief()) cr_skip_test("trains");
    cr_assert_eq(chdir(WICK_SOURCE_DIR), 0);
    outcome o =
        WICK("pipeline", "run", "examples/pipeline/prepare-train-evaluate.yaml", "-p", "limit=640", "-p", "epochs=1");
    const char *id = id_of(&o, 0);
    assert_contains(o.err, "wick: stage evaluate: SUCCEEDED");
    outcome shown = WICK("pipeline", "status", id, "--json");
    const char *handle = strstr(shown.out, "local://wick/prepare-train-evaluate-evaluate-");
    cr_assert_not_null(handle, "%s", shown.out);
    char name[200];
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(handle, "\""), handle);
    outcome log = WICK("log", name);
    assert_contains(log.out, "accuracy");
    forget(&log);
    forget(&shown);
    forget(&o);
}

Test(pipeline, pipelines_within_and_stages_that_add_stages) {
    (void)write_file("sub.yaml",
                     "version: 1\nname: sub\nparameters: {n: 0}\nstages:\n"
                     "  - {name: a, run: utils.echo, arguments: [--msg, \"a ${{n}}\"], outputs: {o: \"/tmp/${{n}}\"}}\n"
                     "  - {name: b, after: a, run: utils.echo, arguments: [--msg, \"${{a.o}}\"]}\n");
    const char *file = write_file(
        "p.yaml", "version: 1\nname: grow\nparameters: {k: 7}\nstages:\n"
                  "  - {name: first, adds: true, run: utils.sh, arguments: [\"--\", \"echo '[{name: more, run: "
                  "utils.echo}, {name: "
                  "most, after: more, run: utils.echo}]' >$WICK_STAGES\"]}\n"
                  "  - {name: inner, after: first, pipeline: sub.yaml, parameters: {n: \"${{k}}\"}}\n"
                  "  - {name: end, after: inner, run: utils.echo, arguments: [--msg, \"${{inner.a.o}}\"]}\n");
    outcome o = WICK("pipeline", "run", file);
    const char *id = id_of(&o, 0);
    outcome shown = WICK("pipeline", "status", id);
    assert_contains(shown.out, "└─ more  SUCCEEDED");
    assert_contains(shown.out, "inner.b  SUCCEEDED");
    assert_contains(shown.out, "most  SUCCEEDED");
    assert_contains(shown.out, "end <- inner.a, inner.b  SUCCEEDED");
    const char *handle = strstr(shown.out, "local://wick/grow-end");
    if (!handle) handle = strstr(strstr(shown.out, "end <-"), "local://");
    char name[200];
    cr_assert_eq(sscanf(handle, "%199s", name), 1);
    outcome log = WICK("log", name);
    assert_contains(log.out, "/tmp/7\n");
    forget(&log);
    forget(&shown);
    forget(&o);
}

/* The runner is killed; its app goes on; another takes the run up and starts nothing twice. */
Test(pipeline, goes_on_after_a_crash) {
    char text[4 * PATH_MAX];
    (void)snprintf(text, sizeof text,
                   "version: 1\nname: crash\nstages:\n"
                   "  - {name: one, run: utils.sh, arguments: [\"--\", \"echo x >>%s/count; sleep 1.5\"]}\n"
                   "  - {name: two, after: one, run: utils.sh, arguments: [\"--\", \"echo y >>%s/count\"]}\n",
                   state_dir(), state_dir());
    const char *file = write_file("p.yaml", text);
    char command[4 * PATH_MAX];
    (void)snprintf(command, sizeof command, "timeout -s KILL 0.8 %s pipeline run %s", WICK_BINARY, file);
    outcome o = run_program((const char *const[]){ "sh", "-c", command, NULL });
    o.out[strcspn(o.out, "\n")] = '\0';
    outcome again = WICK("pipeline", "run", "--resume", o.out);
    cr_assert_eq(again.code, 0, "%s", again.err);
    assert_contains(again.err, "wick: stage one: SUCCEEDED\n");
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/count", state_dir());
    FILE *count = fopen(path, "r");
    char lines[64] = "";
    lines[count ? fread(lines, 1, sizeof lines - 1, count) : 0] = '\0';
    if (count) (void)fclose(count);
    cr_assert_str_eq(lines, "x\ny\n");
    forget(&again);
    forget(&o);
}

Test(pipeline_slurm, the_queue_keeps_the_order, .init = cluster_begin, .fini = cluster_end, .timeout = 120) {
    cluster_needed();
    const char *file = write_file("p.yaml", "version: 1\nname: q\nscheduler: slurm\nstages:\n"
                                            "  - {name: one, run: utils.sh, arguments: [\"--\", sleep 3]}\n"
                                            "  - {name: two, after: one, run: utils.sh, arguments: [\"--\", exit 5]}\n"
                                            "  - {name: three, after: two, run: utils.echo}\n"
                                            "  - {name: four, after: two, when: failure, run: utils.echo}\n");
    outcome o = WICK("pipeline", "run", file);
    (void)id_of(&o, 1);
    const char *two = strstr(o.err, "stage two: RUNNING");
    const char *done = strstr(o.err, "stage one: SUCCEEDED");
    cr_expect(two && done && two < done, "it is queued before the first has ended: %s", o.err);
    assert_contains(o.err, "wick: stage two: FAILED");
    assert_contains(o.err, "wick: stage three: SKIPPED");
    assert_contains(o.err, "wick: stage four: SUCCEEDED");
    forget(&o);
}

Test(pipeline, bad_input) {
    static const struct {
        const char *text, *message;
    } table[] = {
        { "version: 1\nstages: [{name: a, run: x, aftr: b}]\n",
          "p.yaml:2:28: unknown key \"aftr\" in a stage; did you mean \"after\"?" },
        { "version: 1\nstages: [{name: a, run: utils.echo}, {name: b, after: aa, run: x}]\n",
          "p.yaml:2:55: no stage \"aa\" before this one; did you mean \"a\"?" },
        { "version: 1\nstages: [{name: a}]\n",
          "p.yaml:2:10: stage \"a\" needs one of app (an AppDef), run (a file or a component) and pipeline" },
        { "version: 1\nstages: [{name: a, run: x}, {name: a, run: x}]\n", "p.yaml:2:29: two stages are named \"a\"" },
        { "version: 1\nparameters: {size: 1}\nstages: [{name: a, each: \"${{sizes}}\", run: x}]\n",
          "p.yaml:3:26: stage \"a\": there is no ${{sizes}}; did you mean ${{size}}?" },
        { "version: 1\nstages: [{name: a, each: 3, run: x}]\n",
          "p.yaml:2:26: each must be a list, or ${{NAME}} of one" },
        { "version: 1\nstages: [{name: a, run: x, cache: true}]\n",
          "p.yaml:2:10: stage \"a\" has nothing to cache: it names no outputs" },
        { "version: 1\nstages: [{name: \"a b\", run: x}]\n",
          "p.yaml:2:17: the name of a stage is letters, digits, - and _, not \"a b\"" },
        { "stages: []\n", "p.yaml:1:1: a pipeline has no version: version: 1" },
        { "version: 1\nstages: []\n", "p.yaml: a pipeline without stages" },
    };
    for (size_t i = 0; i < WK_COUNT(table); i++) {
        outcome o = WICK("pipeline", "show", write_file("p.yaml", table[i].text));
        cr_expect_eq(o.code, 2);
        cr_expect(strstr(o.err, table[i].message) != NULL, "expected %s in %s", table[i].message, o.err);
        forget(&o);
    }
    outcome o = WICK("pipeline", "ru");
    cr_expect_str_eq(o.err, "wick: pipeline: run, status, show or export, not \"ru\"; did you mean run?\n");
    forget(&o);
    o = WICK("pipeline", "run", write_file("fan.yaml", graph), "-p", "wrd=x");
    assert_contains(o.err, "wick: -p wrd=x: no parameter \"wrd\"; did you mean \"word\"?");
    forget(&o);
    o = WICK("pipeline", "status", "none");
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "wick: no run of a pipeline is named \"none\"\n");
    forget(&o);
}

Test(pipeline, drawn) {
    outcome o = WICK("pipeline", "show", write_file("fan.yaml", graph));
    cr_assert_str_eq(o.out,
                     "fan\n└─ data\n   ├─ train-0\n   ├─ train-1\n   └─ tell (always) <- train-0, train-1, data\n");
    forget(&o);
    o = WICK("pipeline", "show", write_file("fan.yaml", graph), "--svg");
    const char *svg = write_file("fan.svg", o.out);
    outcome parsed = run_program((const char *const[]){
        "python3", "-c",
        "import sys, xml.etree.ElementTree as e; r = e.parse(sys.argv[1]).getroot(); print(len(r.findall("
        "'{http://www.w3.org/2000/svg}rect')), len(r.findall('{http://www.w3.org/2000/svg}path')))",
        svg, NULL });
    cr_assert_str_eq(parsed.out, "4 5\n", "%s%s", parsed.out, parsed.err);
    forget(&parsed);
    forget(&o);
}

/* ---- for others ---- */

Test(pipeline, airflow_is_python) {
    outcome o = WICK("pipeline", "export", write_file("fan.yaml", graph), "--to", "airflow");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.out, "s1 = stage(\"train-0\", \"version: 1\\nname: ");
    assert_contains(o.out, ", \"local\", \"\", 1, \"all_done\")\n");
    assert_contains(o.out, "    s0 >> s1\n");
    const char *file = write_file("dag.py", o.out);
    outcome checked = run_program((const char *const[]){ WICK_SOURCE_DIR "/tests/launcher/pipeline_sdk", "airflow",
                                                         WICK_BUILD_DIR "/pypi", file, NULL });
    cr_assert_eq(checked.code, 0, "%s%s", checked.out, checked.err);
    forget(&checked);
    forget(&o);
    o = WICK("pipeline", "export",
             write_file("one.yaml",
                        "version: 1\nname: one\nstages:\n  - name: s\n    app:\n      roles: [{name: r, image: i, "
                        "entrypoint: echo, args: ['${#A} {{ 1 }}'], env: {A_KEY: hush, B: c}}]\n"),
             "--to", "airflow");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "the secret variable A_KEY of \"s\" is left out");
    cr_assert_null(strstr(o.out, "A_KEY"));
    assert_contains(o.out, "    template_fields = ()");
    assert_contains(o.out, "${#A} {{ 1 }}");
    forget(&o);
}

Test(pipeline, kubeflow_is_what_its_sdk_reads) {
    outcome o = WICK("pipeline", "export", write_file("fan.yaml", graph), "--to", "kubeflow");
    cr_assert_eq(o.code, 0, "%s", o.err);
    char *pipeline = wk_strdup(write_file("kfp.yaml", o.out));
    assert_contains(o.out, "\"strategy\": \"ALL_UPSTREAM_TASKS_COMPLETED\"");
    forget(&o);
    o = WICK("pipeline", "export",
             write_file("app.yaml",
                        "version: 1\nname: My_App\nroles: [{name: r, image: i, entrypoint: e, args: [\"${app_id}\"], "
                        "env: {A_KEY: hush, B: c}}]\n"),
             "--to", "kubeflow-component");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "the secret variable A_KEY of \"My_App\" is left out");
    cr_assert_null(strstr(o.out, "hush"));
    const char *component = write_file("component.yaml", o.out);
    outcome checked = run_program((const char *const[]){ WICK_SOURCE_DIR "/tests/launcher/pipeline_sdk", "kubeflow",
                                                         WICK_BUILD_DIR "/pypi", pipeline, component, NULL });
    cr_assert_eq(checked.code, 0, "%s%s", checked.out, checked.err);
    (void)fputs(checked.err, stderr); /* says so if the SDK is not to be had */
    forget(&checked);
    forget(&o);
    wk_free(pipeline);
    o = WICK("pipeline", "export", write_file("b.yaml", "version: 1\nroles: []\n"), "--to", "kubeflw");
    assert_contains(o.err, "--to is kubeflow, airflow or kubeflow-component; did you mean kubeflow?");
    forget(&o);
    o = WICK(
        "pipeline", "export",
        write_file("two.yaml", "version: 1\nname: t\nroles: [{name: r, image: i, entrypoint: e, num_replicas: 2}]\n"),
        "--to", "kubeflow-component");
    assert_contains(o.err, "kubeflow: \"t\" must be one role of one replica: a task there is one container\n");
    forget(&o);
}
