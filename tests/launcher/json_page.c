/* docs/json.md is what commands print: every field that is printed stands there with its type, and every field that
 * stands there is printed. */
#include "launcher/harness.h"
#include "wick/app.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(json_page, .init = state_begin, .fini = state_end, .timeout = 60);

enum { MOST_FIELDS = 64 };

typedef struct field {
    char path[128], type[32];
    bool seen;
} field;

typedef struct page {
    const char *title;
    field fields[MOST_FIELDS];
    size_t count;
} page;

/* The table under "## TITLE". */
static page read_page(const char *title) {
    page p = { .title = title };
    char line[600], heading[200];
    bool inside = false;
    FILE *file = fopen(WICK_SOURCE_DIR "/docs/json.md", "r");
    cr_assert_not_null(file);
    (void)snprintf(heading, sizeof heading, "## %s\n", title);
    while (fgets(line, sizeof line, file)) {
        field f = { 0 };
        if (strncmp(line, "## ", 3) == 0) inside = strcmp(line, heading) == 0;
        if (!inside || sscanf(line, "| `%127[^`]` | %31[^|]|", f.path, f.type) != 2) continue;
        f.type[strcspn(f.type, "?") + (strchr(f.type, '?') != NULL)] = '\0';
        for (size_t size = strlen(f.type); size && f.type[size - 1] == ' '; size--) f.type[size - 1] = '\0';
        cr_assert_lt(p.count, MOST_FIELDS);
        p.fields[p.count++] = f;
    }
    (void)fclose(file);
    cr_assert(p.count, "docs/json.md has no table \"%s\"", title);
    return p;
}

/* Does the path of a value fit the written one, in which * is any name? */
static bool fits(const char *written, const char *path) {
    while (*written && *path) {
        if (*written == '*') {
            written++;
            path += strcspn(path, ".[");
        } else if (*written++ != *path++)
            return false;
    }
    return *written == *path;
}

static field *find(page *p, const char *path) {
    for (size_t pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < p->count; i++)
            if (pass ? fits(p->fields[i].path, path) : strcmp(p->fields[i].path, path) == 0) return &p->fields[i];
    return NULL;
}

static bool is_of(const json_t *value, const char *type) {
    const size_t size = strcspn(type, " ?");
    if (strstr(type, "or null") && json_is_null(value)) return true;
    if (strncmp(type, "any", size) == 0) return true;
    if (strncmp(type, "text", size) == 0) return json_is_string(value);
    if (strncmp(type, "integer", size) == 0) return json_is_integer(value);
    if (strncmp(type, "number", size) == 0) return json_is_number(value);
    if (strncmp(type, "truth", size) == 0) return json_is_boolean(value);
    cr_expect_fail("docs/json.md: \"%s\" is no type", type);
    return false;
}

static void walk(page *p, const char *path, json_t *value) {
    char below[256];
    const char *key;
    json_t *child;
    size_t index;
    field *f = find(p, path);
    if (f) {
        f->seen = true;
        cr_expect(is_of(value, f->type), "%s: %s is no %s", p->title, path, f->type);
        if (strncmp(f->type, "any", 3) == 0) return;
    }
    if (json_is_object(value)) {
        json_object_foreach(value, key, child) {
            (void)snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", key);
            walk(p, below, child);
        }
    } else if (json_is_array(value)) {
        (void)snprintf(below, sizeof below, "%s[]", path);
        json_array_foreach(value, index, child) walk(p, below, child);
    } else
        cr_expect(f != NULL, "%s prints `%s`, which docs/json.md does not know", p->title, path);
}

static void hold(page *p, const char *text) {
    json_error_t error;
    json_t *root = json_loads(text, 0, &error);
    cr_assert_not_null(root, "%s: %s in %s", p->title, error.text, text);
    walk(p, "", root);
    json_decref(root);
}

/* What is written without ? must have been printed. */
static void all_seen(const page *p) {
    for (size_t i = 0; i < p->count; i++)
        cr_expect(p->fields[i].seen || strchr(p->fields[i].type, '?'), "%s never printed `%s` here", p->title,
                  p->fields[i].path);
}

