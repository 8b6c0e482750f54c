/* run.c: `wick run FILE|COMPONENT …`.
 *
 * stdout carries the handle and nothing else, because scripts take it from there; everything said goes to stderr.
 * Ctrl-C while waiting leaves the app alone: a job that ran for a day must not end with a terminal.
 */
#include "launcher/component/component.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: wick run FILE|COMPONENT [-s SCHEDULER] [-cfg k=v,...] [--dryrun] [--wait] [--log] [-- ARGUMENTS]\n"
    "\n"
    "  FILE                an AppDef in YAML\n"
    "  COMPONENT           one of `wick component list`, or FILE.yaml:NAME; its parameters follow it, the arguments "
    "of\n"
    "                      its program follow -- (`wick run COMPONENT --help` lists them)\n"
    "  -s, --scheduler S   local (processes on this machine) or mpi (ranks of one mpirun); default local\n"
    "  -cfg k=v,k2=a;b     options of the scheduler (wick runopts)\n"
    "  -o KEY=VALUE        of a file: choose another of a group of its defaults, or set a value "
    "(roles.NAME.num_replicas=4)\n"
    "  --dryrun            print what would be run, and do nothing\n"
    "  --wait              return when the app has ended; Ctrl-C leaves it running\n"
    "  --log               with --wait: show the replicas' output on stderr meanwhile\n"
    "\n"
    "exit code: 0 submitted (--wait: succeeded), 1 failed or cancelled, 2 wrong usage, 130 Ctrl-C\n"
    "\n"
    "example:  wick run examples/fashion_mnist/app.yaml -s mpi --wait --log\n"
    "          wick run utils.sh -j 2 -- 'echo I am $RANK of $WORLD_SIZE'\n";

typedef struct options {
    const char *what, *scheduler, *cfg;
    bool dryrun, wait, log;
    const char **overrides; /* (override_count) */
    size_t override_count;
    int rest_count;
    char **rest;
} options;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

int wk__usage_error(const char *format, ...) {
    va_list list;
    va_start(list, format);
    (void)fputs("wick: ", stderr);
    (void)vfprintf(stderr, format, list);
    (void)fputc('\n', stderr);
    va_end(list);
    return 2;
}

static bool is_file(const char *what) {
    size_t size = strlen(what);
    return !wk__component_is_path(what)
           && (strchr(what, '/') || (size > 5 && strcmp(what + size - 5, ".yaml") == 0)
               || (size > 4 && strcmp(what + size - 4, ".yml") == 0));
}

/* The value of an option that is written as two words or with =; NULL (said on stderr) if there is none. */
static const char *value_of(int argc, char **argv, int *at) {
    const char *equals = strncmp(argv[*at], "--", 2) == 0 ? strchr(argv[*at], '=') : NULL;
    if (equals) return equals + 1;
    if (*at + 1 < argc) return argv[++*at];
    (void)wk__usage_error("run: %s needs a value", argv[*at]);
    return NULL;
}

static bool is_option(const char *word, const char *name) {
    size_t size = strlen(name);
    return strncmp(word, name, size) == 0 && (word[size] == '\0' || (word[1] == '-' && word[size] == '='));
}

static int unknown_option(const char *word) {
    static const char *const names[] = { "--scheduler", "-cfg",   "--dryrun",         "--wait",
                                         "--log",       "--help", "--scheduler_args", "--override" };
    const char *nearest = wk__nearest(word, names, WK_COUNT(names));
    if (nearest) return wk__usage_error("run: unknown option %s; did you mean %s?", word, nearest);
    return wk__usage_error("run: unknown option %s; `wick run --help` lists them", word);
}

