/* component.c: AppDefs that are always there: utils.echo, utils.sh, train.
 *
 * A component is a table of parameters and a few lines that fill a YAML tree, which then goes through the same checks
 * as a file.  Parameters are --name value, --name=value or, where there is one, -l value; the rest are arguments.
 */
#include "launcher/launcher.h"

#include <string.h>

typedef struct parameter {
    const char *name;
    char letter;
    const char *initial; /* NULL: required */
    const char *help;
} parameter;

enum { MOST_PARAMETERS = 6 };

typedef struct arguments {
    const char *values[MOST_PARAMETERS];
    char *const *rest;
    size_t rest_count;
    wk__yaml *document;
    wk__yaml_node *env; /* filled by --env K=V, in order */
} arguments;

typedef struct component {
    const char *name, *doc;
    parameter parameters[MOST_PARAMETERS];
    wk_status (*build)(const arguments *in, wk__yaml_node *role, wk__yaml_node *args);
    const char *role;
} component;

static wk_status add_text(wk__yaml *document, wk__yaml_node *parent, const char *key, const char *text) {
    wk__yaml_node *node = wk__yaml_new(document, WK__YAML_SCALAR, text);
    if (!node) return wk_error_code();
    node->quoted = true;
    return wk__yaml_append(document, parent, key, node);
}

/* Numbers must look like numbers to the checks: not quoted. */
static wk_status add_number(wk__yaml *document, wk__yaml_node *parent, const char *key, const char *text) {
    wk__yaml_node *node = wk__yaml_new(document, WK__YAML_SCALAR, text);
    if (!node) return wk_error_code();
    node->origin = key;
    return wk__yaml_append(document, parent, key, node);
}

static wk_status build_echo(const arguments *in, wk__yaml_node *role, wk__yaml_node *args) {
    WK_TRY(add_text(in->document, role, "entrypoint", "echo"));
    WK_TRY(add_text(in->document, args, NULL, in->values[0]));
    for (size_t i = 0; i < in->rest_count; i++) WK_TRY(add_text(in->document, args, NULL, in->rest[i]));
    return add_number(in->document, role, "num_replicas", in->values[1]);
}

static void quote_for_shell(wk_text *out, const char *word) {
    wk_text_puts(out, "'");
    for (; *word; word++) {
        if (*word == '\'')
            wk_text_puts(out, "'\\''");
        else
            wk_text_add(out, word, 1);
    }
    wk_text_puts(out, "'");
}

/* One argument is a script; several are words, each taken literally, as TorchX does. */
static wk_status build_sh(const arguments *in, wk__yaml_node *role, wk__yaml_node *args) {
    if (in->rest_count == 0)
        return wk_fail(WK_CONFIG, "utils.sh: nothing to run; give a script, as in utils.sh -- 'echo $RANK'");
    wk_text script = { 0 };
    if (in->rest_count == 1)
        wk_text_puts(&script, in->rest[0]);
    else
        for (size_t i = 0; i < in->rest_count; i++) {
            if (i) wk_text_puts(&script, " ");
            quote_for_shell(&script, in->rest[i]);
        }
    wk_status status = wk_error_code();
    if (status == WK_OK) status = add_text(in->document, role, "entrypoint", "sh");
    if (status == WK_OK) status = add_text(in->document, args, NULL, "-c");
    if (status == WK_OK) {
        /* $ belongs to the shell here: $$ is what macros make a single $ of. */
        wk_text doubled = { 0 };
        for (const char *at = wk_text_get(&script); *at; at++) {
            wk_text_add(&doubled, at, 1);
            if (*at == '$' && strncmp(at, "${app_id}", 9) != 0 && strncmp(at, "${replica_id}", 13) != 0)
                wk_text_puts(&doubled, "$");
        }
        status = add_text(in->document, args, NULL, wk_text_get(&doubled));
        wk_text_free(&doubled);
    }
    wk_text_free(&script);
    WK_TRY(status);
    WK_TRY(add_number(in->document, role, "num_replicas", in->values[0]));
    return add_number(in->document, role, "max_retries", in->values[1]);
}

static wk_status build_train(const arguments *in, wk__yaml_node *role, wk__yaml_node *args) {
    WK_TRY(add_text(in->document, role, "entrypoint", "wick"));
    WK_TRY(add_text(in->document, args, NULL, "train"));
    WK_TRY(add_text(in->document, args, NULL, "-c"));
    WK_TRY(add_text(in->document, args, NULL, in->values[0]));
    for (size_t i = 0; i < in->rest_count; i++) WK_TRY(add_text(in->document, args, NULL, in->rest[i]));
    WK_TRY(add_number(in->document, role, "num_replicas", in->values[1]));
    return add_number(in->document, role, "max_retries", in->values[2]);
}

static const component components[] = {
    { "utils.echo",
      "print a message, once a replica",
      { { "msg", 0, "hello world", "what to print" }, { "num_replicas", 'j', "1", "how many times" } },
      build_echo,
      "echo" },
    { "utils.sh",
      "run a shell script (one argument), or words taken literally (several)",
      { { "num_replicas", 'j', "1", "how many at once" }, { "max_retries", 0, "0", "restarts after a failure" } },
      build_sh,
      "sh" },
    { "train",
      "train a model as its configuration says: wick train -c CONFIG on RANKS ranks",
      { { "config", 'c', NULL, "the training configuration (YAML)" },
        { "ranks", 'j', "1", "number of ranks" },
        { "max_retries", 0, "0", "restarts from the last checkpoint after a failure" } },
      build_train,
      "trainer" },
};

