/* stdin.c: `wick run --stdin`: TorchX's JSON object, turned into the words that would say the same. */
#include "launcher/commands/run.h"

#include <jansson.h>
#include <string.h>

static const char *const keys[] = {
    "component_name", "scheduler", "scheduler_args", "scheduler_cfg",     "dryrun", "wait", "log", "workspace",
    "parent_run_id",  "tee_logs",  "component_args", "component_args_str"
};

typedef struct words {
    wk__arena arena;
    const char *argv[512];
    int argc;
} words;

static wk_status add(words *w, const char *word) {
    if (w->argc == (int)WK_COUNT(w->argv)) return wk_fail(WK_CONFIG, "--stdin: more than 512 words");
    if (!word) return wk_error_code();
    w->argv[w->argc++] = word;
    return WK_OK;
}

static wk_status fail_type(const char *key, const char *expected) {
    return wk_fail(WK_CONFIG, "--stdin: \"%s\" must be %s", key, expected);
}

/* A value as an argument holds it: a,b and k=v,k2=v2. */
static void put(wk_text *out, const json_t *value) {
    const char *key;
    json_t *item;
    size_t i;
    bool first = true;
    if (json_is_string(value)) wk_text_puts(out, json_string_value(value));
    if (json_is_integer(value)) wk_text_printf(out, "%lld", (long long)json_integer_value(value));
    if (json_is_real(value)) wk_text_printf(out, "%.17g", json_real_value(value));
    if (json_is_boolean(value)) wk_text_puts(out, json_is_true(value) ? "true" : "false");
    json_array_foreach(value, i, item) {
        if (i) wk_text_puts(out, ",");
        put(out, item);
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, item) {
        wk_text_printf(out, "%s%s=", first ? "" : ",", key);
        put(out, item);
        first = false;
    }
}

/* `--key=value` for each member; null is "not given". */
static wk_status add_component_args(words *w, const json_t *object) {
    const char *key;
    json_t *value;
    if (object && !json_is_object(object)) return fail_type("component_args", "an object");
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        if (json_is_null(value)) continue;
        wk_text text = { 0 };
        put(&text, value);
        wk_status status = add(w, wk__arena_text(&w->arena, "--%s=%s", key, wk_text_get(&text)));
        wk_text_free(&text);
        WK_TRY(status);
    }
    return WK_OK;
}

/* key="value",…: quotes protect what the grammar of -cfg would part. */
static wk_status add_cfg(words *w, const json_t *object) {
    const char *key;
    json_t *value;
    wk_text text = { 0 };
    if (!object) return WK_OK;
    if (!json_is_object(object)) return fail_type("scheduler_args", "an object");
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        wk_text one = { 0 };
        put(&one, value);
        const char *quote = strchr(wk_text_get(&one), '"') ? "'" : "\"";
        if (!json_is_null(value))
            wk_text_printf(&text, "%s%s=%s%s%s", text.size ? "," : "", key, quote, wk_text_get(&one), quote);
        wk_text_free(&one);
    }
    wk_status status = WK_OK;
    if (text.size) {
        status = add(w, "-cfg");
        if (status == WK_OK) status = add(w, wk__arena_text(&w->arena, "%s", text.data));
    }
    wk_text_free(&text);
    return status;
}

static wk_status add_text(words *w, const json_t *root, const char *key, const char *option, bool required) {
    const json_t *value = json_object_get(root, key);
    if (!value || json_is_null(value)) return required ? wk_fail(WK_CONFIG, "--stdin: \"%s\" is required", key) : WK_OK;
    if (!json_is_string(value)) return fail_type(key, "text");
    if (option) WK_TRY(add(w, option));
    return add(w, wk__arena_text(&w->arena, "%s", json_string_value(value)));
}

static wk_status add_flag(words *w, const json_t *root, const char *key, const char *option) {
    const json_t *value = json_object_get(root, key);
    if (!value || json_is_false(value)) return WK_OK;
    return json_is_true(value) ? add(w, option) : fail_type(key, "true or false");
}

static wk_status check_keys(json_t *root) {
    const char *key;
    json_t *value;
    if (!json_is_object(root)) return wk_fail(WK_CONFIG, "--stdin: expected a JSON object");
    json_object_foreach(root, key, value) {
        bool known = false;
        for (size_t i = 0; i < WK_COUNT(keys); i++) known = known || strcmp(key, keys[i]) == 0;
        const char *near = known ? NULL : wk__nearest(key, keys, WK_COUNT(keys));
        if (!known)
            return wk_fail(WK_CONFIG, "--stdin: unknown key \"%.80s\"%s%s%s", key, near ? "; did you mean \"" : "",
                           near ? near : "", near ? "\"?" : "");
    }
    return WK_OK;
}

static wk_status translate(words *w, json_t *root, bool dryrun) {
    static const char *const flags[][2] = {
        { "wait", "--wait" }, { "log", "--log" }, { "tee_logs", "--tee_logs" }, { "dryrun", "--dryrun" }
    };
    WK_TRY(check_keys(root));
    WK_TRY(add(w, "run"));
    WK_TRY(add_text(w, root, "scheduler", "-s", true));
    const json_t *cfg = json_object_get(root, "scheduler_args");
    WK_TRY(add_cfg(w, cfg ? cfg : json_object_get(root, "scheduler_cfg")));
    for (size_t i = 0; i < WK_COUNT(flags); i++) WK_TRY(add_flag(w, root, flags[i][0], flags[i][1]));
    if (dryrun && !json_is_true(json_object_get(root, "dryrun"))) WK_TRY(add(w, "--dryrun"));
    WK_TRY(add_text(w, root, "workspace", "--workspace", false));
    WK_TRY(add_text(w, root, "parent_run_id", "--parent_run_id", false));
    WK_TRY(add_text(w, root, "component_name", NULL, true));
    WK_TRY(add_component_args(w, json_object_get(root, "component_args")));
    const json_t *more = json_object_get(root, "component_args_str");
    if (more && !json_is_array(more)) return fail_type("component_args_str", "a list");
    for (size_t i = 0; i < json_array_size(more); i++) {
        const json_t *item = json_array_get(more, i);
        if (!json_is_string(item)) return fail_type("component_args_str", "a list of texts");
        WK_TRY(add(w, wk__arena_text(&w->arena, "%s", json_string_value(item))));
    }
    return WK_OK;
}

int wk__run_stdin(bool dryrun) {
    json_error_t error;
    json_t *root = json_loadf(stdin, JSON_REJECT_DUPLICATES, &error);
    if (!root) return wk__usage_error("--stdin:%d:%d: %s", error.line, error.column, error.text);
    words *w = wk_alloc(sizeof *w);
    wk_status status = w ? translate(w, root, dryrun) : wk_error_code();
    json_decref(root);
    int code = 2;
    if (status == WK_OK)
        code = wk_run_main(w->argc, (char **)(uintptr_t)w->argv);
    else
        (void)wk_report(stderr);
    if (w) wk__arena_destroy(&w->arena);
    wk_free(w);
    return code;
}
