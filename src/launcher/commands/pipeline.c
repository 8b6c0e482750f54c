/* pipeline.c: `wick pipeline run|status|show|export`. */
#include "launcher/pipeline/pipeline.h"
#include "launcher/commands/flags.h"
#include "wick/files.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: wick pipeline run FILE [-p NAME=VALUE]... [--jobs N]\n"
    "       wick pipeline run --resume ID\n"
    "       wick pipeline status ID [--json]\n"
    "       wick pipeline show FILE|ID [-p NAME=VALUE]... [--svg]\n"
    "       wick pipeline export FILE [-p NAME=VALUE]... --to kubeflow|airflow\n"
    "       wick pipeline export APPDEF.yaml --to kubeflow-component\n"
    "\n"
    "FILE is a path or a URL.  A pipeline is stages, each an AppDef, and what they come after.  `run` prints its id, "
    "shows on stderr what "
    "happens, and\n"
    "returns when all is over; killed, it goes on with --resume.\n"
    "\n"
    "exit code: 0 every stage succeeded or was skipped, 1 one failed, 2 wrong usage, 130 Ctrl-C\n"
    "\n"
    "example:  wick pipeline run examples/pipeline/pipeline.yaml -p epochs=2\n"
    "          wick pipeline show examples/pipeline/pipeline.yaml --svg >pipeline.svg\n";

typedef struct words {
    const char *what, *resume, *to, *jobs;
    const char *parameters[64];
    size_t parameter_count;
    bool json, svg;
} words;

/* -1: go on, else the exit code. */
static int parse(int argc, char **argv, words *w) {
    const struct {
        const char *name;
        const char **value;
    } values[] = { { "--resume", &w->resume }, { "--to", &w->to }, { "--jobs", &w->jobs } };
    static const char *const known[] = { "--resume", "--to", "--jobs", "--json", "--svg", "--help", "-p" };
    for (int at = 1; at < argc; at++) {
        const char *word = argv[at];
        bool taken = true;
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        if (strcmp(word, "--json") == 0)
            w->json = true;
        else if (strcmp(word, "--svg") == 0)
            w->svg = true;
        else
            taken = false;
        for (size_t i = 0; i < WK_COUNT(values) && !taken; i++)
            if (strcmp(word, values[i].name) == 0 && at + 1 < argc) *values[i].value = argv[++at], taken = true;
        if (!taken && strcmp(word, "-p") == 0 && at + 1 < argc && w->parameter_count < WK_COUNT(w->parameters))
            w->parameters[w->parameter_count++] = argv[++at], taken = true;
        if (!taken && word[0] != '-' && !w->what) w->what = word, taken = true;
        if (taken) continue;
        const char *near = word[0] == '-' ? wk__nearest(word, known, WK_COUNT(known)) : NULL;
        return wk__usage_error("pipeline: unexpected \"%s\"%s%s%s", word, near ? "; did you mean " : "",
                               near ? near : "", near ? "?" : "; `wick pipeline --help` says more");
    }
    return -1;
}

static char *folder_of(const char *id) {
    return wk_format("%s/pipelines/%s", wk__state_dir(), id);
}

/* ---- a run's origin: its file and parameters, to go on with ---- */

static wk_status keep_origin(const char *directory, const char *file, const words *w) {
    char whole[PATH_MAX];
    json_t *parameters = json_array();
    for (size_t i = 0; i < w->parameter_count; i++)
        (void)json_array_append_new(parameters, wk__json_text(w->parameters[i]));
    json_t *root = json_pack("{s:s,s:o}", "file", realpath(file, whole) ? whole : file, "parameters", parameters);
    char *text = root ? json_dumps(root, 0) : NULL;
    char *path = wk_format("%s/origin.json", directory);
    wk_status status = text && path ? wk__write_file(path, text, strlen(text))
                                    : wk_fail(WK_NO_MEMORY, "pipeline: no memory for its record");
    free(text);
    wk_free(path);
    json_decref(root);
    return status;
}

static wk__pipeline *load_run(const char *id) {
    char *directory = folder_of(id);
    char *path = directory ? wk_format("%s/origin.json", directory) : NULL;
    char *text = path ? wk__read_file(path, 1 << 20, NULL) : NULL;
    json_t *root = text ? json_loads(text, 0, NULL) : NULL;
    const char *file = json_string_value(json_object_get(root, "file"));
    const json_t *list = json_object_get(root, "parameters");
    const char *parameters[64];
    size_t count = 0;
    for (; count < json_array_size(list) && count < WK_COUNT(parameters); count++)
        parameters[count] = json_string_value(json_array_get(list, count));
    wk__pipeline *p = file ? wk__pipeline_load(file, parameters, count, directory) : NULL;
    if (!file && !wk_failed()) (void)wk_fail(WK_NOT_FOUND, "no run of a pipeline is named \"%.80s\"", id);
    if (p) p->id = wk__arena_text(&p->arena, "%s", id);
    if (p && wk__pipeline_read(p) != WK_OK) {
        wk__pipeline_free(p);
        p = NULL;
    }
    json_decref(root);
    wk_free(text);
    wk_free(path);
    wk_free(directory);
    return p;
}