static const component *find(const char *name) {
    for (size_t i = 0; i < WK_COUNT(components); i++)
        if (strcmp(components[i].name, name) == 0) return &components[i];
    return NULL;
}

const char *const *wk__component_names(size_t *count) {
    static const char *names[WK_COUNT(components)];
    for (size_t i = 0; i < WK_COUNT(components); i++) names[i] = components[i].name;
    *count = WK_COUNT(components);
    return names;
}

const char *wk__component_doc(const char *name) {
    const component *c = find(name);
    return c ? c->doc : NULL;
}

static wk_status unknown_parameter(const component *c, const char *word) {
    const char *names[MOST_PARAMETERS + 1];
    size_t count = 0;
    wk_text known = { 0 };
    for (; count < MOST_PARAMETERS && c->parameters[count].name; count++) names[count] = c->parameters[count].name;
    names[count++] = "env";
    for (size_t i = 0; i < count; i++) wk_text_printf(&known, "%s--%s", i ? ", " : "", names[i]);
    const char *nearest = wk__nearest(word + strspn(word, "-"), names, count);
    wk_status status =
        nearest ? wk_fail(WK_CONFIG, "%s: unknown argument %.80s; did you mean --%s?", c->name, word, nearest)
                : wk_fail(WK_CONFIG, "%s: unknown argument %.80s; known are %s", c->name, word, wk_text_get(&known));
    wk_text_free(&known);
    return status;
}

/* Does `word` name this parameter?  Then where its value stands within the word, or the word's end. */
static const char *matches(const char *word, const char *name, char letter) {
    size_t size = strlen(name);
    if (strncmp(word, "--", 2) == 0 && strncmp(word + 2, name, size) == 0 && (word[2 + size] == '=' || !word[2 + size]))
        return word + 2 + size;
    if (letter && word[0] == '-' && word[1] == letter && word[2] == '\0') return word + 2;
    return NULL;
}

static wk_status add_env(arguments *in, const component *c, const char *text) {
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return wk_fail(WK_CONFIG, "%s: --env takes NAME=value, not \"%.80s\"", c->name, text);
    char *name = wk_format("%.*s", (int)(equals - text), text);
    if (!name) return wk_error_code();
    wk_status status = add_text(in->document, in->env, name, equals + 1);
    wk_free(name);
    return status;
}

/* Parameters up to `--` or the first word that is none; the rest goes to the program. */
static wk_status read_arguments(const component *c, int argc, char *const *argv, arguments *in) {
    int at = 0;
    for (; at < argc && argv[at][0] == '-' && argv[at][1]; at++) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        size_t index = 0;
        const char *value = matches(argv[at], "env", 0);
        bool is_env = value != NULL;
        for (; !value && index < MOST_PARAMETERS && c->parameters[index].name; index++)
            if ((value = matches(argv[at], c->parameters[index].name, c->parameters[index].letter))) break;
        if (!value) return unknown_parameter(c, argv[at]);
        const char *word = argv[at];
        if (*value == '=')
            value++;
        else if (++at < argc)
            value = argv[at];
        else
            return wk_fail(WK_CONFIG, "%s: %s needs a value", c->name, word);
        if (is_env)
            WK_TRY(add_env(in, c, value));
        else if (in->values[index])
            return wk_fail(WK_CONFIG, "%s: %s is given twice", c->name, word);
        else
            in->values[index] = value;
    }
    in->rest = argc > 0 ? argv + at : NULL;
    in->rest_count = (size_t)(argc - at);
    for (size_t i = 0; i < MOST_PARAMETERS && c->parameters[i].name; i++) {
        if (!in->values[i]) in->values[i] = c->parameters[i].initial;
        if (!in->values[i])
            return wk_fail(WK_CONFIG, "%s: --%s is required (%s)", c->name, c->parameters[i].name,
                           c->parameters[i].help);
    }
    return WK_OK;
}

static wk_status fill(const component *c, int argc, char *const *argv, wk__yaml *doc) {
    arguments in = { .document = doc };
    wk__yaml_node *root = doc->root = wk__yaml_new(doc, WK__YAML_MAPPING, NULL);
    wk__yaml_node *roles = wk__yaml_new(doc, WK__YAML_SEQUENCE, NULL);
    wk__yaml_node *role = wk__yaml_new(doc, WK__YAML_MAPPING, NULL);
    wk__yaml_node *args = wk__yaml_new(doc, WK__YAML_SEQUENCE, NULL);
    in.env = wk__yaml_new(doc, WK__YAML_MAPPING, NULL);
    if (!root || !roles || !role || !args || !in.env) return wk_error_code();
    WK_TRY(read_arguments(c, argc, argv, &in));
    WK_TRY(add_number(doc, root, "version", "1"));
    WK_TRY(add_text(doc, root, "name", c->role));
    WK_TRY(wk__yaml_append(doc, root, "roles", roles));
    WK_TRY(wk__yaml_append(doc, roles, NULL, role));
    WK_TRY(add_text(doc, role, "name", c->role));
    WK_TRY(c->build(&in, role, args));
    WK_TRY(wk__yaml_append(doc, role, "args", args));
    return in.env->count ? wk__yaml_append(doc, role, "env", in.env) : WK_OK;
}

wk_appdef *wk_component_build(const char *name, int argc, char *const *argv) {
    const component *c = find(name);
    if (!c) return wk_fail_null(WK_NOT_FOUND, "no component \"%s\"; `wick builtins` lists them", name);
    wk__yaml *doc = wk_alloc(sizeof *doc);
    if (!doc) return NULL;
    doc->name = c->name;
    if (fill(c, argc, argv, doc) != WK_OK) {
        wk__yaml_free(doc);
        return NULL;
    }
    return wk__appdef_from(doc);
}
