/* component.c: `wick component validate|test|list|show` and `wick builtins`. */
#include "launcher/component/component.h"

#include <jansson.h>
#include <string.h>

static const char usage[] =
    "usage: wick component validate FILE[:NAME]...\n"
    "       wick component test FILE:NAME|NAME [-s SCHEDULER] [-- ARGUMENTS]\n"
    "       wick component list [--json]\n"
    "       wick component show NAME\n"
    "\n"
    "  validate  find what is wrong with component files; 1 if there are errors\n"
    "  test      build the AppDef with these arguments and print it and what a scheduler would run\n"
    "  list      all that `wick run` finds by name: built in, and in the folders of WICK_COMPONENT_PATH\n"
    "  show      print a component's source\n"
    "\n"
    "example:  wick component validate my.yaml\n";

/* What is written is a row of text or one of JSON; where a file is broken, the reason. */
static int list_json(const wk__component_entry *entries, size_t count) {
    json_t *root = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *row = json_object();
        (void)json_object_set_new(row, "name", entries[i].broken ? json_null() : json_string(entries[i].name));
        (void)json_object_set_new(row, "where", json_string(entries[i].where));
        (void)json_object_set_new(row, "doc", entries[i].broken ? json_null() : json_string(entries[i].text));
        (void)json_object_set_new(row, "error", entries[i].broken ? json_string(entries[i].text) : json_null());
        (void)json_array_append_new(root, row);
    }
    int failed = json_dumpf(root, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
    json_decref(root);
    return failed ? 1 : 0;
}

static int list(bool json) {
    wk__component_entry *entries = NULL;
    size_t count = 0;
    if (wk__component_list(&entries, &count) != WK_OK) return wk_report(stderr) != WK_OK;
    for (size_t i = 0; i < count && !json; i++) {
        const wk__component_entry *e = &entries[i];
        if (e->broken)
            (void)printf("%-14s broken: %s\n", "?", e->text);
        else
            (void)printf("%-14s %.*s  (%s)\n", e->name, (int)strcspn(e->text, "\n"), e->text, e->where);
    }
    int code = json ? list_json(entries, count) : 0;
    wk_free(entries);
    return code;
}

static int validate(int argc, char **argv) {
    wk_text out = { 0 };
    int errors = 0;
    for (int i = 0; i < argc; i++) {
        char *word = wk_strdup(argv[i]);
        char *colon = word && wk__component_is_path(word) ? strrchr(word, ':') : NULL;
        if (colon) *colon++ = '\0';
        if (word) errors += wk__component_lint(word, colon, &out);
        wk_free(word);
    }
    (void)fputs(wk_text_get(&out), stdout);
    (void)fprintf(stderr, "wick: %d error%s\n", errors, errors == 1 ? "" : "s");
    wk_text_free(&out);
    return errors ? 1 : 0;
}

static int show(const char *name) {
    wk__component *c = wk__component_find(name);
    wk__yaml copy = { .name = "copy" };
    wk__yaml_node *root = c ? wk__yaml_new(&copy, WK__YAML_MAPPING, NULL) : NULL;
    wk__yaml_node *node = root ? wk__yaml_copy(&copy, c->node) : NULL;
    char *text = node && wk__yaml_append(&copy, root, c->name, node) == WK_OK ? wk__yaml_dump(root) : NULL;
    if (text) (void)fputs(text, stdout);
    wk_free(text);
    wk__arena_destroy(&copy.arena);
    wk__component_free(c);
    return text ? 0 : (wk_report(stderr), 2);
}

static int test(int argc, char **argv) {
    const char *scheduler = NULL;
    int at = 1;
    if (at + 1 < argc && strcmp(argv[at], "-s") == 0) {
        scheduler = argv[at + 1];
        at += 2;
    }
    wk__component *c = wk__component_find(argv[0]);
    wk_appdef *app = c ? wk__component_build(c, argc - at, argv + at, NULL, 0) : NULL;
    const char *chosen = scheduler ? scheduler : c && c->scheduler ? c->scheduler : "local";
    const wk_scheduler_ops *ops = app ? wk_scheduler(chosen) : NULL;
    wk_cfg *cfg = ops ? wk_cfg_parse(ops->name, ops->runopts, ops->runopt_count, NULL) : NULL;
    if (cfg) (void)wk__print_dryrun(app, ops, cfg);
    wk_cfg_free(cfg);
    wk_appdef_free(app);
    wk__component_free(c);
    return wk_failed() ? (wk_report(stderr), 1) : 0;
}

int wk_component_main(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
        (void)fputs(usage, stdout);
        return 0;
    }
    bool json = argc > 2 && strcmp(argv[2], "--json") == 0;
    if (strcmp(verb, "list") == 0 && argc == 2 + json) return list(json);
    if (strcmp(verb, "validate") == 0 && argc > 2) return validate(argc - 2, argv + 2);
    if (strcmp(verb, "show") == 0 && argc == 3) return show(argv[2]);
    if (strcmp(verb, "test") == 0 && argc > 2) return test(argc - 2, argv + 2);
    static const char *const verbs[] = { "validate", "test", "list", "show" };
    const char *near = wk__nearest(verb, verbs, WK_COUNT(verbs));
    if (near && strcmp(near, verb) != 0)
        return wk__usage_error("component: unknown word \"%s\"; did you mean %s?", verb, near);
    return wk__usage_error("component: expected validate, test, list or show\n%s", usage);
}

int wk_builtins_main(int argc, char **argv) {
    static const char text[] = "usage: wick builtins [--print NAME]\n\nexample:  wick builtins --print utils.echo\n";
    wk__component_entry *entries = NULL;
    size_t count = 0;
    size_t number = 0;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs(text, stdout);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--print") == 0) return show(argv[2]);
    if (argc > 1) return wk__usage_error("builtins: unexpected \"%s\"\n%s", argv[1], text);
    if (wk__component_list(&entries, &count) != WK_OK) return wk_report(stderr) != WK_OK;
    for (size_t i = 0; i < count; i++) number += strcmp(entries[i].where, "built in") == 0;
    (void)printf("Found %zu builtin components:\n", number);
    for (size_t i = 0; i < number; i++)
        (void)printf("  %zu. %-13s %.*s\n", i + 1, entries[i].name, (int)strcspn(entries[i].text, "\n"),
                     entries[i].text);
    wk_free(entries);
    return 0;
}