/* The command's output against its table. */
#define PAGE(title, ...)                                             \
    do {                                                             \
        page a_page = read_page(title);                              \
        outcome printed = WICK(__VA_ARGS__);                         \
        cr_expect_eq(printed.code, 0, "%s: %s", title, printed.err); \
        hold(&a_page, printed.out);                                  \
        all_seen(&a_page);                                           \
        forget(&printed);                                            \
    } while (0)

static const char whole[] =
    "version: 1\nname: whole\nmetadata: {ui_url: \"http://x/${app_id}\", a: [1]}\nroles:\n"
    "  - name: r\n    image: i:1\n    entrypoint: sh\n    args: [-c, 'echo last >&2; sleep $0; exit $1', 0, 0]\n"
    "    env: {A: b, N: 1}\n    num_replicas: 2\n    min_replicas: 1\n    max_retries: 0\n    retry_policy: REPLICA\n"
    "    resource: {cpu: 1, memMB: 5, capabilities: {x: y}, devices: {d: 1}}\n    port_map: {p: 80}\n"
    "    mounts: [{type: bind, src: /tmp, dst: /t, read_only: true}]\n    metadata: {x: {y: 1}}\n";

Test(json_page, apps) {
    page run = read_page("wick run --json"), waited = read_page("wick run --wait --json");
    page status = read_page("wick status --json"), events = read_page("Lines of WICK_EVENTS");
    char file[600], log[600];
    (void)snprintf(file, sizeof file, "%s", write_file("whole.yaml", whole));
    (void)snprintf(log, sizeof log, "%s/events", state_dir());
    (void)setenv("WICK_EVENTS", log, 1);
    outcome o = WICK("run", file, "--json");
    cr_assert_eq(o.code, 0, "%s", o.err);
    hold(&run, o.out);
    json_t *root = json_loads(o.out, 0, NULL);
    char *handle = wk_strdup(json_string_value(json_object_get(root, "handle")));
    json_decref(root);
    forget(&o);
    cr_assert(becomes(handle, "SUCCEEDED", 20));
    o = WICK("run", file, "--wait", "--json", "-o", "roles.r.args.3=3");
    cr_assert_eq(o.code, 1);
    hold(&waited, o.out);
    root = json_loads(o.out, 0, NULL);
    char *inner = json_dumps(json_object_get(root, "status"), 0); /* a failed one, whole */
    hold(&status, inner);
    free(inner);
    json_decref(root);
    forget(&o);
    o = WICK("status", handle, "--json");
    hold(&status, o.out);
    forget(&o);
    PAGE("wick list --json", "list", "--json");
    PAGE("wick describe --json", "describe", handle, "--json");
    PAGE("wick cancel --json", "cancel", handle, "--json");
    PAGE("wick delete --json", "delete", handle, "--json");
    o = WICK("status", "local://wick/none", "--json");
    cr_expect_neq(o.code, 0);
    cr_expect_str_eq(o.out, "");
    forget(&o);
    all_seen(&run);
    all_seen(&waited);
    all_seen(&status);
    char line[8192];
    FILE *lines = fopen(log, "r");
    cr_assert_not_null(lines);
    while (fgets(line, sizeof line, lines)) hold(&events, line);
    (void)fclose(lines);
    all_seen(&events);
    wk_free(handle);
}

Test(json_page, what_there_is) {
    page components = read_page("wick component list --json");
    (void)setenv("WICK_COMPONENT_PATH", state_dir(), 1);
    (void)write_file("broken.yaml", "version: 1\ncomponents: [\n");
    PAGE("wick runopts --json", "runopts", "--json");
    outcome o = WICK("component", "list", "--json");
    hold(&components, o.out);
    all_seen(&components);
    cr_expect(strstr(o.out, "\"name\": null"), "the broken file is not there");
    forget(&o);
    PAGE("wick copy --json", "copy", "--json", write_file("a", "b"), "/dev/null");
}

