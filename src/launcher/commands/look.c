/* look.c: `wick status`, `list`, `cancel`, `delete`, `describe`. */
#include "launcher/commands/flags.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Is the role one of "a,b"? */
static bool is_named(const char *list, const char *role) {
    size_t size = strlen(role);
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, ",");
        if (length == size && strncmp(at, role, size) == 0) return true;
        at += length + (at[length] == ',');
    }
    return false;
}

static void keep_roles(wk_app_status *status, const char *list) {
    size_t kept = 0;
    for (size_t i = 0; i < status->role_count; i++)
        if (is_named(list, status->roles[i].role)) status->roles[kept++] = status->roles[i];
    status->role_count = kept;
}

int wk_status_main(int argc, char **argv) {
    static const char usage[] = "usage: wick status HANDLE [--roles ROLE,...] [--json]\n\n"
                                "example:  wick status mpi://wick/echo-x7k2qv9wz4cd\n";
    bool json = false;
    const char *roles = NULL;
    const char *word = NULL;
    wk_handle handle;
    const wk__flag flags[] = { { "--json", NULL, &json, NULL }, { "--roles", NULL, NULL, &roles } };
    int code = wk__flags_parse(argc, argv, usage, flags, WK_COUNT(flags), &word);
    if (code >= 0) return code;
    if (!word) return wk__usage_error("status: which app? give its handle (wick list)");
    wk_app_status *status = wk_handle_parse(word, &handle) == WK_OK ? wk_app_describe(&handle) : NULL;
    if (status && roles) keep_roles(status, roles);
    char *text = !status ? NULL : json ? wk_app_status_json(status) : wk_app_status_text(status);
    if (text) (void)fputs(text, stdout);
    wk_free(text);
    wk_app_status_free(status);
    return text ? 0 : wk__report_code();
}

static int print_list_json(const wk_app_entry *entries, size_t count) {
    json_t *root = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *object = json_object();
        char *handle = wk_handle_format(&entries[i].handle);
        (void)json_object_set_new(object, "handle", json_string(handle ? handle : ""));
        (void)json_object_set_new(object, "app_id", json_string(entries[i].handle.app_id));
        (void)json_object_set_new(object, "name", json_string(entries[i].name));
        (void)json_object_set_new(object, "scheduler", json_string(entries[i].handle.scheduler));
        (void)json_object_set_new(object, "state", json_string(wk_app_state_name(entries[i].state)));
        (void)json_object_set_new(object, "created_at", json_real(entries[i].created_at));
        (void)json_array_append_new(root, object);
        wk_free(handle);
    }
    int failed = json_dumpf(root, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
    json_decref(root);
    return failed ? 1 : 0;
}

static void print_list(const wk_app_entry *entries, size_t count) {
    int widest = 10;
    for (size_t i = 0; i < count; i++) {
        const wk_handle *h = &entries[i].handle;
        int width = (int)(strlen(h->scheduler) + strlen(h->session) + strlen(h->app_id) + 4);
        if (width > widest) widest = width;
    }
    (void)printf("%-*s  %-11s  %-19s  %s\n", widest, "APP HANDLE", "APP STATUS", "SUBMITTED (UTC)", "APP NAME");
    for (size_t i = 0; i < count; i++) {
        char when[32] = "?";
        time_t seconds = (time_t)entries[i].created_at;
        struct tm broken;
        char *handle = wk_handle_format(&entries[i].handle);
        if (gmtime_r(&seconds, &broken)) (void)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &broken);
        (void)printf("%-*s  %-11s  %-19s  %s\n", widest, handle ? handle : "?", wk_app_state_name(entries[i].state),
                     when, entries[i].name);
        wk_free(handle);
    }
}

static int newest_first(const void *a, const void *b) {
    double x = ((const wk_app_entry *)a)->created_at;
    double y = ((const wk_app_entry *)b)->created_at;
    return (x < y) - (x > y);
}

int wk_list_main(int argc, char **argv) {
    static const char usage[] = "usage: wick list [--json]\n\nexample:  wick list --json | jq -r '.[0].handle'\n";
    bool json = false;
    const wk__flag flags[] = { { "--json", NULL, &json, NULL } };
    int code = wk__flags_parse(argc, argv, usage, flags, 1, NULL);
    if (code >= 0) return code;
    wk_app_entry *all = NULL;
    size_t count = 0;
    const wk_scheduler_ops *ops;
    for (size_t i = 0; (ops = wk__scheduler_at(i)) && !wk_failed(); i++) {
        wk_app_entry *some = NULL;
        size_t some_count = 0;
        if (ops->list(&some, &some_count) != WK_OK) break;
        wk_app_entry *more = wk_realloc(all, (count + some_count + 1) * sizeof *all);
        if (more) {
            all = more;
            if (some_count) memcpy(all + count, some, some_count * sizeof *all);
            count += some_count;
        }
        wk_free(some);
    }
    if (wk_failed())
        code = wk__report_code();
    else {
        if (count) qsort(all, count, sizeof *all, newest_first);
        code = json ? print_list_json(all, count) : 0;
        if (!json) print_list(all, count);
    }
    wk_free(all);
    return code;
}

