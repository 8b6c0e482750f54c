/* value.c: what ${name}, ${name.field} and ${name|filter} stand for.
 *
 *   job        .nodes .min_nodes .procs .ranks .min_ranks .replicas ("2" or "2:4")
 *   run_name   .experiment .run .stem (of the script or module)
 *   |shell     words quoted for a shell      |script   one word as it is, several quoted
 *   |first, |rest    the first item of a list, the others
 *   |stem      "train" of "src/train.py"     |suffix   "py"
 */
#include "launcher/component/component.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *const job_fields[] = { "nodes", "min_nodes", "procs", "ranks", "min_ranks", "replicas" };
static const char *const name_fields[] = { "experiment", "run", "stem" };
static const char *const filters[] = { "shell", "script", "first", "rest", "stem", "suffix" };

static bool is_word(const char *text, size_t size, const char *word) {
    return strlen(word) == size && memcmp(text, word, size) == 0;
}

static bool is_among(const char *text, size_t size, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (is_word(text, size, words[i])) return true;
    return false;
}

wk__reference wk__reference_of(const wk__component *c, const char *body, size_t size) {
    wk__reference r = { 0 };
    size_t name = 0;
    while (name < size && (isalnum((unsigned char)body[name]) || body[name] == '_')) name++;
    size_t at = name;
    if (at < size && body[at] == '.') {
        r.field = body + ++at;
        while (at < size && (isalnum((unsigned char)body[at]) || body[at] == '_')) at++;
        r.field_size = (size_t)(body + at - r.field);
    }
    if (at < size && body[at] == '|') {
        r.filter = body + ++at;
        while (at < size && isalnum((unsigned char)body[at])) at++;
        r.filter_size = (size_t)(body + at - r.filter);
    }
    if (at == size) r.parameter = wk__parameter_find(c, body, name);
    return r;
}

const char *wk__reference_fault(const wk__reference *r) {
    wk__parameter_type type = r->parameter->type;
    if (r->field && type == WK__JOB && !is_among(r->field, r->field_size, job_fields, WK_COUNT(job_fields)))
        return "a job has the fields nodes, min_nodes, procs, ranks, min_ranks and replicas";
    if (r->field && type == WK__RUN_NAME && !is_among(r->field, r->field_size, name_fields, WK_COUNT(name_fields)))
        return "a run_name has the fields experiment, run and stem";
    if (r->field && type != WK__JOB && type != WK__RUN_NAME) return "only a job and a run_name have fields";
    if (r->filter && !is_among(r->filter, r->filter_size, filters, WK_COUNT(filters)))
        return "the filters are shell, script, first, rest, stem and suffix";
    return NULL;
}

static wk__yaml_node *text_node(const wk__filled *f, const char *text, bool quoted) {
    wk__yaml_node *node = text ? wk__yaml_new(f->doc, WK__YAML_SCALAR, text) : NULL;
    if (node) node->quoted = quoted;
    return node;
}

static wk__yaml_node *value_of(const wk__filled *f, const char *name) {
    const wk__parameter *p = wk__parameter_find(f->component, name, strlen(name));
    return p ? f->values[p - f->component->parameters] : NULL;
}

/* ---- [[min:]nodes x]procs ---- */

static bool read_number(const char **at, int64_t *out) {
    char *end = NULL;
    if (!isdigit((unsigned char)**at)) return false;
    *out = strtoll(*at, &end, 10);
    *at = end;
    return *out > 0 && *out <= 100000;
}

/* One number: processes of one node; where a host is named: that many nodes, with a process for each of its GPUs. */
static wk_status complete_job(const char *who, const char *text, const char *host, wk__job *out) {
    wk_resource resource;
    if (!host) return WK_OK;
    wk_status status = wk_resource_named(host, &resource);
    if (status != WK_OK) {
        wk_error_prefix("%s", who);
        return status;
    }
    if (strchr(text, 'x')) return WK_OK;
    if (resource.gpu < 1)
        return wk_fail(WK_CONFIG, "%s %s means %s nodes with a process for each GPU, and %s has none; say %sxPROCS",
                       who, text, text, host, text);
    out->nodes = out->min_nodes = out->procs;
    out->procs = resource.gpu;
    return WK_OK;
}