Test(json_page, trackers) {
    const wk_field fields[] = { wk_field_int("a", 1), { .name = "j", .type = WK_FIELD_JSON, .text = "{\"x\": [1]}" } };
    wk_tracker *tracker = wk_tracker_open(state_dir());
    cr_assert_eq(wk_tracker_add_metadata(tracker, "x", fields, 2), WK_OK);
    cr_assert_eq(wk_tracker_add_artifact(tracker, "x", "m", "/m", NULL, 0), WK_OK);
    cr_assert_eq(wk_tracker_add_artifact(tracker, "x", "n", "/n", fields, 2), WK_OK);
    cr_assert_eq(wk_tracker_add_source(tracker, "x", "y", NULL), WK_OK);
    wk_tracker_close(tracker);
    PAGE("wick tracker list jobs --json", "tracker", "list", "jobs", "--json", "--root", state_dir());
    PAGE("wick tracker list metadata --json", "tracker", "list", "metadata", "x", "--json", "--root", state_dir());
    PAGE("wick tracker list artifacts --json", "tracker", "list", "artifacts", "x", "--json", "--root", state_dir());
    PAGE("wick tracker list lineage --json", "tracker", "list", "lineage", "x", "--json", "--root", state_dir());
}

Test(json_page, pipelines) {
    outcome o = WICK("pipeline", "run",
                     write_file("p.yaml", "version: 1\nname: p\nstages:\n"
                                          "  - {name: a, outputs: {o: ~}, run: utils.sh, arguments: [\"true\"]}\n"
                                          "  - {name: b, after: a, run: utils.sh, arguments: [\"true\"]}\n"));
    cr_assert_eq(o.code, 0, "%s", o.err);
    o.out[strcspn(o.out, "\n")] = '\0';
    PAGE("wick pipeline status --json", "pipeline", "status", o.out, "--json");
    forget(&o);
}

/* A run's directory as it is left; without a record where that is NULL. */
static const char *make_run(const char *name, const char *rate, const char *record) {
    static char folder[600];
    char file[700], config[200];
    (void)snprintf(folder, sizeof folder, "%s/%s", state_dir(), name);
    cr_assert_eq(mkdir(folder, 0755), 0);
    (void)snprintf(config, sizeof config,
                   "model: { name: mlp }\noptimizer: { name: SGD, args: { lr: %s } }\ntrainer: { max_epochs: 2 }\n",
                   rate);
    (void)snprintf(file, sizeof file, "%s/config.yaml", name);
    (void)write_file(file, config);
    (void)snprintf(file, sizeof file, "%s/metrics.csv", name);
    (void)write_file(file, "step,epoch,lr,train_loss\n5,1,0.1,2.5\n10,2,0.1,1.5\n");
    (void)snprintf(file, sizeof file, "%s/log.txt", name);
    (void)write_file(file, "done in 0:01\n");
    (void)snprintf(file, sizeof file, "%s/run.json", name);
    if (record) (void)write_file(file, record);
    return folder;
}

Test(json_page, the_engine) {
    if (access(WICK_BUILD_DIR "/lib/libwickrun.so", F_OK) != 0) cr_skip_test("this build has no engine");
    outcome o = WICK("copy", WICK_SOURCE_DIR "/tests/fuzz/corpus/safetensors/two", state_dir());
    char path[600], named[600];
    (void)snprintf(path, sizeof path, "%s/two", state_dir());
    (void)snprintf(named, sizeof named, "%s/two.safetensors", state_dir());
    cr_assert_eq(rename(path, named), 0, "%s", o.err);
    forget(&o);
    PAGE("wick ckpt ls --json", "ckpt", "ls", named, "--json");
    PAGE("wick devices --json", "devices", "--json");
    char run[600], other[600], picture[600];
    (void)snprintf(run, sizeof run, "%s",
                   make_run("one", "1e-3",
                            "{\"state\": \"failed\", \"reason\": \"no\", "
                            "\"started\": 1, \"ended\": 2, \"seconds\": 1}"));
    (void)snprintf(other, sizeof other, "%s", make_run("two", "1e-2", NULL));
    (void)snprintf(picture, sizeof picture, "%s/curves.svg", state_dir());
    PAGE("wick runs ls --json", "runs", "ls", state_dir(), "--json");
    PAGE("wick runs show --json", "runs", "show", run, "--json");
    PAGE("wick runs compare --json", "runs", "compare", run, other, "--json");
    PAGE("wick runs plot --json", "runs", "plot", run, "-o", picture, "--json");
    PAGE("wick op --list --json", "op", "--list", "--json");
}
