/* look.c: `wick status`, `wick log`, `wick list`, `wick cancel`, `wick builtins`, `wick runopts`. */
#include "launcher/launcher.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct flag {
    const char *name, *letter;
    bool *value;
} flag;

/* Flags anywhere, and one word at most; -1: go on, else the exit code. */
static int parse(int argc, char **argv, const char *usage, const flag *flags, size_t flag_count, const char **word) {
    for (int at = 1; at < argc; at++) {
        bool known = false;
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        for (size_t i = 0; i < flag_count && !known; i++)
            if (strcmp(argv[at], flags[i].name) == 0 || (flags[i].letter && strcmp(argv[at], flags[i].letter) == 0))
                known = *flags[i].value = true;
        if (known) continue;
        if (argv[at][0] == '-' || !word || *word)
            return wk__usage_error("%s: unexpected \"%s\"\n%s", argv[0], argv[at], usage);
        *word = argv[at];
    }
    return -1;
}

/* 2: it is no handle; 1: there is no such app. */
static int report(void) {
    return wk_report(stderr) == WK_CONFIG ? 2 : 1;
}

int wk_status_main(int argc, char **argv) {
    static const char usage[] =
        "usage: wick status HANDLE [--json]\n\nexample:  wick status mpi://wick/echo-x7k2qv9wz4cd\n";
    bool json = false;
    const char *word = NULL;
    wk_handle handle;
    const flag flags[] = { { "--json", NULL, &json } };
    int code = parse(argc, argv, usage, flags, 1, &word);
    if (code >= 0) return code;
    if (!word) return wk__usage_error("status: which app? give its handle (wick list)");
    wk_app_status *status = wk_handle_parse(word, &handle) == WK_OK ? wk_app_describe(&handle) : NULL;
    char *text = !status ? NULL : json ? wk_app_status_json(status) : wk_app_status_text(status);
    if (text) (void)fputs(text, stdout);
    wk_free(text);
    wk_app_status_free(status);
    return text ? 0 : report();
}

/* HANDLE[/ROLE[/K]]: cut what follows the app's id off the word. */
static int split_log_word(char *word, const char **role, int *replica) {
    char *scheme = strstr(word, "://");
    char *session = scheme ? strchr(scheme + 3, '/') : NULL;
    char *id_end = session ? strchr(session + 1, '/') : NULL;
    if (!id_end) return -1;
    *id_end = '\0';
    if (id_end[1]) *role = id_end + 1;
    char *slash = *role ? strchr(id_end + 1, '/') : NULL;
    if (!slash) return -1;
    *slash = '\0';
    if (slash[1] == '\0') return -1;
    char *end = NULL;
    long k = strtol(slash + 1, &end, 10);
    if (*end || k < 0 || k > INT32_MAX)
        return wk__usage_error("log: \"%s\" is no replica; expected a number", slash + 1);
    *replica = (int)k;
    return -1;
}

int wk_log_main(int argc, char **argv) {
    static const char usage[] = "usage: wick log [-f] HANDLE[/ROLE[/REPLICA]]\n\n"
                                "  -f, --follow   go on until the app ends\n\n"
                                "example:  wick log -f mpi://wick/echo-x7k2qv9wz4cd/trainer/0\n";
    bool follow = false;
    const char *word = NULL;
    const char *role = NULL;
    int replica = -1;
    wk_handle handle;
    const flag flags[] = { { "--follow", "-f", &follow }, { "--tail", "-t", &follow } };
    int code = parse(argc, argv, usage, flags, 2, &word);
    if (code >= 0) return code;
    if (!word) return wk__usage_error("log: which app? give its handle (wick list)");
    char *copy = wk_strdup(word);
    if (!copy) return report();
    code = split_log_word(copy, &role, &replica);
    (void)signal(SIGPIPE, SIG_IGN);
    if (code < 0) {
        wk_status status = wk_handle_parse(copy, &handle);
        if (status == WK_OK) status = wk__log_print(&handle, role, replica, follow, STDOUT_FILENO, NULL);
        code = status == WK_OK ? 0 : 1;
        if (status == WK_END) { /* the reader has closed its end: `wick log … | head` */
            wk_clear_error();
            code = 0;
        } else if (status != WK_OK)
            code = report();
    }
    wk_free(copy);
    return code;
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
    const flag flags[] = { { "--json", NULL, &json } };
    int code = parse(argc, argv, usage, flags, 1, NULL);
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
        code = report();
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
    const flag flags[] = { { "--json", NULL, &json } };
    int code = parse(argc, argv, usage, flags, 1, &word);
    if (code >= 0) return code;
    if (!word) return wk__usage_error("cancel: which app? give its handle (wick list)");
    if (wk_handle_parse(word, &handle) != WK_OK || wk_app_cancel(&handle) != WK_OK
        || wk_app_wait(&handle, 30, &state) != WK_OK)
        return report();
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
    const flag flags[] = { { "--json", NULL, &json } };
    int code = parse(argc, argv, usage, flags, 1, &word);
    if (code >= 0) return code;
    if (!word) return wk__usage_error("delete: which app? give its handle (wick list)");
    if (wk_handle_parse(word, &handle) != WK_OK || wk_app_delete(&handle) != WK_OK) return report();
    if (json) print_state(word, "DELETED");
    return 0;
}

int wk_describe_main(int argc, char **argv) {
    static const char usage[] = "usage: wick describe HANDLE [--json]\n\n"
                                "The AppDef that the app was started from; values of secret variables are ***.\n\n"
                                "example:  wick describe local://wick/sh-x7k2qv9wz4cd\n";
    bool json = false;
    const char *word = NULL;
    wk_handle handle;
    const flag flags[] = { { "--json", NULL, &json } };
    int code = parse(argc, argv, usage, flags, 1, &word);
    if (code >= 0) return code;
    if (!word) return wk__usage_error("describe: which app? give its handle (wick list)");
    wk_appdef *app = wk_handle_parse(word, &handle) == WK_OK ? wk_app_definition(&handle) : NULL;
    if (!app) return report();
    char *text = json ? NULL : wk_appdef_dump(app);
    json_t *root = json ? wk__json_of(app->document->root) : NULL;
    if (text) (void)fputs(text, stdout);
    if (root) (void)json_dumpf(root, stdout, JSON_INDENT(2));
    if (root) (void)fputc('\n', stdout);
    json_decref(root);
    wk_free(text);
    wk_appdef_free(app);
    return wk_failed() ? report() : 0;
}
