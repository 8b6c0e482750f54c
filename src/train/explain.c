/* explain.c: `wick config`: the file as a run would take it, and where each value comes from: a default, the file, one
 * that it includes, the environment, the command line. */
#include "train/registry.h"

#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, MOST_OVERRIDES = 64 };
static const char help[] = "usage: wick config explain KEY... -c FILE [-o key=value]...\n"
                           "       wick config dump -c FILE [-o key=value]...\n"
                           "\n"
                           "  explain   the value of each KEY and where it comes from\n"
                           "  dump      the whole file, with what it includes and the environment filled in\n"
                           "\n"
                           "example: wick config explain trainer.max_epochs -c examples/fashion_mnist/config.yaml\n";

typedef struct command_line {
    const char *file, *overrides[MOST_OVERRIDES], *keys[MOST_OVERRIDES];
    int n_overrides, n_keys;
} command_line;

/* Keys of other trainers' files, as layouts.c takes them. */
static const char *const other_names[][2] = {
    { "train_wrapper.args.model_spec", "model" },
    { "train_wrapper.args.loss_spec", "loss" },
    { "train_wrapper.args.optim_spec", "optimizer" },
    { "train_wrapper.args.scheduler_spec", "schedule" },
    { "train_wrapper", "wrapper" },
    { "data_module", "data" },
    { "trainer_params", "trainer" },
    { "train_dataset.dataset", "data.args.train" },
    { "val_dataset.dataset", "data.args.val" },
    { "train_dataset", "data.args" },
    { "scheduler", "schedule" },
    { "epoch_max", "trainer.max_epochs" },
    { "epoch_val", "trainer.check_val_every_n_epoch" },
    { "epoch_save", "callbacks.0.args.every_n_epochs" },
};

static char *own_name(const char *key) {
    for (size_t i = 0; i < WK_COUNT(other_names); i++) {
        size_t size = strlen(other_names[i][0]);
        if (strncmp(key, other_names[i][0], size) == 0 && (key[size] == '\0' || key[size] == '.'))
            return wk_format("%s%s", other_names[i][1], key + size);
    }
    return wk_strdup(key);
}

/* The node of a dotted path, a number being an index into a list; NULL where there is none. */
static const wk__yaml_node *node_at(const wk__yaml_node *root, const char *key) {
    const wk__yaml_node *node = root;
    char word[200];
    while (node && *key) {
        size_t size = strcspn(key, ".");
        (void)snprintf(word, sizeof word, "%.*s", (int)size, key);
        if (node->kind == WK__YAML_SEQUENCE) {
            char *end;
            unsigned long at = strtoul(word, &end, 10);
            const wk__yaml_node *child = *end || end == word ? NULL : node->first;
            while (child && at--) child = child->next;
            node = child;
        } else {
            node = wk__yaml_find(node, word);
        }
        key += size + (key[size] == '.');
    }
    return node;
}

static void print_origin(const command_line *line, const wk__run_config *config, const wk__yaml_node *node) {
    const char *origin = node->origin;
    for (int i = 0; origin && i < line->n_overrides; i++)
        if (strcmp(origin, line->overrides[i]) == 0) {
            (void)printf("  from the command line: -o %s\n", origin);
            return;
        }
    if (origin && strstr(origin, "(") && strstr(origin, "${"))
        (void)printf("  from the environment: %s\n", origin);
    else if (origin)
        (void)printf("  from an included file: %s\n", origin);
    else if (node->line)
        (void)printf("  from the file: %s:%d:%d\n", config->document->name, node->line, node->column);
    else
        (void)printf(node->kind == WK__YAML_SCALAR ? "  the default in files of this layout\n"
                                                   : "  from several of the file's keys\n");
}

/* The args among which a key that is not there would stand. */
static const wk_arg *args_of(const wk__run_config *config, const char *key, const char **word) {
    static const struct {
        const char *section;
        wk__kind kind;
    } specs[] = { { "data.args.", WK__KIND_DATA },         { "model.args.", WK__KIND_MODEL },
                  { "loss.args.", WK__KIND_LOSS },         { "optimizer.args.", WK__KIND_OPTIMIZER },
                  { "schedule.args.", WK__KIND_SCHEDULE }, { "wrapper.args.", WK__KIND_WRAPPER } };
    *word = strrchr(key, '.') ? strrchr(key, '.') + 1 : key;
    if (strncmp(key, "trainer.strategy.args.", 22) == 0) return wk__strategy_args;
    if (strncmp(key, "trainer.", 8) == 0) return wk__trainer_args;
    if (strncmp(key, "checkpoint.", 11) == 0) return wk__checkpoint_args;
    for (size_t i = 0; i < WK_COUNT(specs); i++) {
        size_t size = strlen(specs[i].section);
        if (strncmp(key, specs[i].section, size) != 0) continue;
        char section[40];
        (void)snprintf(section, sizeof section, "%.*s", (int)(size - 6), key);
        wk__spec spec;
        const wk_entry *entry = wk__spec_read(&config->root, section, false, &spec) == WK_OK && spec.name
                                    ? wk__entry_find(specs[i].kind, spec.name)
                                    : NULL;
        return entry ? entry->args : NULL;
    }
    return NULL;
}

