/* arguments.c: values for a component's parameters.
 *
 * --name value, --name=value, -x value for a name of one letter; a truth value may stand alone.  Lists and dicts may be
 * given several times, anything else once.  The first word that is no option, or what follows --, begins the varargs.
 * What the command line leaves open the configuration may give, and then the default.
 */
#include "launcher/component/component.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const expected[] = { "text", "an integer", "a number", "true or false" };

static bool is_truth(const char *text, bool *value) {
    static const char *const words[2][4] = { { "false", "0", "no", "off" }, { "true", "1", "yes", "on" } };
    for (size_t truth = 0; truth < 2; truth++)
        for (size_t i = 0; i < 4; i++)
            if (strcasecmp(text, words[truth][i]) == 0) {
                *value = truth == 1;
                return true;
            }
    return false;
}

/* One plain value; numbers and truths are scalars without quotes, so that the AppDef's checks see them as such. */
static wk__yaml_node *scalar(const wk__filled *f, wk__parameter_type type, const char *who, const char *text) {
    char *end = NULL;
    bool flag = false;
    bool good = true;
    if (type == WK__INT) (void)strtoll(text, &end, 10);
    if (type == WK__FLOAT) (void)strtod(text, &end);
    if (type == WK__BOOL) good = is_truth(text, &flag);
    if (!good || (end && (end == text || *end)))
        return wk_fail_null(WK_CONFIG, "%s must be %s, not \"%.80s\"", who, expected[type], text);
    wk__yaml_node *node = wk__yaml_new(f->doc, WK__YAML_SCALAR, type == WK__BOOL ? (flag ? "true" : "false") : text);
    if (!node) return NULL;
    node->quoted = type == WK__STR;
    node->origin = wk__arena_text(&f->doc->arena, "%s", who);
    return node->origin ? node : NULL;
}

/* Where the next item begins: of a dict only behind a comma that a key and = follow, so that values may hold commas. */
static const char *item_end(const char *at, bool pairs) {
    for (const char *comma = strchr(at, ','); comma; comma = strchr(comma + 1, ',')) {
        size_t word = strcspn(comma + 1, ",=");
        if (!pairs || (word > 0 && comma[1 + word] == '=')) return comma;
    }
    return at + strlen(at);
}

static wk_status add_item(const wk__filled *f, const wk__parameter *p, const char *who, char *item,
                          wk__yaml_node *list) {
    char *equals = p->type == WK__DICT ? strchr(item, '=') : NULL;
    if (p->type == WK__DICT && (!equals || equals == item))
        return wk_fail(WK_CONFIG, "%s takes NAME=value,…, not \"%.80s\"", who, item);
    if (equals) *equals++ = '\0';
    wk__yaml_node *node = scalar(f, p->item, who, equals ? equals : item);
    if (!node) return wk_error_code();
    wk__yaml_node *former = equals ? wk__yaml_find(list, item) : NULL;
    if (!former) return wk__yaml_append(f->doc, list, equals ? item : NULL, node);
    former->text = node->text;
    return WK_OK;
}

static wk__yaml_node *items(const wk__filled *f, const wk__parameter *p, const char *who, const char *text,
                            wk__yaml_node *list) {
    if (!list) list = wk__yaml_new(f->doc, p->type == WK__DICT ? WK__YAML_MAPPING : WK__YAML_SEQUENCE, NULL);
    for (const char *at = text; list && *at;) {
        const char *end = item_end(at, p->type == WK__DICT);
        char *item = wk__arena_text(&f->doc->arena, "%.*s", (int)(end - at), at);
        if (!item || add_item(f, p, who, item, list) != WK_OK) return NULL;
        at = *end ? end + 1 : end;
    }
    return list;
}

wk__yaml_node *wk__parameter_value(const wk__filled *f, const wk__parameter *p, const char *who, const char *text) {
    if (p->type == WK__LIST || p->type == WK__DICT || p->type == WK__VARARGS) return items(f, p, who, text, NULL);
    return scalar(f, p->type <= WK__BOOL ? p->type : WK__STR, who, text);
}

/* ---- words ---- */