wk_status wk__job_parse(const char *who, const char *text, const char *host, wk__job *out) {
    *out = (wk__job){ 1, 1, 0 };
    const char *at = text;
    bool good = read_number(&at, &out->procs);
    if (good && *at == ':') {
        out->min_nodes = out->procs;
        at++;
        good = read_number(&at, &out->nodes) && *at == 'x' && out->nodes >= out->min_nodes;
        at += good;
        good = good && read_number(&at, &out->procs);
    } else if (good && *at == 'x') {
        out->nodes = out->min_nodes = out->procs;
        at++;
        good = read_number(&at, &out->procs);
    }
    if (!good || *at || out->nodes * out->procs > 100000)
        return wk_fail(WK_CONFIG, "%s must be [[min:]nodes x]procs, as in 4, 2x4 or 2:4x8, not \"%.80s\"", who, text);
    return complete_job(who, text, host, out);
}

static wk__yaml_node *job_field(const wk__filled *f, const wk__reference *r, const wk__yaml_node *value) {
    wk__job job;
    char text[64];
    const wk__yaml_node *host = r->parameter->host ? value_of(f, r->parameter->host) : NULL;
    if (wk__job_parse(r->parameter->name, value->text, host ? host->text : NULL, &job) != WK_OK) return NULL;
    const int64_t numbers[] = { job.nodes, job.min_nodes, job.procs, job.nodes * job.procs, job.min_nodes * job.procs };
    (void)snprintf(text, sizeof text, "%lld", (long long)job.nodes);
    if (is_word(r->field, r->field_size, "replicas")) {
        if (job.min_nodes != job.nodes)
            (void)snprintf(text, sizeof text, "%lld:%lld", (long long)job.min_nodes, (long long)job.nodes);
        return text_node(f, text, job.min_nodes != job.nodes);
    }
    for (size_t i = 0; i < WK_COUNT(numbers); i++)
        if (is_word(r->field, r->field_size, job_fields[i]))
            (void)snprintf(text, sizeof text, "%lld", (long long)numbers[i]);
    return text_node(f, text, false);
}

/* ---- experiment/run ---- */

/* "train" of "src/train.py"; of a module "a.b.train", its last part. */
static char *stem_of(wk__arena *arena, const char *text, bool module) {
    const char *slash = strrchr(text, '/');
    const char *base = slash ? slash + 1 : text;
    if (module) {
        const char *dot = strrchr(base, '.');
        return wk__arena_text(arena, "%s", dot ? dot + 1 : base);
    }
    const char *dot = strrchr(base, '.');
    return wk__arena_text(arena, "%.*s", dot && dot != base ? (int)(dot - base) : (int)strlen(base), base);
}

/* What a role and a folder may be called. */
static char *as_name(char *text) {
    for (char *at = text; at && *at; at++)
        if (!isalnum((unsigned char)*at) && (!strchr("-_.", *at) || at == text)) *at = at == text ? 'x' : '-';
    return text;
}

static wk__yaml_node *name_field(const wk__filled *f, const wk__reference *r, const wk__yaml_node *value) {
    wk__arena *arena = &f->doc->arena;
    const wk__yaml_node *script = value_of(f, r->parameter->of[0]);
    const wk__yaml_node *module = value_of(f, r->parameter->of[1]);
    char *stem = script   ? as_name(stem_of(arena, script->text, false))
                 : module ? as_name(stem_of(arena, module->text, true))
                          : wk__arena_text(arena, "app");
    const char *slash = strchr(value->text, '/');
    const char *run = slash ? slash + 1 : value->text;
    if (is_word(r->field, r->field_size, "stem") || (is_word(r->field, r->field_size, "run") && !*run))
        return text_node(f, stem, true);
    if (is_word(r->field, r->field_size, "run")) return text_node(f, run, true);
    const char *experiment = slash && slash != value->text
                                 ? wk__arena_text(arena, "%.*s", (int)(slash - value->text), value->text)
                                 : "default-experiment";
    return text_node(f, experiment, true);
}

