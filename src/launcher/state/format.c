/* format.c: a status as TorchX prints it, and as its JSON.
 *
 * Scripts read both, so names, order and indentation are TorchX's; what it does not know (signals, the wrapped last
 * line of stderr, the log's place) is added as lines and members of their own.
 */
#include "launcher/launcher.h"

#include <jansson.h>
#include <string.h>
#include <time.h>

enum { WIDTH = 80 };

/* "        error_msg: words", wrapped between words, continuation under the first word. */
static void print_wrapped(wk_text *out, const char *label, const char *value) {
    int indent = (int)strlen(label) + 10;
    int column = indent;
    wk_text_printf(out, "        %s: ", label);
    for (const char *at = value; *at;) {
        if (*at == '\n') {
            wk_text_printf(out, "\n%*s", indent, "");
            column = indent;
            at++;
            continue;
        }
        size_t word = strcspn(at, " \n");
        if (word == 0) {
            at++;
            if (*at && column > indent && column < WIDTH) {
                wk_text_puts(out, " ");
                column++;
            }
            continue;
        }
        if (column > indent && column + (int)word > WIDTH) {
            wk_text_printf(out, "\n%*s", indent, "");
            column = indent;
        }
        wk_text_add(out, at, word);
        column += (int)word;
        at += word;
    }
    wk_text_puts(out, "\n");
}

/* Why it is in its state: what TorchX shows in parentheses. */
static void print_reason(wk_text *out, const wk_replica_status *r) {
    if (r->state != WK_APP_FAILED && r->state != WK_APP_CANCELLED) return;
    if (!r->ended)
        wk_text_puts(out, " (no reply file)");
    else if (r->error_code)
        wk_text_printf(out, " (exitcode: %d)", r->error_code);
    else if (r->signal)
        wk_text_printf(out, " (signal: %s)", wk__signal_name(r->signal));
    else
        wk_text_printf(out, " (exitcode: %d)", r->exit_code);
}

static void print_replica(wk_text *out, const char *role, const wk_replica_status *r) {
    wk_text_printf(out, " %c%s[%d]:%s", r->id == 0 ? '*' : ' ', role, r->id, wk_app_state_name(r->state));
    print_reason(out, r);
    wk_text_puts(out, "\n");
    if (r->state != WK_APP_FAILED) return;
    char when[32] = "?";
    time_t seconds = (time_t)(r->ended ? r->ended_at : r->started_at);
    struct tm broken;
    if (gmtime_r(&seconds, &broken)) (void)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &broken);
    wk_text_printf(out, "        timestamp: %s\n        hostname: %s\n", when, r->hostname);
    const char *message = *r->error ? r->error : *r->last_line ? r->last_line : "<NONE>";
    print_wrapped(out, "error_msg", message);
    wk_text_printf(out, "        log: %s/stderr.log\n", r->directory);
}

static const char *or_none(const char *text) {
    return *text ? text : "<NONE>";
}

char *wk_app_status_text(const wk_app_status *s) {
    wk_text out = { 0 };
    wk_text_printf(&out, "AppStatus:\n    State: %s\n    Num Restarts: %d\n    Roles: \n", wk_app_state_name(s->state),
                   s->num_restarts);
    for (size_t i = 0; i < s->role_count; i++)
        for (size_t k = 0; k < s->roles[i].replica_count; k++)
            print_replica(&out, s->roles[i].role, &s->roles[i].replicas[k]);
    wk_text_printf(&out, "    Msg: %s\n    Structured Error Msg: %s\n    UI URL: %s\n", s->message,
                   or_none(s->structured_error), *s->ui_url ? s->ui_url : "None");
    if (out.failed) wk_text_free(&out);
    return out.data;
}

static void set(json_t *object, const char *key, json_t *value) {
    (void)json_object_set_new(object, key, value);
}

static json_t *replica_json(const char *role, const wk_replica_status *r) {
    json_t *object = json_object();
    set(object, "id", json_integer(r->id));
    set(object, "state", json_integer((json_int_t)r->state));
    set(object, "role", wk__json_text(role));
    set(object, "hostname", wk__json_text(r->hostname));
    set(object, "structured_error_msg", wk__json_text(or_none(r->error_json)));
    set(object, "hostaddr", wk__json_text(r->hostname));
    set(object, "exit_code", r->ended && !r->signal ? json_integer(r->exit_code) : json_null());
    set(object, "signal", r->ended && r->signal ? json_string(wk__signal_name(r->signal)) : json_null());
    set(object, "stopped", json_boolean(r->stopped));
    set(object, "error", *r->error ? wk__json_text(r->error) : json_null());
    set(object, "last_line", *r->last_line ? wk__json_text(r->last_line) : json_null());
    set(object, "log", wk__json_text(r->directory));
    set(object, "started_at", r->started_at > 0 ? json_real(r->started_at) : json_null());
    set(object, "ended_at", r->ended_at > 0 ? json_real(r->ended_at) : json_null());
    return object;
}

char *wk_app_status_json(const wk_app_status *s) {
    json_t *root = json_object();
    json_t *roles = json_array();
    set(root, "state", json_string(wk_app_state_name(s->state)));
    set(root, "num_restarts", json_integer(s->num_restarts));
    for (size_t i = 0; i < s->role_count; i++) {
        json_t *role = json_object();
        json_t *replicas = json_array();
        for (size_t k = 0; k < s->roles[i].replica_count; k++)
            (void)json_array_append_new(replicas, replica_json(s->roles[i].role, &s->roles[i].replicas[k]));
        set(role, "role", wk__json_text(s->roles[i].role));
        set(role, "replicas", replicas);
        (void)json_array_append_new(roles, role);
    }
    set(root, "roles", roles);
    set(root, "msg", wk__json_text(s->message));
    set(root, "structured_error_msg", wk__json_text(or_none(s->structured_error)));
    set(root, "url", *s->ui_url ? wk__json_text(s->ui_url) : json_null());
    size_t size = json_dumpb(root, NULL, 0, JSON_INDENT(2));
    char *text = wk_alloc(size + 2);
    if (text) {
        (void)json_dumpb(root, text, size, JSON_INDENT(2));
        text[size] = '\n';
    }
    json_decref(root);
    return text;
}