static wk_status unknown(const wk__component *c, const char *word) {
    const char *names[64];
    size_t count = 0;
    wk_text known = { 0 };
    for (size_t i = 0; i < c->count && count < WK_COUNT(names); i++)
        if (c->parameters[i].type != WK__VARARGS) names[count++] = c->parameters[i].name;
    for (size_t i = 0; i < count; i++) wk_text_printf(&known, "%s--%s", i ? ", " : "", names[i]);
    char *bare = wk_format("%.*s", (int)strcspn(word + strspn(word, "-"), "="), word + strspn(word, "-"));
    const char *near = bare ? wk__nearest(bare, names, count) : NULL;
    wk_status status =
        near ? wk_fail(WK_CONFIG, "%s: unknown argument %.80s; did you mean --%s?", c->name, word, near)
             : wk_fail(WK_CONFIG, "%s: unknown argument %.80s; known are %s", c->name, word, wk_text_get(&known));
    wk_free(bare);
    wk_text_free(&known);
    return status;
}

/* Does the word name this parameter?  Then where its value stands within the word, or the word's end. */
static const char *matches(const char *word, const wk__parameter *p) {
    size_t size = strlen(p->name);
    if (p->type == WK__VARARGS) return NULL;
    if (p->letter && word[0] == '-' && word[1] == p->letter && word[2] == '\0') return word + 2;
    size_t dashes = strncmp(word, "--", 2) == 0 ? 2 : size == 1 ? 1 : 0;
    if (!dashes || strncmp(word + dashes, p->name, size) != 0) return NULL;
    const char *end = word + dashes + size;
    return *end == '\0' || *end == '=' ? end : NULL;
}

/* `-j`, `--msg`: as people call it in messages. */
static const char *call(const wk__filled *f, const wk__parameter *p) {
    return wk__arena_text(&f->doc->arena, "%s: --%s", f->component->name, p->name);
}

static wk_status give(wk__filled *f, size_t index, const char *text) {
    const wk__parameter *p = &f->component->parameters[index];
    bool repeats = p->type == WK__LIST || p->type == WK__DICT;
    const char *who = call(f, p);
    if (!who) return wk_error_code();
    if (f->given[index] && !repeats) return wk_fail(WK_CONFIG, "%s: --%s is given twice", f->component->name, p->name);
    f->values[index] = repeats ? items(f, p, who, text, f->given[index] ? f->values[index] : NULL)
                               : wk__parameter_value(f, p, who, text);
    f->given[index] = true;
    return f->values[index] ? WK_OK : wk_error_code();
}

static wk_status read_option(wk__filled *f, int argc, char *const *argv, int *at) {
    const wk__component *c = f->component;
    const char *value = NULL;
    size_t index = 0;
    for (; index < c->count; index++)
        if ((value = matches(argv[*at], &c->parameters[index]))) break;
    if (!value) return unknown(c, argv[*at]);
    bool flag = false;
    if (*value == '=') return give(f, index, value + 1);
    bool bare = c->parameters[index].type == WK__BOOL && (*at + 1 >= argc || !is_truth(argv[*at + 1], &flag));
    if (bare) return give(f, index, "true");
    if (*at + 1 >= argc) return wk_fail(WK_CONFIG, "%s: %s needs a value", c->name, argv[*at]);
    return give(f, index, argv[++*at]);
}

static wk_status give_rest(wk__filled *f, int count, char *const *words) {
    size_t index = 0;
    while (index < f->component->count && f->component->parameters[index].type != WK__VARARGS) index++;
    if (index == f->component->count)
        return count == 0 ? WK_OK
                          : wk_fail(WK_CONFIG, "%s: \"%.80s\": it takes no arguments but --name value",
                                    f->component->name, words[0]);
    wk__yaml_node *list = f->values[index] = wk__yaml_new(f->doc, WK__YAML_SEQUENCE, NULL);
    if (!list) return wk_error_code();
    for (int i = 0; i < count; i++) {
        wk__yaml_node *node = wk__yaml_new(f->doc, WK__YAML_SCALAR, words[i]);
        if (!node) return wk_error_code();
        node->quoted = true;
        WK_TRY(wk__yaml_append(f->doc, list, NULL, node));
    }
    return WK_OK;
}

/* ---- what nobody gave ---- */

static wk_status use_config(wk__filled *f, const wk_pair *config, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const wk__parameter *p = wk__parameter_find(f->component, config[i].key, strlen(config[i].key));
        if (!p || p->type == WK__VARARGS) {
            char *word = wk_format("--%s", config[i].key);
            wk_status status = word ? unknown(f->component, word) : wk_error_code();
            wk_free(word);
            wk_error_prefix("configuration");
            return status;
        }
        size_t index = (size_t)(p - f->component->parameters);
        if (f->given[index]) continue;
        const char *who = wk__arena_text(&f->doc->arena, "configuration: %s: %s", f->component->name, p->name);
        if (!who || !(f->values[index] = wk__parameter_value(f, p, who, config[i].value))) return wk_error_code();
    }
    return WK_OK;
}

