/* run.c: `wick run FILE|COMPONENT …`.
 *
 * stdout carries the handle and nothing else (with --json one object), because scripts take it from there; everything
 * said goes to stderr.
 */
#include "launcher/commands/run.h"

#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: wick run FILE|COMPONENT [-s SCHEDULER] [-cfg k=v,...] [--dryrun] [--wait] [--log] [-- ARGUMENTS]\n"
    "       wick run --stdin [--dryrun]\n"
    "\n"
    "  FILE                an AppDef in YAML, by path or URL\n"
    "  COMPONENT           one of `wick component list`, or FILE.yaml:NAME; its parameters follow it, the arguments "
    "of\n"
    "                      its program follow -- (`wick run COMPONENT --help` lists them)\n"
    "  -s, --scheduler S   local (the default), mpi, slurm, kubernetes, podman, docker (wick runopts)\n"
    "  -cfg k=v,k2=a;b     options of the scheduler (wick runopts)\n"
    "  -o KEY=VALUE        of a file: choose another of a group of its defaults, or set a value "
    "(roles.NAME.num_replicas=4)\n"
    "  --workspace FOLDER  run in a copy of this folder, made once for its content; \"\": not even if configured\n"
    "  --parent_run_id ID  the run that this one belongs to (TORCHX_PARENT_RUN_ID)\n"
    "  --dryrun            print what would be run, and do nothing\n"
    "  --wait              return when the app has ended; Ctrl-C leaves it running\n"
    "  --log, --tee_logs   with --wait: show the replicas' output on stderr meanwhile\n"
    "  --propagate-exit-code   with --wait: the exit code of the replica that failed first, 128 + its signal\n"
    "  --json              print an object in place of the handle\n"
    "  --stdin             read component, arguments and options as a JSON object\n"
    "\n"
    "exit code: 0 submitted (--wait: succeeded), 1 failed or cancelled, 2 wrong usage, 130 Ctrl-C\n"
    "\n"
    "example:  wick run examples/fashion_mnist/app.yaml -s mpi --wait --log\n"
    "          wick run utils.sh -j 2 -- 'echo I am $RANK of $WORLD_SIZE'\n";

int wk__usage_error(const char *format, ...) {
    va_list list;
    va_start(list, format);
    (void)fputs("wick: ", stderr);
    (void)vfprintf(stderr, format, list);
    (void)fputc('\n', stderr);
    va_end(list);
    return 2;
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
    static const char *const names[] = { "--scheduler", "-cfg",           "--dryrun",   "--wait",
                                         "--log",       "--help",         "--override", "--scheduler_args",
                                         "--workspace", "--tee_logs",     "--stdin",    "--propagate-exit-code",
                                         "--json",      "--parent_run_id" };
    const char *nearest = wk__nearest(word, names, WK_COUNT(names));
    if (nearest) return wk__usage_error("run: unknown option %s; did you mean %s?", word, nearest);
    return wk__usage_error("run: unknown option %s; `wick run --help` lists them", word);
}

/* A flag, or an option with its value: 1 taken, 0 not one of run's, -1 its value is missing. */
static int take_option(wk__run_options *o, int argc, char **argv, int *at) {
    const struct {
        const char *name;
        bool *flag;
    } flags[] = { { "--dryrun", &o->dryrun },     { "--wait", &o->wait },
                  { "--log", &o->log },           { "--json", &o->json },
                  { "--tee_logs", &o->tee_logs }, { "--propagate-exit-code", &o->propagate },
                  { "--stdin", &o->from_stdin } };
    const struct {
        const char *name;
        const char **value;
    } values[] = {
        { "-s", &o->scheduler },         { "--scheduler", &o->scheduler }, { "-cfg", &o->cfg },
        { "--scheduler_args", &o->cfg }, { "--workspace", &o->workspace }, { "--parent_run_id", &o->parent_run_id }
    };
    for (size_t i = 0; i < WK_COUNT(flags); i++)
        if (strcmp(argv[*at], flags[i].name) == 0) return *flags[i].flag = true;
    for (size_t i = 0; i < WK_COUNT(values); i++)
        if (is_option(argv[*at], values[i].name)) return (*values[i].value = value_of(argc, argv, at)) ? 1 : -1;
    if (!is_option(argv[*at], "-o") && !is_option(argv[*at], "--override")) return 0;
    const char *value = value_of(argc, argv, at);
    if (value) o->overrides[o->override_count++] = value;
    return value ? 1 : -1;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, wk__run_options *o) {
    o->rest = argv + 1; /* what is the component's is gathered where it has been read already */
    for (int at = 1; at < argc; at++) {
        char *word = argv[at];
        bool of_component = o->what && !wk__is_file(o->what);
        bool separator = strcmp(word, "--") == 0;
        if (of_component && strcmp(separator && at + 2 == argc ? argv[at + 1] : word, "--help") == 0)
            return wk__run_component_help(o->what);
        if (separator) {
            while (at < argc) o->rest[o->rest_count++] = argv[at++];
            break;
        }
        if (!o->what && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            (void)fputs(usage, stdout);
            return 0;
        }
        int taken = take_option(o, argc, argv, &at);
        if (taken < 0) return 2;
        if (taken) continue;
        if (!o->what && word[0] != '-')
            o->what = word;
        else if (of_component)
            o->rest[o->rest_count++] = word; /* a component's, without -- */
        else if (word[0] == '-')
            return unknown_option(word);
        else
            return wk__usage_error("run: \"%s\": only one file is run at a time", word);
    }
    return -1;
}