static const struct {
    const char *key, *value;
} root_defaults[] = { { "seed", "0" },
                      { "device", "cpu" },
                      { "output", "runs/run" },
                      { "wrapper.name", "base" },
                      { "loss.name", "cross_entropy" },
                      { "load_strict", "true" },
                      { "reset_optimizer", "false" },
                      { "reset_lr", "false" },
                      { "copy_sources", "false" } };

static wk_status explain_default(const wk__run_config *config, const char *key) {
    const char *word;
    for (size_t i = 0; i < WK_COUNT(root_defaults); i++)
        if (strcmp(root_defaults[i].key, key) == 0) {
            (void)printf("%s: %s\n  the default\n", key, root_defaults[i].value);
            return WK_OK;
        }
    const char *names[128];
    size_t count = 0;
    const wk_arg *args = args_of(config, key, &word);
    for (; args && args->name && count < WK_COUNT(names); args++) {
        names[count++] = args->name;
        if (strcmp(args->name, word) != 0) continue;
        (void)printf("%s: %s\n  the default%s%s\n", key, args->otherwise && *args->otherwise ? args->otherwise : "null",
                     args->what ? ": " : "", args->what ? args->what : "");
        return WK_OK;
    }
    const char *near = count ? wk__nearest(word, names, count) : NULL;
    return wk_fail(WK_NOT_FOUND, "config: \"%s\" is neither in the file nor a key that has a default%s%s%s", key,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static wk_status explain(const command_line *line, const wk__run_config *config, const char *asked) {
    char *key = own_name(asked);
    if (!key) return WK_NO_MEMORY;
    const wk__yaml_node *node = node_at(config->document->root, key);
    wk_status status = WK_OK;
    if (!node) {
        status = explain_default(config, key);
    } else {
        char *value = node->kind == WK__YAML_SCALAR ? wk_strdup(node->text) : wk__yaml_dump(node);
        if (value) {
            (void)printf(node->kind == WK__YAML_SCALAR ? "%s: %s\n" : "%s:\n%s", asked, value);
            print_origin(line, config, node);
        }
        status = value ? WK_OK : wk_error_code();
        wk_free(value);
    }
    wk_free(key);
    return status;
}

static int usage(const char *problem, const char *word) {
    (void)fprintf(stderr, "wick: config: %s%s%s\n%s", problem, *word ? " " : "", word, help);
    return EXIT_USAGE;
}

static int parse(int argc, char **argv, command_line *line) {
    for (int i = 2; i < argc; i++) {
        const char *word = argv[i];
        bool is_file = strcmp(word, "-c") == 0 || strcmp(word, "--config") == 0, is_set = strcmp(word, "-o") == 0;
        if ((is_file || is_set) && i + 1 == argc) return usage("a value is missing after", word);
        if (line->n_overrides == MOST_OVERRIDES || line->n_keys == MOST_OVERRIDES) return usage("too many words", "");
        if (is_file)
            line->file = argv[++i];
        else if (is_set)
            line->overrides[line->n_overrides++] = argv[++i];
        else if (word[0] == '-')
            return usage("cannot make sense of", word);
        else
            line->keys[line->n_keys++] = word;
    }
    return line->file ? 0 : usage("-c FILE is missing", "");
}

int wk_config_main(int argc, char **argv) {
    command_line line = { 0 };
    const char *action = argc > 1 ? argv[1] : "";
    if (strcmp(action, "--help") == 0 || strcmp(action, "-h") == 0) {
        (void)fputs(help, stdout);
        return 0;
    }
    bool dumps = strcmp(action, "dump") == 0;
    if (!dumps && strcmp(action, "explain") != 0)
        return usage("expected explain or dump, not", *action ? action : "nothing");
    int code = parse(argc, argv, &line);
    if (code != 0) return code;
    if (!dumps && line.n_keys == 0) return usage("a KEY is missing", "");
    wk__run_config config = { 0 };
    wk_status status = wk__run_config_load(&config, line.file, line.overrides, line.n_overrides);
    if (status == WK_OK && dumps) (void)fputs(config.text, stdout);
    for (int i = 0; i < line.n_keys && status == WK_OK; i++) status = explain(&line, &config, line.keys[i]);
    (void)wk_report(stderr);
    wk__run_config_free(&config);
    return status != WK_OK;
}