/* ---- filters ---- */

static void quote(wk_text *out, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    if (*word && strspn(word, plain) == strlen(word)) {
        wk_text_puts(out, word);
        return;
    }
    wk_text_puts(out, "'");
    for (; *word; word++) {
        if (*word == '\'')
            wk_text_puts(out, "'\"'\"'"); /* as Python's shlex does it */
        else
            wk_text_add(out, word, 1);
    }
    wk_text_puts(out, "'");
}

static wk__yaml_node *rest_of(const wk__filled *f, const wk__yaml_node *list) {
    wk__yaml_node *rest = wk__yaml_new(f->doc, WK__YAML_SEQUENCE, NULL);
    for (const wk__yaml_node *item = list->first ? list->first->next : NULL; rest && item; item = item->next) {
        wk__yaml_node *copy = wk__yaml_copy(f->doc, item);
        if (!copy || wk__yaml_append(f->doc, rest, NULL, copy) != WK_OK) return NULL;
    }
    return rest;
}

static wk__yaml_node *filtered(const wk__filled *f, const wk__reference *r, wk__yaml_node *value) {
    if (is_word(r->filter, r->filter_size, "rest")) return rest_of(f, value);
    wk_text out = { 0 };
    bool one = value->kind == WK__YAML_SCALAR || value->count == 1;
    const char *first = value->kind == WK__YAML_SCALAR ? value->text : value->first ? value->first->text : "";
    wk_text_puts(&out, "");
    if (is_word(r->filter, r->filter_size, "stem"))
        wk_text_printf(&out, "%s", as_name(stem_of(&f->doc->arena, first, false)));
    else if (is_word(r->filter, r->filter_size, "suffix")) {
        const char *dot = strrchr(first, '.');
        wk_text_puts(&out, dot && dot != first && !strchr(dot, '/') ? dot + 1 : "");
    } else if (is_word(r->filter, r->filter_size, "first") || (one && is_word(r->filter, r->filter_size, "script")))
        wk_text_puts(&out, first);
    else if (value->kind == WK__YAML_SCALAR)
        quote(&out, value->text);
    else
        for (const wk__yaml_node *item = value->first; item; item = item->next) {
            if (item != value->first) wk_text_puts(&out, " ");
            quote(&out, item->kind == WK__YAML_SCALAR ? item->text : "");
        }
    wk__yaml_node *node = out.failed ? NULL : text_node(f, wk_text_get(&out), true);
    wk_text_free(&out);
    return node;
}

wk__yaml_node *wk__resolve(const wk__filled *f, const wk__reference *r) {
    wk__yaml_node *value = f->values[r->parameter - f->component->parameters];
    if (!value) return NULL;
    if (value->kind != WK__YAML_SCALAR && value->count == 0 && r->filter) return NULL;
    if (r->field && r->parameter->type == WK__JOB) return job_field(f, r, value);
    if (r->field && r->parameter->type == WK__RUN_NAME) return name_field(f, r, value);
    return r->filter ? filtered(f, r, value) : value;
}

wk_status wk__node_text(wk_text *out, const wk__yaml_node *node) {
    if (node->kind == WK__YAML_SCALAR) wk_text_puts(out, node->text);
    for (const wk__yaml_node *item = node->first; item; item = item->next) {
        if (item != node->first) wk_text_puts(out, item->key ? "," : " ");
        if (item->key) wk_text_printf(out, "%s=", item->key);
        if (item->kind == WK__YAML_SCALAR) wk_text_puts(out, item->text);
    }
    return out->failed ? wk_error_code() : WK_OK;
}