static int help_of(const char *what) {
    wk__component *c = wk__component_find(what);
    char *text = c ? wk__component_help(c) : NULL;
    if (text) (void)fputs(text, stdout);
    wk_free(text);
    wk__component_free(c);
    if (!wk_failed()) return 0;
    (void)wk_report(stderr);
    return 2;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, options *o) {
    o->rest = argv + 1; /* what is the component's is gathered where it has been read already */
    for (int at = 1; at < argc; at++) {
        char *word = argv[at];
        if (strcmp(word, "--") == 0) {
            bool help = o->what && !is_file(o->what) && at + 1 < argc && strcmp(argv[at + 1], "--help") == 0;
            if (help && at + 2 == argc) return help_of(o->what);
            while (at < argc) o->rest[o->rest_count++] = argv[at++];
            break;
        }
        if (o->what && !is_file(o->what) && strcmp(word, "--help") == 0) return help_of(o->what);
        if (!o->what && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            (void)fputs(usage, stdout);
            return 0;
        }
        if (is_option(word, "-s") || is_option(word, "--scheduler")) {
            if (!(o->scheduler = value_of(argc, argv, &at))) return 2;
        } else if (is_option(word, "-cfg") || is_option(word, "--scheduler_args")) {
            if (!(o->cfg = value_of(argc, argv, &at))) return 2;
        } else if (is_option(word, "-o") || is_option(word, "--override")) {
            if (!(o->overrides[o->override_count++] = value_of(argc, argv, &at))) return 2;
        } else if (strcmp(word, "--dryrun") == 0)
            o->dryrun = true;
        else if (strcmp(word, "--wait") == 0)
            o->wait = true;
        else if (strcmp(word, "--log") == 0)
            o->log = true;
        else if (!o->what && word[0] != '-')
            o->what = word;
        else if (o->what && !is_file(o->what))
            o->rest[o->rest_count++] = word; /* a component's, without -- */
        else if (word[0] == '-')
            return unknown_option(word);
        else
            return wk__usage_error("run: \"%s\": only one file is run at a time", word);
    }
    if (!o->what) return wk__usage_error("run: nothing to run; give a file or a component (wick builtins)\n%s", usage);
    if (o->log && !o->wait) return wk__usage_error("run: --log goes with --wait; afterwards there is `wick log`");
    return -1;
}

/* "… did you mean "utils.echo"?" */
static wk_appdef *nothing_like(const char *what) {
    wk__component_entry *entries = NULL;
    size_t count = 0;
    wk_clear_error();
    if (wk__component_list(&entries, &count) != WK_OK) return NULL;
    const char **names = wk_alloc((count + 1) * sizeof *names);
    size_t known = 0;
    for (size_t i = 0; names && i < count; i++)
        if (!entries[i].broken) names[known++] = entries[i].name;
    const char *nearest = names ? wk__nearest(what, names, known) : NULL;
    if (nearest)
        (void)wk_fail(WK_NOT_FOUND, "\"%s\" is neither a file nor a component; did you mean \"%s\"?", what, nearest);
    else
        (void)wk_fail(WK_NOT_FOUND, "\"%s\" is neither a file nor a component (wick builtins lists those)", what);
    wk_free(names);
    wk_free(entries);
    return NULL;
}

static wk_appdef *load_file(const options *o) {
    if (o->rest_count)
        return wk_fail_null(WK_CONFIG, "%s: arguments after -- are for components; a file has its own \"args\"",
                            o->what);
    return wk_appdef_compose(o->what, o->overrides, o->override_count);
}

/* A file, or a component with its arguments, which may say for which scheduler it is made. */
static wk_appdef *load(options *o) {
    if (is_file(o->what)) return load_file(o);
    wk__component *c = wk__component_find(o->what);
    if (!c && wk_error_code() == WK_NOT_FOUND && !wk__component_is_path(o->what)) {
        wk_clear_error();
        return access(o->what, F_OK) == 0 ? load_file(o) : nothing_like(o->what);
    }
    if (c && !o->scheduler && c->scheduler && wk_scheduler(c->scheduler))
        o->scheduler = wk_scheduler(c->scheduler)->name;
    if (c && o->override_count)
        (void)wk_fail(WK_CONFIG, "-o changes a file; %s has parameters (wick run %s --help)", c->name, c->name);
    wk_appdef *app = c && !wk_failed() ? wk__component_build(c, o->rest_count, o->rest, NULL, 0) : NULL;
    wk__component_free(c);
    return app;
}