static wk__pipeline *load_new(const words *w) {
    char id[160] = "";
    wk__yaml *file = wk__yaml_load(w->what);
    const wk__yaml_node *name = file && file->root ? wk__yaml_find(file->root, "name") : NULL;
    if (file) (void)wk_make_unique(name && name->text && *name->text ? name->text : "pipeline", id, sizeof id);
    wk__yaml_free(file);
    char *directory = *id ? folder_of(id) : NULL;
    wk__pipeline *p = directory ? wk__pipeline_load(w->what, w->parameters, w->parameter_count, directory) : NULL;
    if (p) p->id = wk__arena_text(&p->arena, "%s", id);
    wk_free(directory);
    return p;
}

/* ---- subcommands ---- */

static int report_code(void) {
    wk_status code = wk_error_code();
    (void)wk_report(stderr);
    return code == WK_STATE || code == WK_IO || code == WK_NOT_FOUND ? 1 : code == WK_CANCELLED ? 130 : 2;
}

static int run(const words *w) {
    if (!w->resume && !w->what) return wk__usage_error("pipeline run: which file?\n%s", usage);
    wk__pipeline *p = w->resume ? load_run(w->resume) : load_new(w);
    if (!p) return report_code();
    wk_status status = w->resume ? WK_OK : wk__make_dirs(p->directory);
    if (status == WK_OK && !w->resume) status = keep_origin(p->directory, w->what, w);
    if (status == WK_OK && !w->resume) (void)printf("%s\n", p->id);
    (void)fflush(stdout);
    if (status == WK_OK) status = wk__pipeline_run(p, w->jobs ? (int)strtol(w->jobs, NULL, 10) : 0);
    wk__pipeline_free(p);
    return status == WK_OK ? 0 : report_code();
}

static int print(char *text) {
    if (text) (void)fputs(text, stdout);
    wk_free(text);
    return wk_failed() ? report_code() : 0;
}

static int status(const words *w) {
    if (!w->what) return wk__usage_error("pipeline status: which run? give its id");
    char *directory = folder_of(w->what);
    char *path = directory ? wk_format("%s/record.json", directory) : NULL;
    char *text = w->json && path ? wk__read_file(path, 64 << 20, NULL) : NULL;
    int code = 0;
    if (text)
        (void)printf("%s\n", text);
    else {
        wk__pipeline *p = load_run(w->what);
        code = p ? print(wk__pipeline_tree(p)) : report_code();
        wk__pipeline_free(p);
    }
    wk_free(text);
    wk_free(path);
    wk_free(directory);
    return code;
}

static int show(const words *w) {
    if (!w->what) return wk__usage_error("pipeline show: which file or run?");
    wk__pipeline *p = wk__exists(w->what) || !wk_url_path(w->what) ? load_new(w) : load_run(w->what);
    int code = p ? print(w->svg ? wk__pipeline_svg(p) : wk__pipeline_tree(p)) : report_code();
    wk__pipeline_free(p);
    return code;
}

static int export(const words *w) {
    static const char *const formats[] = { "kubeflow", "airflow", "kubeflow-component" };
    if (!w->what) return wk__usage_error("pipeline export: which file?");
    size_t format = 0;
    while (format < WK_COUNT(formats) && strcmp(w->to ? w->to : "", formats[format]) != 0) format++;
    if (format == WK_COUNT(formats)) {
        const char *near = w->to ? wk__nearest(w->to, formats, WK_COUNT(formats)) : NULL;
        return wk__usage_error("pipeline export: --to is kubeflow, airflow or kubeflow-component%s%s%s",
                               near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    if (format == 2) {
        wk_appdef *app = wk_appdef_load(w->what);
        int code = app ? print(wk__kubeflow_component(app)) : report_code();
        wk_appdef_free(app);
        return code;
    }
    wk__pipeline *p = load_new(w);
    int code = p ? print(format == 0 ? wk__pipeline_kubeflow(p) : wk__pipeline_airflow(p)) : report_code();
    wk__pipeline_free(p);
    return code;
}

int wk_pipeline_main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(const words *);
    } commands[] = { { "run", run }, { "status", status }, { "show", show }, { "export", export } };
    const char *names[WK_COUNT(commands)];
    words w = { 0 };
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        (void)fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    for (size_t i = 0; i < WK_COUNT(commands); i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[1], commands[i].name) != 0) continue;
        int code = parse(argc - 1, argv + 1, &w);
        return code >= 0 ? code : commands[i].run(&w);
    }
    const char *near = wk__nearest(argv[1], names, WK_COUNT(names));
    return wk__usage_error("pipeline: run, status, show or export, not \"%s\"%s%s%s", argv[1],
                           near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}