static int check(wk__run_options *o) {
    if (o->from_stdin && o->what) return wk__usage_error("run: --stdin says what to run, so \"%s\" cannot", o->what);
    if (o->from_stdin) return wk__run_stdin(o->dryrun);
    if (!o->what) o->what = wk__config_get(o->config, "cli:run", "component");
    if (!o->what) return wk__usage_error("run: nothing to run; give a file or a component (wick builtins)\n%s", usage);
    if (o->log && !o->wait) return wk__usage_error("run: --log goes with --wait; afterwards there is `wick log`");
    return -1;
}

wk_status wk__print_dryrun(const wk_appdef *app, const wk_scheduler_ops *ops, const wk_cfg *cfg) {
    char id[160];
    /* The letters that a run draws are the one thing that cannot be known before. */
    WK_TRY(wk_make_unique(app->name, id, sizeof id));
    char *dash = strrchr(id, '-');
    if (dash) (void)snprintf(dash, sizeof id - (size_t)(dash - id), "-dryrun");
    wk_request *request = ops->dryrun(app, cfg, id);
    char *text = request ? wk_request_print(request) : NULL;
    if (text) (void)fputs(text, stdout);
    wk_free(text);
    wk_request_free(request);
    return wk_error_code();
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

static void submit(wk__run_options *o, wk_handle *handle) {
    wk_appdef *app = wk__run_load(o);
    const wk_scheduler_ops *ops = app ? wk_scheduler(o->scheduler) : NULL;
    wk_cfg *cfg = ops ? wk__config_cfg(o->config, ops, o->cfg) : NULL;
    if (cfg) {
        wk__appdef_say_ignored(app, ops);
        wk_request *request = o->dryrun ? NULL : wk_app_dryrun(app, ops->name, cfg, handle);
        if (o->dryrun)
            (void)wk__print_dryrun(app, ops, cfg);
        else if (request)
            (void)wk_app_schedule(request, handle);
        if (request && *request->log_url && ops->poll_seconds > 0 && !o->wait)
            wk_log_write(WK_LOG_WARNING,
                         "%s cannot write to log_dir itself: --wait copies the logs there at the end, `wick log --keep "
                         "URL HANDLE` afterwards",
                         ops->name);
        wk_request_free(request);
    }
    wk_cfg_free(cfg);
    wk_appdef_free(app);
}

static int run(wk__run_options *o) {
    wk_handle handle = { 0 };
    submit(o, &handle);
    if (wk_failed()) {
        /* What failed after the app was known as one is a failed app, not a wrong command. */
        bool submitted = wk_error_code() == WK_STATE || wk_error_code() == WK_IO;
        report(o->what);
        return submitted && *handle.app_id ? 1 : 2;
    }
    if (o->dryrun) return 0;
    char *name = wk_handle_format(&handle);
    if (!name) return wk_report(stderr) != WK_OK;
    if (!o->json)
        (void)printf("%s\n", name);
    else if (!o->wait)
        (void)printf("{\n  \"handle\": \"%s\"\n}\n", name);
    (void)fflush(stdout);
    int code = o->wait ? wk__run_wait(&handle, name, o) : 0;
    wk_free(name);
    return code;
}

int wk_run_main(int argc, char **argv) {
    wk__run_options o = { 0 };
    int code = 2;
    o.overrides = wk_alloc((size_t)argc * sizeof *o.overrides);
    o.config = o.overrides ? wk__config_load() : NULL;
    if (!o.config || wk__config_resources(o.config) != WK_OK)
        (void)wk_report(stderr);
    else {
        code = parse(argc, argv, &o);
        if (code < 0) code = check(&o);
        if (code < 0) code = run(&o);
    }
    wk__config_free(o.config);
    wk_free(o.overrides);
    return code;
}