wk_status wk__print_dryrun(const wk_appdef *app, const char *scheduler, const char *cfg_text) {
    char id[160];
    const wk_scheduler_ops *ops = wk_scheduler(scheduler);
    if (!ops) return wk_error_code();
    wk_cfg *cfg = wk_cfg_parse(ops->name, ops->runopts, ops->runopt_count, cfg_text);
    if (!cfg) return wk_error_code();
    /* The letters that a run draws are the one thing that cannot be known before. */
    WK_TRY(wk_make_unique(app->name, id, sizeof id));
    char *dash = strrchr(id, '-');
    if (dash) (void)snprintf(dash, sizeof id - (size_t)(dash - id), "-dryrun");
    wk_request *request = ops->dryrun(app, cfg, id);
    char *text = request ? wk_request_print(request) : NULL;
    if (text) (void)fputs(text, stdout);
    wk_free(text);
    wk_request_free(request);
    wk_cfg_free(cfg);
    return wk_error_code();
}

/* Wait until it has ended; say how it went.  The exit code. */
static int wait_for(const wk_handle *handle, const char *name, bool log) {
    struct sigaction action = { .sa_handler = on_interrupt };
    (void)sigaction(SIGINT, &action, NULL);
    wk_app_state state = WK_APP_UNKNOWN;
    if (log) (void)wk__log_print(handle, NULL, -1, true, STDERR_FILENO, &interrupted);
    while (!interrupted && !wk_failed()) {
        if (wk_app_wait(handle, 0.5, &state) != WK_TIMEOUT) break;
        wk_clear_error();
    }
    if (interrupted) {
        wk_clear_error();
        (void)fprintf(stderr, "wick: %s goes on without this terminal; end it with: wick cancel %s\n", handle->app_id,
                      name);
        return 130;
    }
    wk_app_status *status = wk_failed() ? NULL : wk_app_describe(handle);
    if (!status) {
        (void)wk_report(stderr);
        return 1;
    }
    int code = status->state == WK_APP_SUCCEEDED ? 0 : 1;
    (void)fprintf(stderr, "wick: %s: %s%s%s\n", handle->app_id, wk_app_state_name(status->state),
                  *status->message ? ": " : "", status->message);
    wk_app_status_free(status);
    return code;
}

/* A place in the file stands first on its line, where editors look for it. */
static void report(const char *what) {
    size_t size = strlen(what);
    const char *message = wk_message();
    bool placed = strncmp(message, what, size) == 0 && message[size] == ':' && message[size + 1] >= '1'
                  && message[size + 1] <= '9';
    if (!placed) {
        (void)wk_report(stderr);
        return;
    }
    (void)fprintf(stderr, "%s\n", message);
    wk_clear_error();
}

static int run(options *o) {
    int code = 0;
    wk_handle handle = { 0 };
    char *name = NULL;
    wk_appdef *app = load(o);
    if (!o->scheduler) o->scheduler = "local";
    const wk_scheduler_ops *ops = app ? wk_scheduler(o->scheduler) : NULL;
    if (ops) {
        wk__appdef_say_ignored(app, ops);
        (void)(o->dryrun ? wk__print_dryrun(app, o->scheduler, o->cfg)
                         : wk_app_run(app, o->scheduler, o->cfg, &handle));
    }
    wk_appdef_free(app);
    if (wk_failed()) {
        /* What failed after the app was known as one is a failed app, not a wrong command. */
        bool submitted = wk_error_code() == WK_STATE || wk_error_code() == WK_IO;
        report(o->what);
        return submitted && *handle.app_id ? 1 : 2;
    }
    if (o->dryrun) return 0;
    if (!(name = wk_handle_format(&handle))) return wk_report(stderr) != WK_OK;
    (void)printf("%s\n", name);
    (void)fflush(stdout);
    code = o->wait ? wait_for(&handle, name, o->log) : 0;
    wk_free(name);
    return code;
}

int wk_run_main(int argc, char **argv) {
    options o = { 0 };
    o.overrides = wk_alloc((size_t)argc * sizeof *o.overrides);
    int code = o.overrides ? parse(argc, argv, &o) : wk_report(stderr) != WK_OK;
    if (code < 0) code = run(&o);
    wk_free(o.overrides);
    return code;
}
