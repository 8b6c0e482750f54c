/* configure.c: `wick configure` writes a .torchxconfig to fill in; `wick runopts` says what can stand there. */
#include "launcher/launcher.h"

#include <jansson.h>
#include <string.h>

static const char *const types[] = { "str", "int", "float", "bool", "list", "dict" };

/* TorchX's layout: what is missing is marked, what has no value is None. */
static void put_section(wk_text *out, const wk_scheduler_ops *ops, bool all) {
    wk_text_printf(out, "[%s]\n", ops->name);
    for (size_t i = 0; i < ops->runopt_count; i++) {
        const wk_runopt *o = &ops->runopts[i];
        if (o->required)
            wk_text_printf(out, "%s = #FIXME:(%s) %s\n", o->name, types[o->type], o->help);
        else if (all)
            wk_text_printf(out, "%s = %s\n", o->name, o->initial ? o->initial : "None");
    }
    wk_text_puts(out, "\n");
}

static wk_status put_named(wk_text *out, const char *names, bool all) {
    for (const char *at = names; *at;) {
        size_t size = strcspn(at, ",");
        char *name = wk_format("%.*s", (int)size, at);
        const wk_scheduler_ops *ops = name ? wk_scheduler(name) : NULL;
        wk_free(name);
        if (!ops) return wk_error_code();
        put_section(out, ops, all);
        at += size + (at[size] == ',');
    }
    return WK_OK;
}

int wk_configure_main(int argc, char **argv) {
    static const char usage[] =
        "usage: wick configure [-s SCHEDULER,...] [-a] [--print]\n\n"
        "Writes .torchxconfig here, with the required options of the schedulers to fill in.\n\n"
        "  -s, --schedulers  of these schedulers (all)\n  -a, --all         the optional ones too\n"
        "  --print           to stdout, no file\n\nexample:  wick configure -s slurm -a\n";
    const char *names = NULL;
    bool all = false;
    bool print = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        if ((strcmp(argv[i], "-s") == 0 || strcmp(argv[i], "--schedulers") == 0) && i + 1 < argc)
            names = argv[++i];
        else if (strcmp(argv[i], "-a") == 0 || strcmp(argv[i], "--all") == 0)
            all = true;
        else if (strcmp(argv[i], "--print") == 0)
            print = true;
        else
            return wk__usage_error("configure: unexpected \"%s\"\n%s", argv[i], usage);
    }
    wk_text out = { 0 };
    const wk_scheduler_ops *ops;
    for (size_t i = 0; !names && (ops = wk__scheduler_at(i)); i++) put_section(&out, ops, all);
    if (names) (void)put_named(&out, names, all);
    if (!wk_failed() && !print && wk__exists(".torchxconfig"))
        (void)wk_fail(WK_EXISTS, ".torchxconfig exists already; --print shows what would be written");
    if (!wk_failed() && print)
        (void)fputs(wk_text_get(&out), stdout);
    else if (!wk_failed())
        (void)wk__write_file(".torchxconfig", wk_text_get(&out), out.size);
    wk_text_free(&out);
    return wk_failed() ? (wk_report(stderr), 2) : 0;
}

static void print_options(const wk_scheduler_ops *ops, bool required) {
    bool any = false;
    for (size_t i = 0; i < ops->runopt_count; i++) {
        const wk_runopt *o = &ops->runopts[i];
        char upper[64];
        if (o->required != required) continue;
        if (!any) (void)printf("\n    %s arguments:\n", required ? "required" : "optional");
        any = true;
        size_t k = 0;
        for (; o->name[k] && k < sizeof upper - 1; k++)
            upper[k] = o->name[k] >= 'a' && o->name[k] <= 'z' ? (char)(o->name[k] - 'a' + 'A') : o->name[k];
        upper[k] = '\0';
        (void)printf("        %s=%s (%s%s%s)\n            %s\n", o->name, upper, types[o->type], required ? "" : ", ",
                     required     ? ""
                     : o->initial ? o->initial
                                  : "None",
                     o->help);
    }
}

/* {"slurm": [{"name", "type", "required", "default", "help"}, …], …} */
static int print_json(const char *only) {
    const wk_scheduler_ops *ops;
    json_t *root = json_object();
    for (size_t i = 0; (ops = wk__scheduler_at(i)); i++) {
        if (only && strcmp(only, ops->name) != 0) continue;
        json_t *list = json_array();
        for (size_t k = 0; k < ops->runopt_count; k++) {
            const wk_runopt *o = &ops->runopts[k];
            json_t *row = json_object();
            (void)json_object_set_new(row, "name", json_string(o->name));
            (void)json_object_set_new(row, "type", json_string(types[o->type]));
            (void)json_object_set_new(row, "required", json_boolean(o->required));
            (void)json_object_set_new(row, "default", o->initial ? json_string(o->initial) : json_null());
            (void)json_object_set_new(row, "help", json_string(o->help));
            (void)json_array_append_new(list, row);
        }
        (void)json_object_set_new(root, ops->name, list);
    }
    int failed = json_dumpf(root, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
    json_decref(root);
    return failed ? 1 : 0;
}

int wk_runopts_main(int argc, char **argv) {
    static const char usage[] = "usage: wick runopts [SCHEDULER] [--json]\n\nexample:  wick runopts mpi\n";
    bool json = argc > 1 && strcmp(argv[argc - 1], "--json") == 0;
    argc -= json;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs(usage, stdout);
        return 0;
    }
    if (argc > 2) return wk__usage_error("runopts: unexpected \"%s\"\n%s", argv[2], usage);
    if (argc == 2 && !wk_scheduler(argv[1])) {
        (void)wk_report(stderr);
        return 2;
    }
    if (json) return print_json(argc == 2 ? argv[1] : NULL);
    const wk_scheduler_ops *ops;
    for (size_t i = 0; (ops = wk__scheduler_at(i)); i++) {
        if (argc == 2 && strcmp(argv[1], ops->name) != 0) continue;
        (void)printf("%s: %s\n    usage:\n        ", ops->name, ops->doc);
        for (size_t k = 0; k < ops->runopt_count; k++)
            (void)printf(ops->runopts[k].required ? "%s%s=…" : "%s[%s=…]", k ? "," : "", ops->runopts[k].name);
        (void)printf("\n");
        print_options(ops, true);
        print_options(ops, false);
        (void)printf("\n");
    }
    return 0;
}