/* A default is written in YAML: a list as a list, a dict as a mapping, or the text that an argument would be. */
static wk_status use_default(wk__filled *f, size_t index) {
    const wk__parameter *p = &f->component->parameters[index];
    if (!p->initial) return WK_OK;
    if (p->initial->kind == WK__YAML_SCALAR) {
        const char *who = call(f, p);
        f->values[index] = who ? wk__parameter_value(f, p, who, p->initial->text) : NULL;
    } else
        f->values[index] = wk__yaml_copy(f->doc, p->initial);
    return f->values[index] ? WK_OK : wk_error_code();
}

/* Parameters of which one must be given, and no second. */
static wk_status check_one(const wk__filled *f) {
    const wk__yaml_node *list = f->component->exactly_one;
    size_t set = 0;
    wk_text names = { 0 };
    for (const wk__yaml_node *item = list ? list->first : NULL; item; item = item->next) {
        const wk__parameter *p = wk__parameter_find(f->component, item->text, strlen(item->text));
        set += p && f->values[p - f->component->parameters] != NULL;
        wk_text_printf(&names, "%s--%s", item == list->first ? "" : item->next ? ", " : " or ", item->text);
    }
    wk_status status = !list || set == 1
                           ? WK_OK
                           : wk_fail(WK_CONFIG, "%s: give exactly one of %s; there %s %zu", f->component->name,
                                     wk_text_get(&names), set == 1 ? "is" : "are", set);
    wk_text_free(&names);
    return status;
}

/* A job is checked here, where its option can be named. */
static wk_status check_job(const wk__parameter *p, const wk__yaml_node *value, const char *host) {
    wk__job job;
    wk_resource resource;
    WK_TRY(wk__job_parse(value->origin, value->text, host, &job));
    if (host && wk_resource_named(host, &resource) == WK_OK && resource.gpu > 0 && job.procs != resource.gpu)
        wk_log_write(WK_LOG_WARNING, "--%s %s: %lld processes a node, but %s has %lld GPUs", p->name, value->text,
                     (long long)job.procs, host, (long long)resource.gpu);
    return wk_error_code();
}

static wk_status check_jobs(const wk__filled *f) {
    for (size_t i = 0; i < f->component->count; i++) {
        const wk__parameter *p = &f->component->parameters[i];
        if (p->type != WK__JOB || !f->values[i]) continue;
        const wk__parameter *h = p->host ? wk__parameter_find(f->component, p->host, strlen(p->host)) : NULL;
        const wk__yaml_node *host = h ? f->values[h - f->component->parameters] : NULL;
        WK_TRY(check_job(p, f->values[i], host ? host->text : NULL));
    }
    return WK_OK;
}

wk_status wk__component_fill(wk__filled *f, int argc, char *const *argv, const wk_pair *config, size_t config_count) {
    const wk__component *c = f->component;
    int at = 0;
    f->values = wk__arena_take(&f->doc->arena, (c->count + 1) * sizeof *f->values);
    f->given = wk__arena_take(&f->doc->arena, (c->count + 1) * sizeof *f->given);
    if (!f->values || !f->given) return wk_error_code();
    memset(f->values, 0, (c->count + 1) * sizeof *f->values);
    memset(f->given, 0, (c->count + 1) * sizeof *f->given);
    for (; at < argc && argv[at][0] == '-' && argv[at][1]; at++) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        WK_TRY(read_option(f, argc, argv, &at));
    }
    WK_TRY(give_rest(f, argc - at, argc > 0 ? argv + at : NULL));
    WK_TRY(use_config(f, config, config_count));
    for (size_t i = 0; i < c->count; i++) {
        const wk__parameter *p = &c->parameters[i];
        if (!f->values[i]) WK_TRY(use_default(f, i));
        if (p->type == WK__VARARGS && !p->optional && f->values[i]->count == 0)
            return wk_fail(WK_CONFIG, "%s: no arguments; give %s", c->name, *p->help ? p->help : p->name);
        if (!f->values[i] && !p->optional)
            return wk_fail(WK_CONFIG, "%s: --%s is required%s%s%s", c->name, p->name, *p->help ? " (" : "", p->help,
                           *p->help ? ")" : "");
    }
    WK_TRY(check_one(f));
    return check_jobs(f);
}