/* {"handle": …, "state": …} */
static void print_state(const char *handle, const char *state) {
    json_t *root = json_object();
    (void)json_object_set_new(root, "handle", json_string(handle));
    (void)json_object_set_new(root, "state", json_string(state));
    (void)json_dumpf(root, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
    json_decref(root);
}

int wk_cancel_main(int argc, char **argv) {
    static const char usage[] =
        "usage: wick cancel HANDLE [--json]\n\nReturns when the app has ended, after 30 s at the latest.\n\n"
        "example:  wick cancel local://wick/sh-x7k2qv9wz4cd\n";
    bool json = false;
    const char *word = NULL;
    wk_handle handle;
    wk_app_state state = WK_APP_UNKNOWN;
    const wk__flag flags[] = { { "--json", NULL, &json, NULL } };
    int code = wk__flags_parse(argc, argv, usage, flags, 1, &word);
    if (code >= 0) return code;
    if (!word) return wk__usage_error("cancel: which app? give its handle (wick list)");
    if (wk_handle_parse(word, &handle) != WK_OK || wk_app_cancel(&handle) != WK_OK
        || wk_app_wait(&handle, 30, &state) != WK_OK)
        return wk__report_code();
    (void)fprintf(stderr, "wick: %s: %s\n", handle.app_id, wk_app_state_name(state));
    if (json) print_state(word, wk_app_state_name(state));
    return 0;
}

int wk_delete_main(int argc, char **argv) {
    static const char usage[] = "usage: wick delete HANDLE [--json]\n\n"
                                "Ends the app if it runs, and removes its logs and its row.\n\n"
                                "example:  wick delete local://wick/sh-x7k2qv9wz4cd\n";
    bool json = false;
    const char *word = NULL;
    wk_handle handle;
    const wk__flag flags[] = { { "--json", NULL, &json, NULL } };
    int code = wk__flags_parse(argc, argv, usage, flags, 1, &word);
    if (code >= 0) return code;
    if (!word) return wk__usage_error("delete: which app? give its handle (wick list)");
    if (wk_handle_parse(word, &handle) != WK_OK || wk_app_delete(&handle) != WK_OK) return wk__report_code();
    if (json) print_state(word, "DELETED");
    return 0;
}

/* What the scheduler was given: the script of a job, objects, else commands and environment. */
static int describe_native(const wk_handle *handle) {
    char *script = wk__app_path(handle->app_id, "job.sh");
    char *request = wk__app_path(handle->app_id, "request");
    char *manifest = wk__app_path(handle->app_id, "manifest.yaml");
    char *text = script ? wk__read_file(script, 64 << 20, NULL) : NULL;
    if (!text && manifest) text = wk__read_file(manifest, 64 << 20, NULL);
    wk_request *r = !text && request ? wk__request_read(request) : NULL;
    if (r) text = wk_request_print(r);
    if (text) (void)fputs(text, stdout);
    wk_request_free(r);
    wk_free(text);
    wk_free(script);
    wk_free(manifest);
    wk_free(request);
    return wk_failed() ? wk__report_code() : 0;
}

int wk_describe_main(int argc, char **argv) {
    static const char usage[] = "usage: wick describe HANDLE [--json|--native]\n\n"
                                "The AppDef that the app was started from; values of secret variables are ***.\n"
                                "With --native what its scheduler was given: the script, objects, or commands.\n\n"
                                "example:  wick describe local://wick/sh-x7k2qv9wz4cd\n";
    bool json = false;
    const char *word = NULL;
    wk_handle handle;
    bool native = false;
    const wk__flag flags[] = { { "--json", NULL, &json, NULL }, { "--native", NULL, &native, NULL } };
    int code = wk__flags_parse(argc, argv, usage, flags, WK_COUNT(flags), &word);
    if (code >= 0) return code;
    if (!word) return wk__usage_error("describe: which app? give its handle (wick list)");
    wk_appdef *app = wk_handle_parse(word, &handle) == WK_OK ? wk_app_definition(&handle) : NULL;
    if (!app) return wk__report_code();
    if (native) {
        wk_appdef_free(app);
        return describe_native(&handle);
    }
    char *text = json ? NULL : wk_appdef_dump(app);
    json_t *root = json ? wk__json_of(app->document->root) : NULL;
    if (text) (void)fputs(text, stdout);
    if (root) (void)json_dumpf(root, stdout, JSON_INDENT(2));
    if (root) (void)fputc('\n', stdout);
    json_decref(root);
    wk_free(text);
    wk_appdef_free(app);
    return wk_failed() ? wk__report_code() : 0;
}
