/* log.c: `wick log`: lines of an app's replicas. */
#include "launcher/commands/flags.h"
#include "wick/files.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* HANDLE[/ROLE[/K,…]]: cut what follows the app's id off the word. */
static int split_log_word(char *word, wk__log_filter *filter) {
    char *scheme = strstr(word, "://");
    char *session = scheme ? strchr(scheme + 3, '/') : NULL;
    char *id_end = session ? strchr(session + 1, '/') : NULL;
    if (!id_end) return -1;
    *id_end = '\0';
    if (id_end[1]) filter->role = id_end + 1;
    char *slash = filter->role ? strchr(id_end + 1, '/') : NULL;
    if (!slash) return -1;
    *slash = '\0';
    if (slash[1] == '\0') return -1;
    if (strspn(slash + 1, "0123456789,") != strlen(slash + 1))
        return wk__usage_error("log: \"%s\" is no replica; expected a number, or several: 0,2", slash + 1);
    filter->replicas = slash + 1;
    return -1;
}

static int read_filter(const char *streams, const char *pattern, regex_t *regex, wk__log_filter *filter) {
    filter->only_out = streams && strcmp(streams, "stdout") == 0;
    filter->only_err = streams && strcmp(streams, "stderr") == 0;
    if (streams && !filter->only_out && !filter->only_err && strcmp(streams, "combined") != 0)
        return wk__usage_error("log: --streams is stdout, stderr or combined, not \"%s\"", streams);
    if (!pattern) return -1;
    int error = regcomp(regex, pattern, REG_EXTENDED | REG_NOSUB);
    if (error) {
        char why[160];
        (void)regerror(error, regex, why, sizeof why);
        return wk__usage_error("log: --regex \"%s\": %s", pattern, why);
    }
    filter->regex = regex;
    return -1;
}

static int print_log(char *word, wk__log_filter *filter, bool follow) {
    wk_handle handle;
    int code = split_log_word(word, filter);
    if (code >= 0) return code;
    (void)signal(SIGPIPE, SIG_IGN);
    wk_status status = wk_handle_parse(word, &handle);
    if (status == WK_OK) status = wk__log_print(&handle, filter, follow, STDOUT_FILENO, NULL);
    if (status == WK_OK) return 0;
    if (status != WK_END) return wk__report_code();
    wk_clear_error(); /* the reader has closed its end: `wick log … | head` */
    return 0;
}

/* "10m" (ago), "2026-11-22T03:00:00Z" (UTC), or seconds since 1970. */
static int read_time(const char *name, const char *text, double *time) {
    char *end = NULL;
    struct tm broken = { 0 };
    if (!text) return -1;
    double number = strtod(text, &end);
    const char *units = "smhd";
    static const double seconds[] = { 1, 60, 3600, 86400 };
    const char *unit = *end && !end[1] ? strchr(units, *end) : NULL;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &broken);
    if (!rest) rest = strptime(text, "%Y-%m-%d %H:%M:%S", &broken);
    if (end != text && unit && number >= 0)
        *time = wk_wall_time() - number * seconds[unit - units];
    else if (end != text && !*end && number > 0)
        *time = number;
    else if (rest && (!*rest || strcmp(rest, "Z") == 0))
        *time = (double)timegm(&broken);
    else
        return wk__usage_error(
            "log: --%s takes an age (30s, 10m, 2h, 1d), a time (2026-11-22T03:00:00Z, UTC) or seconds since "
            "1970, not \"%s\"",
            name, text);
    return -1;
}

static int keep_logs(const char *word, const char *url) {
    wk_handle handle;
    wk_status status = wk_handle_parse(word, &handle);
    wk_app_status *app = status == WK_OK ? wk_app_describe(&handle) : NULL;
    if (app && !wk_app_state_is_terminal(app->state))
        (void)wk_fail(WK_STATE, "log: %s is %s; its logs can be kept when it has ended", handle.app_id,
                      wk_app_state_name(app->state));
    else if (app && strncmp(url, "memory:", 7) == 0)
        (void)wk_fail(WK_CONFIG, "log: --keep %s: that is the memory of this process; name a folder or a server", url);
    char *whole = !wk_failed() && wk_url_check(url) == WK_OK ? wk_url_join(url, handle.app_id) : NULL;
    if (whole) (void)wk__logs_fetch(&handle, app, whole);
    wk_free(whole);
    wk_app_status_free(app);
    return wk_failed() ? wk__report_code() : 0;
}

int wk_log_main(int argc, char **argv) {
    static const char usage[] =
        "usage: wick log [-f] [--regex R] [--streams S] [--since T] [--timestamps] HANDLE[/ROLE[/REPLICA,...]]\n"
        "       wick log --log-dir URL HANDLE[/ROLE[/REPLICA,...]]\n"
        "       wick log --keep URL HANDLE\n\n"
        "  -f, --follow, --tail   go on until the app ends\n"
        "  --regex R              lines that match (POSIX extended)\n"
        "  --streams S            stdout, stderr or combined (both, the default)\n"
        "  --timestamps           the time before each line, lines of all replicas in its order\n"
        "  --since T, --until T   an age (10m), a time (2026-11-22T03:00:00Z, UTC), seconds since 1970\n"
        "  --log-dir URL          read what was kept there (-cfg log_dir=URL), also of an app that is deleted\n"
        "  --keep URL             copy the logs of an app that has ended to URL/APP_ID\n\n"
        "example:  wick log -f --regex 'loss|error' mpi://wick/echo-x7k2qv9wz4cd/trainer/0,1\n";
    bool follow = false;
    const char *word = NULL;
    const char *pattern = NULL;
    const char *streams = NULL;
    const char *since = NULL;
    const char *until = NULL;
    const char *keep = NULL;
    regex_t regex;
    wk__log_filter filter = { .colour = wk__has_colour(STDOUT_FILENO) };
    const wk__flag flags[] = { { "--follow", "-f", &follow, NULL },
                               { "--tail", "-t", &follow, NULL },
                               { "--timestamps", NULL, &filter.times, NULL },
                               { "--since", NULL, NULL, &since },
                               { "--until", NULL, NULL, &until },
                               { "--log-dir", NULL, NULL, &filter.log_dir },
                               { "--keep", NULL, NULL, &keep },
                               { "--regex", NULL, NULL, &pattern },
                               { "--streams", NULL, NULL, &streams } };
    int code = wk__flags_parse(argc, argv, usage, flags, WK_COUNT(flags), &word);
    if (code >= 0) return code;
    if (!word) return wk__usage_error("log: which app? give its handle (wick list)");
    if (keep) return keep_logs(word, keep);
    if (follow && filter.log_dir)
        return wk__usage_error("log: what was kept has ended; --follow goes without --log-dir");
    code = read_time("since", since, &filter.since);
    if (code < 0) code = read_time("until", until, &filter.until);
    if (code >= 0) return code;
    code = read_filter(streams, pattern, &regex, &filter);
    char *copy = code < 0 ? wk_strdup(word) : NULL;
    if (copy) code = print_log(copy, &filter, follow);
    if (filter.regex) regfree(&regex);
    wk_free(copy);
    return code < 0 ? wk__report_code() : code;
}
